"""Services as FastStream applications: imported without any effect, run and described by FastStream's own command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from sandbox.broker import Broker
from sandbox.net import free_ports
from sandbox.postgres import Postgres
from shared.bus import topics
from shared.bus.kafka import Producer, ensure_topics
from shared.bus.messages import task
from shared.settings import Settings
from tests.conftest import ROOT
from tests.integration.bus.desk import SECONDS, eventually

FASTSTREAM = str(Path(sys.executable).parent / "faststream")
SERVICES = [agent.replace("-", "_") for agent in topics.AGENTS] + ["tool_gateway"]


@asynccontextmanager
async def running(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [FASTSTREAM, "run", "services.closer.main:app"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def readiness(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"{url}/readyz") as response:
                found: dict[str, Any] = await response.json()
                return found
        except aiohttp.ClientError:
            return {}


@pytest.fixture
def environment(broker: Broker, postgres: Postgres) -> dict[str, str]:
    port = free_ports(1)[0]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIOX_")}
    return {
        **kept,
        **broker.client_settings("closer"),
        "VIOX_POSTGRES_DSN": postgres.dsn("viox_closer"),
        "VIOX_HTTP_PORT": str(port),
        "VIOX_MODELS": "offline",
        "VIOX_KAFKA_PARTITIONS": "2",
    }


async def test_faststream_runs_an_agent_until_it_is_asked_to_stop(
    environment: dict[str, str], kafka_settings: Settings, admin: Any
) -> None:
    await ensure_topics(kafka_settings)
    url = f"http://127.0.0.1:{environment['VIOX_HTTP_PORT']}"
    async with running(environment) as process:
        async with asyncio.timeout(SECONDS):
            while not (await readiness(url)).get("ready"):
                assert process.returncode is None
                await asyncio.sleep(0.1)
        await ask(kafka_settings, "closer", str(uuid4()))
        async with asyncio.timeout(SECONDS):
            while await admin.fetchval("select count(*) from runs where finished_at is not null") < 1:
                await asyncio.sleep(0.1)
        async with aiohttp.ClientSession() as session:
            for path in ("/docs", "/docs/try", "/asyncapi"):
                async with session.get(url + path) as response:
                    assert response.status == 404, "a page from which anyone could publish through us"
    assert process.returncode == 0


async def ask(settings: Settings, agent: str, number: str) -> None:
    producer = Producer(settings, "test")
    keeping = asyncio.create_task(producer.run())
    await eventually(lambda: producer.connected)
    key, value, headers = task(agent, number, "/tests", "hello", {}, datetime.now(UTC), None).to_kafka()
    await (await producer.send(topics.tasks(agent), key, value, headers))
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_faststream_describes_our_cloudevents(tmp_path: Path) -> None:
    made = tmp_path / "asyncapi.json"
    command = [FASTSTREAM, "docs", "gen", "services.closer.main:app", "--out", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=SECONDS)
    assert json.loads(made.read_text()) == json.loads((ROOT / "docs" / "reference" / "asyncapi.json").read_text())


def test_importing_a_service_reads_nothing_and_opens_nothing() -> None:
    """Settings that cannot be read, an event loop that must not be, sockets that may not be opened."""
    names = ", ".join(f"services.{service}.main" for service in SERVICES)
    code = f"""
import os, socket, threading
class Refuses:
    def __init__(self, *a, **k): raise AssertionError('opened at import')
before = set(threading.enumerate())
socket.socket = Refuses
os.environ['VIOX_HTTP_PORT'] = 'not a number'
import {names}
assert set(threading.enumerate()) == before
assert all(not module.app.brokers for module in ({names},))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=SECONDS)
