"""From Kafka record to judged call with its intent on record: one batch, one commit.

After the commit, calls that may go at once are handed to the executor; those that must wait for their rate, or for a
place at their vendor, are claimed later by `resume`. A repeat of a known call changes nothing; the same identity with
other arguments is refused.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from services.tool_gateway.approvals.ask import ask
from services.tool_gateway.call.admit import Admission, Standing
from services.tool_gateway.call.announce import announce_waiting
from services.tool_gateway.call.call import Candidate, Decision, Ready, Requested, tell_closed
from services.tool_gateway.call.judge import with_same_calls
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.traces import judged
from shared.batches import fairly
from shared.bus import topics
from shared.bus.dead_letters import write_dead_letter
from shared.bus.envelope import Message, identity, parse_record
from shared.bus.kafka import Record
from shared.bus.messages import CALL_REQUESTED, ToolCallRequested
from shared.bus.publisher import Publisher
from shared.errors import BadInput, Conflict, VioxError
from shared.ids import CallId, RunId, call_id, parse_call_id, thread_id
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint
from shared.telemetry.logs import get_logger
from shared.telemetry.trace import span_of_run, under

log = get_logger(__name__)
T = TypeVar("T")
Given = tuple[Requested, Record]


class Intake:
    """Takes in what agents ask for."""

    def __init__(
        self,
        admission: Admission,
        store: GatewayStore,
        publisher: Publisher,
        execute: Callable[[Ready], None],
        wait_until: Callable[[datetime], None],
        pool: Any,
    ) -> None:
        self._admission = admission
        self._store = store
        self._publisher = publisher
        self._execute = execute
        self._wait_until = wait_until
        self._pool = pool
        self._unsure: dict[CallId, tuple[Decision, float]] = {}  # the answer of their commit was lost

    async def accept(self, records: Sequence[Record]) -> None:
        """Store a batch. When this returns every record is a call row or a dead letter."""
        failpoint("gateway.before_intent")
        understood: list[Given] = []
        refused: list[tuple[Record, VioxError]] = []
        for topic, count in Counter(record.topic for record in records).items():
            metrics.MESSAGES_CONSUMED.labels(topics.GATEWAY, topic).inc(count)
        async for record in fairly(records):
            try:
                understood.append((_understand(record), record))
            except VioxError as error:
                refused.append((record, error))
        if understood:
            await self._sort(understood)
        for record, problem in refused:
            await self._refuse(record, problem)

    async def poison(self, record: Record, error: Exception) -> None:
        """A record that cannot even be stored: set aside, so that its neighbours go on."""
        await self._refuse(record, VioxError("message.unstorable", f"{type(error).__name__}: {error}"))

    async def ask(self, calls: Sequence[Requested]) -> dict[CallId, Decision]:
        """Take in live calls, whose callers have proved who they are, and whose identities are known not to be another's.

        Returns the decisions on those that are new. Raises what Postgres raises: whether they are stored is not known then.
        """
        failpoint("gateway.before_intent")
        standing = await self._store.preconditions(calls, self._admission.rulebook.policies.version)
        fresh = [call for call in calls if not standing[call.agent, call.call_id].exists]
        decided: dict[CallId, Decision] = {}
        known = [call for call in calls if call not in fresh]
        for together in self._admission.rounds(fresh):
            late = await self._admit({one.call_id: (one, None) for one in together}, standing, decided)
            known += [call for call, _ in late]
        if known:
            await self._check_known(known)
        return decided

    async def _sort(self, understood: Sequence[Given]) -> None:
        """New calls are admitted; repeats and conflicts are told apart; calls in the name of another's run are refused."""
        version = self._admission.rulebook.policies.version
        standing = await self._store.preconditions([call for call, _ in understood], version)
        fresh: dict[CallId, Given] = {}
        repeats: list[Given] = []
        for call, record in understood:
            found = standing[call.agent, call.call_id]
            if not found.own_run:
                await self._bury(record, _foreign_run(call), None)
            elif found.exists or call.call_id in fresh:
                repeats.append((call, record))
            else:
                fresh[call.call_id] = (call, record)
        if fresh:
            calls = [call for call, _ in fresh.values()]
            standing = with_same_calls(calls, standing)
            for together in self._admission.rounds(calls):
                repeats += await self._admit({one.call_id: fresh[one.call_id] for one in together}, standing)
        await self._check_repeats(repeats)

    async def _admit(
        self,
        calls: Mapping[CallId, tuple[Requested, T]],
        standing: Standing,
        decided: dict[CallId, Decision] | None = None,
    ) -> list[tuple[Requested, T]]:
        """Decide and store; returns those that a faster replica had stored already. Decisions on the others go to `decided`."""
        started = time.monotonic()
        self._unsure = {i: (one, at) for i, (one, at) in self._unsure.items() if at + one.lease_seconds > started}
        decisions: Sequence[Decision] = ()
        try:
            async with self._judging([call for call, _ in calls.values()]) as connection:
                candidates = [Candidate(call) for call, _ in calls.values()]
                decisions = await self._admission.decide(candidates, standing, connection)
                fresh = await self._keep(decisions, connection)
        except BaseException:
            for one in decisions:
                if one.prepared:
                    self._unsure.setdefault(one.call.call_id, (one, started))
            self._admission.give_back(decisions)
            raise
        self._admission.give_back(one for one in decisions if one.call.call_id not in fresh)
        failpoint("gateway.after_intent")
        for one in decisions:
            if one.call.call_id in fresh:
                self._unsure.pop(one.call.call_id, None)
                if decided is not None:
                    decided[one.call.call_id] = one
                self._go_on(one, started)
        return [calls[i] for i in calls if i not in fresh]

    @asynccontextmanager
    async def _judging(self, calls: Sequence[Requested]) -> AsyncIterator[Any]:
        """A connection with a transaction, where calls are judged and stored under one lock; None where they need not be."""
        if not self._admission.needs_transaction(calls):
            yield None
            return
        async with self._store.transaction() as connection, connection.transaction():
            yield connection

    async def _keep(self, decisions: Sequence[Decision], connection: Any) -> set[str]:
        """Store new calls, and ask people about those that wait for them: in one commit."""
        if connection is None and any(one.asking for one in decisions):
            async with self._store.transaction() as own, own.transaction():
                return await self._keep(decisions, own)
        fresh = await self._store.intake(decisions, connection)
        if asked := [one for one in decisions if one.asking and one.call.call_id in fresh]:
            await ask(connection, asked, self._admission.approval_seconds)
            await announce_waiting(self._store, connection, [one.call.call_id for one in asked])
        return fresh

    def _go_on(self, decision: Decision, started: float) -> None:
        """After the commit: send, answer, or wait."""
        judged(decision.call, decision.tool, decision.state, decision.checks, decision.error, started)
        if decision.error:
            self._tell_denied(decision)
        elif decision.prepared:
            self._execute(decision.ready(started))
        elif decision.not_before:
            self._wait_until(decision.not_before)

    def _tell_denied(self, decision: Decision) -> None:
        call, tool = decision.call, decision.call.tool if decision.tool else ""
        metrics.CALLS.labels(call.agent, tool, "denied").inc()
        message = (decision.error or {}).get("message")
        log.info("call.denied", call_id=call.call_id, tool=call.tool, agent=call.agent, error=message)
        tell_closed(self._publisher, call, "denied", None, decision.error)

    async def _check_repeats(self, repeats: Sequence[Given]) -> None:
        if not repeats:
            return
        metrics.MESSAGES_REPEATED.labels(topics.GATEWAY).inc(len(repeats))
        others = await self._check_known([call for call, _ in repeats])
        for call, record in repeats:
            if call in others:
                await self._conflict(call, record)

    async def _check_known(self, calls: Sequence[Requested]) -> list[Requested]:
        """Those that stand for another call. One that was stored and not begun is begun."""
        known = await self._store.stored([call.call_id for call in calls])
        others = []
        for call in calls:
            first = known[call.call_id]
            unsure = self._unsure.pop(call.call_id, None)
            if (first.agent, first.tool, first.digest) != (call.agent, call.tool, call.digest):
                others.append(call)
            elif unsure and first.state == "executing" and first.attempt == 1 and first.owner == self._store.owner:
                # Stored after all, by the statement whose answer was lost: nobody else will start it.
                decision, started = unsure
                self._admission.take_back(decision)
                self._go_on(decision, started)
        return others

    async def _conflict(self, call: Requested, record: Record) -> None:
        error = Conflict(
            "call.conflict",
            f"{call.call_id} already stands for another call; this one is refused.",
            field="call_id",
            remedy="A new call needs a new step or index.",
        )
        metrics.INCIDENTS.labels("call.conflict").inc()
        await self._bury(record, error, call.run_id)

    async def _refuse(self, record: Record, error: VioxError) -> None:
        """A record that is no call ends as a dead letter. Where it says which call it was to be, and an open run of its
        sender waits for that, the call ends as denied: no run waits for what never comes."""
        call = await self._named_by(record)
        if call is not None:
            reason = {"code": error.code, "message": error.message, "remedy": error.remedy}
            checks = [{"check": "message.readable", "passed": False}]
            decision = Decision(Candidate(call), checks, None, error=reason)
            if await self._store.intake([decision]):
                self._tell_denied(decision)
        await self._bury(record, error, call.run_id if call else None)

    async def _named_by(self, record: Record) -> Requested | None:
        """The call that a record stands for by its id alone, when its run is an open one of the topic's agent."""
        _, named = identity(record.value, record.headers)
        try:
            run, step, index = parse_call_id(named or "")
        except ValueError:
            return None
        known, agent = call_id(run, step, index), topics.caller(record.topic)
        if known != named or not (0 <= step < 2**31 and 0 <= index < 2**31):
            return None
        found = await self._store.open_run(agent, run)
        if found is None:
            return None
        thread, conversation = found["thread_id"], found["conversation_id"]
        trace, tool = under(found["traceparent"], span_of_run(run)), _tool_named_by(record)
        at = datetime.now(UTC)
        return Requested(known, run, step, index, agent, thread, conversation, tool, {}, trace, created_at=at)

    async def _bury(self, record: Record, error: VioxError, run: RunId | None) -> None:
        log.warning(
            "call.dead_lettered", topic=record.topic, partition=record.partition, offset=record.offset, error=error
        )
        metrics.DEAD_LETTERS.labels(topics.GATEWAY, error.code).inc()
        await write_dead_letter(self._pool, topics.GATEWAY, record, error, 1, _message_or_none(record), run)


