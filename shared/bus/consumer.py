"""The receiving side of the bus: one consumer a service, over all its topics, which commits what is stored and no more.

FastStream runs the loop that takes batches. Around it stands a keeper (`run`): it joins the group, commits, leaves, and
begins anew from what is committed whenever something goes wrong. What FastStream would skip, obey or acknowledge by
default is ours to decide, see docs/decisions/0017-faststream.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber

from shared.bus import faststream_internals, topics
from shared.bus.aiokafka_internals import set_fetch_wait
from shared.bus.broker import plain_broker
from shared.bus.cluster import broken, ensure_topics, refusal, refused_login
from shared.bus.delivery import Delivery, Handler, IsTransient, Poison
from shared.bus.faststream_internals import Batch, parse, raw
from shared.bus.reading import BATCH_RECORDS, POLL_MS, Reader, Undecodable
from shared.bus.record import Record
from shared.errors import Unavailable
from shared.settings import Settings
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
IDLE_AFTER_SECONDS = 3.0
IDLE_FETCH_WAIT_MS = 60
JOIN_SECONDS = 20.0
LEAVE_SECONDS = 5.0
COMMIT_EVERY_SECONDS = 0.25
COMMIT_SECONDS = 3.0
PAUSE_SECONDS, REFUSED_PAUSE_SECONDS = 0.2, 2.0
LOOK_SECONDS = 5.0
ROOM_SECONDS = 0.05
NEVER_MS = 86_400_000  # a batch waits as long as Postgres is away


class BatchSkipped(Exception):
    """FastStream asked for the next batch although the last one never came back from our handler."""


GOES_AWAY = (KafkaError, OSError, Unavailable, TimeoutError, Undecodable, BatchSkipped)


class Consumer:
    """One consumer over all topics of a service. `joined` is true while it has its place in the group."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        wanted: Sequence[str],
        handler: Handler,
        poison: Poison,
        is_transient: IsTransient,
        *,
        broker: KafkaBroker | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """`poison` sets a record aside that cannot be handled; `is_transient` tells an error that will go away by itself.
        While there is no room nothing is taken; the place in the group is kept."""
        self._settings = settings
        self._group = group
        self._delivery = Delivery(group, handler, poison, is_transient)
        self._reader = Reader(group)
        self._has_room = has_room
        self._stop = asyncio.Event()
        self._left = asyncio.Event()
        self._storing = asyncio.Lock()
        self._offsets: dict[TopicPartition, int] = {}
        self._failed: asyncio.Future[None] | None = None
        self._in_hand: Batch = ()
        self._last_batch = 0.0
        self.joined = False
        self._refused: str | None = None
        self._subscriber = self._subscribe(broker or plain_broker(settings, group), wanted)

    def _subscribe(self, broker: KafkaBroker, wanted: Sequence[str]) -> BatchSubscriber:
        settings = self._settings
        subscriber = broker.subscriber(
            *wanted,
            batch=True,
            max_records=BATCH_RECORDS,
            batch_timeout_ms=POLL_MS,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            parser=parse,
            decoder=raw,
            listener=_Rebalanced(self),
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
            max_poll_interval_ms=NEVER_MS,
            max_partition_fetch_bytes=4 * topics.MAX_RECORD_BYTES,
        )
        faststream_internals.take_batches_from(subscriber, self._next_batch)
        subscriber(self._accept)
        return subscriber

    @property
    def problem(self) -> str | None:
        """What readiness says: nothing while it has its place in the group."""
        return None if self.joined else self._refused or "not joined the consumer group yet"

    @property
    def degraded(self) -> str | None:
        """Partitions that stand still because a record cannot be decoded, while all others go on."""
        return "; ".join(self._reader.unreadable.values()) or None

    async def run(self) -> None:
        """Consume until `stop`. A lost broker or a broken group is left behind and joined anew."""
        while not self._stop.is_set():
            try:
                await self._join()
                await self._consume()
            except GOES_AWAY as error:
                self._refused = await refusal(self._settings, error)
                log.info("kafka.consumer_starts_over", group=self._group, error=repr(error), refused=self._refused)
                await asyncio.sleep(REFUSED_PAUSE_SECONDS if self._refused else PAUSE_SECONDS)
            finally:
                self.joined = False
                self._offsets.clear()
                await faststream_internals.leave(self._subscriber)
        self._left.set()
        await asyncio.Event().wait()  # stopped on purpose: the process ends us

    async def stop(self) -> None:
        """Take nothing new, commit what is stored and leave the group, within some seconds.

        A batch being stored is stored first, one that cannot be is left for the next start.
        """
        self._stop.set()
        self._delivery.giving_up = True
        async with self._storing:
            pass
        with contextlib.suppress(TimeoutError):
            await within(LEAVE_SECONDS, self._left.wait())

    async def _join(self) -> None:
        group = self._group
        if self._settings.kafka_volatile:
            group = f"{group}.{await ensure_topics(self._settings)}"
        self._in_hand = ()
        self._failed = asyncio.get_running_loop().create_future()
        self._delivery.giving_up = self._stop.is_set()
        await faststream_internals.join(self._subscriber, group, JOIN_SECONDS)

    async def _consume(self) -> None:
        assert self._failed is not None  # noqa: S101  # set by `_join`
        watched: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._stop.wait()), self._failed]
        watched.append(asyncio.ensure_future(self._commit_steadily()))
        if self._settings.kafka_sasl_mechanism:
            watched.append(asyncio.ensure_future(self._until_refused()))
        if self._settings.kafka_volatile:
            watched.append(asyncio.ensure_future(broken(self._settings)))
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._delivery.giving_up = True
            async with self._storing:
                for each in watched:
                    each.cancel()
            await asyncio.gather(*watched, return_exceptions=True)
        if watched[-1] in done and self._settings.kafka_volatile and not self._stop.is_set():
            log.warning("kafka.consumer_starts_over", group=self._group, reason="the broker is gone")
            return
        for each in done:
            each.result()
        await self.commit()

    async def _next_batch(self, consumer: AIOKafkaConsumer) -> Batch:
        """What FastStream's loop takes next. An error goes to `_consume`, which begins anew from what is committed."""
        try:
            if self._in_hand:
                raise BatchSkipped(f"{len(self._in_hand)} records, from {self._in_hand[0].topic}")
            while not self._has_room() and not self._delivery.giving_up:  # noqa: ASYNC110  # nobody tells of room
                await asyncio.sleep(ROOM_SECONDS)
            if self._delivery.giving_up:
                return await asyncio.Future()
            batches = await self._reader.read(consumer)
        except ConsumerStoppedError:
            raise
        except Exception as error:  # noqa: BLE001  # FastStream would sleep and go on with the same consumer
            self._fail(error)
            return await asyncio.Future()
        self._spare(consumer, bool(batches))
        self._in_hand = tuple(chain.from_iterable(batches.values()))
        return self._in_hand

    async def _accept(self, batch: Batch) -> None:
        """Called by FastStream with a batch. Never raises: it would take that for an answer and go on."""
        try:
            async with self._storing:
                records = [Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in batch]
                if await self._delivery.stored(records):
                    self._note(batch)
        except Exception as error:  # noqa: BLE001  # nobody foresaw it: the process ends with it
            self._fail(error)
        else:
            self._in_hand = ()

    def _note(self, batch: Batch) -> None:
        consumer = self._subscriber.consumer
        owned = consumer.assignment() if consumer else set()
        stored = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in batch}
        self._offsets |= {partition: offset for partition, offset in stored.items() if partition in owned}

    def _fail(self, error: Exception) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    def _spare(self, consumer: AIOKafkaConsumer, found: bool) -> None:
        """The embedded broker polls for waiting fetches; an idle consumer that waits longer spares it most of that."""
        if not self._settings.kafka_volatile:
            return
        now = asyncio.get_running_loop().time()
        self._last_batch = now if found else self._last_batch
        idle = now - self._last_batch > IDLE_AFTER_SECONDS
        set_fetch_wait(consumer, IDLE_FETCH_WAIT_MS if idle else self._settings.kafka_fetch_max_wait_ms)

    async def _commit_steadily(self) -> None:
        """Offsets may lag behind the rows: what is read again is recognised. So a few commits a second suffice."""
        while True:
            await asyncio.sleep(COMMIT_EVERY_SECONDS)
            await self.commit()

    async def _until_refused(self) -> None:
        """Raises Unavailable when our login is not taken any more, because our password was exchanged: aiokafka tries on for
        ever with the old one, and says nothing of a place in the group that is long lost."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not await self._is_answered() and (why := await refused_login(self._settings)):
                raise why

    async def _is_answered(self) -> bool:
        consumer = self._subscriber.consumer
        try:
            return consumer is not None and bool(await within(COMMIT_SECONDS, consumer.topics()))
        except (KafkaError, OSError, TimeoutError):
            return False

    async def commit(self) -> None:
        offsets, self._offsets = self._offsets, {}
        consumer = self._subscriber.consumer
        if not offsets or consumer is None:
            return
        try:
            await within(COMMIT_SECONDS, consumer.commit(offsets))
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("kafka.offsets_not_committed", group=self._group, error=repr(error))

    async def lag(self) -> int | None:
        """Records of our partitions that were not taken yet. None while that cannot be asked."""
        consumer = self._subscriber.consumer
        if consumer is None or not self.joined:
            return None
        try:
            ends = await within(COMMIT_SECONDS, consumer.end_offsets(list(consumer.assignment())))
            waiting = [max(int(end) - int(await consumer.position(partition)), 0) for partition, end in ends.items()]
            return sum(waiting)
        except (KafkaError, OSError, TimeoutError):
            return None

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        await self.commit()
        for partition in partitions:
            self._offsets.pop(partition, None)

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self.joined, self._refused = True, None
        self._reader.reassigned()
        log.info("kafka.assigned", group=self._group, partitions=len(partitions))


class _Rebalanced(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka carries no types
    def __init__(self, owner: Consumer) -> None:
        self._owner = owner

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self._owner.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._owner.assigned(assigned)
