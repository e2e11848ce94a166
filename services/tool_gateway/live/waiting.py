"""Callers that wait for their calls to end. A row's change wakes every replica, and what counts is what the row says. Who
made a call here is told of its end as it was committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.tool_gateway.call.call import Outcome, Requested
from services.tool_gateway.live.asking import SQL
from shared.ids import CallId
from shared.store.pool import Pool
from shared.store.sql import record
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
CHANNEL = "viox_live"
LOOK_SECONDS = 0.5  # where a wake-up was lost
ENDED = frozenset({"succeeded", "failed", "denied", "rejected", "expired"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call stands."""

    call_id: CallId
    run_id: UUID
    agent: str
    tool: str
    vendor: str | None
    state: str
    paused: bool
    result: Any
    error: dict[str, Any] | None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Waiting:
    """Looks at the calls of all callers at once. `held_up`: whether it is of no use to wait for a call that has not begun."""

    def __init__(self, pool: Pool, held_up: Callable[[Standing], bool]) -> None:
        self._pool = pool
        self._held_up = held_up
        self._callers: dict[CallId, set[asyncio.Future[Standing]]] = {}
        self._wake = asyncio.Event()

    @property
    def callers(self) -> int:
        """How many calls are waited for."""
        return len(self._callers)

    def wake(self) -> None:
        """Some call has moved."""
        if self._callers:
            self._wake.set()

    def closed(self, call: Requested, end: Outcome) -> None:
        """A call that was made here has ended, and that is committed."""
        if call.call_id in self._callers:
            vendor = None  # of no interest once it has ended
            self._tell(
                Standing(
                    call.call_id, call.run_id, call.agent, call.tool, vendor, end.state, False, end.result, end.error
                )
            )

    async def until_told(self, call: CallId, seconds: float, *, look: bool) -> Standing:
        """How the call stands when it has ended, when it waits for a person or an operator, or when the time is over.

        `look` at once: it may have ended before. Raises what Postgres raises.
        """
        told: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        self._callers.setdefault(call, set()).add(told)
        if look:
            self._wake.set()
        try:
            with contextlib.suppress(TimeoutError):
                return await within(seconds, asyncio.shield(told))
            (standing,) = await self._look([call])
            return standing
        finally:
            told.cancel()
            self._callers[call].discard(told)
            if not self._callers[call]:
                del self._callers[call]

    async def tell_all(self) -> None:
        """Tell everybody how their calls stand, whatever that is."""
        for standing in await self._look(list(self._callers)):
            self._tell(standing)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await within(LOOK_SECONDS, self._wake.wait())
            self._wake.clear()
            if not self._callers:
                continue
            try:
                for standing in await self._look(list(self._callers)):
                    if self._worth_telling(standing):
                        self._tell(standing)
            except Exception as error:  # noqa: BLE001  # Postgres away: looked at again
                log.warning("invoke.not_looked", error=error)

    def _worth_telling(self, standing: Standing) -> bool:
        if standing.state == "requested":
            return standing.paused or self._held_up(standing)
        return standing.ended or standing.state == "awaiting_approval"

    def _tell(self, standing: Standing) -> None:
        for told in self._callers.get(standing.call_id, ()):
            if not told.done():
                told.set_result(standing)

    async def _look(self, ids: list[CallId]) -> list[Standing]:
        return [record(Standing, row) for row in await self._pool.fetch(*SQL.bind("standings", ids=ids))]
