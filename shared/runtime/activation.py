"""Activation: claim a thread, run its graph until it waits or ends, commit what it did in one statement, send.

    claim (lease, attempts) → graph → commit (WHERE version = loaded) → publish

A process that dies anywhere in between leaves nothing half done: the lease of a dead owner is void at once, and the
next holder starts from the last commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from langgraph.types import Command

from shared.bus.envelope import headers_from_json
from shared.bus.kafka import Record
from shared.bus.messages import CANCEL
from shared.bus.outbox import Outbox
from shared.errors import VioxError
from shared.ids import ThreadId
from shared.models.port import ChatModel, ChatReply, Messages, ModelError, Toolbox, sha256_json
from shared.models.prices import cost_microusd
from shared.runtime import announce
from shared.runtime.agent import AgentSpec
from shared.runtime.backoff import ThreadBackoff, backoff
from shared.runtime.endings import End, ending, open_calls
from shared.runtime.history import Step, conversation, seen_by, trigger_body, turns_of
from shared.runtime.history_cache import HistoryCache
from shared.runtime.nodes import AgentState, RunContext, record_results
from shared.runtime.saver import ThreadSaver
from shared.runtime.store import Claimed, Commit, Pending, RunRow, RuntimeStore
from shared.store.pool import is_transient
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a lease lasts, how often a message may fail, how many threads are worked on at once."""

    lease_seconds: float
    max_attempts: int
    concurrency: int


