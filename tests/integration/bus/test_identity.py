"""Apache Kafka proves who calls: each service logs in with its own password, and the broker refuses what is not its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.produce import ProduceRequest
from pydantic import SecretStr

from sandbox import kafka_users
from sandbox.broker import ApacheKafka, Broker
from sandbox.infrastructure import Infrastructure
from sandbox.kafka_users import ADMIN, CONTROLLER
from sandbox.plan import Plan
from shared.bus import acls, authorizer, scram, topics
from shared.bus.acls import Acl, Operation, Pattern, Permission, Principals, Resource
from shared.bus.kafka import Consumer, Producer, Record, client_settings, ensure_topics
from shared.errors import Unavailable, VioxError
from shared.settings import Settings
from shared.store.pool import is_transient
from tests.conftest import BROKER, settings_of
from tests.integration.bus.desk import SECONDS, eventually, foreign_consumer, foreign_producer
from tests.integration.bus.rights import connected, rights

pytestmark = pytest.mark.skipif(BROKER != "apache", reason="the embedded broker has no users and no ACLs")
PRINCIPALS = Principals("User:viox-{service}")
NAMES = [topic.name for topic in topics.all_topics()]
EXTRA = Acl("User:viox-closer", Resource.TOPIC, topics.tool_calls("voice"), Pattern.LITERAL, Operation.WRITE)


@pytest.fixture(autouse=True)
async def every_topic(kafka_settings: Settings) -> None:
    await ensure_topics(kafka_settings)


def expected(service: str) -> dict[str, set[Operation]]:
    """Read off the table of topics, by other words than those that made the ACLs."""
    outside = {topics.UPSTREAM, topics.OPERATOR_CLI}
    looks = {Operation.CREATE, Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS}
    found: dict[str, set[Operation]] = {}
    for topic in topics.all_topics():
        writes, reads = (
            service in names or (topics.ANYONE in names and service in outside)
            for names in (topic.writers, topic.readers)
        )
        may = {Operation.WRITE} if writes else set()
        may |= {Operation.READ} if reads else set()
        may |= {Operation.DESCRIBE} if may else set()
        found[topic.name] = may | (looks if service == topics.OPERATOR_CLI else set())
    return found


@pytest.mark.parametrize("service", acls.CLIENTS)
async def test_the_broker_grants_what_the_table_of_topics_says_and_nothing_else(broker: Broker, service: str) -> None:
    assert await rights(settings_of(broker, service), NAMES) == expected(service)


@pytest.mark.parametrize(
    ("service", "topic"),
    [
        ("closer", topics.tool_calls("voice")),
        ("closer", topics.tool_results("closer")),
        ("closer", topics.tool_results("voice")),
        ("closer", topics.APPROVALS),
        ("closer", topics.events("finance")),
        ("controller", topics.tool_calls("closer")),
        ("operator", topics.APPROVALS),
        ("gateway", topics.tool_calls("closer")),
        ("upstream", topics.tool_calls("closer")),
        ("upstream", topics.tool_results("closer")),
        ("upstream", topics.RUNS),
        ("upstream", topics.APPROVALS),
        ("operator-cli", topics.RUNS),
    ],
)
async def test_who_may_not_write_a_topic_is_refused(broker: Broker, service: str, topic: str) -> None:
    async with foreign_producer(settings_of(broker, service), enable_idempotence=True) as producer:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(topic, b"{}", key=b"k")
    assert await written_blindly(settings_of(broker, service), topic) == TopicAuthorizationFailedError.errno


async def written_blindly(settings: Settings, topic: str) -> int:
    """What the broker answers to a client that asks for no metadata first, where it would be refused already."""
    batch = BatchBuilder(1000, 0, is_transactional=False)
    batch.append(timestamp=None, key=b"k", value=b"{}")
    async with connected(settings) as client:
        request = ProduceRequest(None, -1, 5000, [(topic, [(0, bytes(batch._build()))])])
        answer = await client.send(client.get_random_node(), request)
    code: int = answer.topics[0][1][0][1]
    return code


async def test_the_owner_of_a_topic_writes_blindly_too(broker: Broker) -> None:
    """So the refusals above are not those of a request that nobody could make."""
    assert await written_blindly(settings_of(broker, "closer"), topics.tool_calls("closer")) == 0


@pytest.mark.parametrize("topic", [topics.tool_results("voice"), topics.tool_calls("closer"), topics.RUNS])
async def test_an_agent_cannot_read_what_is_for_another(broker: Broker, topic: str) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        async with foreign_consumer(settings_of(broker, "closer"), topic, group_id="viox.closer") as consumer:
            await consumer.getone()  # what it may write it may see, so that only reading is refused


@pytest.mark.parametrize("group", ["viox.voice", "viox.gateway", "viox.closer.", "anything"])
async def test_an_agent_cannot_join_the_group_of_another(broker: Broker, group: str) -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        async with foreign_consumer(settings_of(broker, "closer"), topics.tasks("closer"), group_id=group) as consumer:
            await consumer.getone()


async def test_upstream_reads_what_goes_out_in_groups_of_its_own(broker: Broker) -> None:
    settings = settings_of(broker, topics.UPSTREAM)
    out = (topics.RUNS, topics.APPROVALS, topics.DEAD_LETTERS)
    async with foreign_consumer(settings, *out, group_id=f"upstream.{uuid4()}") as consumer:
        assert {partition.topic for partition in consumer.assignment()} == set(out)


@pytest.mark.parametrize("service", acls.SERVICES)
async def test_every_service_joins_its_group_and_sends_with_its_own_password(broker: Broker, service: str) -> None:
    settings = settings_of(broker, service)
    writes = [topic.name for topic in topics.all_topics() if service in topic.writers]
    async with sending(settings) as producer, consuming(settings, service) as consumer:
        await eventually(lambda: producer.connected and consumer.joined)
        for topic in writes:
            await (await producer.send(topic, b"k", b"not an event", []))


@asynccontextmanager
async def sending(settings: Settings) -> AsyncIterator[Producer]:
    producer = Producer(settings, "test")
    async with kept(producer.run()):
        yield producer
        await producer.stop()


@asynccontextmanager
async def consuming(settings: Settings, service: str, wanted: Sequence[str] = ()) -> AsyncIterator[Consumer]:
    async def store(records: Sequence[Record]) -> None:
        return

    async def bury(record: Record, error: Exception) -> None:
        raise AssertionError(error)

    names = wanted or topics.consumed_by(service)
    consumer = Consumer(settings, topics.group_of(service), names, store, bury, is_transient)
    async with kept(consumer.run()):
        yield consumer
        await consumer.stop()


@asynccontextmanager
async def kept(run: Any) -> AsyncIterator[None]:
    running = asyncio.create_task(run)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kafka_sasl_plain_password": SecretStr("wrong")}, "VIOX_KAFKA_SASL_PLAIN_PASSWORD"),
        ({"kafka_sasl_plain_username": "viox-voice"}, "VIOX_KAFKA_SASL_PLAIN_PASSWORD"),
        ({"kafka_sasl_plain_username": "viox-nobody"}, "VIOX_KAFKA_SASL_PLAIN_PASSWORD"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "VIOX_KAFKA_SASL_PLAIN_PASSWORD"),
    ],
)
async def test_a_wrong_login_is_refused_and_not_taken_for_a_broker_that_is_down(
    broker: Broker, change: dict[str, Any], field: str
) -> None:
    settings = settings_of(broker, "closer").model_copy(update=change)
    with pytest.raises(Unavailable) as error:
        await ensure_topics(settings)
    assert (error.value.code, error.value.field) == ("kafka.refused", field)
    with pytest.raises(KafkaConnectionError):
        async with foreign_producer(settings):
            pass


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "the broker refuses viox-closer: [Error 30] GroupAuthorizationFailedError: viox.voice"),
        ({"kafka_sasl_plain_password": SecretStr("wrong")}, "lets nobody in over SASL_PLAINTEXT as viox-closer"),
    ],
)
async def test_readiness_says_what_the_broker_refuses_a_service(
    broker: Broker, change: dict[str, Any], why: str
) -> None:
    settings = settings_of(broker, "closer").model_copy(update=change)
    async with consuming(settings, "voice", [topics.tasks("closer")]) as consumer:
        await eventually(lambda: why in (consumer.problem or ""))


async def test_nobody_is_anonymous(broker: Broker) -> None:
    given = client_settings(settings_of(broker, "closer"))
    anonymous = {name: value for name, value in given.items() if not name.startswith("sasl")}
    admin = AIOKafkaAdminClient(bootstrap_servers=anonymous["bootstrap_servers"], request_timeout_ms=5000)
    try:
        with pytest.raises(KafkaConnectionError):
            await admin.start()
    finally:
        await admin.close()


async def test_an_agent_cannot_make_topics_or_change_who_may_do_what(broker: Broker) -> None:
    settings = settings_of(broker, "closer")
    for attempt in (authorizer.difference(settings), authorizer.apply(settings)):
        with pytest.raises(VioxError) as error:
            await attempt
        assert error.value.code == "kafka.acls_refused"
    with pytest.raises(ClusterAuthorizationFailedError):
        async with _raw(settings) as held:
            await held.create([EXTRA])
    with pytest.raises((TopicAuthorizationFailedError, ClusterAuthorizationFailedError)):
        await _create_topic(settings, "viox.tool-calls.closer2")


async def test_the_command_line_makes_our_topics_and_sees_acls_but_changes_none(broker: Broker) -> None:
    settings = settings_of(broker, topics.OPERATOR_CLI)
    await _create_topic(settings, f"viox.test-{uuid4().hex[:8]}")
    with pytest.raises(KafkaError):
        await _create_topic(settings, f"other.{uuid4().hex[:8]}")
    assert (await authorizer.difference(settings)).problems == {}
    with pytest.raises(ClusterAuthorizationFailedError):
        async with _raw(settings) as held:
            await held.create([EXTRA])


async def test_who_may_not_see_our_topics_is_told_what_it_lacks(broker: Broker) -> None:
    with pytest.raises(VioxError) as error:
        await ensure_topics(settings_of(broker, "closer"))
    assert error.value.code == "kafka.topics_refused"
    assert "viox-closer neither see nor create viox.events." in error.value.message


@asynccontextmanager
async def _raw(settings: Settings) -> AsyncIterator[authorizer.Authorizer]:
    """With the broker's own errors."""
    async with connected(settings) as client:
        yield authorizer.Authorizer(client)


