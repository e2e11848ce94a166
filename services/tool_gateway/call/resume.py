"""Calls that wait or were left behind: due ones are sent, repeatable ones of a dead executor are sent again with a new
attempt, single-effect ones of a dead executor become unknown.

Postgres is the queue: rows are claimed with SKIP LOCKED by whichever replica looks first. What then becomes of a claimed
call is decided in `admit`, as for a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from services.tool_gateway.approvals.ask import ask_again
from services.tool_gateway.call.admit import Admission
from services.tool_gateway.call.announce import announce_waiting
from services.tool_gateway.call.call import (
    CallRow,
    Candidate,
    Decision,
    Outcome,
    Ready,
    Requested,
    lease_seconds,
    tell_closed,
)
from services.tool_gateway.call.close import refused, write_outcomes
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.traces import judged
from shared.bus.publisher import Publisher
from shared.ids import CallId
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
SWEEP_SECONDS = 0.5
BATCH = 100
DEFAULT_LEASE = 25.0  # of a tool that says nothing of its time
PATIENCE_SECONDS = 900.0  # that a vendor may not answer, and a call wait for it
OVERDUE_SECONDS = 0.05  # what is due and was not taken is held up by something else: a pause, a place, a neighbour

LOST = {
    "code": "tool.unknown_outcome",
    "message": "the gateway that was executing this call died or overran its lease; the effect may have happened.",
}

NOT_ANSWERING = {
    "code": "vendor.not_answering",
    "message": "the vendor has not answered for a quarter of an hour; this call was not sent, or not heard.",
    "remedy": "Go on without it, and say so.",
}

ENDED = {
    "code": "tool.unknown_outcome",
    "message": "the run was cancelled or blocked before the call could be repeated; an earlier attempt may have happened.",
}


class Resumer:
    """Claims calls whose time has come and hands them to the executor."""

    def __init__(
        self, admission: Admission, store: GatewayStore, publisher: Publisher, execute: Callable[[Ready], None]
    ) -> None:
        self._admission = admission
        self._store = store
        self._publisher = publisher
        self._execute = execute
        self._next: datetime | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        admission.places.on_free(self._wake.set)

    def wait_until(self, moment: datetime) -> None:
        """Somebody's turn comes at this moment; do not sleep past it."""
        if self._next is None or moment < self._next:
            self._next = moment
            self._wake.set()

    def wake(self) -> None:
        """Something may be sent now: people agreed to it, say."""
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
                self._next = await self._store.next_due(self._admission.places.full())
            except Exception as error:  # noqa: BLE001  # Postgres away: nothing is lost, look again
                log.warning("calls.sweep_failed", error=error)
            await self._sleep()

    async def _sleep(self) -> None:
        pause = SWEEP_SECONDS
        if self._next is not None:
            left = (self._next - datetime.now(UTC)).total_seconds()
            pause = min(max(left, 0.005) if left > 0 else OVERDUE_SECONDS, SWEEP_SECONDS)
        with contextlib.suppress(TimeoutError):
            await within(pause, self._wake.wait())
        self._wake.clear()

    async def _send_due(self) -> bool:
        """Send a batch. Whether there may be more: it was a full one, or what was put back made room for others."""
        started = time.monotonic()
        decisions: Sequence[Decision] = ()
        try:
            async with self._store.transaction() as connection, connection.transaction():
                claimed = await self._store.claim_due(
                    connection, DEFAULT_LEASE, self._leases(), self._admission.places, BATCH
                )
                decisions = await self._decide(claimed, connection)
                later = await self._put_back(decisions, connection)
                await self._ask(decisions, connection)
                ended = await self._end(decisions, connection)
                await self._store.intents(decisions, connection)
        except BaseException:
            self._admission.give_back(decisions)
            raise
        if len(later) < len(claimed):
            failpoint("gateway.after_intent")
        for one in decisions:
            judged(one.call, one.tool, one.state, one.checks, one.error, started)
        for call, end in ended:
            if end.state == "failed":
                tell_closed(self._publisher, call, "failed", None, end.error)
        for decision in decisions:
            if decision.prepared:
                self._execute(decision.ready(started))
        return len(claimed) == BATCH or bool(later)

    async def _decide(self, claimed: Sequence[Candidate], connection: Any) -> Sequence[Decision]:
        if not claimed:
            return ()
        version = self._admission.rulebook.policies.version
        standing = await self._store.preconditions([one.call for one in claimed], version, connection)
        return await self._admission.decide(claimed, standing, connection)

    async def _put_back(self, decisions: Sequence[Decision], connection: Any) -> dict[CallId, datetime | None]:
        """Those that have to wait some more: for their rate, or because they were paused just now."""
        later = {one.call.call_id: one.not_before for one in decisions if one.state == "requested"}
        if later:
            await self._store.put_back(connection, later)
        for moment in later.values():
            if moment:
                self.wait_until(moment)
        return later

    async def _ask(self, decisions: Sequence[Decision], connection: Any) -> None:
        """Those that people have to agree to, now or again: policies or what they judge by changed while the calls waited."""
        if asked := [one for one in decisions if one.asking]:
            await ask_again(connection, asked, self._admission.approval_seconds)
            await announce_waiting(self._store, connection, [one.call.call_id for one in asked])

    async def _end(self, decisions: Sequence[Decision], connection: Any) -> list[tuple[Requested, Outcome]]:
        """Calls that cannot be sent again have failed, or are unknown where an attempt may have taken effect."""
        ended = [(one.call, refused(one)) for one in decisions if one.error]
        if ended:
            await write_outcomes(self._store, [end for _, end in ended], connection)
        for _, one in ended:
            log.warning(
                "call.not_resumed", call_id=one.call_id, state=one.state, error=(one.error or {}).get("message")
            )
        return ended

    def _leases(self) -> dict[str, float]:
        """Tools whose leases are not the default one."""
        leases = {name: lease_seconds(tool) for name, tool in self._admission.catalogue.tools.items()}
        return {name: seconds for name, seconds in leases.items() if seconds != DEFAULT_LEASE}

    async def _give_up_lost(self) -> None:
        async with self._store.transaction() as connection, connection.transaction():
            await self._store.deny_over(connection)
            lost = await self._store.give_up_lost(connection, LOST, ENDED, BATCH)
            if lost:
                await announce_waiting(self._store, connection, [call for call, _ in lost])
            waited = await self._give_up_waiting(connection)
        for row in waited:
            log.warning("call.gave_up_waiting", call_id=row.call_id, tool=row.tool, vendor=row.vendor, state=row.state)
            if row.state == "failed":
                tell_closed(self._publisher, row, "failed", None, NOT_ANSWERING)
        for call, tool in lost:
            log.warning("call.lost", call_id=call, tool=tool, state="unknown")
            metrics.CALL_ATTEMPTS.labels(tool, "unknown").inc()

    async def _give_up_waiting(self, connection: Any) -> list[CallRow]:
        vendors = self._admission.places.breakers.left_alone(PATIENCE_SECONDS)
        if not vendors:
            return []
        found = await self._store.give_up_waiting(connection, vendors, PATIENCE_SECONDS, NOT_ANSWERING, BATCH)
        if unknown := [row.call_id for row in found if row.state == "unknown"]:
            await announce_waiting(self._store, connection, unknown)
        return found