class Activator:
    """Works on the threads of one agent, several at once, never one twice at a time."""

    def __init__(
        self,
        spec: AgentSpec,
        store: RuntimeStore,
        saver: ThreadSaver,
        model: ChatModel,
        outbox: Outbox,
        owner: str,
        limits: Limits,
    ) -> None:
        self._spec = spec
        self._store = store
        self._saver = saver
        self._model = model
        self._outbox = outbox
        self._owner = owner
        self._limits = limits
        self._graph = spec.graph().compile(checkpointer=saver)
        self.graph_version = graph_version(self._graph)
        self._tools = Toolbox()
        self._known_prompts: set[str] = set()
        self._history = HistoryCache(store)
        self._backoff = ThreadBackoff()
        self._active: set[ThreadId] = set()
        self._again: set[ThreadId] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._draining = False

    # -- scheduling -------------------------------------------------------------------------------------------------

    def wake(self, thread: ThreadId) -> None:
        """There is something for this thread. If it is being worked on, look once more afterwards."""
        if self._draining:
            return
        if thread in self._active:
            self._again.add(thread)
            return
        self._active.add(thread)
        task = asyncio.create_task(self._work(thread))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run_sweeper(self) -> None:
        """Find threads nobody works on, and keep the leases of those we do."""
        renewed = time.monotonic()
        while True:
            try:
                if self._active and time.monotonic() - renewed > self._limits.lease_seconds / 4:
                    renewed = time.monotonic()
                    await self._store.renew(list(self._active), self._owner, self._limits.lease_seconds)
                for thread in await self._store.due():
                    if thread not in self._active:
                        self.wake(thread)
            except Exception as error:  # noqa: BLE001  # Postgres away: try again, nothing is lost meanwhile
                log.warning("sweep failed: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def refresh_tools(self) -> None:
        """Read what this agent is granted, as the gateway published it."""
        found = await self._store.tools()
        if found != self._tools:
            self._tools = found

    async def drain(self, seconds: float) -> None:
        """Finish what is under way; what does not finish in time is taken up by whoever comes next."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _work(self, thread: ThreadId) -> None:
        try:
            async with self._slots:
                more = True
                while more and not self._draining:
                    self._again.discard(thread)
                    more = await self._activate(thread) or thread in self._again
        finally:
            self._active.discard(thread)

    # -- one activation -----------------------------------------------------------------------------------------------

    async def _activate(self, thread: ThreadId) -> bool:
        """One claim to commit. Returns whether there is more to do at once."""
        started = time.monotonic()
        try:
            claimed = await self._store.claim(thread, self._owner, self._limits.lease_seconds)
        except Exception as error:  # noqa: BLE001  # the sweep comes back to it
            log.warning("cannot claim thread %s: %s", thread, error)
            return False
        if claimed is None:
            return False
        failpoint("agent.after_claim")
        try:
            more = await self._advance(claimed)
        except Exception as error:  # noqa: BLE001  # judged by what it is
            await self._failed(claimed, error)
            return False
        finally:
            self._count(claimed.replies)
        metrics.ACTIVATIONS.labels(self._spec.name, "lost" if more is None else "committed").inc()
        metrics.ACTIVATION_SECONDS.labels(self._spec.name).observe(time.monotonic() - started)
        return bool(more)

    async def _failed(self, claimed: Claimed, error: Exception) -> None:
        """Nothing was committed: end the run if trying again cannot help, else try later."""
        metrics.ACTIVATIONS.labels(self._spec.name, "failed").inc()
        if isinstance(error, ModelError):
            metrics.MODEL_CALLS.labels(self._spec.name, self._model.model, error.code).inc(error.attempts)
            if error.retryable:
                await self._try_later(claimed, 1.0, error, refund=True, at_least=error.retry_after or 0.0)
                return
        if isinstance(error, VioxError):
            try:
                await self._fail(claimed, error)
                return
            except Exception as worse:  # noqa: BLE001  # it cannot even be put on record now
                error = worse
        log.error("activation of thread %s failed", claimed.thread_id, exc_info=error)
        await self._try_later(claimed, 0.5, error, refund=is_transient(error))

    async def _advance(self, claimed: Claimed) -> bool | None:
        arrivals = self._arrivals(claimed)
        controls = [p for p in claimed.pending if p.kind == "control" and p.message.type == CANCEL]
        if not (claimed.awaiting or arrivals or controls):
            return await self._set_aside(claimed, [p for p in claimed.pending if p.counted])
        owed = self._backoff.owed(claimed.thread_id, claimed.version)
        poison = [p for p in claimed.pending if p.counted and p.attempts - owed > self._limits.max_attempts]
        if poison and not (claimed.run or arrivals):
            return await self._set_aside(claimed, poison)
        if poison:
            return await self._block(claimed, poison)
        if controls:
            return await self._cancel(claimed, controls)
        results = {p.message.id: p.message.data for p in claimed.pending if p.kind == "result"}
        run = claimed.run or await self._store.run_row(arrivals[0].run_id)
        context = await self._context(claimed, run)
        try:
            state = await self._run_graph(claimed, context, results, arrivals)
        finally:
            saved = self._saver.take(str(claimed.thread_id))
        work = self._commit_of(claimed, run, context, state, arrivals)
        if work.awaiting:
            work.saved = saved
        return await self._commit(work, context)

    async def _context(self, claimed: Claimed, run: RunRow) -> RunContext:
        past = await self._history.of(claimed)
        history = seen_by(past.steps, run.run_id, run.steps)
        return RunContext(
            run_id=run.run_id,
            history=history,
            messages=past.messages.copy() if history is past.steps else Messages(conversation(history)),
            first_step=run.steps,
            model=self._model,
            prompt=self._spec.prompt,
            tools=self._tools,
            max_turns=self._spec.max_turns,
            replies=claimed.replies,
            failpoint=failpoint,
        )

    async def _run_graph(
        self, claimed: Claimed, context: RunContext, results: dict[str, Any], arrivals: Sequence[Pending]
    ) -> AgentState:
        """Resume a graph that waits for calls, else start it. After an upgrade of the graph it is rebuilt from steps."""
        thread = str(claimed.thread_id)
        config: dict[str, Any] = {"configurable": {"thread_id": thread}, "recursion_limit": 1000}
        bodies = [trigger_body(p.message) for p in arrivals]
        resumes = bool(claimed.awaiting) and claimed.graph_version == self.graph_version
        self._saver.begin(thread, fresh=not resumes)
        if resumes:
            given: Any = Command(resume={"results": results, "joined": bodies})
        elif not claimed.awaiting:
            given = self._fresh(context, bodies)
        else:
            log.info("thread %s: graph changed since it waits; rebuilt from its steps", thread)
            calls = open_calls(context.history, set(claimed.awaiting))
            steps = record_results(context, {}, calls, {"results": results, "joined": bodies})
            given = {"steps": steps, "turns": turns_of(context.history, context.run_id)}
        output: AgentState = await self._graph.ainvoke(given, config, context=context, durability="exit")
        return output

    def _fresh(self, context: RunContext, bodies: Sequence[dict[str, Any]]) -> AgentState:
        """What a run starts with: its trigger. One that was blocked and redriven goes on from where its record ends."""
        if turns := turns_of(context.history, context.run_id):
            return {"steps": [], "turns": turns, "calls": [], "text": ""}
        steps: list[Step] = []
        for body in bodies:
            steps = context.step({"steps": steps}, "trigger", body)
        return {"steps": steps, "turns": 0, "calls": [], "text": ""}

    def _commit_of(
        self, claimed: Claimed, run: RunRow, context: RunContext, state: AgentState, arrivals: Sequence[Pending]
    ) -> Commit:
        steps = list(state.get("steps", ()))
        calls = list(state.get("outgoing", ()))
        waits = "__interrupt__" in state
        work = Commit(
            claimed=claimed,
            run_id=run.run_id,
            status="running" if waits else "finished",
            awaiting=[call["call_id"] for call in calls] if waits else [],
            graph_version=self.graph_version,
            steps=steps,
            taken=[p for p in claimed.pending if p.kind == "result" or p in arrivals],
            joined=[p.run_id for p in arrivals if p.run_id != run.run_id],
            tool_calls=len(calls) if waits else 0,
            model=context.replies[-1].answering_model if context.replies else None,
            text=None if waits else state.get("text", ""),
        )
        now = datetime.now(UTC)
        if waits:
            work.outgoing.extend(announce.call(self._spec.name, claimed, run, one, now) for one in calls)
        if claimed.run is None:
            work.outgoing.append(announce.run_started(self._spec.name, run, work, now))
        if not waits:
            work.outgoing.append(announce.run_finished(self._spec.name, run, work, now))
        return work

    async def _commit(self, work: Commit, context: RunContext | None) -> bool | None:
        if context is not None:
            await self._remember_prompts(context)
        failpoint("agent.before_commit")
        more = await self._store.commit(work, self._owner)
        return await self._committed(work, more)

    def _count(self, replies: Sequence[ChatReply]) -> None:
        agent = self._spec.name
        for reply in replies:
            model = reply.answering_model
            metrics.MODEL_CALLS.labels(agent, model, "answered").inc()
            metrics.MODEL_TOKENS.labels(agent, model, "input").inc(reply.usage.input)
            metrics.MODEL_TOKENS.labels(agent, model, "output").inc(reply.usage.output)
            metrics.MODEL_COST.labels(agent, model).inc((cost_microusd(model, reply.usage) or 0) / 1_000_000)

    async def _committed(self, work: Commit, more: bool | None) -> bool | None:
        thread = work.claimed.thread_id
        if more is None:
            log.warning("thread %s moved on without us: what was done here is discarded", thread)
            self._history.forget(thread)
            await self._spend(work.claimed)
            return None
        self._backoff.over(thread)
        failpoint("agent.after_commit_before_publish")
        self._outbox.publish(work.outgoing)
        self._history.add(work)
        if work.status != "running":
            metrics.RUNS.labels(self._spec.name, work.status).inc()
            log.info("run %s %s after %d steps", work.run_id, work.status, len(work.steps))
        return more

    async def _spend(self, claimed: Claimed) -> None:
        """The model's answers lead nowhere, and are on the run's account all the same."""
        if not claimed.replies:
            return
        run = claimed.run.run_id if claimed.run else self._arrivals(claimed)[0].run_id
        try:
            await self._store.spend(run, claimed.spent)
        except Exception as failed:  # noqa: BLE001  # Postgres is away: the log has what the run's row lacks
            log.warning("run %s: %s not put on its account: %s", run, claimed.spent, failed)

    # -- ends that are not the graph's own -----------------------------------------------------------------------------

    async def _cancel(self, claimed: Claimed, controls: Sequence[Pending]) -> bool | None:
        """End exactly the runs that were named: the active one from outside its graph, queued ones before they begin."""
        named = {p.run_id for p in controls}
        if claimed.run and claimed.run.run_id in named:
            mine = [p for p in controls if claimed.run and p.run_id == claimed.run.run_id]
            taken = [*mine, *(p for p in claimed.pending if p.kind == "result")]
            error = VioxError("run.cancelled", "cancelled by an operator.")
            return await self._end_run(claimed, End("cancelled", error, [], taken))
        queued = [p for p in claimed.pending if p.kind in ("event", "task") and p.run_id in named]
        await self._store.cancel_queued([p.run_id for p in queued], [*controls, *queued])
        await self._store.release(claimed.thread_id, self._owner, retry_in=None)
        return True

    async def _block(self, claimed: Claimed, poison: Sequence[Pending]) -> bool | None:
        """Messages that failed (or killed us) too often: the run is blocked and the thread free for others.

        Set aside is the run's trigger, whichever message it was that failed: a redrive sends it again, and the run goes on
        from its record with the results it has.
        """
        error = VioxError(
            "message.poison", f"given up after {self._limits.max_attempts} attempts.", remedy="See `viox dead-letters`."
        )
        culprit = next((p for p in poison if p.kind == "result"), poison[0])  # what merely joined is tried by itself
        found = await self._store.trigger(claimed.run) if claimed.run else None
        buried = replace(found or culprit, attempts=culprit.attempts)
        arrivals = [culprit] if not claimed.run and culprit.kind in ("event", "task") else []
        taken = [p for p in claimed.pending if p.kind == "result" or p is culprit]
        work = await self._ending(claimed, End("blocked", error, arrivals, taken))
        try:
            async with self._store.transaction() as connection, connection.transaction():
                await self._store.dead_letter(
                    _as_record(buried),
                    error,
                    attempts=buried.attempts - 1,
                    message=buried.message,
                    run_id=buried.run_id,
                    connection=connection,
                )
                more = await self._store.commit(work, self._owner, connection)
                if more is None:
                    raise _MovedOn
                await self._store.bury(connection, buried.message)
        except _MovedOn:
            return await self._committed(work, None)
        metrics.DEAD_LETTERS.labels(self._spec.name, error.code).inc()
        return await self._committed(work, more)

    async def _end_run(self, claimed: Claimed, end: End) -> bool | None:
        log.warning("run of thread %s %s: %s", claimed.thread_id, end.status, end.error)
        return await self._commit(await self._ending(claimed, end), None)

    async def _fail(self, claimed: Claimed, error: VioxError) -> bool | None:
        """The activation cannot succeed: its run fails, together with what joined it; what is queued stays queued."""
        arrivals = self._arrivals(claimed)
        results = [p for p in claimed.pending if p.kind == "result"]
        return await self._end_run(claimed, End("failed", error, arrivals, [*results, *arrivals]))

    async def _ending(self, claimed: Claimed, end: End) -> Commit:
        first = end.arrivals[0].run_id if end.arrivals else claimed.pending[0].run_id
        run = claimed.run or await self._store.run_row(first)
        context = await self._context(claimed, run)
        return ending(self._spec.name, self.graph_version, claimed, run, context, end)

    @staticmethod
    def _arrivals(claimed: Claimed) -> list[Pending]:
        """Triggers that this activation takes, as the claim says: what came while a run waits; else one run per trigger."""
        return [p for p in claimed.pending if p.counted and p.kind in ("event", "task")]

    async def _set_aside(self, claimed: Claimed, idle: Sequence[Pending]) -> bool | None:
        """Messages without a run to work on, above all results of one that was cancelled or never was: they end here."""
        await self._store.set_aside(idle)
        runs = sorted({str(p.run_id) for p in idle})
        log.info("set aside without effect: %d messages for %s", len(idle), ", ".join(runs))
        await self._store.release(claimed.thread_id, self._owner, retry_in=None)
        return False

    async def _try_later(
        self, claimed: Claimed, first: float, error: BaseException, *, refund: bool, at_least: float = 0.0
    ) -> None:
        """Leave the thread alone for a while: `first` seconds, longer with each failure in a row."""
        await self._spend(claimed)
        failures = self._backoff.failed(claimed.thread_id, claimed.version)
        delay = max(backoff(failures, first), at_least)
        log.warning("thread %s: again in %.1f s after: %s", claimed.thread_id, delay, error)
        counted = [p for p in claimed.pending if p.counted and refund]
        try:
            await self._store.release(claimed.thread_id, self._owner, retry_in=delay, refund=counted)
        except Exception as failed:  # noqa: BLE001  # the lease runs out by itself
            log.warning("thread %s not released: %s", claimed.thread_id, failed)
            if refund:
                self._backoff.owe(claimed.thread_id, claimed.version)

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _remember_prompts(self, context: RunContext) -> None:
        """System prompt and tool list, once per text: with them any request of the past can be rebuilt and compared."""
        tools = context.tools
        for sha256, part in ((sha256_json(context.prompt), lambda: context.prompt), (tools.sha256, tools.document)):
            if sha256 not in self._known_prompts:
                await self._store.remember_prompt(sha256, orjson.dumps(part()).decode())
                self._known_prompts.add(sha256)


class _MovedOn(Exception):
    """Another process moved the thread: what this one was about to write is taken back."""


def _as_record(buried: Pending) -> Record:
    """No place in a log: the moment stands in for the offset, so that the same message can die again after a redrive."""
    return Record(
        buried.topic,
        -1,
        time.time_ns() // 1_000_000,
        buried.message.key.encode(),
        buried.value,
        tuple(headers_from_json(buried.headers)),
    )


def graph_version(graph: Any) -> str:
    """A digest of the graph's shape: nodes and edges. A thread that waits in another shape is rebuilt from its steps."""
    drawn = graph.get_graph()
    shape = [sorted(drawn.nodes), sorted([e.source, e.target, str(e.data), e.conditional] for e in drawn.edges)]
    return sha256_json(shape)[:12]