async def _create_topic(settings: Settings, name: str) -> None:
    given = {key: value for key, value in client_settings(settings).items() if key != "metadata_max_age_ms"}
    admin = AIOKafkaAdminClient(**given)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()
    for _name, code, *_rest in answer.topic_errors:
        if code:
            raise for_code(code)


@pytest.mark.parametrize("user", [CONTROLLER, ADMIN, "viox-closer"])
async def test_the_controllers_port_takes_no_password_but_its_own(broker: Broker, user: str) -> None:
    assert isinstance(broker, ApacheKafka)
    password = settings_of(broker, "closer").kafka_sasl_plain_password
    assert password is not None
    controller = scram.Controller("127.0.0.1", broker.controller_port, user, password.get_secret_value())
    with pytest.raises(Unavailable, match="takes no users"):
        await scram.set_passwords(controller, {"viox-voice": "mine now"}, SECONDS)


@asynccontextmanager
async def held(settings: Settings, rules: Iterable[Acl]) -> AsyncIterator[None]:
    """Rules that somebody added by hand, for as long as it lasts."""
    async with _raw(settings) as editing:
        await editing.create(rules)
        try:
            yield
        finally:
            await editing.delete(rules)


async def test_applying_adds_what_is_missing_and_is_the_same_twice(kafka_settings: Settings) -> None:
    gone = acls.wanted(PRINCIPALS)[:3]
    async with _raw(kafka_settings) as editing:
        await editing.delete(gone)
    assert (await authorizer.difference(kafka_settings)).missing == tuple(gone)
    assert await authorizer.apply(kafka_settings) == (gone, [])
    assert await authorizer.apply(kafka_settings) == ([], [])
    assert (await authorizer.difference(kafka_settings)).problems == {}


