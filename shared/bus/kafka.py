"""The one module that knows Kafka: producer, consumer loop, topic creation.

The consumer hands over batches and commits their offsets afterwards. It never commits what the handler has not stored;
a batch that fails is tried again, so the handler must recognise repeats (the inbox does).

A *volatile* broker (the embedded one) comes back empty after a restart, and aiokafka's clients then carry positions and
metadata of the old log into the new one. For such a broker an idle connection serves as a tripwire: when it breaks,
producer and consumer are dropped and made anew, and the consumer group is named after the broker's incarnation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer.group_coordinator import LeaveGroupRequest
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.helpers import create_ssl_context

from shared.bus import topics
from shared.bus.envelope import Headers
from shared.errors import Unavailable
from shared.settings import Settings

log = logging.getLogger(__name__)
IDLE_AFTER_SECONDS = 3.0
IDLE_FETCH_WAIT_MS = 60
LEAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """One consumed record, as it lay in the log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


Handler = Callable[[Sequence[Record]], Awaitable[None]]
Poison = Callable[[Record, Exception], Awaitable[None]]
IsTransient = Callable[[Exception], bool]
POISON_TRIES = 3


def client_settings(settings: Settings) -> dict[str, Any]:
    """Connection arguments common to producer, consumer and admin client."""
    context: ssl.SSLContext | None = None
    if settings.kafka_security_protocol in ("SSL", "SASL_SSL"):
        context = create_ssl_context(
            cafile=settings.kafka_ssl_cafile, certfile=settings.kafka_ssl_certfile, keyfile=settings.kafka_ssl_keyfile
        )
    given: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": context,
        "request_timeout_ms": 10_000,
        "retry_backoff_ms": 100,
        "metadata_max_age_ms": 10_000,
    }
    if settings.kafka_sasl_mechanism:
        password = settings.kafka_sasl_plain_password
        given |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_plain_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return given


async def ensure_topics(settings: Settings, wanted: Sequence[topics.Topic] | None = None) -> str:
    """Create the topics that are missing; returns the cluster's id. Raises Unavailable when the broker does not answer."""
    admin = AIOKafkaAdminClient(**_without_backoff(client_settings(settings)))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(
                topic.name,
                num_partitions=settings.kafka_partitions,
                replication_factor=settings.kafka_replication_factor,
            )
            for topic in wanted or topics.all_topics()
            if topic.name not in existing
        ]
        if missing:
            _raise_topic_errors(await admin.create_topics(missing))
        return str((await admin.describe_cluster())["cluster_id"])
    except (KafkaConnectionError, OSError) as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()


def _raise_topic_errors(response: Any) -> None:
    """aiokafka reports failed topics in the answer. One that exists already was made by a faster starter."""
    for _name, code, *_rest in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise for_code(code)


def _without_backoff(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != "metadata_max_age_ms"}


def unavailable(settings: Settings, error: BaseException) -> Unavailable:
    return Unavailable(
        "kafka.unavailable",
        f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: {error}.",
        field="VIOX_KAFKA_BOOTSTRAP_SERVERS",
        remedy="Start it (`viox up`), or correct the address and security settings.",
    )


async def _broken(settings: Settings) -> None:
    """Returns when the broker is gone: the tripwire. Raises OSError when it is not there in the first place."""
    host, _, port = settings.kafka_bootstrap_servers.split(",")[0].rpartition(":")
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 5)
    try:
        with contextlib.suppress(OSError):
            await reader.read(1)
    finally:
        writer.close()


