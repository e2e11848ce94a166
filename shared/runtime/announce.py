"""What an agent tells the bus: its tool calls, and how its runs stand.

Neither has a row of its own. A call is sent again from the step that wants it, until the gateway has it. A run is told
from its row: what this process told and the broker did not take is told again, and what a process that died had not told
for certain is told again by another one. Ids are derived, so readers recognise repeats.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.messages import RUN_FINISHED, RUN_STARTED, RUN_WAITING, ToolCallRequested, call_requested, run_changed
from shared.bus.publisher import Publisher
from shared.runtime.history import Call
from shared.runtime.store import Claimed, Commit, RunRow, RuntimeStore
from shared.telemetry.logs import get_logger
from shared.telemetry.trace import span_of_run, under

log = get_logger(__name__)
EVERY_SECONDS = 2.0
RESEND_AFTER_SECONDS = 3.0
TAKE_OVER_EVERY = 5  # rounds
SLACK = timedelta(seconds=30)  # a commit may take, and our clock may differ from the database's, by so much
MAX_PENDING = 20_000


def call_message(agent: str, conversation_id: str, traceparent: str | None, wanted: Call, now: datetime) -> Message:
    """One tool call, for the gateway. `traceparent` is the run's, and the call goes under the run's span."""
    run, step, _ = wanted["call_id"].rsplit(".", 2)
    request = ToolCallRequested(
        call_id=wanted["call_id"],
        run_id=run,
        step=int(step),
        index=wanted["index"],
        tool=wanted["tool"],
        arguments=wanted["arguments"] or {},
    )
    return call_requested(agent, request, conversation_id, now, under(traceparent, span_of_run(run)))


def run_started(agent: str, work: Commit, now: datetime) -> Message:
    """`viox.run.started`. Its id counts the steps the run had before, so that a redriven run's second start has its own."""
    document = _document(agent, work.claimed, work.run, work) | {"steps": work.run.steps, "status": "running"}
    return run_changed(RUN_STARTED, document, now)


def run_finished(agent: str, work: Commit, now: datetime) -> Message:
    document = _document(agent, work.claimed, work.run, work)
    ended = {"finished_at": now.isoformat(), "outcome": work.outcome, "text": work.text}
    return run_changed(RUN_FINISHED, document | ended, now)


def _document(agent: str, claimed: Claimed, run: RunRow, work: Commit) -> dict[str, Any]:
    spent = work.spent
    return {
        "run_id": str(run.run_id),
        "agent": agent,
        "conversation_id": claimed.conversation_id,
        "status": work.status,
        "outcome": None,
        "waiting_for": [],
        "trigger": {"source": run.trigger_source, "id": run.trigger_id, "type": run.trigger_type},
        "parent_run_id": str(run.parent_run_id) if run.parent_run_id else None,
        "started_at": run.started_at.isoformat(),
        "finished_at": None,
        "steps": run.steps + len(work.steps),
        "tool_calls": run.tool_calls + len(work.calls),
        "failed_calls": work.failed_calls,
        "tokens": {"input": run.input_tokens + spent.input_tokens, "output": run.output_tokens + spent.output_tokens},
        "cost_usd": (run.cost_microusd + spent.cost_microusd) / 1_000_000,
        "model": work.model,
        "text": None,
    }


class Announcer:
    """Tells `viox.runs` what became of this agent's runs, at least once each."""

    def __init__(self, agent: str, store: RuntimeStore, publisher: Publisher, owner: str) -> None:
        self._agent = agent
        self._store = store
        self._publisher = publisher
        self._owner = owner
        self._pending: dict[str, _Pending] = {}
        self._missed_since: datetime | None = None
        self._changed = False

    def tell(self, message: Message) -> None:
        """Publish one of the run messages above, and again until the broker has it."""
        self._changed = True
        if len(self._pending) >= MAX_PENDING:
            self._missed_since = self._missed_since or datetime.now(UTC)
            return
        self._pending[message.id] = pending = _Pending(message)
        self._send(pending)

    def tell_documents(self, runs: Sequence[dict[str, Any]]) -> None:
        """Publish runs as their rows show them: that they began, or how they ended."""
        now = datetime.now(UTC)
        for run in runs:
            if run["finished_at"]:
                self.tell(run_changed(RUN_FINISHED, run, now))
            else:
                self.tell(run_changed(RUN_STARTED, run | {"status": "running", "steps": 0, "waiting_for": []}, now))

    def tell_waiting(self, runs: Sequence[dict[str, Any]]) -> None:
        """Publish runs, as their rows show them, that wait for somebody from now on."""
        for run in runs:
            self.tell(run_changed(RUN_WAITING, run, datetime.now(UTC)))

    async def start(self) -> None:
        """Before anything is committed: from now on this process has something to tell."""
        await self._store.announcing(self._owner, datetime.now(UTC) - SLACK)

    async def run(self) -> None:
        for number in itertools.count():
            try:
                await self._round(take_over=number % TAKE_OVER_EVERY == 0)
            except Exception as error:  # noqa: BLE001  # Postgres away: tried again
                log.warning("announcer.round_failed", error=error)
            await asyncio.sleep(EVERY_SECONDS)

    async def stop(self) -> None:
        """Nothing is left to another process when all was told."""
        if not self._pending and self._missed_since is None:
            await self._store.stop_announcing(self._owner)

    async def _round(self, *, take_over: bool) -> None:
        overdue = time.monotonic() - RESEND_AFTER_SECONDS
        for pending in list(self._pending.values()):
            if pending.failed or pending.sent_at < overdue:
                self._send(pending)
        if self._missed_since and not self._pending:
            since, self._missed_since = self._missed_since, None
            self.tell_documents(await self._store.changed_since(since - SLACK))
        if take_over and (untold_since := await self._store.take_over_announcing(self._owner)):
            log.info("announcer.taken_over", since=untold_since)
            self.tell_documents(await self._store.changed_since(untold_since))
        if self._changed:
            self._changed = bool(self._pending)
            open_since = [p.at for p in self._pending.values()] + [at for at in (self._missed_since,) if at]
            await self._store.announcing(self._owner, min(open_since, default=datetime.now(UTC)) - SLACK)

    def _send(self, pending: _Pending) -> None:
        pending.sent_at, pending.failed = time.monotonic(), False
        self._publisher.publish(topics.RUNS, pending.message, partial(self._ended, pending))

    def _ended(self, pending: _Pending, error: BaseException | None) -> None:
        if error is None:
            self._pending.pop(pending.message.id, None)
        else:
            pending.failed = True


class _Pending:
    __slots__ = ("at", "failed", "message", "sent_at")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.at = datetime.now(UTC)
        self.sent_at = 0.0
        self.failed = False