async def test_a_stale_rule_of_ours_goes_when_asked_and_others_rules_never(kafka_settings: Settings) -> None:
    theirs = [
        Acl("User:partner", Resource.TOPIC, topics.events("sales"), Pattern.LITERAL, Operation.WRITE),
        Acl("User:partner", Resource.TOPIC, "orders", Pattern.PREFIXED, Operation.ALL, Permission.DENY, "10.0.0.1"),
    ]
    async with held(kafka_settings, [EXTRA, *theirs]):
        assert await authorizer.apply(kafka_settings) == ([], [])
        found, why = await authorizer.identity(kafka_settings)
        assert (found, "viox.tool-calls.voice" in why) == ("not enforced", True)
        assert await authorizer.apply(kafka_settings, prune=True) == ([], [EXTRA])
        differs = await authorizer.difference(kafka_settings)
        assert (differs.problems, set(differs.foreign)) == ({}, set(theirs))


async def test_a_rule_for_everybody_is_found_though_it_is_not_ours(kafka_settings: Settings) -> None:
    rule = Acl(acls.EVERYBODY, Resource.TOPIC, "*", Pattern.LITERAL, Operation.WRITE)
    async with held(kafka_settings, [rule]):
        differs = await authorizer.difference(kafka_settings)
        assert differs.breaches == (rule,)
        assert await authorizer.apply(kafka_settings, prune=True) == ([], [])
    assert replace(rule) not in (await authorizer.difference(kafka_settings)).breaches


