"""Reading batches so that one record nobody can decode (an unknown codec, a broken checksum) stops only its own partition.

aiokafka raises for such a record without saying where it is, and then drops what it had drained from other partitions in
the same call. So a decoding error ends the consumer, which goes back to its committed offsets, and the next one *reads
closely* for a while: one partition at a time, one record at a time. That shows which partition it is; it is paused and
named, the others go on, and once a minute it is tried again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaError, UnsupportedCodecError

from shared.telemetry.logs import get_logger

log = get_logger(__name__)
POLL_MS = 200
BATCH_RECORDS = 500
CLOSELY_SECONDS = 10.0
CLOSE_PAUSE_SECONDS = 0.05
TRY_AGAIN_SECONDS = 60.0

Batches = dict[TopicPartition, list[ConsumerRecord[Any, Any]]]


class Undecodable(Exception):
    """A record somewhere in what was fetched cannot be decoded. What was read with it has to be read again."""


class Reader:
    """Reads for one consumer group member, over all its consumers' lives."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._unreadable: dict[TopicPartition, str] = {}
        self._closely = False
        self._closely_until = math.inf
        self._try_again_at = 0.0

    @property
    def unreadable(self) -> Mapping[TopicPartition, str]:
        """Partitions that stand still: where, and why."""
        return self._unreadable

    async def read(self, consumer: AIOKafkaConsumer) -> Batches:
        """The next records, none after a short wait. Raises Undecodable, or what aiokafka raises."""
        if self._reads_closely(consumer):
            return await self._read_closely(consumer)
        try:
            batches: Batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        except Exception as error:
            if not concerns_a_record(error):
                raise
            self.read_closely()
            raise Undecodable(f"{type(error).__name__}: {error}") from error
        return batches

    def read_closely(self) -> None:
        """Find out which partition it is, from the first read on: joining the group anew takes its time."""
        self._closely, self._closely_until = True, math.inf

    def reassigned(self) -> None:
        """Partitions of a new assignment are not paused: those that could not be read are tried again."""
        if self._unreadable:
            self.read_closely()

    def _reads_closely(self, consumer: AIOKafkaConsumer) -> bool:
        if self._closely and _now() >= self._closely_until:
            self._closely = False
            self._try_again_at = _now() + TRY_AGAIN_SECONDS
            paused = consumer.paused()
            self._unreadable = {where: why for where, why in self._unreadable.items() if where in paused}
        elif not self._closely and self._unreadable and _now() >= self._try_again_at:
            self.read_closely()
            consumer.resume(*consumer.paused())
        return self._closely

    async def _read_closely(self, consumer: AIOKafkaConsumer) -> Batches:
        self._closely_until = min(self._closely_until, _now() + CLOSELY_SECONDS)
        found: Batches = {}
        for partition in consumer.assignment() - consumer.paused():
            try:
                found |= await consumer.getmany(partition, timeout_ms=0, max_records=1)
            except Exception as error:
                if not concerns_a_record(error):
                    raise
                await self._pause(consumer, partition, error)
        if not found:
            await asyncio.sleep(CLOSE_PAUSE_SECONDS)
        return found

    async def _pause(self, consumer: AIOKafkaConsumer, partition: TopicPartition, error: Exception) -> None:
        consumer.pause(partition)
        offset = await consumer.position(partition)
        said = f"{partition.topic}[{partition.partition}] cannot be read at offset {offset}: {error}"
        if self._unreadable.get(partition) != said:
            self._unreadable[partition] = said
            log.error(
                "kafka.record_unreadable",
                group=self._group,
                topic=partition.topic,
                partition=partition.partition,
                offset=offset,
                error=error,
                remedy="Install its codec, or move the group's offset past it. Other partitions go on.",
            )


def concerns_a_record(error: Exception) -> bool:
    """Is it a record that is at fault, and not connection or group? Decompressors raise errors of their own."""
    if isinstance(error, (UnsupportedCodecError, CorruptRecordException)):
        return True
    return not isinstance(error, (KafkaError, ConsumerStoppedError))


def _now() -> float:
    return asyncio.get_running_loop().time()
