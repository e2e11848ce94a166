"""Typed access to the gateway's tables: calls, ledger, rates. One method per statement of store.sql."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from services.tool_gateway.approvals import standing
from services.tool_gateway.call.call import (
    Agreement,
    CallRow,
    Candidate,
    Contact,
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
from services.tool_gateway.call.sealed import Opened, Seals
from services.tool_gateway.catalogue.tools import Rate, Tool
from services.tool_gateway.policy.context import Known
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.facts import known_of
from services.tool_gateway.policy.figures import readable_figures
from services.tool_gateway.wire.credentials import redacted
from services.tool_gateway.wire.prepared import Prepared
from shared.ids import CallId, RunId, approval_id, is_run_of
from shared.store.pool import Pool
from shared.store.sql import Queries, base64_text, record
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
        return {(row["agent"], row["call_id"]): _preconditions(row, stopped) for row in rows}

    async def known_of(
        self, policies: Policies, tools: Mapping[str, Tool], calls: Sequence[Requested], connection: Any = None
    ) -> dict[tuple[str, CallId], Known]:
        """What policies may know of each (agent, call) that they read something of."""
        return await known_of(connection or self._pool, policies, tools, calls)

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
        sensitive = _sensitive(decisions)
        if sensitive and connection is None:
            async with self.transaction() as own, own.transaction():
                return await self.intake(decisions, own)
        rows = await (connection or self._pool).fetch(
            *SQL.bind("intake", calls=[_new_row(one) for one in decisions], owner=self.owner)
        )
        fresh = {row["call_id"] for row in rows}
        await self._seals.keep(connection, {call: one for call, one in sensitive.items() if call in fresh})
        return fresh

    async def intents(self, decisions: Sequence[Decision], connection: Any) -> None:
        """Write down what is about to be sent for calls that waited."""
        for one in decisions:
            if one.standing:
                await standing.note(connection, one.call.call_id, one.standing)
        rows = [_intent_row(one) for one in decisions if one.prepared]
        if rows:
            await connection.execute(*SQL.bind("intents", intents=rows))
            if agreed := [_reached_row(one) for one in decisions if one.prepared and _was_asked(one.call)]:
                await connection.execute(*SQL.bind("reached", calls=agreed))
            await self._seals.keep(connection, _sensitive([one for one in decisions if one.prepared]))

    async def close(self, outcomes: Sequence[Outcome], connection: Any = None) -> set[str]:
        """Write outcomes; returns the ids whose attempt was still their own. The others are recorded as incidents."""
        rows = await (connection or self._pool).fetch(
            *SQL.bind("close", outcomes=[_outcome_row(one) for one in outcomes], owner=self.owner)
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
        claimed = [_opened(row, opened) for row in rows]
        repeats = [row.call_id for row in claimed if row.effect != "read" and row.attempt > 1]
        first = await self.first_intents(connection, repeats)
        first |= {call: _as_sent(intent, opened[call]) for call, intent in first.items() if call in opened}
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
        return {row["call_id"]: _intent(row) for row in rows}

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
        return [_call_row(row) for row in await connection.fetch(*bound)]

    async def give_up_lost(self, connection: Any, lost: Error, ended: Error, limit: int) -> list[tuple[str, str]]:
        """(call id, tool) of calls that became unknown: `lost` where the executor is gone, `ended` where the run is."""
        bound = SQL.bind("give_up_lost", owner=self.owner, lost=lost, ended=ended, limit=limit)
        return [(row["call_id"], row["tool"]) for row in await connection.fetch(*bound)]

    # -- unknown calls -----------------------------------------------------------------------------------------------

    async def claim_unknown(self, limit: int, again_seconds: float, but_of: Sequence[str]) -> list[CallRow]:
        bound = SQL.bind("claim_unknown", limit=limit, again_seconds=again_seconds, but_of=list(but_of))
        rows = await self._pool.fetch(*bound)
        opened = await self._seals.opened(self._pool, [row["call_id"] for row in rows])
        return [_opened(row, opened) for row in rows]

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

    async def settle(self, connection: Any, call: str, state: str, result: Any, error: Error | None) -> bool:
        """Whether the call was still unknown, and has this end now."""
        bound = SQL.bind("settle", call=call, state=state, result=result, error=error)
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
        return [row for row in rows if _is_own(row)]

    async def open_run(self, agent: str, run: RunId) -> Any:
        """thread_id, conversation_id and traceparent of a run of this agent that is not over. None when it has none."""
        row = await self._pool.fetchrow(*SQL.bind("open_run", agent=agent, run=run))
        return row if row is not None and _is_own(row) else None


def _preconditions(row: Any, opted_out: frozenset[Contact]) -> Preconditions:
    own = row["trigger_source"] is not None and _is_own(row) and row["own_thread"]
    return Preconditions(
        row["duplicate_in_doubt"],
        row["run_over"],
        row["paused"],
        own,
        row["exists"],
        opted_out,
        row["same_call"],
        agreed=Agreement(row["agreed"]["people"], frozenset(row["agreed"]["rules"])) if row["agreed"] else None,
        decided=row["decided"],
        paused_vendors=frozenset(row["paused_vendors"]),
        lifted=frozenset(row["lifted"] or ()),
    )


def _call_row(row: Any) -> CallRow:
    """A stored call as it runs: with the arguments that a person put in the place of the agent's."""
    found = record(CallRow, row)
    return found if row["revised"] is None else replace(found, arguments=row["revised"])


