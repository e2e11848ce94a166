"""Typed access to the runtime's tables. One method per statement of store.sql; rows become dataclasses here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from shared.bus.dead_letters import write_dead_letter
from shared.bus.envelope import Message, headers_from_json, headers_to_json, parse_record
from shared.bus.kafka import Record
from shared.errors import NotFound, VioxError
from shared.ids import RunId, ThreadId
from shared.models.port import Toolbox, ToolSpec
from shared.runs import run_document
from shared.runtime.budgets import ModelBudgets
from shared.runtime.history import Call, Step
from shared.runtime.meter import NOTHING_SPENT, Spent
from shared.store.pool import Pool, json_column
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event or task that is about to become an inbox row."""

    record: Record
    message: Message
    kind: str
    thread_id: ThreadId
    conversation_id: str
    run_id: RunId
    parent_run_id: UUID | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A message of the inbox. `taken`: this activation works on it; else it is only looked at."""

    message: Message
    kind: str
    run_id: RunId
    topic: str
    value: bytes
    headers: list[list[str]]
    taken: bool


@dataclass(frozen=True, slots=True)
class RunRow:
    """The totals of a run so far."""

    run_id: RunId
    trigger_source: str
    trigger_id: str
    trigger_type: str
    parent_run_id: UUID | None
    started_at: datetime
    traceparent: str | None
    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A thread that this process holds the lease of, with what there is to do.

    `run` is the run that goes on or, where none is active, the one that begins. `results` are {state, result, error} of
    the awaited calls by call id: all of them, unless a control came first. `attempts` counts this activation, which began `at`
    this moment of the business's clock.
    """

    thread_id: ThreadId
    conversation_id: str
    version: int
    graph_version: str | None
    active: bool
    awaiting: list[str]
    next_seq: int
    attempts: int
    run: RunRow | None
    pending: list[Pending]
    results: dict[str, dict[str, Any]]
    at: datetime

    @property
    def triggers(self) -> list[Pending]:
        """Events and tasks that this activation works on."""
        return [p for p in self.pending if p.taken]

    @property
    def controls(self) -> list[Pending]:
        return [p for p in self.pending if p.kind == "control"]


@dataclass(slots=True)
class Commit:
    """Everything one activation did. `put_back` was taken from the inbox and is to be tried by itself.

    `failed_calls` and `outcome` are known after the commit of one that ends its run.
    """

    claimed: Claimed
    run: RunRow
    status: str
    graph_version: str
    steps: list[Step] = field(default_factory=list)
    joined: list[RunId] = field(default_factory=list)
    put_back: list[Pending] = field(default_factory=list)
    ends_controls: bool = False
    calls: list[Call] = field(default_factory=list)
    spent: Spent = NOTHING_SPENT
    model: str | None = None
    text: str | None = None
    error: dict[str, Any] | None = None
    failed_calls: int = 0
    outcome: str | None = None

    @property
    def awaiting(self) -> list[str]:
        return [call["call_id"] for call in self.calls]


@dataclass(frozen=True, slots=True)
class UnheardCall:
    """A call that a thread waits for and the gateway does not have: what is needed to send it again."""

    thread_id: ThreadId
    conversation_id: str
    run_id: RunId
    traceparent: str | None
    call_id: str
    turn: dict[str, Any]


