"""Calls that wait or were left behind: due ones are sent, repeatable ones of a dead executor are sent again with a new
attempt, single-effect ones of a dead executor become unknown.

Postgres is the queue: rows are claimed with SKIP LOCKED by whichever replica looks first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.tool_gateway.call.announce import announce_waiting
from services.tool_gateway.call.close import closed_message
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.intake import Ready, lease_seconds, rate_key
from services.tool_gateway.call.judge import judge
from services.tool_gateway.call.outcome import MAX_ATTEMPTS
from services.tool_gateway.call.store import RATE_SLOT_VALID_SECONDS, CallRow, GatewayStore, Intent
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.wire.credentials import Secrets, again
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.prepared import Prepared
from shared.bus.outbox import Outbox, insert
from shared.errors import VioxError
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint

log = logging.getLogger(__name__)
SWEEP_SECONDS = 0.5
BATCH = 100
DEFAULT_LEASE = 25.0  # of a tool that says nothing of its time
OVERDUE_SECONDS = 0.05  # what is due and was not taken is held up by something else: a pause, a place, a neighbour

LOST = {
    "code": "tool.unknown_outcome",
    "message": "the gateway that was executing this call died or overran its lease; the effect may have happened.",
}

ENDED = {
    "code": "tool.unknown_outcome",
    "message": "the run was cancelled or blocked before the call could be repeated; an earlier attempt may have happened.",
}

FORGOTTEN = {
    "code": "tool.unknown_outcome",
    "message": "no answer came, and the vendor may have forgotten the idempotency key by now.",
}


class Resumer:
    """Claims calls whose time has come and hands them to the executor."""

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Secrets,
        store: GatewayStore,
        outbox: Outbox,
        execute: Callable[[Ready], None],
        places: InFlightLimiter,
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._store = store
        self._outbox = outbox
        self._execute = execute
        self._places = places
        self._next: datetime | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        places.on_free(self._wake.set)

    def wait_until(self, moment: datetime) -> None:
        """Somebody's turn comes at this moment; do not sleep past it."""
        if self._next is None or moment < self._next:
            self._next = moment
            self._wake.set()

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        swept = 0.0
        while not self._stopping:
            try:
                if time.monotonic() - swept >= SWEEP_SECONDS:
                    swept = time.monotonic()
                    await self._give_up_lost()
                while not self._stopping and await self._send_due():
                    pass
                self._next = await self._store.next_due(self._places.full())
            except Exception as error:  # noqa: BLE001  # Postgres away: nothing is lost, look again
                log.warning("sweep of calls failed: %s", error)
            await self._sleep()

    async def _sleep(self) -> None:
        pause = SWEEP_SECONDS
        if self._next is not None:
            left = (self._next - datetime.now(UTC)).total_seconds()
            pause = min(max(left, 0.005) if left > 0 else OVERDUE_SECONDS, SWEEP_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause)
        self._wake.clear()

    async def _send_due(self) -> bool:
        """Send a batch. Whether there may be more: it was a full one, or what was put back made room for others."""
        started = time.monotonic()
        ready: list[Ready] = []
        async with self._store.transaction() as connection, connection.transaction():
            claimed = await self._store.claim_due(connection, DEFAULT_LEASE, self._leases(), self._places, BATCH)
            rows = await self._with_rate_slot(connection, claimed)
            preconditions = (
                await self._store.preconditions([row.requested() for row in rows], connection) if rows else {}
            )
            repeats = [row.call_id for row in rows if row.effect != "read" and row.attempt > 1]
            sent_before = await self._store.first_intents(connection, repeats)
            items = []
            for row in rows:
                before = sent_before.get(row.call_id)
                verdict = judge(row.requested(), preconditions[row.agent, row.call_id], self._catalogue)
                if verdict.error:
                    await self._end(connection, row, before, verdict.error["code"], verdict.error["message"])
                    continue
                made = await self._prepared(connection, row, before if row.effect == "keyed" else None)
                if made is not None:
                    tool, prepared = made
                    items.append((row, prepared, [{"check": "resumed", "attempt": row.attempt, "passed": True}]))
                    lease_ends, in_doubt = started + lease_seconds(tool), row.effect == "keyed" and _in_doubt(before)
                    ready.append(Ready(row.requested(), tool, prepared, row.attempt, lease_ends, started, in_doubt))
            if items:
                await self._store.intents(connection, items)
        if rows:
            failpoint("gateway.after_intent")
        for one in ready:
            self._places.take(one.tool.vendor)
            self._execute(one)
        return len(claimed) == BATCH or len(rows) < len(claimed)

    def _leases(self) -> dict[str, float]:
        """Tools whose leases are not the default one."""
        leases = {name: lease_seconds(tool) for name, tool in self._catalogue.tools.items()}
        return {name: seconds for name, seconds in leases.items() if seconds != DEFAULT_LEASE}

    async def _with_rate_slot(self, connection: Any, rows: list[CallRow]) -> list[CallRow]:
        """Those whose turn at their rate it is; the others go back and wait for theirs.

        A turn reserved earlier is good when it has just come: calls that were held up must not all go at once.
        """
        now, some = datetime.now(UTC), timedelta(seconds=RATE_SLOT_VALID_SECONDS)
        rated = []
        for row in rows:
            tool = self._catalogue.tools.get(row.tool)
            in_turn = row.rate_slot_reserved and row.not_before is not None and abs(now - row.not_before) <= some
            if tool and tool.rate and not in_turn:
                rated.append((row.call_id, tool.rate, rate_key(tool.rate, row.arguments)))
        turns = await self._store.reserve_rate_slots(rated, connection)
        later = {call: at for call, at in turns.items() if at > datetime.now(UTC)}
        if later:
            await self._store.put_back(connection, later)
            self.wait_until(min(later.values()))
        return [row for row in rows if row.call_id not in later]

    async def _prepared(self, connection: Any, row: CallRow, before: Intent | None) -> tuple[Any, Prepared] | None:
        """Tool and request of a claimed call; None when it ended here instead (too many attempts).

        A call whose key makes repeats harmless is sent again as the ledger has it, while the vendor remembers the key.
        """
        tool = self._catalogue.tools[row.tool]
        if row.attempt > 2 * MAX_ATTEMPTS:
            await self._end(connection, row, before, "tool.attempts_exhausted", "given up after too many attempts.")
            return None
        try:
            prepared = prepare(tool, row.arguments, self._secrets, key=row.call_id)
            if before is None:
                return tool, prepared
            if tool.idempotency and datetime.now(UTC) - before.at > timedelta(hours=tool.idempotency.hours):
                # A repeat could act a second time.
                await self._unknown(connection, row, FORGOTTEN)
                return None
            return tool, again(prepared, before.url, before.headers, before.body)
        except VioxError as error:
            await self._end(connection, row, before, error.code, error.message)
            return None

    async def _end(self, connection: Any, row: CallRow, before: Intent | None, code: str, message: str) -> None:
        """A call that cannot be sent again has failed, unless an attempt of it may have taken effect."""
        if _in_doubt(before):
            await self._unknown(connection, row, {"code": code, "message": message})
        else:
            await self._fail(connection, row, code, message)

    async def _unknown(self, connection: Any, row: CallRow, error: dict[str, Any]) -> None:
        detail = {"state": "unknown", "error": error}
        await self._store.mark_unknown(connection, [row.call_id], error)
        await self._store.enter(connection, row.call_id, row.attempt, "outcome", detail=detail)
        await announce_waiting(self._store, connection, [row.call_id])
        log.warning("call %s %s: unknown: %s", row.call_id, row.tool, error["message"])

    async def _fail(self, connection: Any, row: CallRow, code: str, message: str) -> None:
        error = {"code": code, "message": message}
        await self._store.fail(connection, row.call_id, error)
        await self._store.enter(
            connection, row.call_id, row.attempt, "outcome", detail={"state": "failed", "error": error}
        )
        await insert(connection, self._outbox.owner, [closed_message(row, "failed", None, error)], delay=0)

    async def _give_up_lost(self) -> None:
        async with self._store.transaction() as connection, connection.transaction():
            for call, attempt in await self._store.deny_over(connection):
                phase = "settled" if attempt else "outcome"
                await self._store.enter(
                    connection, call, attempt, phase, detail={"state": "denied", "code": "run.over"}
                )
            rows = await self._store.claim_lost(connection, BATCH)
            if not rows:
                return
            for row in rows:
                error = LOST if row.state == "executing" else ENDED
                await self._store.mark_unknown(connection, [row.call_id], error)
                detail = {"state": "unknown", "error": error}
                await self._store.enter(connection, row.call_id, row.attempt, "outcome", detail=detail)
            await announce_waiting(self._store, connection, [row.call_id for row in rows])
        for row in rows:
            log.warning("call %s %s: unknown, its executor or its run is gone", row.call_id, row.tool)
            metrics.CALL_ATTEMPTS.labels(row.tool, "unknown").inc()


def _in_doubt(before: Intent | None) -> bool:
    return before is not None and before.in_doubt
