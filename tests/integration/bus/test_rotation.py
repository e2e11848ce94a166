"""The password of a service at Kafka is exchanged while it takes tasks: docs/operations-guide.md, carried out on a real broker.

Its broker wants a new login every few seconds, which is an hour elsewhere: connections with the old password end soon.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import kafka_users
from sandbox.broker import USERS_SECONDS, ApacheKafka
from sandbox.kafka_users import ADMIN, CONTROLLER, PASSWORD_SETTING
from sandbox.net import free_ports
from sandbox.passwords import Passwords
from sandbox.postgres import Postgres
from shared.bus import scram, topics
from shared.bus.kafka import ensure_topics
from shared.bus.messages import task
from tests.conftest import settings_of
from tests.integration.bus.desk import SECONDS, foreign_producer
from tests.integration.bus.test_application import readiness, running
from tests.integration.bus.test_users import prepared, started

pytestmark = pytest.mark.apache
HOUR, SHORT = "connections.max.reauth.ms=3600000", "connections.max.reauth.ms=3000"
USER = kafka_users.user_of("closer")
ANOTHER = "another-password-of-the-closer"


class Impatient(ApacheKafka):
    """Wants a new login every three seconds."""

    def _configure(self) -> None:
        super()._configure()
        file = self._home / "server.properties"
        text = file.read_text()
        assert HOUR in text
        file.write_text(text.replace(HOUR, SHORT))


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Impatient]:
    (tmp_path / "logs").mkdir()
    yield from started(Impatient(tmp_path, *free_ports(2)))


class Closer:
    """Replicas of one agent, the tasks that it is asked meanwhile, and what became of them."""

    def __init__(self, broker: Impatient, postgres: Postgres, admin: Any) -> None:
        self._broker = broker
        self._dsn = postgres.dsn("viox_closer")
        self._admin = admin
        self.asked = 0

    @asynccontextmanager
    async def replica(self, **more: str) -> AsyncIterator[str]:
        """Its address. It has room to be stopped as Kubernetes stops it."""
        port = free_ports(1)[0]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VIOX_")}
        environment = (
            kept
            | self._broker.client_settings("closer")
            | {
                "VIOX_POSTGRES_DSN": self._dsn,
                "VIOX_HTTP_PORT": str(port),
                "VIOX_MODELS": "offline",
                "VIOX_KAFKA_PARTITIONS": "2",
            }
        )
        async with running(environment | more):
            yield f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Asked something ten times a second."""
        async with foreign_producer(settings_of(self._broker, ADMIN)) as producer:
            enough = asyncio.Event()
            asking = asyncio.create_task(self._ask(producer, enough))
            try:
                yield
            finally:
                enough.set()
                await asking

    async def _ask(self, producer: Any, enough: asyncio.Event) -> None:
        while not enough.is_set():
            told = task("closer", str(self.asked), "/tests", "hello", {}, datetime.now(UTC), None)
            key, value, headers = told.to_kafka()
            await producer.send_and_wait(topics.tasks("closer"), value, key=key, headers=headers)
            self.asked += 1
            await asyncio.sleep(0.1)

    async def finished(self) -> int:
        return int(await self._admin.fetchval("select count(*) from runs where finished_at is not null"))

    async def more(self, count: int) -> None:
        """Until so many more are through."""
        wanted = await self.finished() + count
        async with asyncio.timeout(SECONDS):
            while await self.finished() < wanted:
                await asyncio.sleep(0.1)


async def ready(url: str) -> None:
    async with asyncio.timeout(SECONDS):
        while not (await readiness(url)).get("ready"):
            await asyncio.sleep(0.1)


async def not_ready(url: str) -> dict[str, Any]:
    """What it says when it is not any more, and why."""
    async with asyncio.timeout(SECONDS):
        while "kafka" not in (said := await readiness(url)).get("missing", {}) or "yet" in said["missing"]["kafka"]:
            await asyncio.sleep(0.1)
    return said


async def exchange(broker: Impatient, home: Path) -> None:
    controller = scram.Controller(
        "127.0.0.1", broker.controller_port, CONTROLLER, Passwords(kafka_users.folder(home)).of(CONTROLLER)
    )
    await scram.set_passwords(controller, {USER: ANOTHER}, USERS_SECONDS)


async def test_tasks_go_on_while_the_password_is_exchanged_and_replicas_roll(
    impatient: Impatient, postgres: Postgres, admin: Any, tmp_path: Path
) -> None:
    prepared(impatient)
    await ensure_topics(settings_of(impatient, ADMIN))
    closer = Closer(impatient, postgres, admin)
    async with closer.busy(), closer.replica() as first:
        await ready(first)
        await closer.more(50)  # over several logins
        await exchange(impatient, tmp_path)
        async with closer.replica(**{PASSWORD_SETTING: ANOTHER}) as second:
            await ready(second)
            said = await not_ready(first)
            assert "lets nobody in over SASL_PLAINTEXT as viox-closer" in said["missing"]["kafka"]
            await closer.more(50)
            assert (await readiness(second))["ready"]
            break_off = closer.asked
            await closer.more(20)
        assert closer.asked > break_off
    async with closer.replica(**{PASSWORD_SETTING: ANOTHER}):
        async with asyncio.timeout(SECONDS):
            while await closer.finished() < closer.asked:
                await asyncio.sleep(0.1)
    assert await admin.fetchval("select count(*) from runs") == closer.asked, "each once"
    assert await admin.fetchval("select count(*) from dead_letters") == 0
