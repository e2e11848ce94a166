"""A database is restored to a moment before, and Kafka still has what happened since, as if nobody had read it: docs/operations-guide.md."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from sandbox.kafka_users import ADMIN
from shared.bus import topics
from shared.bus.kafka import client_settings
from shared.settings import Settings
from tests.conftest import Deployment
from tests.journeys import test_restore
from tests.journeys.test_restore import base_backup, calls_to, greet, restore, signed
from tests.journeys.test_sales import texts, until

pytestmark = pytest.mark.apache  # the embedded broker keeps nothing over a restart
stack = test_restore.stack
SERVICES = ("closer", topics.GATEWAY)


def start(stack: Deployment, only: str) -> None:
    started = stack("up", "--only", only, "--models", "offline", "--broker", "apache", "--json")
    assert started.code == 0, started.err


@pytest.fixture(autouse=True)
def on_apache(stack: Deployment) -> None:
    """The stack was started with the embedded broker."""
    assert stack("down").code == 0
    start(stack, "gateway,closer")


async def set_back(settings: Settings, service: str, moment: datetime) -> int:
    """The group of a service begins again at a moment. How many records it will read once more."""
    consumer = AIOKafkaConsumer(
        **client_settings(settings), group_id=topics.group_of(service), enable_auto_commit=False
    )
    await consumer.start()
    try:
        parts = [
            TopicPartition(topic, number)
            for topic in topics.consumed_by(service)
            for number in await _partitions(consumer, topic)
        ]
        consumer.assign(parts)
        at = await consumer.offsets_for_times(dict.fromkeys(parts, int(moment.timestamp() * 1000)))
        ends = await consumer.end_offsets(parts)
        offsets = {part: at[part].offset if at[part] else ends[part] for part in parts}
        await consumer.commit(offsets)
        return sum(ends[part] - offset for part, offset in offsets.items())
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.force_metadata_update()
    return set(consumer.partitions_for_topic(topic) or ())


def test_what_kafka_has_of_the_lost_time_does_nothing_that_nobody_agreed_to(stack: Deployment, tmp_path: Path) -> None:
    greet(stack)
    base_backup(stack, tmp_path / "base")
    before, _ = greet(stack)
    signed(stack)
    time.sleep(1.5)
    moment = datetime.now(UTC)
    time.sleep(1.5)
    after, _ = greet(stack)
    signed(stack)
    assert stack("down").code == 0
    restore(stack, tmp_path / "base", tmp_path / "wal", moment.isoformat(timespec="milliseconds"))
    start(stack, "console")
    assert stack("pause", "all", "--by", "Dana").code == 0
    again = [asyncio.run(set_back(stack.kafka(ADMIN), one, moment)) for one in SERVICES]
    assert all(again), "an event and results for the agent, calls for the gateway"
    assert stack("down").code == 0

    start(stack, "gateway,closer")
    runs = until(lambda: [one for one in stack("runs", "--json").json()["items"] if one["status"] == "waiting"])
    (run,) = runs
    assert run["trigger"]["type"] == "viox.lead.created", "the event was read again, and is a run of its own"
    assert [one["kind"] for one in run["waiting_for"]] == ["paused"]
    letters = stack("dead-letters", "--json").json()["items"]
    assert {one["code"] for one in letters} <= {"call.foreign_run"}, (
        "results of calls that are not on record wake nobody"
    )
    assert (len(texts(stack, before)), len(texts(stack, after))) == (1, 1)

    # It did happen, as the vendor shows: so the run is not to go on. It ends with the pause, before anything of it goes out.
    assert stack("cancel", run["run_id"]).code == 0
    assert stack("audit", "restart", "--reason", "restored", "--by", "Dana").code == 0
    assert stack("resume", "all", "--by", "Dana").code == 0
    until(lambda: stack("run", run["run_id"], "--json").json()["status"] == "cancelled")
    greet(stack)
    signed(stack)
    assert (len(texts(stack, before)), len(texts(stack, after))) == (1, 1), "nothing was done twice"
    assert calls_to(stack, before) > 0
    verified = stack("audit", "verify", "--json")
    assert (verified.code, verified.json()["problems"]) == (0, [])
