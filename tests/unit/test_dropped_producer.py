"""A producer that is dropped leaves nothing running, also when it has something that it cannot send."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from shared.bus.aiokafka_internals import drop_producer


async def test_a_stop_that_is_cut_short_leaves_no_task_and_fails_what_was_not_sent() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    await producer._sender.start()
    unsent = await producer._message_accumulator.add_message(TopicPartition("t", 0), b"k", b"v", 1)
    await asyncio.sleep(0)
    await drop_producer(producer, 0.05)
    with pytest.raises(KafkaConnectionError):
        await unsent
    for _ in range(5):  # what waited for it wakes up, and ends
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
