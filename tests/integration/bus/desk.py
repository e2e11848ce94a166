"""What a service would store, for tests of the consumer on a real broker; and a client of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.bus import topics
from shared.bus.aiokafka_internals import close_connections, drop_producer
from shared.bus.kafka import Consumer, Record, client_settings, ensure_topics
from shared.settings import Settings
from shared.store.pool import is_transient

SECONDS = 90


class Desk:
    """A consumer group with two topics of its own, and what it stored, in that order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.group = f"test.{uuid4().hex[:8]}"
        self.topic, self.other = f"{self.group}.first", f"{self.group}.other"
        self.mark = self.group.encode()
        self.stored: list[Record] = []
        self.fails: Callable[[Sequence[Record]], Exception | None] = lambda _: None

    async def create_topics(self) -> None:
        wanted = [topics.Topic(name, "test", (), (), "records of a test") for name in (self.topic, self.other)]
        await ensure_topics(self.settings, wanted)

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.stored]

    async def store(self, records: Sequence[Record]) -> None:
        mine = [record for record in records if record.key == self.mark]
        if error := self.fails(mine):
            raise error
        self.stored += mine

    async def bury(self, record: Record, error: Exception) -> None:
        raise AssertionError(f"nothing is to be set aside: {error}")

    @asynccontextmanager
    async def consuming(self, *wanted: str) -> AsyncIterator[Consumer]:
        names = list(wanted or [self.topic])
        consumer = Consumer(self.settings, self.group, names, self.store, self.bury, is_transient)
        running = asyncio.create_task(consumer.run())
        try:
            yield consumer
            await consumer.stop()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def put(self, *values: bytes | None, topic: str = "", headers: Any = (), **options: Any) -> None:
        """Write as another program would."""
        async with foreign_producer(self.settings, **options) as producer:
            for value in values:
                await producer.send_and_wait(topic or self.topic, value, key=self.mark, headers=list(headers))

    async def until(self, wanted: set[bytes]) -> None:
        await eventually(lambda: wanted <= set(self.values))


@asynccontextmanager
async def foreign_producer(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**client_settings(settings), **options)
    try:
        await producer.start()
        yield producer
    finally:
        await drop_producer(producer)


@asynccontextmanager
async def foreign_consumer(settings: Settings, *wanted: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(*wanted, **client_settings(settings), **options)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
        await close_connections(consumer)  # a start that is refused leaves them open


async def ends(settings: Settings, topic: str) -> dict[TopicPartition, int]:
    """How far each partition of a topic is written."""
    async with foreign_consumer(settings, topic) as consumer:
        found: dict[TopicPartition, int] = await consumer.end_offsets(sorted(consumer.assignment()))
        return found


async def eventually(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.02)
