"""Typed access to the gateway's tables: calls, ledger, rates. One method per statement of store.sql."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Rate, Tool
from services.tool_gateway.wire.credentials import redacted
from services.tool_gateway.wire.prepared import Prepared
from shared.bus.outbox import Outgoing, columns
from shared.ids import CallId, RunId, ThreadId
from shared.models.port import sha256_json
from shared.store.pool import Pool, json_column
from shared.store.sql import Queries
from shared.telemetry.digest import sha256_bytes

SQL = Queries(Path(__file__).with_name("store.sql"))
RATE_SLOT_VALID_SECONDS = 2.0  # after it came: calls that were held up longer must not all go at once


@dataclass(frozen=True, slots=True)
class Requested:
    """A tool call as it came from the bus; `agent` is from the topic, not from the message."""

    call_id: CallId
    run_id: RunId
    step: int
    index: int
    agent: str
    thread_id: ThreadId
    conversation_id: str
    tool: str
    arguments: dict[str, Any]
    traceparent: str | None
    deadline: datetime | None = None

    @property
    def digest(self) -> str:
        return sha256_json(self.arguments)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What the tables say about a call before it begins."""

    duplicate_in_doubt: bool
    run_over: bool
    paused: bool
    own_run: bool = True
    known: bool = False


@dataclass(slots=True)
class Admitted:
    """A judged call on its way into the tables: its state, its first ledger entry, its answer when it ends at once."""

    call: Requested
    state: str
    checks: list[dict[str, Any]]
    tool: Tool | None = None
    lease_seconds: float = 0.0
    not_before: datetime | None = None
    error: dict[str, Any] | None = None
    prepared: Prepared | None = None
    address: tuple[str, str] | None = None
    answer: Outgoing | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as the table has it."""

    call_id: CallId
    run_id: RunId
    step: int
    index: int
    agent: str
    thread_id: ThreadId
    conversation_id: str
    tool: str
    vendor: str
    effect: str
    state: str
    arguments: dict[str, Any]
    attempt: int
    look_ups: int
    lease_until: datetime | None
    unknown_since: datetime | None
    traceparent: str | None
    deadline: datetime | None = None
    not_before: datetime | None = None
    rate_slot_reserved: bool = False
    intended_at: datetime | None = None

    def requested(self) -> Requested:
        """The call as it was asked for."""
        return Requested(
            self.call_id,
            self.run_id,
            self.step,
            self.index,
            self.agent,
            self.thread_id,
            self.conversation_id,
            self.tool,
            self.arguments,
            self.traceparent,
            self.deadline,
        )


@dataclass(frozen=True, slots=True)
class Known:
    """Whose call an identity stands for, and who is executing it."""

    agent: str
    tool: str
    digest: str
    state: str
    attempt: int
    owner: str | None


@dataclass(slots=True)
class Outcome:
    """How one attempt ended. `state` is succeeded, failed, unknown, or requested when it will be tried again."""

    call_id: CallId
    attempt: int
    state: str
    http_status: int | None
    latency_ms: float
    result: Any
    error: dict[str, Any] | None
    not_before: datetime | None
    headers: list[list[str]] | None
    body: bytes | None
    detail: dict[str, Any] | None
    answer: Outgoing | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A request as the ledger keeps it, names of secrets in the place of secrets.

    `in_doubt`: it, or a repeat of it, may have taken effect, and no look-up has shown that it did not.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    at: datetime
    in_doubt: bool


class GatewayStore:
    """The gateway's tables."""

    def __init__(self, pool: Pool, owner: str) -> None:
        self._pool = pool
        self.owner = owner

    def transaction(self) -> Any:
        return self._pool.acquire()

    async def preconditions(
        self, calls: Sequence[Requested], connection: Any = None
    ) -> dict[tuple[str, CallId], Preconditions]:
        """What the tables say of each (agent, call)."""
        rows = await (connection or self._pool).fetch(
            SQL["preconditions"],
            [c.call_id for c in calls],
            [c.thread_id for c in calls],
            [c.tool for c in calls],
            [c.digest for c in calls],
            [c.run_id for c in calls],
            [c.agent for c in calls],
        )
        return {
            (r["agent"], CallId(r["call_id"])): Preconditions(
                r["duplicate_in_doubt"], r["run_over"], r["paused"], r["own_run"], r["known"]
            )
            for r in rows
        }

    async def reserve_rate_slots(
        self, calls: Sequence[tuple[CallId, Rate, str]], connection: Any = None
    ) -> dict[CallId, datetime]:
        """Reserve a turn for each (call, rate, rate key); when it comes. Keys in order, as their rows are locked one by one."""
        if not calls:
            return {}
        ordered = sorted(calls, key=lambda item: item[2])
        places = Counter(key for _, _, key in ordered)
        rates = {key: rate for _, rate, key in ordered}
        rows = await (connection or self._pool).fetch(
            SQL["reserve_rate_slots"],
            list(places),
            [rates[k].per_second for k in places],
            [int(rates[k].burst) for k in places],
            list(places.values()),
        )
        return {call: row["may_go"] for (call, _, _), row in zip(ordered, rows, strict=True)}

    async def put_back(self, connection: Any, turns: Mapping[CallId, datetime]) -> None:
        await connection.execute(SQL["put_back"], list(turns), list(turns.values()))

    async def pause_rate(self, key: str, seconds: float) -> None:
        await self._pool.execute(SQL["pause_rate"], key, seconds)

    async def intake(self, admitted: Sequence[Admitted]) -> set[str]:
        """Store calls; returns the ids of those that are new. One statement, one commit."""
        requests = [a for a in admitted if a.prepared]
        addresses = [a for a in admitted if a.address]
        calls = [a.call for a in admitted]
        rows = await self._pool.fetch(
            SQL["intake"],
            [c.call_id for c in calls],
            [c.run_id for c in calls],
            [c.step for c in calls],
            [c.index for c in calls],
            [c.agent for c in calls],
            [c.thread_id for c in calls],
            [c.conversation_id for c in calls],
            [c.tool for c in calls],
            [a.tool.vendor if a.tool else None for a in admitted],
            [a.tool.effect if a.tool else None for a in admitted],
            [a.state for a in admitted],
            json_column(c.arguments for c in calls),
            [c.digest for c in calls],
            [self.owner if a.state == "executing" else None for a in admitted],
            [a.lease_seconds for a in admitted],
            [a.not_before for a in admitted],
            json_column(a.error for a in admitted),
            [c.traceparent for c in calls],
            ["intent" if a.state == "executing" else "decision" for a in admitted],
            json_column(a.checks for a in admitted),
            *_requests([(a.call.call_id, a.prepared) for a in requests if a.prepared]),
            [a.call.call_id for a in addresses],
            [a.address[0] for a in addresses if a.address],
            [a.address[1] for a in addresses if a.address],
            *columns([a.answer for a in admitted if a.answer]),
            [c.deadline for c in calls],
        )
        return {row["call_id"] for row in rows}

    async def known(self, ids: Sequence[str]) -> dict[str, Known]:
        """call id → what is known of it, for calls that exist."""
        rows = await self._pool.fetch(SQL["known_calls"], list(ids))
        return {r["call_id"]: Known(*list(r.values())[1:]) for r in rows}

    async def close(self, outcomes: Sequence[Outcome], connection: Any = None) -> set[str]:
        """Write outcomes; returns the ids whose attempt was still their own. The others are recorded as incidents."""
        answers = [o.answer for o in outcomes if o.answer]
        rows = await (connection or self._pool).fetch(
            SQL["close"],
            [o.call_id for o in outcomes],
            [o.attempt for o in outcomes],
            [o.state for o in outcomes],
            [o.http_status for o in outcomes],
            [o.latency_ms for o in outcomes],
            json_column(o.result for o in outcomes),
            json_column(o.error for o in outcomes),
            [o.not_before for o in outcomes],
            self.owner,
            *columns(answers),
            [o.call_id for o in outcomes],
            [o.attempt for o in outcomes],
            [o.http_status for o in outcomes],
            json_column(o.headers for o in outcomes),
            [o.body for o in outcomes],
            [sha256_bytes(o.body) if o.body is not None else None for o in outcomes],
            json_column(o.detail for o in outcomes),
        )
        return {row["call_id"] for row in rows}

    async def claim_due(
        self, connection: Any, lease: float, leases: Mapping[str, float], places: InFlightLimiter, limit: int
    ) -> list[CallRow]:
        """Calls that may go. `lease` in seconds; `leases` are those of tools that have others."""
        limited = places.limited()
        rows = await connection.fetch(
            SQL["claim_due"],
            self.owner,
            lease,
            limit,
            places.most,
            list(limited),
            list(limited.values()),
            list(leases),
            list(leases.values()),
            places.full(),
            RATE_SLOT_VALID_SECONDS,
        )
        return [_call_row(row) for row in rows]

    async def deny_over(self, connection: Any) -> list[tuple[str, int]]:
        return [(row["call_id"], row["attempt"]) for row in await connection.fetch(SQL["deny_over"])]

    async def next_due(self, full: Sequence[str]) -> datetime | None:
        moment: datetime | None = await self._pool.fetchval(SQL["next_due"], list(full))
        return moment

    async def claim_lost(self, connection: Any, limit: int) -> list[CallRow]:
        return [_call_row(row) for row in await connection.fetch(SQL["claim_lost"], limit)]

    async def mark_unknown(self, connection: Any, ids: Sequence[str], error: dict[str, Any]) -> None:
        await connection.execute(SQL["mark_unknown"], list(ids), error)

    async def fail(self, connection: Any, call: str, error: dict[str, Any]) -> None:
        await connection.execute(SQL["fail"], call, error)

    async def intents(self, connection: Any, items: Sequence[tuple[CallRow, Prepared, list[dict[str, Any]]]]) -> None:
        ids, methods, urls, headers, bodies, digests = _requests([(row.call_id, p) for row, p, _ in items])
        attempts, checks = [row.attempt for row, _, _ in items], json_column(checks for _, _, checks in items)
        await connection.execute(SQL["intents"], ids, attempts, checks, methods, urls, headers, bodies, digests)

    async def first_intents(self, connection: Any, ids: Sequence[str]) -> dict[str, Intent]:
        """call id → what was sent for it the first time."""
        if not ids:
            return {}
        rows = await connection.fetch(SQL["first_intents"], list(ids))
        return {
            r["call_id"]: Intent(
                r["method"],
                r["url"],
                [(k, v) for k, v in r["request_headers"]],
                r["request_body"] or b"",
                r["at"],
                r["in_doubt"],
            )
            for r in rows
        }

    async def claim_unknown(self, limit: int, again_seconds: float, but_of: Sequence[str]) -> list[CallRow]:
        rows = await self._pool.fetch(SQL["claim_unknown"], limit, again_seconds, list(but_of))
        return [_call_row(row, row["intended_at"]) for row in rows]

    async def look_again(self, call: str, at: datetime) -> None:
        await self._pool.execute(SQL["look_again"], call, at)

    async def taken_items(
        self, connection: Any, tool: str, place: Sequence[str], ids: Sequence[str], since: datetime
    ) -> set[str]:
        """Ids that other calls of the tool have, closed at `since` or later. No other replica settles the tool's calls until
        the transaction ends."""
        await connection.execute(SQL["settling"], tool)
        rows = await connection.fetch(SQL["taken_items"], tool, list(place), list(ids), since)
        return {row["id"] for row in rows}

    async def settle(
        self, connection: Any, call: str, state: str, result: Any, error: dict[str, Any] | None
    ) -> CallRow | None:
        row = await connection.fetchrow(SQL["settle"], call, state, result, error)
        return _call_row(row) if row else None

    async def try_again(self, connection: Any, call: str, attempt: int) -> bool:
        return await connection.fetchval(SQL["try_again"], call, attempt) is not None

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
        url, sent = redacted(prepared) if prepared else (None, [])
        await connection.execute(
            SQL["enter"],
            call,
            attempt,
            phase,
            prepared.method if prepared else None,
            url,
            [list(h) for h in sent] if prepared else None,
            prepared.body if prepared else None,
            sha256_bytes(prepared.body) if prepared else None,
            status,
            headers,
            body,
            sha256_bytes(body) if body is not None else None,
            detail,
        )

    async def runs(self, connection: Any, run_ids: Sequence[UUID]) -> list[Any]:
        return list(await connection.fetch(SQL["runs_seen"], list(run_ids)))

    async def publish(self, catalogue: Catalogue) -> None:
        """Make the catalogue visible to agents, the command line and the console."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.executemany(
                SQL["publish_tool"],
                [
                    (
                        t.name,
                        t.vendor,
                        t.method,
                        t.path,
                        t.effect,
                        list(t.risk),
                        t.description,
                        t.model_schema,
                        catalogue.granted_to(t.name),
                    )
                    for t in catalogue.tools.values()
                ],
            )
            await connection.execute(SQL["withdraw_tools"], list(catalogue.tools))
            await connection.execute("select pg_notify('viox_catalogue', '')")

    async def documents(self) -> list[tuple[str, dict[str, Any]]]:
        """Imported documents: name and content."""
        return [(row["name"], row["content"]) for row in await self._pool.fetch(SQL["documents"])]

    async def documents_stamp(self) -> str:
        """Changes whenever an imported document does."""
        return str(await self._pool.fetchval(SQL["documents_stamp"]))

    async def count_unknown(self) -> int:
        return int(await self._pool.fetchval(SQL["count_unknown"]))


def _requests(items: Sequence[tuple[CallId, Prepared]]) -> tuple[list[Any], ...]:
    kept = [redacted(p) for _, p in items]
    return (
        [call_id for call_id, _ in items],
        [p.method for _, p in items],
        [url for url, _ in kept],
        json_column([list(h) for h in headers] for _, headers in kept),
        [p.body for _, p in items],
        [sha256_bytes(p.body) for _, p in items],
    )


def _call_row(row: Any, intended_at: datetime | None = None) -> CallRow:
    return CallRow(
        row["call_id"],
        row["run_id"],
        row["step"],
        row["idx"],
        row["agent"],
        row["thread_id"],
        row["conversation_id"],
        row["tool"],
        row["vendor"],
        row["effect"],
        row["state"],
        row["arguments"],
        row["attempt"],
        row["look_ups"],
        row["lease_until"],
        row["unknown_since"],
        row["traceparent"],
        row["deadline"],
        row["not_before"],
        row["rate_slot_reserved"],
        intended_at,
    )
