"""Housekeeping that is done now and then, for as long as a process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from shared.telemetry.logs import get_logger

log = get_logger(__name__)


async def regularly(seconds: float, work: Callable[[], Awaitable[object]], event: str) -> None:
    """Do it now and every so many seconds, until cancelled. An error is logged as `event`, and tried again next time."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # Postgres away: next time
            log.warning(event, error=error)
        await asyncio.sleep(seconds)
