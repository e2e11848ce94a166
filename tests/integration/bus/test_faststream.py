"""What FastStream would lose, obey or add by default, and does not under us. On a real broker."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from sandbox.net import free_ports
from shared.bus import consumer as consumer_module
from shared.bus import faststream_internals
from shared.bus.kafka import Bus, Producer
from shared.errors import Unavailable
from shared.settings import Settings
from tests.integration.bus.desk import Desk, ends, eventually, foreign_consumer


@pytest.fixture
async def desk(kafka_settings: Settings) -> Desk:
    made = Desk(kafka_settings)
    await made.create_topics()
    return made


@pytest.fixture
async def producer(kafka_settings: Settings) -> AsyncIterator[Producer]:
    made = Producer(kafka_settings, "test")
    running = asyncio.create_task(made.run())
    await eventually(lambda: made.connected)
    yield made
    await made.stop()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_headers_of_others_never_make_a_batch_vanish(desk: Desk) -> None:
    """FastStream decodes every header of every record before the handler sees one."""
    odd = [("binary", b"\xff\xfe\x00"), ("twice", b"1"), ("twice", b"2"), ("empty", b"")]
    await desk.put(b"1", headers=odd)
    await desk.put(b"2")
    async with desk.consuming():
        await desk.until({b"1", b"2"})
    assert desk.stored[0].headers == tuple(odd)


async def test_a_null_header_never_makes_a_batch_vanish(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka allows it and aiokafka cannot write it, so it is put where aiokafka would have read it."""
    getmany = AIOKafkaConsumer.getmany

    async def with_null_headers(self: Any, *partitions: Any, **how: Any) -> Any:
        batches = await getmany(self, *partitions, **how)
        for record in (r for batch in batches.values() for r in batch):
            object.__setattr__(record, "headers", (("null", None),))
        return batches

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", with_null_headers)
    await desk.put(b"1")
    async with desk.consuming():
        await desk.until({b"1"})
    assert desk.stored[0].headers == (("null", None),)  # type: ignore[comparison-overlap]  # as it lay in the log


async def test_a_record_without_a_value_arrives(desk: Desk) -> None:
    await desk.put(None)
    async with desk.consuming():
        await eventually(lambda: desk.stored)
    assert desk.values == [None]


async def test_a_reply_is_never_sent_whatever_a_header_asks_for(desk: Desk) -> None:
    before = await ends(desk.settings, desk.other)
    await desk.put(b"1", headers=[("reply_to", desk.other.encode())])
    async with desk.consuming():
        await desk.until({b"1"})
        await desk.put(b"2")
        await desk.until({b"2"})
    assert await ends(desk.settings, desk.other) == before


