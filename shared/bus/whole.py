"""Reading what a topic ends with, once and in no group: for what is kept on it rather than told."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer

from shared.bus.cluster import client_settings
from shared.settings import Settings
from shared.waiting import within

SECONDS = 20.0


async def newest_values(settings: Settings, topic: str, most: int) -> list[bytes]:
    """The values of the last `most` records of each partition. Raises what the client says when the broker does not answer."""
    consumer = AIOKafkaConsumer(topic, **client_settings(settings), enable_auto_commit=False, group_id=None)
    await within(SECONDS, consumer.start())
    try:
        return await within(SECONDS, _read(consumer, most))
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, most: int) -> list[bytes]:
    partitions = sorted(consumer.assignment())  # without a group: all there are
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    values: list[bytes] = []
    for one in partitions:
        consumer.seek(one, max(begins[one], ends[one] - most))
    while open_ones := [one for one in partitions if await consumer.position(one) < ends[one]]:
        batches = await consumer.getmany(*open_ones, timeout_ms=500)
        values += [record.value for records in batches.values() for record in records if record.value]
    return values
