"""Every name of FastStream 0.7.8 below its documented interface that we use; a contract test names them all.

Three of its parts are exchanged: the producer (it cannot send two headers of one name nor bytes that are no UTF-8, and
adds a header of its own), the admin client (one more connection a service, for topics that are ours to make) and the
batch subscriber's `get_msg` (it sleeps twice when there is nothing).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.helpers import AdminService
from faststream.kafka.message import FAKE_CONSUMER
from faststream.kafka.publisher.producer import AioKafkaFastProducerImpl
from faststream.kafka.response import KafkaPublishCommand
from faststream.kafka.subscriber.usecase import BatchSubscriber

from shared.bus.aiokafka_internals import close_connections, drop_producer, ended, leave_group
from shared.bus.envelope import Headers
from shared.waiting import within

Batch = tuple[ConsumerRecord[Any, Any], ...]
GetBatch = Callable[[AIOKafkaConsumer], Coroutine[Any, Any, Batch]]
STOP_SECONDS = 3.0


class ExactHeaders(dict[str, Any]):
    """Headers as Kafka has them, a list of names and bytes, in the mapping that FastStream's `publish` takes."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Headers) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class ExactProducer(AioKafkaFastProducerImpl):
    """Sends key, value and headers as they are given; leaves no connection behind when it cannot connect."""

    flush_seconds: float = STOP_SECONDS

    async def connect(self, producer: AIOKafkaProducer, serializer: Any, codec: Any = None) -> None:
        try:
            await super().connect(producer, serializer, codec)
        except BaseException:
            await drop_producer(producer)
            raise

    async def disconnect(self) -> None:
        if self:
            producer = self._producer.producer
            await drop_producer(producer, self.flush_seconds)
        await super().disconnect()

    async def publish(self, cmd: KafkaPublishCommand) -> Any:
        """The broker's acknowledgement, or with `no_confirm` the future that will have it."""
        headers = cmd.headers
        pairs = headers.pairs if isinstance(headers, ExactHeaders) else [(n, v.encode()) for n, v in headers.items()]
        sent = await self._producer.producer.send(cmd.destination, cmd.body, key=cmd.key, headers=pairs)
        return sent if cmd.no_confirm else await sent


class NoAdmin(AdminService):
    """Instead of FastStream's admin client: `shared.bus.cluster` makes our topics."""

    async def connect(self, **connection_kwargs: Any) -> None:
        """Opens nothing."""


def exchange_parts(broker: KafkaBroker, flush_seconds: float) -> None:
    """Give a broker the producer and the admin client of ours, and its subscribers leave to start before its producer."""
    producer = ExactProducer(parser=None, decoder=None)
    producer.flush_seconds = flush_seconds
    broker.config.broker_config.producer = producer
    broker.config.broker_config.admin = NoAdmin()
    broker._setup_logger()


async def flush(broker: KafkaBroker) -> None:
    """Wait until everything handed over is acknowledged or refused."""
    producer = broker.config.producer
    assert isinstance(producer, ExactProducer)  # noqa: S101  # `exchange_parts` put it there
    await producer.flush()


async def disconnect(broker: KafkaBroker) -> None:
    """Drop the producer so that the next `connect` makes a new one; subscribers go on."""
    await broker.config.disconnect()
    broker._connection = None


def take_batches_from(subscriber: BatchSubscriber, get_batch: GetBatch) -> None:
    """Let the subscriber's consume loop ask `get_batch` instead of polling by itself."""
    subscriber.get_msg = get_batch  # type: ignore[method-assign, assignment]


async def join(subscriber: BatchSubscriber, group: str, seconds: float) -> None:
    """Make a new consumer in `group` and wait until it has its place there."""
    subscriber.group_id = group
    await within(seconds, subscriber.start())


async def leave(subscriber: BatchSubscriber) -> None:
    """End the subscriber's consumer in whatever state it is: also one that never finished joining."""
    consumer = subscriber.consumer
    if consumer is None:
        return
    await leave_group(consumer)
    await ended(subscriber.stop(), STOP_SECONDS)
    await close_connections(consumer)
    subscriber.consumer = None


async def parse(batch: Batch) -> KafkaMessage:
    """FastStream's message around a batch, with nothing read from the records: no header can break or direct it.

    Async, as `raw` is: FastStream sends plain functions to a worker thread and waits.
    """
    return KafkaMessage(
        raw_message=batch, body=batch, consumer=FAKE_CONSUMER, reply_to="", correlation_id="-", message_id="-"
    )


async def raw(message: KafkaMessage) -> Any:
    """The decoder: records reach the handler as they are."""
    return message.raw_message