def _foreign_run(call: Requested) -> BadInput:
    return BadInput(
        "call.foreign_run",
        f"run {call.run_id} is not {call.agent}'s.",
        field="run_id",
        remedy="An agent calls tools for its own runs.",
    )


def _understand(record: Record) -> Requested:
    """Parse and check one record. Raises BadInput naming what is wrong. The caller is who may write the topic."""
    message = parse_record(record.value, record.headers)
    if message.type != CALL_REQUESTED:
        raise BadInput("event.unknown_type", f"{message.type!r} is not a tool call.", field="type")
    agent = topics.caller(record.topic)
    try:
        data = ToolCallRequested.model_validate(message.data)
        run, step, index = parse_call_id(data.call_id)
    except (ValidationError, ValueError) as error:
        raise BadInput("event.invalid_data", f"not a tool call: {error}.", field="data") from error
    agree = (str(run), step, index) == (data.run_id, data.step, data.index)
    if not agree or not data.call_id == message.id == call_id(run, step, index):
        raise BadInput("event.invalid_data", "call_id, run_id, step and index disagree.", field="data.call_id")
    conversation = message.conversation_id or ""
    return Requested(
        CallId(data.call_id),
        run,
        step,
        index,
        agent,
        thread_id(agent, conversation),
        conversation,
        data.tool,
        data.arguments,
        message.traceparent,
        data.deadline,
        created_at=datetime.now(UTC),
    )


def _tool_named_by(record: Record) -> str:
    """The tool's name in a record that cannot be read as a call, for the record of its refusal; else nothing."""
    try:
        named = parse_record(record.value, record.headers).data.get("tool")
    except VioxError:
        return ""
    return named if isinstance(named, str) and len(named) <= 256 else ""


def _message_or_none(record: Record) -> Message | None:
    try:
        return parse_record(record.value, record.headers)
    except VioxError:
        return None