async def _end(task: asyncio.Future[Any], seconds: float) -> None:
    """Wait for a task that ought to end; cancel it when it does not. Never raises what the task raises."""
    await asyncio.wait([task], timeout=seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
    if task.done() and not task.cancelled():
        task.exception()


class Producer:
    """Sends records; a future says when the broker acknowledged. Connects, and connects again, for as long as it takes."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None

    @property
    def connected(self) -> bool:
        """Whether records can be handed over."""
        return self._producer is not None

    async def run(self) -> None:
        """Keep a connected producer until cancelled."""
        while True:
            producer = AIOKafkaProducer(
                **client_settings(self._settings),
                client_id=self._client_id,
                acks="all",
                enable_idempotence=self._settings.kafka_enable_idempotence,
                max_request_size=2 * topics.MAX_RECORD_BYTES,
            )
            try:
                if self._settings.kafka_volatile:
                    await ensure_topics(self._settings)
                await producer.start()
                self._producer = producer
                await self._until_broken()
                log.warning("kafka: the broker is gone; the producer starts over")
            except (KafkaError, OSError, Unavailable, TimeoutError) as error:
                log.info("kafka: producer cannot connect yet: %s", error)
                await asyncio.sleep(0.2)
            finally:
                self._producer = None
                await self._drop(producer)

    async def stop(self) -> None:
        """Flush what was handed over."""
        if self._producer:
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self._producer.flush(), 5)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[Any]:
        """Hand one record over; the future ends with the broker's acknowledgement or an error. Raises Unavailable."""
        producer = self._producer
        if producer is None:
            raise unavailable(self._settings, ConnectionError("not connected"))
        future: asyncio.Future[Any] = await producer.send(topic, value, key=key, headers=headers)
        return future

    async def _until_broken(self) -> None:
        if self._settings.kafka_volatile:
            await _broken(self._settings)
        else:
            await asyncio.Event().wait()

    async def _drop(self, producer: AIOKafkaProducer) -> None:
        """Let go without flushing into what comes after: rows of the outbox are sent again anyway."""
        await _end(asyncio.ensure_future(producer.stop()), 0.05 if self._settings.kafka_volatile else 3)
        with contextlib.suppress(Exception):
            await producer.client.close()


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
    ) -> None:
        """`poison` sets a record aside that cannot be handled; `is_transient` tells an error that will go away by itself."""
        self._settings = settings
        self._group = group
        self._topics = list(wanted)
        self._handler = handler
        self._poison = poison
        self._is_transient = is_transient
        self._giving_up = False
        self._stop = asyncio.Event()
        self._left = asyncio.Event()
        self._storing = asyncio.Lock()
        self._offsets: dict[TopicPartition, int] = {}
        self.joined = False

    async def run(self) -> None:
        """Consume until `stop`. A lost broker or a broken group is left behind and joined anew."""
        while not self._stop.is_set():
            consumer: AIOKafkaConsumer | None = None
            try:
                consumer = await self._connect()
                await self._consume(consumer)
            except (KafkaError, OSError, Unavailable, TimeoutError) as error:
                log.info("kafka: consumer of %s cannot go on: %s", self._group, error)
                await asyncio.sleep(0.2)
            finally:
                self.joined = False
                self._offsets.clear()
                if consumer is not None:
                    await _leave(consumer)
        self._left.set()
        await asyncio.Event().wait()  # stopped on purpose: the process ends us

    async def stop(self) -> None:
        """Take nothing new, commit what is stored and leave the group, within some seconds.

        A batch being stored is stored first, one that cannot be is left for the next start.
        """
        self._stop.set()
        self._giving_up = True
        async with self._storing:
            pass
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._left.wait(), LEAVE_SECONDS)

    async def _connect(self) -> AIOKafkaConsumer:
        settings, group = self._settings, self._group
        if settings.kafka_volatile:
            group = f"{group}.{await ensure_topics(settings)}"
        consumer = AIOKafkaConsumer(
            **client_settings(settings),
            group_id=group,
            client_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
            max_poll_interval_ms=86_400_000,  # a batch waits as long as Postgres is away
            max_partition_fetch_bytes=4 * topics.MAX_RECORD_BYTES,
        )
        consumer.subscribe(self._topics, listener=_Rebalanced(self, consumer))
        try:
            await asyncio.wait_for(consumer.start(), 20)
        except BaseException:
            await _leave(consumer)
            raise
        return consumer

    async def _consume(self, consumer: AIOKafkaConsumer) -> None:
        loops = [asyncio.ensure_future(self._stop.wait()), asyncio.ensure_future(self._drain(consumer))]
        loops.append(asyncio.ensure_future(self._commit_steadily(consumer)))
        if self._settings.kafka_volatile:
            loops.append(asyncio.ensure_future(_broken(self._settings)))
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._giving_up = True
            async with self._storing:
                for loop in loops:
                    loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        if loops[-1] in done and self._settings.kafka_volatile and not self._stop.is_set():
            log.warning("kafka: the broker is gone; the consumer of %s starts over", self._group)
            return
        for loop in done:
            loop.result()
        await self.commit(consumer)

    async def _drain(self, consumer: AIOKafkaConsumer) -> None:
        self._giving_up = False
        fetcher = consumer._fetcher
        last = 0.0
        loop = asyncio.get_running_loop()
        while True:
            batches = await consumer.getmany(timeout_ms=200, max_records=500)
            if batches:
                last = loop.time()
                async with self._storing:
                    await self._store(consumer, batches)
            if self._settings.kafka_volatile:
                # The embedded broker polls for waiting fetches; an idle consumer that waits longer spares it most of that.
                idle = loop.time() - last > IDLE_AFTER_SECONDS
                fetcher._fetch_max_wait_ms = IDLE_FETCH_WAIT_MS if idle else self._settings.kafka_fetch_max_wait_ms

    async def _store(self, consumer: AIOKafkaConsumer, batches: dict[TopicPartition, list[Any]]) -> None:
        records = [
            Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers))
            for b in batches.values()
            for r in b
        ]
        if not await self._handled(records):
            return
        owned = consumer.assignment()
        for partition, batch in batches.items():
            if partition in owned:
                self._offsets[partition] = batch[-1].offset + 1

    async def _handled(self, records: Sequence[Record]) -> bool:
        """Hand a batch over until it is stored. False when we are asked to let go first.

        An error that will not go away by itself is narrowed down to the record that causes it, which is set aside: one
        bad message must not hold up its neighbours.
        """
        delay, tries = 0.1, 0
        while not self._giving_up:
            try:
                await self._handler(records)
                return True
            except Exception as error:  # noqa: BLE001  # sorted out below
                log.warning("kafka: %s could not store a batch of %d: %r", self._group, len(records), error)
                if not self._is_transient(error):
                    tries += 1
                    if len(records) > 1:
                        return all([await self._handled([record]) for record in records])
                    if tries >= POISON_TRIES:
                        return await self._set_aside(records[0], error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)
        return False

    async def _set_aside(self, record: Record, error: Exception) -> bool:
        while not self._giving_up:
            try:
                await self._poison(record, error)
                return True
            except Exception as failed:  # noqa: BLE001  # not even that: Postgres is away
                log.warning("kafka: %s could not set a record aside: %r", self._group, failed)
                await asyncio.sleep(1)
        return False

    async def _commit_steadily(self, consumer: AIOKafkaConsumer) -> None:
        """Offsets may lag behind the rows: what is read again is recognised. So a few commits a second suffice."""
        while True:
            await asyncio.sleep(0.25)
            await self.commit(consumer)

    async def commit(self, consumer: AIOKafkaConsumer) -> None:
        offsets, self._offsets = self._offsets, {}
        if not offsets:
            return
        try:
            await asyncio.wait_for(consumer.commit(offsets), 3)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("kafka: offsets of %s not committed (%r); repeats will be recognised", self._group, error)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._offsets.pop(partition, None)


class _Rebalanced(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka carries no types
    def __init__(self, owner: Consumer, consumer: AIOKafkaConsumer) -> None:
        self._owner = owner
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self._owner.commit(self._consumer)
        self._owner.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._owner.joined = True
        log.info("kafka: assigned %d partitions", len(assigned))


async def _leave(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer whatever state it is in. Leaves the group also in generation 0, which aiokafka forgets to."""
    coordinator = consumer._coordinator
    member = getattr(coordinator, "member_id", "")
    if member and getattr(coordinator, "generation", -1) == 0:
        leave = coordinator._send_req(LeaveGroupRequest(coordinator.group_id, member))
        await _end(asyncio.ensure_future(leave), 0.5)
    await _end(asyncio.ensure_future(consumer.stop()), 3)
    with contextlib.suppress(Exception):
        await consumer._client.close()
