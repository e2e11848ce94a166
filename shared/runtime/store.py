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
from shared.bus.messages import GATEWAY_SOURCE
from shared.bus.outbox import Outgoing, columns
from shared.errors import NotFound, VioxError
from shared.ids import RunId, ThreadId
from shared.models.port import ChatReply, Toolbox, ToolSpec
from shared.models.prices import cost_microusd
from shared.runtime.history import Step
from shared.runtime.saver import Buffer
from shared.store.pool import Pool, json_column
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is about to become an inbox row."""

    record: Record
    message: Message
    kind: str
    thread_id: ThreadId
    conversation_id: str
    run_id: RunId
    parent_run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An inbox row that waits to be worked on. When it is `counted` this activation takes it, and `attempts` includes it."""

    message: Message
    kind: str
    run_id: RunId
    topic: str
    value: bytes
    headers: list[list[str]]
    attempts: int
    received_at: datetime
    counted: bool


@dataclass(frozen=True, slots=True)
class RunRow:
    """The counters of a run so far."""

    run_id: RunId
    trigger_source: str
    trigger_id: str
    trigger_type: str
    parent_run_id: UUID | None
    started_at: datetime
    traceparent: str | None
    steps: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost_microusd: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A thread that this process holds the lease of, with what waits in its inbox.

    `replies` are the model's answers in this activation: they cost the same whether it commits, fails or is discarded.
    """

    thread_id: ThreadId
    conversation_id: str
    version: int
    graph_version: str | None
    awaiting: list[str]
    next_seq: int
    run: RunRow | None
    pending: list[Pending]
    replies: list[ChatReply] = field(default_factory=list)

    @property
    def spent(self) -> Spent:
        return Spent(
            sum(r.usage.input for r in self.replies),
            sum(r.usage.output for r in self.replies),
            sum(cost_microusd(r.answering_model, r.usage) or 0 for r in self.replies),
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """What model work cost, in tokens and in millionths of a dollar."""

    input_tokens: int
    output_tokens: int
    cost_microusd: int


@dataclass(slots=True)
class Commit:
    """Everything one activation did."""

    claimed: Claimed
    run_id: RunId
    status: str
    awaiting: list[str]
    graph_version: str
    steps: list[Step] = field(default_factory=list)
    taken: list[Pending] = field(default_factory=list)
    joined: list[RunId] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    saved: Buffer = field(default_factory=Buffer)
    tool_calls: int = 0
    model: str | None = None
    text: str | None = None
    error: dict[str, Any] | None = None


class RuntimeStore:
    """The runtime's tables, for one agent."""

    def __init__(self, pool: Pool, agent: str) -> None:
        self._pool = pool
        self._agent = agent

    async def routes(
        self, wanted: Sequence[tuple[str, str, str, str, str]]
    ) -> dict[tuple[str, str], tuple[str, str | None]]:
        """Who owns these addressed events: (source, id, channel, address, fallback) → {(source, id): (agent, conversation)}."""
        arrays = [list(column) for column in zip(*wanted, strict=True)]
        await self._pool.execute(SQL["decide_routes"], *arrays)
        rows = await self._pool.fetch(SQL["read_routes"], arrays[0], arrays[1])
        return {(r["source"], r["message_id"]): (r["agent"], r["conversation_id"]) for r in rows}

    async def accept(self, items: Sequence[Accepted]) -> dict[tuple[str, str], ThreadId]:
        """Store messages; returns (source, id) and thread of those that are new."""
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
            [i.message.traceparent for i in items],
            [i.parent_run_id for i in items],
        )
        return {(row["source"], row["message_id"]): row["thread_id"] for row in rows}

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
    ) -> UUID | None:
        """Set a record aside. Returns its id, or None when it lies there already."""
        return await write_dead_letter(connection or self._pool, self._agent, record, error, attempts, message, run_id)

    async def claim(self, thread: ThreadId, owner: str, lease_seconds: float) -> Claimed | None:
        """Take the thread's lease, or None when it is not free, not ready or has nothing to do."""
        rows = await self._pool.fetch(SQL["claim"], thread, owner, lease_seconds, GATEWAY_SOURCE)
        if not rows:
            return None
        first = rows[0]
        if first["source"] is None:
            await self.release(thread, owner, retry_in=None)
            return None
        run = _run_row(first["active_run"], first) if first["active_run"] else None
        return Claimed(
            ThreadId(first["thread_id"]),
            first["conversation_id"],
            first["version"],
            first["graph_version"],
            list(first["awaiting"]),
            first["next_seq"],
            run,
            [_pending(row) for row in rows],
        )

    async def run_row(self, run_id: RunId) -> RunRow:
        """Raises NotFound when there is no such run."""
        row = await self._pool.fetchrow(SQL["run_row"], run_id)
        if row is None:
            raise NotFound("run.not_found", f"there is no run {run_id}.", field="run")
        return _run_row(run_id, row)

    async def trigger(self, run: RunRow) -> Pending | None:
        """The message this run began with, or None when the inbox does not have it any more."""
        row = await self._pool.fetchrow(SQL["trigger"], self._agent, run.trigger_source, run.trigger_id)
        return _pending(row) if row else None

    async def steps(self, thread: ThreadId) -> list[Step]:
        rows = await self._pool.fetch(SQL["thread_steps"], thread)
        return [Step(r["run_id"], r["step"], r["kind"], r["body"]) for r in rows]

    async def renew(self, threads: Sequence[ThreadId], owner: str, lease_seconds: float) -> None:
        await self._pool.execute(SQL["renew"], list(threads), owner, lease_seconds)

    async def release(
        self, thread: ThreadId, owner: str, *, retry_in: float | None, refund: Sequence[Pending] = ()
    ) -> None:
        """Give the lease back. The thread is left alone for `retry_in` seconds; None leaves that as it was."""
        sources, ids = [p.message.source for p in refund], [p.message.id for p in refund]
        await self._pool.execute(SQL["release"], thread, owner, retry_in, sources, ids)

    async def spend(self, run_id: RunId, spent: Spent) -> None:
        """Put model work on a run that no commit of its own speaks of."""
        await self._pool.execute(SQL["spend"], run_id, spent.input_tokens, spent.output_tokens, spent.cost_microusd)

    async def due(self, limit: int = 200) -> list[ThreadId]:
        rows = await self._pool.fetch(SQL["due"], self._agent, GATEWAY_SOURCE, limit)
        return [row["thread_id"] for row in rows]

    async def remember_prompt(self, sha256: str, body: str) -> None:
        await self._pool.execute(SQL["remember_prompt"], sha256, body)

    async def tools(self) -> Toolbox:
        rows = await self._pool.fetch(SQL["tools_of"], self._agent)
        return Toolbox(ToolSpec(r["tool"], r["description"], r["input_schema"]) for r in rows)

    async def bury(self, connection: Any, message: Message) -> None:
        await connection.execute(SQL["bury"], self._agent, message.source, message.id)

    async def cancel_queued(self, run_ids: Sequence[RunId], messages: Sequence[Pending]) -> None:
        """End runs that wait for their turn, together with their messages."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["cancel_queued"], list(run_ids))
            sources, ids = [p.message.source for p in messages], [p.message.id for p in messages]
            await connection.execute(SQL["set_aside"], self._agent, sources, ids)

    async def set_aside(self, pending: Sequence[Pending]) -> None:
        """Mark messages as taken that have nothing left to do."""
        sources, ids = [p.message.source for p in pending], [p.message.id for p in pending]
        await self._pool.execute(SQL["set_aside"], self._agent, sources, ids)

    def transaction(self) -> Any:
        """A connection to use in `async with`, for what belongs together."""
        return self._pool.acquire()

    async def commit(self, work: Commit, owner: str, connection: Any = None) -> bool | None:
        """Commit an activation. None: another process moved the thread, nothing was written. Else: is there more to do?"""
        claimed, spent = work.claimed, work.claimed.spent
        saved = work.saved
        row = await (connection or self._pool).fetchrow(
            SQL["commit"],
            claimed.thread_id,
            claimed.version,
            owner,
            work.graph_version,
            work.run_id if work.status == "running" else None,
            work.awaiting,
            len(work.steps),
            [s.run_id for s in work.steps],
            [s.step for s in work.steps],
            [s.kind for s in work.steps],
            json_column(s.body for s in work.steps),
            [p.message.source for p in work.taken],
            [p.message.id for p in work.taken],
            work.run_id,
            work.status,
            work.tool_calls,
            spent.input_tokens,
            spent.output_tokens,
            spent.cost_microusd,
            work.model,
            work.text,
            work.error,
            work.joined,
            *columns(work.outgoing),
            *_columns(saved.checkpoints, 5),
            *_columns(saved.writes, 7),
        )
        return None if row is None else bool(row["more"])


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[i] for row in rows] for i in range(width)]


def _pending(row: Any) -> Pending:
    headers = headers_from_json(row["headers"])
    return Pending(
        parse_record(row["value"], headers),
        row["kind"],
        row["run_id"],
        row["topic"],
        row["value"],
        row["headers"],
        row["attempts"],
        row["received_at"],
        row["counted"],
    )


def _run_row(run_id: UUID, row: Any) -> RunRow:
    return RunRow(
        RunId(run_id),
        row["trigger_source"],
        row["trigger_id"],
        row["trigger_type"],
        row["parent_run_id"],
        row["started_at"],
        row["traceparent"],
        row["run_steps"],
        row["run_tool_calls"],
        row["input_tokens"],
        row["output_tokens"],
        row["cost_microusd"],
    )
