"""Hands messages to the broker in the order they come, and says how each ended. Waits for nothing and keeps nothing.

Whoever publishes can publish again: an outbox row, a step or a run's row is the truth, and what is sent only tells of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from shared.bus.envelope import Headers, Message
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
Ended = Callable[[BaseException | None], None]
QUEUE = 20_000
MAX_DISTINCT_ERRORS = 200


class Sends(Protocol):
    """What is needed of a producer. `send` raises Unavailable while there is no broker."""

    @property
    def connected(self) -> bool: ...

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[Any]: ...


class Publisher:
    """One service's way to the broker."""

    def __init__(self, service: str, producer: Sends) -> None:
        self._service = service
        self._producer = producer
        self._queue: asyncio.Queue[tuple[str, bytes, bytes, Headers, Ended | None]] = asyncio.Queue(QUEUE)
        self._logged: set[str] = set()

    @property
    def connected(self) -> bool:
        """Whether there is a broker to hand messages to."""
        return self._producer.connected

    def publish(self, topic: str, message: Message, ended: Ended | None = None) -> None:
        """Send a message. `ended` is called once, with None when the broker has it."""
        self.publish_record(topic, *message.to_kafka(), ended)

    def publish_record(
        self, topic: str, key: bytes, value: bytes, headers: Headers, ended: Ended | None = None
    ) -> None:
        """Send a message that is encoded already."""
        try:
            self._queue.put_nowait((topic, key, value, headers, ended))
        except asyncio.QueueFull as full:
            if ended:
                ended(full)

    async def run(self) -> None:
        while True:
            await self.send(*await self._queue.get())

    async def flush(self) -> None:
        """At stop: hand over what is queued."""
        while not self._queue.empty():
            await self.send(*self._queue.get_nowait())

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers, ended: Ended | None = None) -> None:
        """Send a message now, ahead of those that are queued."""
        try:
            future = await self._producer.send(topic, key, value, headers)
        except Exception as error:  # noqa: BLE001  # whatever it was, the message is published again by its owner
            log.debug("publisher.not_sent_yet", topic=topic, error=error)
            if ended:
                ended(error)
            return
        future.add_done_callback(partial(self._ended, topic, ended))

    def _ended(self, topic: str, ended: Ended | None, done: asyncio.Future[Any]) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            metrics.MESSAGES_SENT.labels(self._service, topic).inc()
        elif not done.cancelled():
            self._refused(topic, error)
        if ended:
            ended(error)

    def _refused(self, topic: str, error: BaseException) -> None:
        """Nothing is lost by it, but whoever runs this wants to know why."""
        metrics.MESSAGES_NOT_SENT.labels(self._service, topic, type(error).__name__).inc()
        text = f"{topic}: {type(error).__name__}: {error}"
        if text not in self._logged and len(self._logged) < MAX_DISTINCT_ERRORS:
            self._logged.add(text)
            log.warning("publisher.refused", topic=topic, error=f"{type(error).__name__}: {error}")