def _is_own(run: Any) -> bool:
    """Whether a run stands under the id derived from its agent: an agent may write rows of its own under any id."""
    return is_run_of(run["run_id"], run["agent"], run["trigger_source"], run["trigger_id"])


def _new_row(decision: Decision) -> dict[str, Any]:
    """A call on its way into the tables."""
    call, tool = decision.call, decision.tool
    row: dict[str, Any] = {
        "call_id": call.call_id,
        "run_id": call.run_id,
        "step": call.step,
        "idx": call.index,
        "agent": call.agent,
        "thread_id": call.thread_id,
        "conversation_id": call.conversation_id,
        "tool": call.tool,
        "state": decision.state,
        "arguments": decision.shown_arguments if decision.is_sensitive else orjson.Fragment(call.arguments_json),
        "sha256": call.digest,
        "not_before": decision.not_before,
        "error": decision.error,
        "traceparent": call.traceparent,
        "deadline": call.deadline,
        "checks": decision.checks,
        "live": call.live,
        "reserved": decision.reserved,
    }
    if tool:
        row |= {"vendor": tool.vendor, "effect": tool.effect}
        row |= _judged_by(tool, call) if not decision.error else {}
    if decision.asking:
        row["approval_id"] = approval_id(call.call_id, 1)
    elif decision.standing:
        row["approval_id"] = decision.standing
    if decision.prepared:
        row |= _request(decision.prepared, decision.shown) | {"lease_seconds": decision.lease_seconds}
    if contact := decision.contact:
        row["channel"], row["address"] = contact
    return row


def _judged_by(tool: Tool, call: Requested) -> dict[str, Any]:
    """What later calls are judged by."""
    figures = readable_figures(tool, call.arguments)
    amount = {"amount_minor": figures.amount.minor, "currency": figures.amount.currency} if figures.amount else {}
    return amount | {"counterparties": figures.counterparties or None, "labels": tool.risk}


def _was_asked(call: Requested) -> bool:
    """People were asked about it: whom it reaches is what they agreed to, and known only now."""
    return isinstance(call, CallRow) and call.approval_id is not None


def _reached_row(decision: Decision) -> dict[str, Any]:
    assert decision.tool  # noqa: S101  # the caller asks for those that are sent
    call, (channel, address) = decision.call, decision.contact or (None, None)
    named = {"call_id": call.call_id, "tool": call.tool, "agent": call.agent, "conversation_id": call.conversation_id}
    return named | {"channel": channel, "address": address} | _judged_by(decision.tool, call)


def _intent_row(decision: Decision) -> dict[str, Any]:
    assert decision.prepared  # noqa: S101  # the caller asks for those that are sent
    named = {"call_id": decision.call.call_id, "attempt": decision.candidate.attempt, "checks": decision.checks}
    return named | _request(decision.prepared, decision.shown)


def _sensitive(decisions: Sequence[Decision]) -> dict[str, tuple[dict[str, Any], Prepared | None]]:
    """call id → arguments and request that are kept sealed. What is denied is needed no more."""
    wanted = [one for one in decisions if not one.error and one.is_sensitive]
    return {one.call.call_id: (one.call.arguments, one.prepared) for one in wanted}


def _opened(row: Any, opened: Mapping[str, Opened]) -> CallRow:
    """A stored call with its real arguments. What a person put in their place has nothing sensitive."""
    call, found = _call_row(row), opened.get(row["call_id"])
    return call if found is None or row["revised"] is not None else replace(call, arguments=found.arguments or {})


def _as_sent(intent: Intent, opened: Opened) -> Intent:
    """An intent with the bytes that were sent, which the ledger does not have."""
    if opened.request is None:
        return intent
    url, headers, body = opened.request
    return replace(intent, url=url, headers=headers, body=body)


def _request(sent: Prepared, shown: Prepared | None) -> dict[str, Any]:
    """A request as the ledger keeps it."""
    prepared = shown or sent
    url, headers = redacted(prepared)
    told = {"redacted": {"original_sha256": sha256_bytes(sent.body), "original_bytes": len(sent.body)}}
    return {
        "detail": None if prepared is sent else told,
        "method": prepared.method,
        "url": url,
        "request_headers": headers,
        "request_body": base64_text(prepared.body),
        "request_sha256": sha256_bytes(prepared.body),
    }


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    body = outcome.body
    return {
        "call_id": outcome.call_id,
        "attempt": outcome.attempt,
        "state": outcome.state,
        "http_status": outcome.http_status,
        "latency_ms": outcome.latency_ms,
        "result": outcome.result,
        "error": outcome.error,
        "not_before": outcome.not_before,
        "headers": outcome.headers,
        "body": base64_text(body),
        "sha256": sha256_bytes(body) if body is not None else None,
        "detail": outcome.detail,
    }


def _intent(row: Any) -> Intent:
    found = record(Intent, row)
    return Intent(
        found.method, found.url, [(k, v) for k, v in found.headers], found.body or b"", found.at, found.in_doubt
    )
