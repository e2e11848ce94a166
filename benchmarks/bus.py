"""What the bus costs a message over plain aiokafka: CPU of consuming and of publishing, on the embedded broker, in one run.

`python -m benchmarks.bus [--messages N]`. Both sides do the same: records made and counted, futures awaited. Absolute
figures hold for one machine and one hour; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from sandbox.broker import Tansu
from sandbox.net import free_ports
from shared.bus.kafka import Consumer, Producer, Record, client_settings, ensure_topics
from shared.bus.topics import Topic
from shared.settings import Settings

HEADERS = [(f"ce_attribute{number}", b"a value of usual length") for number in range(9)]
VALUE = b"x" * 500
ROUNDS = 3
Handler = Callable[[Sequence[Record]], Awaitable[None]]
Send = Callable[[], Awaitable[asyncio.Future[Any]]]


class Counter:
    """A handler that counts, and tells when it has seen them all."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seen = 0
        self.done = asyncio.Event()
        self.arrived = asyncio.Event()

    async def __call__(self, records: Sequence[Record]) -> None:
        self.seen += len(records)
        self.arrived.set()
        if self.seen >= self.wanted:
            self.done.set()


@asynccontextmanager
async def plain_consumer(settings: Settings, topic: str, handler: Handler) -> AsyncIterator[None]:
    consumer = AIOKafkaConsumer(
        topic,
        **client_settings(settings),
        group_id=uuid4().hex,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
    )
    await consumer.start()

    async def loop() -> None:
        while True:
            batches = await consumer.getmany(timeout_ms=200, max_records=500)
            if batches:
                await handler(
                    [
                        Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers))
                        for b in batches.values()
                        for r in b
                    ]
                )

    async with _running(loop()):
        yield
    await consumer.stop()


@asynccontextmanager
async def our_consumer(settings: Settings, topic: str, handler: Handler) -> AsyncIterator[None]:
    async def poison(record: Record, error: Exception) -> None:
        raise error

    consumer = Consumer(settings, uuid4().hex, [topic], handler, poison, lambda _: True)
    async with _running(consumer.run()):
        while not consumer.joined:
            await asyncio.sleep(0.01)
        yield
        await consumer.stop()


@asynccontextmanager
async def plain_producer(settings: Settings, topic: str) -> AsyncIterator[Send]:
    producer = AIOKafkaProducer(**client_settings(settings), acks="all", enable_idempotence=False)
    await producer.start()
    yield lambda: producer.send(topic, VALUE, key=b"key", headers=HEADERS)
    await producer.stop()


@asynccontextmanager
async def our_producer(settings: Settings, topic: str) -> AsyncIterator[Send]:
    producer = Producer(settings, "bench")
    async with _running(producer.run()):
        while not producer.connected:
            await asyncio.sleep(0.01)
        yield lambda: producer.send(topic, b"key", VALUE, HEADERS)
        await producer.stop()


@asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def publish(send: Send, messages: int) -> float:
    """Microseconds of CPU a message, with a few hundred on the way."""
    began = time.process_time()
    for _ in range(0, messages, 200):
        await asyncio.gather(*[await send() for _ in range(200)])
    return (time.process_time() - began) / messages * 1e6


async def backlog(consume: Any, settings: Settings, topic: str, messages: int) -> float:
    """Microseconds of CPU a message of a backlog, which comes in batches of up to 500. Joining is part of it."""
    counter = Counter(messages)
    began = time.process_time()
    async with consume(settings, topic, counter):
        await counter.done.wait()
        return (time.process_time() - began) / messages * 1e6


async def alone(consume: Any, settings: Settings, topic: str, messages: int) -> tuple[float, float]:
    """One message after the other, each a batch: CPU in microseconds and median milliseconds from send to handler."""
    counter = Counter(1_000_000)
    took = []
    async with consume(settings, topic, counter), plain_producer(settings, topic) as send:
        began = time.process_time()
        for _ in range(messages):
            counter.arrived.clear()
            sent = time.perf_counter()
            await send()
            await counter.arrived.wait()
            took.append((time.perf_counter() - sent) * 1e3)
        return (time.process_time() - began) / messages * 1e6, statistics.median(took)


async def measure(settings: Settings, messages: int) -> None:
    async def fresh() -> str:
        topic = f"bench.{uuid4().hex[:8]}"
        await ensure_topics(settings, [Topic(topic, "bench", (), (), "benchmark")])
        return topic

    filled = await fresh()
    sides = (("plain aiokafka", plain_producer, plain_consumer), ("ours", our_producer, our_consumer))
    out: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, producing, _consuming in sides:
            async with producing(settings, await fresh()) as send:
                out.setdefault(f"publish, {name}", []).append(await publish(send, messages))
    async with plain_producer(settings, filled) as send:
        await publish(send, messages)
    for _ in range(ROUNDS):
        for name, _producing, consuming in sides:
            out.setdefault(f"consume a backlog, {name}", []).append(
                await backlog(consuming, settings, filled, messages)
            )
            cpu, latency = await alone(consuming, settings, await fresh(), messages // 20)
            out.setdefault(f"consume one by one, {name}", []).append(cpu)
            out.setdefault(f"  median latency in ms, {name}", []).append(latency)
    print(f"{messages} messages of {len(VALUE)} B with {len(HEADERS)} headers; us of CPU a message, best of {ROUNDS}")
    for name, found in out.items():
        print(f"{name:<45}{min(found):8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=20_000)
    messages = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "logs").mkdir()
        broker = Tansu(Path(home), free_ports(1)[0])
        broker.start()
        try:
            names = {name.removeprefix("VIOX_").lower(): value for name, value in broker.settings().items()}
            uvloop.run(measure(Settings.load(**names, kafka_partitions=1), messages))
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
