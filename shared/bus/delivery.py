"""Handing a batch over until it is stored, whatever the handler raises. FastStream skips a batch whose handler raises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from shared.bus.record import Record
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

Handler = Callable[[Sequence[Record]], Awaitable[None]]
Poison = Callable[[Record, Exception], Awaitable[None]]
IsTransient = Callable[[Exception], bool]
POISON_TRIES = 3
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0
SET_ASIDE_PAUSE_SECONDS = 1.0


class Delivery:
    """`poison` sets a record aside that cannot be handled; `is_transient` tells an error that will go away by itself."""

    def __init__(self, group: str, handler: Handler, poison: Poison, is_transient: IsTransient) -> None:
        self._group = group
        self._handler = handler
        self._poison = poison
        self._is_transient = is_transient
        self.giving_up = False

    async def stored(self, records: Sequence[Record]) -> bool:
        """Hand a batch over until it is stored. False when we are asked to let go first.

        An error that will not go away by itself is narrowed down to the record that causes it, which is set aside: one
        bad message must not hold up its neighbours.
        """
        pause, tries = FIRST_PAUSE_SECONDS, 0
        while not self.giving_up:
            try:
                await self._handler(records)
                return True
            except Exception as error:  # noqa: BLE001  # sorted out below
                log.warning("kafka.batch_not_stored", group=self._group, records=len(records), error=repr(error))
                if not self._is_transient(error):
                    tries += 1
                    if len(records) > 1:
                        return all([await self.stored([record]) for record in records])
                    if tries >= POISON_TRIES:
                        return await self._set_aside(records[0], error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        return False

    async def _set_aside(self, record: Record, error: Exception) -> bool:
        while not self.giving_up:
            try:
                await self._poison(record, error)
                return True
            except Exception as failed:  # noqa: BLE001  # not even that: Postgres is away
                log.warning("kafka.record_not_set_aside", group=self._group, error=repr(failed))
                await asyncio.sleep(SET_ASIDE_PAUSE_SECONDS)
        return False
