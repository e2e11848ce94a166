"""Typed access to the gateway's tables: calls, ledger, rates. One method per statement of store.sql."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from services.tool_gateway.approvals import standing
from services.tool_gateway.call.call import (
    CallRow,
    Candidate,
    Decision,
    Error,
    Intent,
    Outcome,
    Preconditions,
    Requested,
    Stored,
)
from services.tool_gateway.call.consent import opted_out
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.rows import (
    as_sent,
    call_row,
    intent_of,
    intent_row,
    is_own,
    new_row,
    opened_row,
    outcome_row,
    preconditions_of,
    reached_row,
    to_seal,
    was_asked,
)
from services.tool_gateway.call.sealed import Seals
from services.tool_gateway.catalogue.tools import Rate, Tool
from services.tool_gateway.policy.context import Known
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.facts import known_of
from services.tool_gateway.policy.figures import Money
from services.tool_gateway.wire.credentials import redacted
from services.tool_gateway.wire.prepared import Prepared
from shared.ids import CallId, RunId
from shared.store.pool import Pool
from shared.store.sql import Queries, record
from shared.telemetry.digest import sha256_bytes

SQL = Queries(Path(__file__).with_name("store.sql"))
RATE_SLOT_VALID_SECONDS = 2.0  # after it came: calls that were held up longer must not all go at once


class GatewayStore:
    """The gateway's tables. `owner` is this process in the leases, `seals` closes what is sensitive of arguments."""

    def __init__(self, pool: Pool, owner: str, seals: Seals) -> None:
        self._pool = pool
        self.owner = owner
        self._seals = seals

    def transaction(self) -> Any:
        return self._pool.acquire()

    # -- before a call begins ----------------------------------------------------------------------------------------

    async def preconditions(
        self, calls: Sequence[Requested], policy_version: str, connection: Any = None
    ) -> dict[tuple[str, CallId], Preconditions]:
        """What the tables say of each (agent, call)."""
        asked = [
            {
                "call_id": c.call_id,
                "thread_id": c.thread_id,
                "conversation_id": c.conversation_id,
                "tool": c.tool,
                "sha256": c.digest,
                "run_id": c.run_id,
                "step": c.step,
                "idx": c.index,
                "agent": c.agent,
            }
            for c in calls
        ]
        stopped = await opted_out(connection or self._pool, [c.arguments for c in calls])
        rows = await (connection or self._pool).fetch(*SQL.bind("preconditions", calls=asked, version=policy_version))
        return {(row["agent"], row["call_id"]): preconditions_of(row, stopped) for row in rows}

    async def known_of(
        self,
        policies: Policies,
        tools: Mapping[str, Tool],
        calls: Sequence[Requested],
        now: datetime,
        connection: Any = None,
    ) -> dict[tuple[str, CallId], Known]:
        """What policies may know, at this moment of the business's clock, of each (agent, call) that they read something of."""
        return await known_of(connection or self._pool, policies, tools, calls, now=now)

    async def use_standing(
        self, call: Requested, tool: Tool, rules: Sequence[str], version: str, connection: Any = None
    ) -> str | None:
        """One use of a standing approval that covers the call. What is used is gone, also when the call is not stored."""
        return await standing.use(connection or self._pool, call, tool, rules, version)

    async def stored(self, ids: Sequence[str]) -> dict[str, Stored]:
        """call id → what is stored of it, for calls that exist."""
        rows = await self._pool.fetch(*SQL.bind("known_calls", ids=list(ids)))
        return {row["call_id"]: record(Stored, row) for row in rows}

    async def reserve_rate_slots(
        self, calls: Sequence[tuple[CallId, Rate, str]], connection: Any = None
    ) -> dict[CallId, datetime]:
        """Reserve a slot for each (call, rate, rate key); when a call has come to all of its slots. Keys in order, as their
        rows are locked one by one."""
        if not calls:
            return {}
        ordered = sorted(calls, key=lambda item: item[2])
        places = Counter(key for _, _, key in ordered)
        rates = {key: rate for _, rate, key in ordered}
        rows = await (connection or self._pool).fetch(
            *SQL.bind(
                "reserve_rate_slots",
                keys=list(places),
                per_second=[rates[key].per_second for key in places],
                bursts=[int(rates[key].burst) for key in places],
                places=list(places.values()),
            )
        )
        slots: dict[CallId, datetime] = {}
        for (call, _, _), row in zip(ordered, rows, strict=True):
            slots[call] = max(row["may_go"], slots.get(call, row["may_go"]))
        return slots

    async def pause_rate(self, key: str, seconds: float) -> None:
        await self._pool.execute(*SQL.bind("pause_rate", key=key, seconds=seconds))

    # -- the path ----------------------------------------------------------------------------------------------------

    async def intake(self, decisions: Sequence[Decision], connection: Any = None) -> set[str]:
        """Store new calls. Returns the ids of those that are new.

        One statement; without a connection one commit. With sensitive arguments there are two, in one transaction.
        """
        sealed = to_seal(decisions)
        if sealed and connection is None:
            async with self.transaction() as own, own.transaction():
                return await self.intake(decisions, own)
        rows = await (connection or self._pool).fetch(
            *SQL.bind("intake", calls=[new_row(one) for one in decisions], owner=self.owner)
        )
        fresh = {row["call_id"] for row in rows}
        await self._seals.keep(connection, {call: one for call, one in sealed.items() if call in fresh})
        return fresh

    async def intents(self, decisions: Sequence[Decision], connection: Any) -> None:
        """Write down what is about to be sent for calls that waited."""
        for one in decisions:
            if one.standing:
                await standing.note(connection, one.call.call_id, one.standing)
        rows = [intent_row(one) for one in decisions if one.prepared]
        if rows:
            await connection.execute(*SQL.bind("intents", intents=rows))
            if agreed := [reached_row(one) for one in decisions if one.prepared and was_asked(one.call)]:
                await connection.execute(*SQL.bind("reached", calls=agreed))
            await self._seals.keep(connection, to_seal([one for one in decisions if one.prepared]))

    async def close(self, outcomes: Sequence[Outcome], connection: Any = None) -> set[str]:
        """Write outcomes; returns the ids whose attempt was still their own. The others are recorded as incidents."""
        rows = await (connection or self._pool).fetch(
            *SQL.bind("close", outcomes=[outcome_row(one) for one in outcomes], owner=self.owner)
        )
        return {row["call_id"] for row in rows}

    # -- calls that wait or were left behind -------------------------------------------------------------------------

    async def claim_due(
        self, connection: Any, lease: float, leases: Mapping[str, float], places: InFlightLimiter, limit: int
    ) -> list[Candidate]:
        """Calls that may go, leased to us. `lease` in seconds; `leases` are those of tools that have others."""
        rows = await connection.fetch(
            *SQL.bind(
                "claim_due",
                owner=self.owner,
                lease=lease,
                leases=dict(leases),
                free=places.limited(),
                most=places.places(),
                full=places.full(),
                live_free=places.limited(live=True),
                live_most=places.places(live=True),
                live_full=places.full(live=True),
                slot_seconds=RATE_SLOT_VALID_SECONDS,
                limit=limit,
            )
        )
        opened = await self._seals.opened(connection, [row["call_id"] for row in rows])
        claimed = [opened_row(row, opened) for row in rows]
        repeats = [row.call_id for row in claimed if row.effect != "read" and row.attempt > 1]
        first = await self.first_intents(connection, repeats)
        first |= {call: as_sent(intent, opened[call]) for call, intent in first.items() if call in opened}
        return [
            Candidate(
                row,
                row.attempt,
                claimed=True,
                rate_slot=row.not_before if row.rate_slot_reserved else None,
                first=first.get(row.call_id),
                keyed=row.effect == "keyed",
                unreadable=row.call_id in opened and opened[row.call_id].arguments is None,
            )
            for row in claimed
        ]

    async def first_intents(self, connection: Any, ids: Sequence[str]) -> dict[str, Intent]:
        """call id → what was sent for it the first time."""
        if not ids:
            return {}
        rows = await connection.fetch(*SQL.bind("first_intents", ids=list(ids)))
        return {row["call_id"]: intent_of(row) for row in rows}

    async def put_back(self, connection: Any, slots: Mapping[CallId, datetime | None]) -> None:
        """Undo the claim of calls that have to wait: for their rate slot, or for an operator."""
        await connection.execute(*SQL.bind("put_back", ids=list(slots), slots=list(slots.values())))

    async def next_due(self, full: Sequence[str]) -> datetime | None:
        moment: datetime | None = await self._pool.fetchval(*SQL.bind("next_due", full=list(full)))
        return moment

    async def deny_over(self, connection: Any) -> None:
        await connection.execute(*SQL.bind("deny_over", owner=self.owner))

    async def give_up_waiting(
        self, connection: Any, vendors: Sequence[str], seconds: float, error: Error, limit: int
    ) -> list[CallRow]:
        """Calls that waited for longer than that for a vendor: failed, or unknown where an attempt may have taken effect."""
        bound = SQL.bind("give_up_waiting", vendors=list(vendors), seconds=seconds, error=error, limit=limit)
        return [call_row(row) for row in await connection.fetch(*bound)]

    async def give_up_lost(self, connection: Any, lost: Error, ended: Error, limit: int) -> list[tuple[str, str]]:
        """(call id, tool) of calls that became unknown: `lost` where the executor is gone, `ended` where the run is."""
        bound = SQL.bind("give_up_lost", owner=self.owner, lost=lost, ended=ended, limit=limit)
        return [(row["call_id"], row["tool"]) for row in await connection.fetch(*bound)]

    # -- unknown calls -----------------------------------------------------------------------------------------------

    async def claim_unknown(self, limit: int, again_seconds: float, but_of: Sequence[str]) -> list[CallRow]:
        bound = SQL.bind("claim_unknown", limit=limit, again_seconds=again_seconds, but_of=list(but_of))
        rows = await self._pool.fetch(*bound)
        opened = await self._seals.opened(self._pool, [row["call_id"] for row in rows])
        return [opened_row(row, opened) for row in rows]

    async def look_again(self, call: str, at: datetime) -> None:
        await self._pool.execute(*SQL.bind("look_again", call=call, at=at))

    async def next_look(self, call: str) -> int:
        return int(await self._pool.fetchval(*SQL.bind("next_look", call=call)))

    async def taken_items(
        self, connection: Any, tool: str, place: Sequence[str], ids: Sequence[str], since: datetime
    ) -> set[str]:
        """Ids that other calls of the tool have, closed at `since` or later. No other replica settles the tool's calls until
        the transaction ends."""
        await connection.execute(*SQL.bind("settling", tool=tool))
        bound = SQL.bind("taken_items", tool=tool, place=list(place), ids=list(ids), since=since)
        return {row["id"] for row in await connection.fetch(*bound)}

    async def settle(
        self, connection: Any, call: str, state: str, result: Any, error: Error | None, moved: Money | None
    ) -> bool:
        """Whether the call was still unknown, and has this end now. `moved`: what is known of the money by its answer."""
        amount = {"amount_minor": moved and moved.minor, "currency": moved and moved.currency}
        bound = SQL.bind("settle", call=call, state=state, result=result, error=error, **amount)
        return await connection.fetchval(*bound) is not None

    async def end_deferred(self, connection: Any, call: str, state: str, result: Any, error: Error | None) -> bool:
        """Whether the call still waited for its end, and has this one now."""
        bound = SQL.bind("end_deferred", call=call, state=state, result=result, error=error)
        return await connection.fetchval(*bound) is not None

    async def try_again(self, connection: Any, call: str, attempt: int) -> bool:
        return await connection.fetchval(*SQL.bind("try_again", call=call, attempt=attempt)) is not None

    async def count_unknown(self) -> int:
        return int(await self._pool.fetchval(*SQL.bind("count_unknown")))

    async def count_open(self, most: int) -> int:
        """Calls on their way, or that wait for no person, up to `most`."""
        return int(await self._pool.fetchval(*SQL.bind("count_open", most=most)))

    # -- the ledger and runs -----------------------------------------------------------------------------------------

    async def enter(
        self,
        connection: Any,
        call: str,
        attempt: int,
        phase: str,
        *,
        prepared: Prepared | None = None,
        status: int | None = None,
        headers: list[list[str]] | None = None,
        body: bytes | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """One ledger entry outside the hot path."""
        url, sent = redacted(prepared) if prepared else (None, None)
        await connection.execute(
            *SQL.bind(
                "enter",
                call=call,
                attempt=attempt,
                phase=phase,
                method=prepared.method if prepared else None,
                url=url,
                request_headers=sent,
                request_body=prepared.body if prepared else None,
                request_sha256=sha256_bytes(prepared.body) if prepared else None,
                status=status,
                headers=headers,
                body=body,
                sha256=sha256_bytes(body) if body is not None else None,
                detail=detail,
            )
        )

    async def runs(self, connection: Any, run_ids: Sequence[UUID]) -> list[Any]:
        """These runs as their readers see them."""
        rows = await connection.fetch(*SQL.bind("runs_seen", run_ids=list(run_ids)))
        return [row for row in rows if is_own(row)]

    async def open_run(self, agent: str, run: RunId) -> Any:
        """thread_id, conversation_id and traceparent of a run of this agent that is not over. None when it has none."""
        row = await self._pool.fetchrow(*SQL.bind("open_run", agent=agent, run=run))
        return row if row is not None and is_own(row) else None
