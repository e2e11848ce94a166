"""Activation: claim a thread, run its graph until it waits or ends, commit what it did in one statement, send.

    claim (lease, attempts) → graph → commit (WHERE version = loaded) → publish

A process that dies anywhere in between leaves nothing half done: the lease of a dead owner is void at once, and the
next holder starts from the last commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langgraph.errors import GraphRecursionError

from shared.bus import topics
from shared.bus.envelope import headers_from_json
from shared.bus.kafka import Record
from shared.bus.publisher import Publisher
from shared.business import Business
from shared.errors import VioxError
from shared.ids import ThreadId, parse_call_id
from shared.models.models_file import NO_LIMITS
from shared.models.models_file import Limits as QuestionLimits
from shared.models.port import ChatModel, ModelError, Toolbox, canonical_json
from shared.runtime import announce
from shared.runtime.agent import AgentSpec
from shared.runtime.announce import Announcer, call_message
from shared.runtime.backoff import CallResends, ThreadBackoff, backoff
from shared.runtime.budgets import BudgetExhausted
from shared.runtime.calls import identified_call, open_step, wanted_calls
from shared.runtime.context import AgentState, RunContext
from shared.runtime.endings import End, ending
from shared.runtime.flow import MOST_NODES, concluded, entered
from shared.runtime.forks import fork_of, prompts_of, with_model
from shared.runtime.history import Call, has_begun, seen_by, trigger_body
from shared.runtime.history_cache import HistoryCache
from shared.runtime.meter import NOTHING_SPENT, Meter
from shared.runtime.schedule import Limits, Scheduler
from shared.runtime.store import Claimed, Commit, Pending, RunRow, RuntimeStore
from shared.runtime.traced import ActivationSpan, begun
from shared.store.pool import is_transient
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint
from shared.telemetry.logs import bound, get_logger
from shared.telemetry.trace import trace_id_of

log = get_logger(__name__)
RESEND_AFTER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Activation:
    """One claim on its way to a commit: the run it is for, and what its model work costs."""

    claimed: Claimed
    run: RunRow
    meter: Meter
    span: ActivationSpan | None = None


class Activator:
    """Does activations of one agent's threads."""

    def __init__(
        self,
        spec: AgentSpec,
        store: RuntimeStore,
        model: ChatModel,
        publisher: Publisher,
        announcer: Announcer,
        owner: str,
        limits: Limits,
        business: Business | None = None,
        limits_of: Callable[[str], QuestionLimits] = lambda question: NO_LIMITS,
    ) -> None:
        self._spec = spec
        self._limits_of = limits_of
        self._business = business or Business()
        self._prompt = spec.prompt_for(self._business)
        self._store = store
        self._model = model
        self._publisher = publisher
        self._announcer = announcer
        self._owner = owner
        self._limits = limits
        flow = spec.graph()
        self._graph = flow.compile()
        self.graph_version = flow.version
        self._tools = Toolbox()
        self._outside_tools: frozenset[str] = frozenset()
        self._known_prompts: set[str] = set()
        self._history = HistoryCache(store)
        self._backoff = ThreadBackoff()
        self._resends = CallResends()
        self.threads = Scheduler(self._activate, store, owner, limits)

    async def refresh(self) -> None:
        """Read what the gateway published: what this agent is granted, and the budgets."""
        await self._store.model_budgets.refresh()
        found, self._outside_tools = await self._store.tools()
        if found != self._tools:
            self._tools = found

    async def send_unheard_calls(self) -> None:
        """Send again what the gateway does not have: calls that threads wait for, later and later."""
        for found in await self._store.unheard_calls(RESEND_AFTER_SECONDS):
            if self._resends.is_due(found.call_id):
                metrics.OUTBOX_RESENT.labels(self._spec.name).inc()
                run, step, index = parse_call_id(found.call_id)
                call = identified_call(run, step, index, found.turn["calls"][index])
                self._send_call(found.conversation_id, found.traceparent, call, datetime.now(UTC))

    # -- one activation -----------------------------------------------------------------------------------------------

    async def _activate(self, thread: ThreadId, claimed: Claimed | None) -> bool:
        """One claim to commit. Returns whether there is more to do at once."""
        started = time.monotonic()
        try:
            claimed = claimed or await self._store.claim(thread, self._owner, self._limits.lease_seconds)
        except Exception as error:  # noqa: BLE001  # the sweep comes back to it
            log.warning("thread.not_claimed", thread_id=thread, error=error)
            return False
        if claimed is None:
            return False
        failpoint("agent.after_claim")
        if claimed.run is None:
            return await self._end_queued_safely(claimed)
        with bound(run_id=claimed.run.run_id, thread_id=thread, trace_id=trace_id_of(claimed.run.traceparent)):
            more = await self._attempt(self._begun(claimed, claimed.run))
        metrics.ACTIVATION_SECONDS.labels(self._spec.name).observe(time.monotonic() - started)
        return more

    def _begun(self, claimed: Claimed, run: RunRow) -> Activation:
        span = begun(self._spec.name, claimed, run)
        asker = span.asker if span else None
        meter = Meter(self._spec.name, self._model, self._store.model_budgets, run, asker)
        return Activation(claimed, run, meter, span)

    async def _attempt(self, one: Activation) -> bool:
        """Advance the thread; judge what goes wrong by what it is."""
        try:
            more = await self._advance(one)
        except BudgetExhausted as error:
            metrics.ACTIVATIONS.labels(self._spec.name, "waiting").inc()
            self._trace(one, error)
            return await self._wait_for_budget(one, error)
        except Exception as error:  # noqa: BLE001  # judged by what it is
            metrics.ACTIVATIONS.labels(self._spec.name, "failed").inc()
            self._trace(one, error)
            await self._failed(one, error)
            return False
        self._trace(one, "activation.discarded" if more is None else None)
        metrics.ACTIVATIONS.labels(self._spec.name, "lost" if more is None else "committed").inc()
        return bool(more)

    def _trace(self, one: Activation, error: Exception | str | None) -> None:
        if one.span:
            one.span.ended(one.claimed, error)

    async def _advance(self, one: Activation) -> bool | None:
        """Commit what is to be done. None when another process moved the thread."""
        claimed = one.claimed
        attempts = claimed.attempts - self._backoff.owed(claimed.thread_id, claimed.version)
        if claimed.controls:
            return await self._control(one, attempts)
        if attempts > self._limits.max_attempts:
            return await self._block(one)
        context = await self._context(one)
        work = self._commit_of(one, await self._run_graph(one, context))
        await self._remember_prompts(context)
        return await self._commit(one, work)

    async def _run_graph(self, one: Activation, context: RunContext) -> AgentState:
        """Enter the graph with what happened. What waited and what was redriven goes on from where its record ends."""
        claimed = one.claimed
        is_new = claimed.awaiting or not has_begun(context.own, context.run_id)
        triggers = [trigger_body(p.message) for p in claimed.triggers] if is_new else []
        asked = open_step(context.history, claimed.awaiting)
        steps = entered(context, triggers, asked, claimed.results, at=claimed.at.isoformat())
        try:
            output: AgentState = await self._graph.ainvoke(
                {"steps": steps, "end": None}, {"recursion_limit": MOST_NODES}, context=context
            )
        except GraphRecursionError as error:
            told = f"{MOST_NODES} nodes without a call, a question or an end."
            raise VioxError("run.too_many_nodes", told, remedy="See `viox graph` and the role's graph.py.") from error
        return output | {"steps": concluded(context, output)}

    async def _context(self, one: Activation) -> RunContext:
        past = await self._history.of(one.claimed)
        history = seen_by(past.steps, one.run.run_id, one.run.steps)
        fork = fork_of([step for step in history if step.run_id == one.run.run_id])
        return RunContext(
            run_id=one.run.run_id,
            history=history,
            first_step=one.run.steps,
            model=one.meter,
            prompt=self._spec.prompt_for(self._business, fork["prompt"]) if fork and "prompt" in fork else self._prompt,
            tools=self._tools,
            max_turns=self._spec.max_turns,
            business=self._business,
            outside_tools=self._outside_tools,
            question_prompts=prompts_of(fork),
            limits=with_model(self._limits_of, fork),
            failpoint=failpoint,
            messages_of_history=past.messages if history is past.steps else None,
        )

    def _commit_of(self, one: Activation, state: AgentState) -> Commit:
        calls = wanted_calls(state["steps"])
        outcome: dict[str, Any] = {"status": "running"} if calls else state["steps"][-1].body
        return Commit(
            claimed=one.claimed,
            run=one.run,
            status=outcome["status"],
            graph_version=self.graph_version,
            steps=state["steps"],
            joined=[p.run_id for p in one.claimed.triggers if p.run_id != one.run.run_id],
            spent=one.meter.spent,
            model=one.meter.answered_by,
            text=outcome["text"] if outcome["status"] == "finished" else None,
            error=outcome.get("error"),
            calls=calls,
        )

    async def _commit(self, one: Activation, work: Commit) -> bool | None:
        failpoint("agent.before_commit")
        return await self._committed(one, work, await self._store.commit(work, self._owner))

    async def _committed(self, one: Activation, work: Commit, more: bool | None) -> bool | None:
        thread = one.claimed.thread_id
        if more is None:
            log.warning("activation.discarded", reason="another process moved the thread")
            self._history.forget(thread)
            await self._spend(one)
            return None
        self._backoff.over(thread)
        failpoint("agent.after_commit_before_publish")
        self._publish(one, work)
        if one.span and work.status != "running":
            one.span.run_ended(work, self.graph_version, list(self._history.steps(thread)))
        self._history.add(work)
        if work.status != "running":
            log.info("run.ended", status=work.status, steps=one.run.steps + len(work.steps))
            metrics.RUNS.labels(self._spec.name, work.status).inc()
            await self._announce_merged(one, work)
        return more

    def _publish(self, one: Activation, work: Commit) -> None:
        """Send what the commit says: the calls, and how the run stands."""
        now = datetime.now(UTC)
        if work.calls:
            self.threads.awaits(one.claimed.thread_id, work.awaiting)
        for call in work.calls:
            self._send_call(one.claimed.conversation_id, one.run.traceparent, call, now)
        if not one.claimed.active:
            self._announcer.tell(announce.run_started(self._spec.name, work, now))
        if work.status != "running":
            self._announcer.tell(announce.run_finished(self._spec.name, work, now))

    async def _announce_merged(self, one: Activation, work: Commit) -> None:
        """Runs that joined this one have ended with it."""
        thread, run = one.claimed.thread_id, one.run.run_id
        if sum(s.kind == "trigger" and s.run_id == run for s in self._history.steps(thread)) < 2:
            return
        try:
            merged = await self._store.merged(thread, run)
            self._announcer.tell_documents(await self._store.overview(merged))
        except Exception as error:  # noqa: BLE001  # their rows have it; who asks is told
            log.warning("run.merged_not_announced", error=error)

    def _send_call(self, conversation_id: str, traceparent: str | None, call: Call, now: datetime) -> None:
        agent = self._spec.name
        self._publisher.publish(topics.tool_calls(agent), call_message(agent, conversation_id, traceparent, call, now))

    # -- ends that are not the graph's own -----------------------------------------------------------------------------

    async def _control(self, one: Activation, attempts: int) -> bool | None:
        """End exactly the runs that were named: the active one from outside its graph, queued ones before they begin."""
        claimed = one.claimed
        if attempts > self._limits.max_attempts + 1:  # one more than its run may have used up
            return await self._give_up_controls(claimed)
        if claimed.active and one.run.run_id in {p.run_id for p in claimed.controls}:
            error = VioxError("run.cancelled", "cancelled by an operator.")
            return await self._end(
                one, End("cancelled", error, joined=[], put_back=claimed.triggers, ends_controls=True)
            )
        return await self._end_queued(claimed)

    async def _give_up_controls(self, claimed: Claimed) -> bool:
        log.error("control.given_up", thread_id=claimed.thread_id, attempts=claimed.attempts)
        await self._store.set_aside(claimed.controls)
        await self._store.release(claimed.thread_id, self._owner, retry_in=None, refund=claimed.attempts)
        return True

    async def _end_queued_safely(self, claimed: Claimed) -> bool:
        """As below, for a thread on which no run is active: what fails here belongs to no run."""
        try:
            if claimed.attempts > self._limits.max_attempts + 1:
                return await self._give_up_controls(claimed)
            return await self._end_queued(claimed)
        except Exception as error:  # noqa: BLE001  # the lease runs out, and the sweep comes back to it
            log.warning("control.failed", thread_id=claimed.thread_id, error=error)
            return False

    async def _end_queued(self, claimed: Claimed) -> bool:
        """End the named runs that have not begun; controls that name none have nothing left to end."""
        named = {p.run_id for p in claimed.controls}
        queued = [p for p in claimed.pending if p.kind != "control" and p.run_id in named]
        ended = await self._store.cancel_queued(
            claimed.thread_id, [p.run_id for p in queued], [*claimed.controls, *queued]
        )
        await self._store.release(claimed.thread_id, self._owner, retry_in=None, refund=1)
        self._announcer.tell_documents(await self._store.overview(ended))
        return True

    async def _block(self, one: Activation) -> bool | None:
        """The work failed (or killed us) too often: the run is blocked and the thread free for others.

        Set aside is the run's trigger, whichever message it was that failed: a redrive sends it again, and the run goes on
        from its record with the results it has. What merely joined is tried by itself.
        """
        claimed, most = one.claimed, self._limits.max_attempts
        error = VioxError("message.poison", f"given up after {most} attempts.", remedy="See `viox dead-letters`.")
        buried = await self._store.trigger(one.run)
        joined = [p for p in claimed.triggers if p.run_id != one.run.run_id]
        work = await self._ending(one, End("blocked", error, joined=[], put_back=joined))
        try:
            async with self._store.transaction() as connection, connection.transaction():
                if buried:
                    await self._store.dead_letter(
                        _as_record(buried),
                        error,
                        attempts=claimed.attempts - 1,
                        message=buried.message,
                        run_id=one.run.run_id,
                        connection=connection,
                    )
                more = await self._store.commit(work, self._owner, connection)
                if more is None:
                    raise _MovedOn
                if buried:
                    await self._store.bury(connection, buried.message)
        except _MovedOn:
            return await self._committed(one, work, None)
        metrics.DEAD_LETTERS.labels(self._spec.name, error.code).inc()
        return await self._committed(one, work, more)

    async def _end(self, one: Activation, end: End) -> bool | None:
        log.warning("run.ended_from_outside", status=end.status, error=end.error)
        return await self._commit(one, await self._ending(one, end))

    async def _ending(self, one: Activation, end: End) -> Commit:
        context = await self._context(one)
        work = ending(self.graph_version, one.claimed, one.run, context, end)
        work.spent, work.model = one.meter.spent, one.meter.answered_by
        return work

    async def _failed(self, one: Activation, error: Exception) -> None:
        """Nothing was committed: end the run if trying again cannot help, else try later."""
        if isinstance(error, ModelError):
            metrics.MODEL_CALLS.labels(self._spec.name, self._model.model, error.code).inc(error.attempts)
            if error.retryable:
                await self._try_later(one, 1.0, error, refund=True, at_least=error.retry_after or 0.0)
                return
        if isinstance(error, VioxError):
            try:
                joined = [p for p in one.claimed.triggers if p.run_id != one.run.run_id]
                await self._end(one, End("failed", error, joined=joined, put_back=[]))
                return
            except Exception as worse:  # noqa: BLE001  # it cannot even be put on record now
                error = worse
        log.error("activation.failed", exc_info=error)
        await self._try_later(one, 0.5, error, refund=is_transient(error))

    async def _try_later(
        self, one: Activation, first: float, error: BaseException, *, refund: bool, at_least: float = 0.0
    ) -> None:
        """Leave the thread alone for a while: `first` seconds, longer with each failure in a row."""
        await self._spend(one)
        thread, version = one.claimed.thread_id, one.claimed.version
        delay = max(backoff(self._backoff.failed(thread, version), first), at_least)
        log.warning("thread.retried_later", seconds=round(delay, 1), error=error)
        try:
            await self._store.release(thread, self._owner, retry_in=delay, refund=int(refund))
        except Exception as failed:  # noqa: BLE001  # the lease runs out by itself
            log.warning("thread.not_released", error=failed)
            if refund:
                self._backoff.owe(thread, version)

    async def _wait_for_budget(self, one: Activation, error: BudgetExhausted) -> bool:
        """Nothing is committed, no attempt counted: the thread is left until the budget is raised or begins anew. Whether to
        look again at once."""
        await self._spend(one)
        try:
            came = await self._store.model_budgets.wait(one.claimed.thread_id, self._owner, error)
            if came == "parked":
                log.warning("run.waits_for_budget", budget=error.budget, until=error.until)
                metrics.BUDGETS_EXHAUSTED.labels(self._spec.name, error.budget.split(" ")[0]).inc()
                self._announcer.tell_waiting(await self._store.overview([one.run.run_id]))
        except Exception as failed:  # noqa: BLE001  # the lease runs out by itself
            log.warning("thread.not_released", error=failed)
            self._backoff.owe(one.claimed.thread_id, one.claimed.version)
            return False
        return came == "changed"

    async def _spend(self, one: Activation) -> None:
        """The model's answers lead nowhere, and are on the run's account all the same."""
        spent = one.meter.spent
        if spent == NOTHING_SPENT:
            return
        try:
            await self._store.spend(one.claimed.thread_id, one.run.run_id, spent)
        except Exception as failed:  # noqa: BLE001  # Postgres is away: the log has what the run's row lacks
            log.warning("run.spending_not_recorded", spent=spent, error=failed)

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _remember_prompts(self, context: RunContext) -> None:
        """System prompts and tool lists, once per text: with them any request of the past can be rebuilt and compared."""
        for sha256, part in context.asked_with.items():
            if sha256 not in self._known_prompts:
                await self._store.remember_prompt(sha256, canonical_json(part).decode())
                self._known_prompts.add(sha256)


class _MovedOn(Exception):
    """Another process moved the thread: what this one was about to write is taken back."""


def _as_record(buried: Pending) -> Record:
    """No place in a log: the moment stands in for the offset, so that the same message can die again after a redrive."""
    headers = tuple(headers_from_json(buried.headers))
    offset = time.time_ns() // 1_000_000
    return Record(buried.topic, -1, offset, buried.message.key.encode(), buried.value, headers)
