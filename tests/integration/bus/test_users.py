"""Users of a broker of ours over its life: data of a release that knew none, a restart, a password that was lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from sandbox import kafka_users
from sandbox.broker import ApacheKafka, Broker
from sandbox.kafka_users import ADMIN
from sandbox.net import free_ports
from shared.bus import acls, authorizer, topics
from shared.bus.kafka import ensure_topics
from shared.errors import Unavailable
from shared.settings import Settings
from tests.conftest import BROKER, settings_of
from tests.integration.bus.desk import foreign_producer

AnyBroker = TypeVar("AnyBroker", bound=Broker)
EVENTS = topics.Topic(topics.events("sales"), "test", (), (), "events of a test")


class WithoutUsers(ApacheKafka):
    """As releases before this one started it: anybody may do anything."""

    SECURITY = r"(?m)^(sasl|listener\.name|config\.providers|authorizer|allow|super|connections)\.(.*\\\n)*.*\n"

    def settings(self) -> dict[str, str]:
        kept = ("VIOX_KAFKA_SECURITY_PROTOCOL", "VIOX_KAFKA_SASL_MECHANISM")
        return {name: value for name, value in super().settings().items() if name not in kept}

    def client_settings(self, service: str) -> dict[str, str]:
        return self.settings()

    def _configure(self) -> None:
        super()._configure()
        file = self._home / "server.properties"
        file.write_text(re.sub(self.SECURITY, "", file.read_text()).replace(":SASL_PLAINTEXT", ":PLAINTEXT"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("users")
    (made / "logs").mkdir()
    return made


@pytest.fixture(scope="module")
def ports() -> list[int]:
    return free_ports(2)


@pytest.fixture
def unsecured(folder: Path, ports: list[int]) -> Iterator[Broker]:
    yield from started(WithoutUsers(folder, *ports))


@pytest.fixture
def secured(folder: Path, ports: list[int]) -> Iterator[ApacheKafka]:
    yield from started(ApacheKafka(folder, *ports))


def started(broker: AnyBroker) -> Iterator[AnyBroker]:
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def prepared(broker: Broker) -> tuple[str, str]:
    """In a thread, because it runs an event loop of its own."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(broker.prepare).result()


async def send(settings: Settings) -> None:
    async with foreign_producer(settings) as producer:
        await producer.send_and_wait(EVENTS.name, b"{}")


@pytest.mark.apache
async def test_a_broker_without_acls_enforces_nothing_and_says_so(unsecured: Broker) -> None:
    settings = settings_of(unsecured, ADMIN)
    await ensure_topics(settings, [EVENTS])
    await send(settings)
    assert await authorizer.identity(settings) == ("not enforced", "this broker has no ACLs.")


@pytest.mark.apache
async def test_data_of_a_broker_that_knew_no_users_gets_them(secured: ApacheKafka) -> None:
    with pytest.raises(Unavailable) as error:
        await ensure_topics(settings_of(secured, ADMIN))
    assert error.value.code == "kafka.refused"
    assert prepared(secured) == ("enforced", "")
    await send(settings_of(secured, topics.UPSTREAM))  # the topic is there still


@pytest.mark.apache
async def test_users_and_rights_outlive_a_restart(secured: ApacheKafka) -> None:
    await send(settings_of(secured, topics.UPSTREAM))
    assert await authorizer.identity(settings_of(secured, topics.OPERATOR_CLI)) == ("enforced", "")


@pytest.mark.apache
async def test_a_password_that_was_lost_is_made_anew_and_the_old_one_ends(secured: ApacheKafka, folder: Path) -> None:
    old = settings_of(secured, topics.UPSTREAM)
    (kafka_users.folder(folder) / "viox-upstream").unlink()
    assert prepared(secured) == ("enforced", "")
    await send(settings_of(secured, topics.UPSTREAM))
    with pytest.raises(Unavailable):
        await authorizer.difference(old)


@pytest.mark.apache
def test_no_file_but_its_own_has_a_password_in_it(folder: Path) -> None:
    passwords = {file.name: file.read_bytes() for file in kafka_users.folder(folder).iterdir()}
    assert set(passwords) == {*kafka_users.SUPER_USERS, *(kafka_users.user_of(name) for name in acls.CLIENTS)}
    for file in folder.rglob("*"):
        if file.is_file() and file.parent != kafka_users.folder(folder):
            content = file.read_bytes()
            assert not [user for user, password in passwords.items() if password in content], file


@pytest.mark.skipif(BROKER == "apache", reason="what the embedded broker says of itself")
async def test_the_embedded_broker_enforces_nothing_and_says_so(broker: Broker, kafka_settings: Settings) -> None:
    """It answers that it has no rules, as a broker would that has an authorizer and no rules yet."""
    assert prepared(broker)[0] == "not enforced"
    assert (await authorizer.difference(kafka_settings)).missing
    found, why = await authorizer.identity(kafka_settings)
    assert (found, "do not log in" in why) == ("not enforced", True)
