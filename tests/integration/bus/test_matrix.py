"""Every client at every topic and group of Apache Kafka: what a KafkaUser of the manifests allows works, all else is refused.

Requests are sent without asking for metadata first, where a client would be stopped before the broker has to decide.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest

from sandbox.broker import Broker
from shared.bus import acls, authorizer, topics
from shared.bus.acls import Acl, Operation, Resource
from shared.bus.kafka import ensure_topics
from shared.settings import Settings
from tests.conftest import BROKER, settings_of
from tests.integration.bus.desk import SECONDS
from tests.integration.bus.rights import connected
from viox.deploy import kafka
from viox.deploy.facts import DEPLOY

pytestmark = pytest.mark.skipif(BROKER != "apache", reason="the embedded broker has no users and no ACLs")
BASE = DEPLOY / "k8s" / "base"
COMING = (GroupLoadInProgressError, GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
TOPICS = [topic.name for topic in topics.all_topics()]
GROUPS = [*(topics.group_of(name) for name in acls.SERVICES), "upstream.reports", "somebody", "viox.closer.more"]
NOT_YET = {error.errno for error in (NotLeaderForPartitionError, *COMING)}
NO_TOPIC, NO_GROUP = TopicAuthorizationFailedError.errno, GroupAuthorizationFailedError.errno


def users() -> Iterator[dict[str, Any]]:
    files: list[Path] = [*BASE.glob("*/kafka-user.yaml"), BASE / "kafka" / "users.yaml"]
    for file in files:
        yield from yaml.safe_load_all(file.read_text())


RULES: list[Acl] = [rule for user in users() for rule in kafka.acls_of(user)]


def allowed(service: str, resource: Resource, names: list[str], operation: Operation) -> set[str]:
    mine = [
        rule
        for rule in RULES
        if rule.principal == f"User:viox-{service}" and rule.resource is resource and rule.operation is operation
    ]
    return {name for name in names if any(rule.covers(resource, name) for rule in mine)}


@pytest.fixture(autouse=True)
async def every_topic(kafka_settings: Settings) -> None:
    await ensure_topics(kafka_settings)


async def ask(client: AIOKafkaClient, request: Any) -> Any:
    return await client.send(client.get_random_node(), request)


async def settled(client: AIOKafkaClient, make: Callable[[], Any], group: str | None = None) -> int:
    """What the broker answers once its topics have leaders and groups a coordinator, both of which come with first use."""
    deadline = time.monotonic() + SECONDS
    while True:
        code: int = (await ask(client, make())).topics[0][1][0][1]
        if code not in NOT_YET or time.monotonic() > deadline:
            return code
        if group:
            await ask(client, FindCoordinatorRequest(group, 0))
        await asyncio.sleep(0.1)


async def written(client: AIOKafkaClient) -> set[str]:
    """Topics that took a record."""
    batch = BatchBuilder(1000, 0, is_transactional=False)
    batch.append(timestamp=None, key=b"k", value=b"{}")
    made = bytes(batch._build())
    codes = {
        name: await settled(client, partial(ProduceRequest, None, -1, 5000, [(name, [(0, made)])])) for name in TOPICS
    }
    assert set(codes.values()) <= {0, NO_TOPIC}
    return {name for name, code in codes.items() if code == 0}


async def read(client: AIOKafkaClient) -> set[str]:
    """Topics that gave what they have."""
    codes = {
        name: await settled(client, partial(FetchRequest, 0, 0, 100_000, 0, [(name, [(0, 0, 10_000)])]))
        for name in TOPICS
    }
    assert set(codes.values()) <= {0, NO_TOPIC}
    return {name for name, code in codes.items() if code == 0}


async def joined(client: AIOKafkaClient, topic: str) -> set[str]:
    """Groups that let their place be moved, whatever they say of the topic."""
    codes = {
        group: await settled(client, partial(OffsetCommitRequest, group, -1, "", -1, [(topic, [(0, 0, "")])]), group)
        for group in GROUPS
    }
    assert set(codes.values()) <= {0, NO_GROUP}
    return {group for group, code in codes.items() if code == 0}


async def test_the_broker_has_the_rules_of_the_manifests(broker: Broker) -> None:
    async with authorizer.authorizer(settings_of(broker, topics.OPERATOR_CLI)) as connection:
        found = await connection.rules()
    assert sorted(found) == sorted(RULES)


@pytest.mark.parametrize("service", acls.CLIENTS)
async def test_only_what_a_user_may_write_is_taken(broker: Broker, service: str) -> None:
    async with connected(settings_of(broker, service)) as client:
        assert await written(client) == allowed(service, Resource.TOPIC, TOPICS, Operation.WRITE)


@pytest.mark.parametrize("service", acls.CLIENTS)
async def test_only_what_a_user_may_read_is_given(broker: Broker, service: str) -> None:
    async with connected(settings_of(broker, service)) as client:
        assert await read(client) == allowed(service, Resource.TOPIC, TOPICS, Operation.READ)


@pytest.mark.parametrize("service", acls.CLIENTS)
async def test_only_a_users_own_group_is_moved(broker: Broker, service: str) -> None:
    readable = sorted(allowed(service, Resource.TOPIC, TOPICS, Operation.READ))
    async with connected(settings_of(broker, service)) as client:
        topic = readable[0] if readable else topics.RUNS
        assert await joined(client, topic) == allowed(service, Resource.GROUP, GROUPS, Operation.READ)