async def test_what_the_broker_does_has_the_last_word(broker: Broker, kafka_settings: Settings) -> None:
    """The rules are as they should be, but nothing is refused: of a super user nobody can learn that others are."""
    assert await authorizer.identity(settings_of(broker, topics.OPERATOR_CLI)) == ("enforced", "")
    found, why = await authorizer.identity(kafka_settings)
    assert (found, "refuses this user nothing" in why) == ("not checked", True)


async def test_what_cannot_be_seen_is_not_checked(broker: Broker) -> None:
    found, why = await authorizer.identity(settings_of(broker, "closer"))
    assert (found, "does not let viox-closer see" in why) == ("not checked", True)


@pytest.mark.parametrize(
    ("service", "found"), [(None, "enforced"), (ADMIN, "not checked"), (topics.OPERATOR_CLI, "not enforced")]
)
def test_a_stack_on_a_kafka_of_yours_says_what_is_so(
    broker: Broker, home: Path, tmp_path: Path, service: str | None, found: str
) -> None:
    """With a user for each service, and with one for all: then the broker cannot tell them apart, whatever it knows."""
    login = {"VIOX_KAFKA_PASSWORDS_DIR": str(kafka_users.folder(home))}
    given = broker.client_settings(service) if service else broker.settings() | login
    stands_on = Infrastructure(Plan(tmp_path, environment=dict(os.environ) | given), print)
    assert stands_on._in_child(stands_on._prepare_broker) == found
    passwords = [stands_on._kafka_for(name).get(kafka_users.PASSWORD_SETTING) for name in acls.SERVICES]
    assert len(set(passwords)) == (1 if service else len(acls.SERVICES))
