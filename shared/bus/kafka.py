"""The one module that knows Kafka: producer, consumer loop, topic creation.

The consumer hands over batches and commits their offsets afterwards. It never commits what the handler has not stored;
a batch that fails is tried again, so the handler must recognise repeats (the inbox does).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError
from aiokafka.helpers import create_ssl_context

from shared.bus import topics
from shared.bus.envelope import Headers
from shared.errors import Unavailable
from shared.settings import Settings

log = logging.getLogger(__name__)


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


def client_settings(settings: Settings) -> dict[str, Any]:
    """Connection arguments common to producer, consumer and admin client."""
    context: ssl.SSLContext | None = None
    if settings.kafka_security_protocol in ("SSL", "SASL_SSL"):
        context = create_ssl_context(
            cafile=settings.kafka_ssl_cafile,
            certfile=settings.kafka_ssl_certfile,
            keyfile=settings.kafka_ssl_keyfile,
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


async def ensure_topics(settings: Settings, wanted: Sequence[topics.Topic] | None = None) -> None:
    """Create the topics that are missing. Raises Unavailable when the broker does not answer."""
    admin = AIOKafkaAdminClient(**_without_backoff(client_settings(settings)))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(topic.name, num_partitions=topic.partitions, replication_factor=-1)
            for topic in wanted or topics.all_topics()
            if topic.name not in existing
        ]
        if missing:
            await admin.create_topics(missing)
    except TopicAlreadyExistsError:
        pass  # another starter was faster
    except (KafkaError, OSError) as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()


def _without_backoff(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != "metadata_max_age_ms"}


def unavailable(settings: Settings, error: BaseException) -> Unavailable:
    return Unavailable(
        "kafka.unavailable",
        f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: {error}.",
        field="VIOX_KAFKA_BOOTSTRAP_SERVERS",
        remedy="Start it (`viox up`), or correct the address and security settings.",
    )


class Producer:
    """Sends records and says which of them the broker acknowledged."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect, for as long as it takes: a broker that is away must not keep a service from starting."""
        while self._producer is None:
            producer = AIOKafkaProducer(
                **client_settings(self._settings),
                client_id=self._client_id,
                acks="all",
                enable_idempotence=self._settings.kafka_enable_idempotence,
                max_request_size=2 * topics.MAX_RECORD_BYTES,
            )
            try:
                await producer.start()
                self._producer = producer
            except (KafkaError, OSError) as error:
                log.warning("kafka: producer cannot connect yet: %s", error)
                await producer.stop()
                await asyncio.sleep(0.5)

    async def stop(self) -> None:
        if self._producer:
            try:
                await asyncio.wait_for(self._producer.stop(), 5)
            except (KafkaError, TimeoutError) as error:
                log.warning("kafka: producer did not flush at stop: %s (the outbox sends again)", error)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[Any]:
        """Hand one record to the producer; the future ends with the broker's acknowledgement or an error."""
        if self._producer is None:
            raise unavailable(self._settings, ConnectionError("not connected yet"))
        future: asyncio.Future[Any] = await self._producer.send(topic, value, key=key, headers=headers)
        return future


class Consumer:
    """One consumer over all topics of a service. `ready` is true while it has (or needs) no partition to wait for."""

    def __init__(self, settings: Settings, group: str, wanted: Sequence[str], handler: Handler) -> None:
        self._settings = settings
        self._group = group
        self._topics = list(wanted)
        self._handler = handler
        self._stopping = False
        self._offsets: dict[TopicPartition, int] = {}
        self.joined = False

    async def run(self) -> None:
        """Consume until `stop`. A lost broker or a broken group is left behind and joined anew."""
        while not self._stopping:
            consumer = self._new()
            try:
                await consumer.start()
                consumer.subscribe(self._topics, listener=_Rebalanced(self, consumer))
                await self._drain(consumer)
            except (KafkaError, OSError) as error:
                log.warning("kafka: consumer %s starts over: %s", self._group, error)
                await asyncio.sleep(0.3)
            finally:
                self.joined = False
                await _stop_quietly(consumer)

    def stop(self) -> None:
        self._stopping = True

    def _new(self) -> AIOKafkaConsumer:
        settings = self._settings
        return AIOKafkaConsumer(
            **client_settings(settings),
            group_id=self._group,
            client_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
            max_poll_interval_ms=86_400_000,  # a batch waits as long as Postgres is away
            max_partition_fetch_bytes=4 * topics.MAX_RECORD_BYTES,
        )

    async def _drain(self, consumer: AIOKafkaConsumer) -> None:
        self._offsets.clear()
        committer = asyncio.create_task(self._commit_steadily(consumer), name="offsets")
        try:
            while not self._stopping:
                batches = await consumer.getmany(timeout_ms=200, max_records=500)
                if batches:
                    await self._store(consumer, batches)
                elif committer.done():
                    committer.result()
        finally:
            committer.cancel()
            await self.commit(consumer)

    async def _store(self, consumer: AIOKafkaConsumer, batches: dict[TopicPartition, list[Any]]) -> None:
        records = [
            Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers))
            for b in batches.values()
            for r in b
        ]
        delay = 0.1
        while not self._stopping:
            try:
                await self._handler(records)
                break
            except Exception:
                log.exception("kafka: %s could not store a batch of %d; trying again", self._group, len(records))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)
        else:
            return
        owned = consumer.assignment()
        for partition, batch in batches.items():
            if partition in owned:
                self._offsets[partition] = batch[-1].offset + 1

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
            await consumer.commit(offsets)
        except (KafkaError, OSError) as error:
            log.info("kafka: offsets of %s not committed (%s); repeats will be recognised", self._group, error)

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


async def _stop_quietly(consumer: AIOKafkaConsumer) -> None:
    try:
        await asyncio.wait_for(consumer.stop(), 5)
    except (KafkaError, OSError, TimeoutError) as error:
        log.info("kafka: consumer did not leave cleanly: %s", error)