class RuntimeStore:
    """The runtime's tables, for one agent."""

    def __init__(self, pool: Pool, agent: str) -> None:
        self._pool = pool
        self._agent = agent
        self.model_budgets = ModelBudgets(pool)

    async def routes(self, wanted: Sequence[tuple[str, str, str, str, str]]) -> list[tuple[str, str | None]]:
        """Who owns each of these addressed events: (source, id, channel, address, fallback) → (agent, conversation)."""
        rows = await self._pool.fetch(SQL["decide_routes"], *(list(column) for column in zip(*wanted, strict=True)))
        return [(r["agent"], r["conversation_id"]) for r in rows]

    async def sent_here(self, topic: str, messages: Sequence[Message]) -> list[tuple[str, Message]]:
        """(owner, message) of what senders of ours have on their way to a topic under the identities of these messages."""
        rows = await self._pool.fetch(SQL["sent_here"], topic, [m.source for m in messages], [m.id for m in messages])
        return [(r["owner"], parse_record(r["value"], headers_from_json(r["headers"]))) for r in rows]

    async def accept(
        self, items: Sequence[Accepted], owner: str, lease_seconds: float, *, take: bool
    ) -> tuple[dict[tuple[str, str], ThreadId], list[Claimed]]:
        """Store messages. Returns (source, id) and thread of those that are new, and the new threads that were taken at once."""
        rows = await self._pool.fetch(
            SQL["accept"],
            self._agent,
            [i.message.source for i in items],
            [i.message.id for i in items],
            [i.kind for i in items],
            [i.thread_id for i in items],
            [i.conversation_id for i in items],
            [i.run_id for i in items],
            [i.record.topic for i in items],
            [i.record.value or b"" for i in items],
            json_column(headers_to_json(i.record.headers) for i in items),
            [i.message.type for i in items],
            [i.traceparent for i in items],
            [i.parent_run_id for i in items],
            take,
            owner,
            lease_seconds,
        )
        fresh = {(row["source"], row["message_id"]): row["thread_id"] for row in rows}
        moments = {(row["source"], row["message_id"]): (row["began"], row["at"]) for row in rows if row["taken"]}
        taken = {(i.message.source, i.message.id): i for i in reversed(items)}
        return fresh, [_claimed_new(taken[identity], *moment) for identity, moment in moments.items()]

    async def held(self, messages: Sequence[Message]) -> dict[tuple[str, str], Message]:
        """What the inbox has under the identities of these messages."""
        rows = await self._pool.fetch(SQL["held"], self._agent, [m.source for m in messages], [m.id for m in messages])
        found = [parse_record(row["value"], headers_from_json(row["headers"])) for row in rows]
        return {(message.source, message.id): message for message in found}

    async def dead_letter(
        self,
        record: Record,
        error: VioxError,
        *,
        attempts: int,
        message: Message | None,
        run_id: UUID | None,
        connection: Any = None,
        identified: bool = True,
    ) -> UUID | None:
        """Set a record aside. Returns its id, or None when it lies there already."""
        given = (self._agent, record, error, attempts, message, run_id)
        return await write_dead_letter(connection or self._pool, *given, identified=identified)

    async def claim(self, thread: ThreadId, owner: str, lease_seconds: float) -> Claimed | None:
        """Take the thread's lease, or None when it is not free, not ready or has nothing to do."""
        rows = await self._pool.fetch(SQL["claim"], thread, owner, lease_seconds)
        if not rows:
            return None
        first = rows[0]
        return Claimed(
            ThreadId(first["thread_id"]),
            first["conversation_id"],
            first["version"],
            first["graph_version"],
            first["active_run"] is not None,
            list(first["awaiting"]),
            first["next_seq"],
            first["attempts"],
            _run_row(first) if first["run_id"] else None,
            [_pending(row) for row in rows if row["source"] is not None],
            first["results"] or {},
            first["at"],
        )

    async def run_row(self, run_id: RunId) -> RunRow:
        """Raises NotFound when there is no such run."""
        row = await self._pool.fetchrow(SQL["run_row"], run_id)
        if row is None:
            raise NotFound("run.not_found", f"there is no run {run_id}.", field="run")
        return _run_row(row)

    async def trigger(self, run: RunRow) -> Pending | None:
        """The message this run began with, or None when the inbox does not have it any more."""
        row = await self._pool.fetchrow(SQL["trigger"], self._agent, run.trigger_source, run.trigger_id)
        return _pending(row) if row else None

    async def steps(self, thread: ThreadId) -> list[Step]:
        rows = await self._pool.fetch(SQL["thread_steps"], thread, self._agent)
        return [Step(r["run_id"], r["step"], r["kind"], r["body"]) for r in rows]

    async def renew(self, threads: Sequence[ThreadId], owner: str, lease_seconds: float) -> None:
        await self._pool.execute(SQL["renew"], list(threads), owner, lease_seconds)

    async def release(self, thread: ThreadId, owner: str, *, retry_in: float | None, refund: int = 0) -> None:
        """Give the lease and `refund` attempts back. The thread is left alone for `retry_in` seconds; None leaves that as it was."""
        await self._pool.execute(SQL["release"], thread, owner, retry_in, refund)

    async def spend(self, thread: ThreadId, run_id: RunId, spent: Spent) -> None:
        """Put model work on a run that no commit of its own speaks of."""
        await self._pool.execute(
            SQL["spend"], run_id, spent.input_tokens, spent.output_tokens, spent.cost_microusd, thread
        )

    async def due(self, limit: int = 200) -> list[ThreadId]:
        rows = await self._pool.fetch(SQL["due"], self._agent, limit)
        return [row["thread_id"] for row in rows]

    async def unheard_calls(self, after_seconds: float, limit: int = 200) -> list[UnheardCall]:
        """Calls that threads wait for and that the gateway does not have this long after they were sent."""
        rows = await self._pool.fetch(SQL["unheard_calls"], self._agent, after_seconds, limit)
        return [UnheardCall(*row) for row in rows]

    async def remember_prompt(self, sha256: str, body: str) -> None:
        await self._pool.execute(SQL["remember_prompt"], sha256, body)

    async def tools(self) -> tuple[Toolbox, frozenset[str]]:
        """The tools that are granted, and the names of those whose answers have text from outside the business in them."""
        rows = await self._pool.fetch(SQL["tools_of"], self._agent)
        outside = frozenset(r["tool"] for r in rows if "reads_untrusted" in r["risk"])
        return Toolbox(ToolSpec(r["tool"], r["description"], r["input_schema"]) for r in rows), outside

    async def bury(self, connection: Any, message: Message) -> None:
        await connection.execute(SQL["bury"], self._agent, message.source, message.id)

    async def cancel_queued(
        self, thread: ThreadId, run_ids: Sequence[RunId], messages: Sequence[Pending]
    ) -> list[RunId]:
        """End runs that wait for their turn, together with their messages. Returns those that were ended."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(SQL["cancel_queued"], list(run_ids), thread)
            sources, ids = [p.message.source for p in messages], [p.message.id for p in messages]
            await connection.execute(SQL["set_aside"], self._agent, sources, ids)
        return [RunId(row["run_id"]) for row in rows]

    async def set_aside(self, pending: Sequence[Pending]) -> None:
        """Mark messages as done that have nothing left to do."""
        sources, ids = [p.message.source for p in pending], [p.message.id for p in pending]
        await self._pool.execute(SQL["set_aside"], self._agent, sources, ids)

    async def overview(self, run_ids: Sequence[UUID]) -> list[dict[str, Any]]:
        """Runs as the contract shows them."""
        return [run_document(row) for row in await self._pool.fetch(SQL["overview"], list(run_ids))]

    async def merged(self, thread: ThreadId, run_id: RunId) -> list[RunId]:
        """The runs that joined this one."""
        return [row["run_id"] for row in await self._pool.fetch(SQL["merged"], thread, run_id)]

    async def announcing(self, owner: str, settled_until: datetime) -> None:
        """Everything this process did until then was told to the bus."""
        await self._pool.execute(SQL["announcing"], owner, self._agent, settled_until)

    async def stop_announcing(self, owner: str) -> None:
        await self._pool.execute(SQL["stop_announcing"], owner)

    async def take_over_announcing(self, owner: str) -> datetime | None:
        """From when on runs must be told again, because a process died that had told until then; None when none did."""
        since: datetime | None = await self._pool.fetchval(SQL["take_over_announcing"], self._agent, owner)
        return since

    async def changed_since(self, since: datetime) -> list[dict[str, Any]]:
        """Runs that began or ended since then, as the contract shows them."""
        return [run_document(row) for row in await self._pool.fetch(SQL["changed_since"], self._agent, since)]

    def transaction(self) -> Any:
        """A connection to use in `async with`, for what belongs together."""
        return self._pool.acquire()

    async def commit(self, work: Commit, owner: str, connection: Any = None) -> bool | None:
        """Commit an activation. None: another process moved the thread, nothing was written. Else: is there more to do?

        How the run came out is set on `work`.
        """
        claimed, spent = work.claimed, work.spent
        row = await (connection or self._pool).fetchrow(
            SQL["commit"],
            claimed.thread_id,
            claimed.version,
            owner,
            work.graph_version,
            work.run.run_id if work.status == "running" else None,
            work.awaiting,
            len(work.steps),
            work.run.run_id,
            [s.step for s in work.steps],
            [s.kind for s in work.steps],
            json_column(s.body for s in work.steps),
            work.ends_controls,
            [p.message.source for p in work.put_back],
            [p.message.id for p in work.put_back],
            work.status,
            work.joined,
            len(work.calls),
            spent.input_tokens,
            spent.output_tokens,
            spent.cost_microusd,
            work.model,
            work.text,
            work.error,
        )
        if row is None:
            return None
        work.failed_calls, work.outcome = row["failed_calls"] or 0, row["outcome"]
        return bool(row["more"])


def _claimed_new(item: Accepted, began: datetime, at: datetime) -> Claimed:
    """A new thread that was taken when its first message was stored."""
    message, record = item.message, item.record
    run = RunRow(item.run_id, message.source, message.id, message.type, item.parent_run_id, began, item.traceparent)
    headers = headers_to_json(record.headers)
    pending = Pending(message, item.kind, item.run_id, record.topic, record.value or b"", headers, True)
    return Claimed(item.thread_id, item.conversation_id, 0, None, False, [], 0, 1, run, [pending], {}, at)


def _pending(row: Any) -> Pending:
    message = parse_record(row["value"], headers_from_json(row["headers"]))
    return Pending(message, row["kind"], row["message_run"], row["topic"], row["value"], row["headers"], row["taken"])


def _run_row(row: Any) -> RunRow:
    return RunRow(**{name: row[name] for name in RunRow.__slots__})