async def test_a_batch_that_faststream_skips_comes_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails between its loop and our handler is swallowed there; the next batch must not hide the gap."""
    failing = [ValueError("parsing"), ValueError("once more")]

    async def parse(batch: Any) -> Any:
        if failing:
            raise failing.pop()
        return await faststream_internals.parse(batch)

    monkeypatch.setattr(consumer_module, "parse", parse)
    await desk.put(b"1", b"2")
    async with desk.consuming():
        await desk.until({b"1", b"2"})
        await desk.put(b"3")
        await desk.until({b"3"})
    assert not failing
    assert desk.values == [b"1", b"2", b"3"]


async def test_offsets_are_never_past_what_is_stored(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[dict[TopicPartition, int]] = []
    commit = AIOKafkaConsumer.commit

    async def seen(self: Any, offsets: Any = None) -> None:
        commits.append(offsets)
        await commit(self, offsets)

    monkeypatch.setattr(AIOKafkaConsumer, "commit", seen)
    await desk.put(b"1")
    async with desk.consuming():
        await desk.until({b"1"})
        first = desk.stored[0]
        partition = TopicPartition(first.topic, first.partition)
        await eventually(lambda: commits)
        tries: list[int] = []
        desk.fails = lambda mine: tries.append(1) or ConnectionResetError("Postgres is away")  # type: ignore[func-returns-value]
        await desk.put(b"2")
        await eventually(lambda: len(tries) > 2)
    assert all(commits), "a commit without offsets commits every position"
    assert max(offsets.get(partition, 0) for offsets in commits) == first.offset + 1


async def test_the_loop_never_sleeps_beside_its_poll(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an empty poll FastStream sleeps the same time again, after an error of Kafka five seconds."""
    slept: list[float] = []
    sleep = anyio.sleep

    async def seen(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    polls: list[int] = []
    getmany = AIOKafkaConsumer.getmany

    async def failing_once(self: Any, *partitions: Any, **how: Any) -> Any:
        polls.append(1)
        if len(polls) == 2:
            raise KafkaError("the group is broken")
        return await getmany(self, *partitions, **how)

    monkeypatch.setattr(anyio, "sleep", seen)
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", failing_once)
    async with desk.consuming():
        await eventually(lambda: len(polls) > 4)
        await desk.put(b"1")
        await desk.until({b"1"})
    assert slept == []


async def test_no_batch_is_handed_to_a_worker_thread(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FastStream sends whatever is a plain function: parsers, filters, handlers."""
    sent: list[Any] = []
    monkeypatch.setattr(anyio.to_thread, "run_sync", lambda *given, **_: sent.append(given))
    await desk.put(b"1")
    async with desk.consuming():
        await desk.until({b"1"})
    assert sent == []


async def test_after_an_error_of_kafka_a_new_consumer_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastStream would ask the same one again for ever."""
    seen: list[Any] = []
    getmany = AIOKafkaConsumer.getmany

    async def dead(self: Any, *partitions: Any, **how: Any) -> Any:
        if self not in seen:
            seen.append(self)
        if self is seen[0]:
            raise KafkaError("the group is broken")
        return await getmany(self, *partitions, **how)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", dead)
    await desk.put(b"1")
    async with desk.consuming():
        await desk.until({b"1"})
    assert len(seen) > 1


async def test_without_a_broker_the_bus_starts_tries_again_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[int] = []
    connect = faststream_internals.ExactProducer.connect

    async def seen(self: Any, *given: Any, **more: Any) -> None:
        tries.append(1)
        await connect(self, *given, **more)

    monkeypatch.setattr(faststream_internals.ExactProducer, "connect", seen)
    bus = Bus(Settings.load(kafka_bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}"), "test")
    desk = Desk(bus._settings)
    consumer = bus.consume(desk.group, [desk.topic], desk.store, desk.bury, lambda _: True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await bus.start()
        await eventually(lambda: len(tries) > 2)
        with pytest.raises(Unavailable):
            await bus.producer.send(desk.topic, b"", b"", [])
        assert consumer.problem == "not joined the consumer group yet"
        await bus.stop()
        gc.collect()
    assert [str(each.message) for each in told if "nclosed" in str(each.message)] == []


async def test_a_message_goes_out_with_its_key_and_headers_and_nothing_else(desk: Desk, producer: Producer) -> None:
    headers = [("content-type", b"application/x"), ("ce_id", b"1"), ("twice", b"1"), ("twice", b"\xff")]
    async with foreign_consumer(desk.settings, desk.topic) as reading:
        partitions = set()
        for value in (b"1", b"2", b"3"):
            sent = await (await producer.send(desk.topic, desk.mark, value, headers))
            partitions.add(sent.partition)
        found: list[Any] = []
        async with asyncio.timeout(90):
            while len(found) < 3:
                found += [r for b in (await reading.getmany(timeout_ms=200)).values() for r in b if r.key == desk.mark]
    assert [(record.value, record.headers) for record in found] == [(v, tuple(headers)) for v in (b"1", b"2", b"3")]
    assert len(partitions) == 1, "one key, one partition"


async def test_nothing_is_created_logged_or_administered_by_faststream(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Bus(desk.settings, "test")
    desk_consumer = bus.consume(desk.group, [desk.topic], desk.store, desk.bury, lambda _: True)
    await bus.start()
    await eventually(lambda: desk_consumer.joined and bus.producer.connected)
    await desk.put(b"1")
    await desk.until({b"1"})
    assert bus.config.admin.admin_client is None
    await bus.stop()
    assert [record.name for record in caplog.records if "faststream" in record.name or "kafka" in record.name] == []


async def test_a_bus_stops_twice_and_a_consumer_that_stopped_stays_stopped(desk: Desk) -> None:
    bus = Bus(desk.settings, "test")
    consumer = bus.consume(desk.group, [desk.topic], desk.store, desk.bury, lambda _: True)
    await bus.start()
    await eventually(lambda: consumer.joined)
    await consumer.stop()
    await desk.put(b"1")
    await bus.stop()
    await bus.stop()
    assert desk.stored == []
