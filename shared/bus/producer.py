"""The sending side of the bus: a producer that is kept connected."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from shared.bus import faststream_internals
from shared.bus.broker import plain_broker
from shared.bus.cluster import broken, ensure_topics, refusal, unavailable
from shared.bus.envelope import Headers
from shared.bus.faststream_internals import ExactHeaders
from shared.errors import Unavailable
from shared.settings import Settings
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
FLUSH_SECONDS = 5.0
PAUSE_SECONDS = 0.2
GOES_AWAY = (KafkaError, OSError, Unavailable, TimeoutError)


class Producer:
    """Sends records; a future says when the broker acknowledged. Connects, and connects again, for as long as it takes."""

    def __init__(self, settings: Settings, client_id: str, *, broker: KafkaBroker | None = None) -> None:
        self._settings = settings
        self._broker = broker or plain_broker(settings, client_id)
        self._connected = False

    @property
    def connected(self) -> bool:
        """Whether records can be handed over."""
        return self._connected

    async def run(self) -> None:
        """Keep a connected producer until cancelled."""
        while True:
            try:
                if self._settings.kafka_volatile:
                    await ensure_topics(self._settings)
                await self._broker.connect()
                self._connected = True
                await self._until_broken()
                log.warning("kafka.producer_starts_over", reason="the broker is gone")
            except GOES_AWAY as error:
                refused = await refusal(self._settings, error)
                log.info("kafka.producer_not_connected", error=error, refused=refused)
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                self._connected = False
                await faststream_internals.disconnect(self._broker)

    async def stop(self) -> None:
        """Flush what was handed over."""
        if self._connected:
            with contextlib.suppress(KafkaError, TimeoutError):
                await within(FLUSH_SECONDS, faststream_internals.flush(self._broker))

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[Any]:
        """Hand one record over; the future ends with the broker's acknowledgement or an error. Raises Unavailable."""
        if not self._connected:
            raise unavailable(self._settings, ConnectionError("not connected"))
        return await self._broker.publish(value, topic, key=key, headers=ExactHeaders(headers), no_confirm=True)

    async def _until_broken(self) -> None:
        if self._settings.kafka_volatile:
            await broken(self._settings)
        else:
            await asyncio.Event().wait()
