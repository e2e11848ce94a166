"""Apache Kafka with the settings of deploy/compose, prepared as there: from nothing to users, rights and topics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from sandbox.broker import ApacheKafka
from sandbox.kafka_users import CONTROLLER
from sandbox.net import free_ports
from sandbox.passwords import Passwords
from shared.bus import acls, authorizer, topics
from shared.bus.kafka import client_settings
from shared.settings import Settings
from tests.conftest import BROKER
from viox import kafka_setup
from viox.deploy.compose import names, services
from viox.deploy.facts import DEPLOY, PARTITIONS
from viox.kafka_setup import ADDRESS, CLIENTS, password_setting

pytestmark = pytest.mark.skipif(BROKER != "apache", reason="the embedded broker has no users and no ACLs")
FILE = DEPLOY / "compose" / "kafka" / "server.properties"


class OfCompose(ApacheKafka):
    """Its settings are the file's, but for ports and folders of this machine."""

    def __init__(self, home: Path, port: int, controller_port: int) -> None:
        super().__init__(home, port, controller_port)
        self.port = port

    def _configure(self) -> None:
        super()._configure()
        here = {
            names.BOOTSTRAP: f"127.0.0.1:{self.port}",
            f"0.0.0.0:{names.KAFKA_PORT}": f"127.0.0.1:{self.port}",
            f"127.0.0.1:{names.CONTROLLER_PORT}": f"127.0.0.1:{self.controller_port}",
            "/var/lib/kafka/data": str(self._home / "data"),
        }
        text = FILE.read_text()
        for there, value in here.items():
            assert there in text
            text = text.replace(there, value)
        (self._home / "server.properties").write_text(text)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OfCompose]:
    (tmp_path / "logs").mkdir()
    made = OfCompose(tmp_path, *free_ports(2))
    made.start()
    yield made
    made.stop()


def environment(broker: OfCompose, home: Path) -> dict[str, str]:
    """As compose.yaml has it for `kafka-setup`, with passwords of this broker."""
    kept = Passwords(home / "secrets" / "kafka")
    found: dict[str, str] = dict(services.once()[names.KAFKA_SETUP]["environment"])
    found |= {password_setting(client): kept.of(client) for client in (CONTROLLER, *CLIENTS)}
    return found | {
        ADDRESS: f"127.0.0.1:{broker.controller_port}",
        "VIOX_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.port}",
    }


async def test_it_knows_users_and_topics_after_the_first_start_and_stays_so(
    broker: OfCompose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment(broker, tmp_path)
    for name in [name for name in os.environ if name.startswith("VIOX_KAFKA_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    await kafka_setup.prepare(given)
    await kafka_setup.prepare(given)  # as at the next `up`
    for client in acls.CLIENTS:
        user = {"kafka_sasl_plain_username": f"viox-{client}"}
        settings = Settings.load(**user, kafka_sasl_plain_password=given[password_setting(client)])
        if client == topics.OPERATOR_CLI:
            assert await authorizer.identity(settings) == (authorizer.ENFORCED, "")
            await _look_at_topics(settings)
        else:
            assert await _sees(settings) == _may_see(client)


async def _look_at_topics(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**client_settings(settings))
    await admin.start()
    try:
        wanted = [topic.name for topic in topics.all_topics()]
        found = await admin.describe_topics(wanted)
        assert {topic["topic"]: len(topic["partitions"]) for topic in found} == dict.fromkeys(wanted, PARTITIONS)
        resource = ConfigResource(ConfigResourceType.TOPIC, topics.AUDIT_CHECKPOINTS)
        answers = await admin.describe_configs([resource])
        kept = {entry[0]: entry[1] for answer in answers for each in answer.resources for entry in each[4]}
        assert kept["retention.ms"] == "-1"
    finally:
        await admin.close()


async def _sees(settings: Settings) -> set[str]:
    admin = AIOKafkaAdminClient(**client_settings(settings))
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


def _may_see(client: str) -> set[str]:
    rules = acls.wanted(acls.Principals("User:viox-{service}"))
    mine = [rule for rule in rules if rule.principal == f"User:viox-{client}"]
    return {
        topic.name
        for topic in topics.all_topics()
        if any(rule.covers(acls.Resource.TOPIC, topic.name) for rule in mine)
    }
