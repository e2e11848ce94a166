"""The bus of a service: a FastStream broker whose producer and consumer are kept alive and lose nothing.

The consumer hands over batches and commits their offsets afterwards. It never commits what the handler has not stored;
a batch that fails is tried again, so the handler must recognise repeats (the inbox does). FastStream runs the loop that
takes batches; what it would skip, obey or acknowledge by default is ours to decide, see docs/decisions/0017-faststream.md.

A *volatile* broker (the embedded one) comes back empty after a restart, and aiokafka's clients then carry positions and
metadata of the old log into the new one. For such a broker an idle connection serves as a tripwire: when it breaks,
producer and consumer are dropped and made anew, and the consumer group is named after the broker's incarnation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType

from faststream.kafka import KafkaBroker

from shared.bus.broker import broker_arguments, prepare
from shared.bus.cluster import client_settings, ensure_topics, unavailable
from shared.bus.consumer import Consumer
from shared.bus.delivery import Handler, IsTransient, Poison
from shared.bus.producer import Producer
from shared.bus.record import Record
from shared.settings import Settings

__all__ = ["Bus", "Consumer", "Producer", "Record", "client_settings", "ensure_topics", "unavailable"]


class Bus(KafkaBroker):
    """The broker of one service, as FastStream starts and stops it: `start` returns at once and keeps trying."""

    def __init__(self, settings: Settings, service: str) -> None:
        super().__init__(**broker_arguments(settings, service))
        prepare(self, settings)
        self._settings = settings
        self._keepers: list[asyncio.Task[None]] = []
        self.producer = Producer(settings, service, broker=self)
        self.consumer: Consumer | None = None

    def consume(
        self,
        group: str,
        wanted: Sequence[str],
        handler: Handler,
        poison: Poison,
        is_transient: IsTransient,
        has_room: Callable[[], bool] = lambda: True,
    ) -> Consumer:
        """Declare the one consumer of this service, before `start`. It takes nothing while there is no room."""
        assert self.consumer is None  # noqa: S101  # one consumer a service, over all its topics
        self.consumer = Consumer(
            self._settings, group, wanted, handler, poison, is_transient, broker=self, has_room=has_room
        )
        return self.consumer

    async def start(self) -> None:
        """Begin to connect and to join. Never waits for a broker, and never fails for want of one."""
        self._keepers.append(asyncio.create_task(self.producer.run(), name="producer"))
        if self.consumer:
            self._keepers.append(asyncio.create_task(self.consumer.run(), name="consumer"))
        self.running = True

    async def ended(self) -> None:
        """Waits for as long as all is well. Raises what nobody foresaw in the keeping of producer or consumer."""
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
        for keeper in done:
            keeper.result()

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Leave the group with what is stored committed, send what was handed over, let go. Does no harm twice."""
        if self._keepers:
            if self.consumer:
                await self.consumer.stop()
            await self.producer.stop()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        await super().stop(exc_type, exc_val, exc_tb)
