"""The loop over what is awaited: due timers and schedules become messages, calls whose child or moment has come end, and
children for which nobody waits any more are ended.

Every replica runs it. What it does is done in one transaction with the row that says so, claimed with SKIP LOCKED.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from services.tool_gateway.call.call import CallRow, tell_closed
from services.tool_gateway.call.close import end_deferred
from services.tool_gateway.call.rows import call_row
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.office import delegation, schedules, timers
from services.tool_gateway.office.delegation import End
from shared.bus.publisher import Publisher
from shared.business import Business
from shared.clock import Clock
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
LOOK_EVERY_SECONDS = 0.5
SHORTEST_SECONDS = 0.01
BATCH = 100


class Desk:
    """Looks at all that waits. `clock` follows the business's, for those who ask no statement what time it is."""

    def __init__(
        self,
        store: GatewayStore,
        publisher: Publisher,
        business: Business,
        clock: Clock,
        wake_outbox: Callable[[], None],
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._business = business
        self._clock = clock
        self._wake_outbox = wake_outbox
        self._wake = asyncio.Event()
        self._due_in = LOOK_EVERY_SECONDS

    def wake(self) -> None:
        """Somebody's run ended, or the clock was moved."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self.look()
            with contextlib.suppress(TimeoutError):
                await within(min(max(self._due_in, SHORTEST_SECONDS), LOOK_EVERY_SECONDS), self._wake.wait())
            self._wake.clear()

    async def look(self) -> None:
        """Once over everything. What cannot be done does not hold up the rest."""
        for step in (self._follow_clock, self._send_due, self._end_delegated, self._end_waits, self._end_orphans):
            try:
                await step()
            except Exception as error:  # noqa: BLE001  # Postgres away: nothing is lost, look again
                log.warning("office.not_looked_after", step=step.__name__.strip("_"), error=error)
                self._due_in = LOOK_EVERY_SECONDS

    async def forget(self) -> None:
        """Timers of long ago."""
        async with self._store.transaction() as connection:
            await connection.execute(timers.SQL["forget"])

    async def _follow_clock(self) -> None:
        async with self._store.transaction() as connection:
            row = await connection.fetchrow(timers.SQL["next"])
        self._clock.ahead = row["ahead"]
        self._due_in = row["due_in"].total_seconds() if row["due_in"] is not None else LOOK_EVERY_SECONDS

    async def _send_due(self) -> None:
        async with self._store.transaction() as connection, connection.transaction():
            fired = await timers.fire(connection, BATCH)
            now = await connection.fetchval(timers.SQL["now"])
            told = await schedules.tell(connection, self._business, now)
        for row in fired:
            log.info("timer.fired", agent=row["agent"], name=row["name"], set_by=row["set_by"])
        for name in told:
            log.info("schedule.told", schedule=name)
        if fired or told:
            self._wake_outbox()

    async def _end_delegated(self) -> None:
        async with self._store.transaction() as connection, connection.transaction():
            rows = await connection.fetch(*delegation.SQL.bind("ended", limit=BATCH))
            ended = await self._ended(connection, [(row, delegation.end_of(row)) for row in rows])
            for call, _ in ended:
                await connection.execute(*delegation.SQL.bind("told", call=call.call_id))
        self._tell(ended)

    async def _end_waits(self) -> None:
        async with self._store.transaction() as connection, connection.transaction():
            rows = await connection.fetch(*timers.SQL.bind("passed", limit=BATCH))
            told = [(row, End("succeeded", timers.waited(row["until"], row["at"]))) for row in rows]
            ended = await self._ended(connection, told)
            await connection.execute(timers.SQL["over"])
        self._tell(ended)

    async def _ended(self, connection: Any, ends: Sequence[tuple[Any, End]]) -> list[tuple[CallRow, End]]:
        """Write the ends of calls. Returns those that still waited for theirs."""
        written = []
        for row, end in ends:
            call = call_row(row)
            if await end_deferred(self._store, connection, call, end.state, end.result, end.error):
                written.append((call, end))
        return written

    def _tell(self, ended: Sequence[tuple[CallRow, End]]) -> None:
        """After the commit: their agents go on."""
        for call, end in ended:
            metrics.CALLS.labels(call.agent, call.tool, end.state).inc()
            log.info("call.answered", call_id=call.call_id, tool=call.tool, state=end.state)
            tell_closed(self._publisher, call, end.state, end.result, end.error)

    async def _end_orphans(self) -> None:
        """Runs whose parents were ended from outside: those that never began are looked at again until they do."""
        async with self._store.transaction() as connection:
            orphans = await connection.fetch(*delegation.SQL.bind("orphans", limit=BATCH))
            for orphan in orphans:
                if await delegation.cancel_child(connection, orphan) == "cancelled":
                    log.info("delegation.child_cancelled", run_id=orphan["child_run_id"], call_id=orphan["call_id"])
