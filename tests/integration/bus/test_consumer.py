"""Our consumer on a real broker, the embedded one or Apache Kafka: offsets follow the rows, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from sandbox.broker import Broker
from shared.bus import topics
from shared.bus.kafka import Consumer, Producer, Record, ensure_topics
from shared.settings import Settings
from shared.store.pool import is_transient

TOPIC = topics.tasks("voice")


class Desk:
    """What a service would store: records of one test, told apart by their key, in the order in which they were stored."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.group = f"test.{uuid4().hex[:8]}"
        self.mark = self.group.encode()
        self.stored: list[bytes] = []
        self.buried: list[tuple[bytes, str]] = []
        self.batches: list[int] = []
        self.fails: Callable[[bytes], Exception | None] = lambda _: None
        self.has_room = True

    async def store(self, records: Sequence[Record]) -> None:
        mine = [record.value or b"" for record in records if record.key == self.mark]
        self.batches.append(len(mine))
        for value in mine:
            if error := self.fails(value):
                raise error
        self.stored += mine

    async def bury(self, record: Record, error: Exception) -> None:
        self.buried.append((record.value or b"", str(error)))

    def consumer(self) -> Consumer:
        return Consumer(
            self._settings, self.group, [TOPIC], self.store, self.bury, is_transient, has_room=lambda: self.has_room
        )

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[Consumer]:
        consumer = self.consumer()
        running = asyncio.create_task(consumer.run())
        try:
            yield consumer
            await consumer.stop()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def until(self, wanted: set[bytes]) -> None:
        async with asyncio.timeout(90):
            while not wanted <= set(self.stored):
                await asyncio.sleep(0.02)


@pytest.fixture
async def desk(kafka_settings: Settings) -> Desk:
    await ensure_topics(kafka_settings)
    return Desk(kafka_settings)


@pytest.fixture
async def producer(kafka_settings: Settings) -> AsyncIterator[Producer]:
    made = Producer(kafka_settings, "test")
    running = asyncio.create_task(made.run())
    yield made
    await made.stop()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def put(producer: Producer, desk: Desk, *values: bytes) -> None:
    async with asyncio.timeout(90):
        while not producer.connected:
            await asyncio.sleep(0.02)
        for value in values:
            await (await producer.send(TOPIC, desk.mark, value, []))


async def eventually(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(90):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.mark.rule(5)
async def test_a_record_that_cannot_be_stored_is_set_aside_and_its_neighbours_are_stored(
    desk: Desk, producer: Producer
) -> None:
    desk.fails = lambda value: ValueError("no table takes this") if value == b"bad" else None
    await put(producer, desk, b"1", b"bad", b"2", b"3")
    async with desk.consuming():
        await desk.until({b"1", b"2", b"3"})
        await eventually(lambda: desk.buried)
    assert desk.buried == [(b"bad", "no table takes this")]
    assert b"bad" not in desk.stored


@pytest.mark.rule(5)
async def test_while_postgres_is_away_nothing_is_set_aside_and_nothing_skipped(desk: Desk, producer: Producer) -> None:
    failures = [ConnectionResetError("Postgres is away")] * 4
    desk.fails = lambda _: failures.pop() if failures else None
    await put(producer, desk, b"1", b"2", b"3")
    async with desk.consuming():
        await desk.until({b"1", b"2", b"3"})
    assert desk.stored == [b"1", b"2", b"3"]
    assert desk.buried == []


@pytest.mark.rule(5)
async def test_what_was_not_stored_at_the_stop_comes_again_and_what_was_does_not(
    desk: Desk, producer: Producer
) -> None:
    await put(producer, desk, b"1")
    async with desk.consuming():
        await desk.until({b"1"})
    desk.fails = lambda _: ConnectionResetError("Postgres is away")
    await put(producer, desk, b"2")
    seen = len(desk.batches)
    async with desk.consuming():
        await eventually(lambda: any(desk.batches[seen:]))
    assert desk.stored == [b"1"], "it was asked to stop and did, with a batch in its hands"
    desk.fails = lambda _: None
    async with desk.consuming():
        await desk.until({b"2"})
    assert desk.stored == [b"1", b"2"]


@pytest.mark.rule(5)
async def test_partitions_that_change_hands_lose_nothing(desk: Desk, producer: Producer) -> None:
    first = [b"a%d" % n for n in range(40)]
    second = [b"b%d" % n for n in range(40)]
    async with desk.consuming() as one:
        await put(producer, desk, *first)
        async with desk.consuming() as two:
            await eventually(lambda: one.joined and two.joined)
            await put(producer, desk, *second[:20])
            await desk.until({*first, *second[:20]})
        await put(producer, desk, *second[20:])
        await desk.until({*first, *second})
    assert set(desk.stored) == {*first, *second}


@pytest.mark.rule(5)
async def test_both_ends_go_on_after_the_broker_was_away(
    desk: Desk, producer: Producer, broker: Broker, kafka_settings: Settings
) -> None:
    async with desk.consuming():
        await put(producer, desk, b"before")
        await desk.until({b"before"})
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        await put_again(producer, desk, kafka_settings, b"after")
        await desk.until({b"after"})
    assert desk.stored[0] == b"before"


async def put_again(producer: Producer, desk: Desk, settings: Settings, value: bytes) -> None:
    """As the outbox does: until it is acknowledged."""
    async with asyncio.timeout(120):
        while True:
            try:
                await ensure_topics(settings)
                await asyncio.wait_for(put(producer, desk, value), 20)
            except Exception:  # noqa: BLE001  # not there yet
                await asyncio.sleep(0.2)
            else:
                return


async def test_without_room_nothing_is_taken_and_the_lag_says_so_until_there_is_some(
    desk: Desk, producer: Producer
) -> None:
    desk.has_room = False
    async with desk.consuming() as consumer:
        await eventually(lambda: consumer.joined)
        await put(producer, desk, b"1", b"2", b"3")
        async with asyncio.timeout(90):
            while (lag := await consumer.lag()) is None or lag < 3:
                await asyncio.sleep(0.02)
        assert desk.batches == []
        assert consumer.problem is None, "the place in the group is kept"
        desk.has_room = True
        await desk.until({b"1", b"2", b"3"})
        async with asyncio.timeout(90):
            while await consumer.lag() != 0:
                await asyncio.sleep(0.02)


async def test_a_consumer_without_room_stops_like_any_other(desk: Desk) -> None:
    desk.has_room = False
    async with desk.consuming() as consumer:
        await eventually(lambda: consumer.joined)
    assert desk.batches == []
