"""Backpressure: while too many calls are open, no more are taken from Kafka. They wait there, and the lag says how many.

Counted are calls on their way and those that wait for a rate, a place or a retry, of all replicas. What waits for a person,
or for the end of a pause, does not count: it could stand for days, and hold up everybody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.tool_gateway.call.store import GatewayStore
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
LOOK_SECONDS = 0.5
LAG_SECONDS = 5.0  # it takes the broker a request
AGAIN_BELOW = 0.8  # of the most: taking and not taking do not alternate with every call
Lag = Callable[[], Awaitable[int | None]]


class Backlog:
    """`has_room` until `most` calls are open, and again when a fifth of them is done."""

    def __init__(self, store: GatewayStore, most: int) -> None:
        self._store = store
        self._most = most
        self.has_room = True
        self._open = 0

    async def run(self, lag: Lag) -> None:
        """Look, until cancelled. Without Postgres nothing can be stored anyway."""
        asked = 0.0
        while True:
            try:
                await self.look()
                if time.monotonic() - asked > LAG_SECONDS and (waiting := await lag()) is not None:
                    metrics.CALLS_NOT_TAKEN.set(waiting)
                    asked = time.monotonic()
            except Exception as error:  # noqa: BLE001  # Postgres or Kafka away
                log.warning("backlog.not_counted", error=error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        self._open = await self._store.count_open(self._most)
        metrics.CALLS_OPEN.set(self._open)
        room = self._open < (self._most if self.has_room else self._most * AGAIN_BELOW)
        if room != self.has_room:
            log.warning("backlog.room" if room else "backlog.full", open=self._open, most=self._most)
        self.has_room = room

    def problem(self) -> str | None:
        """What readiness warns of."""
        return (
            None
            if self.has_room
            else f"{self._open:,} calls are open; no more are taken from Kafka until some are done"
        )
