"""From Kafka record to judged call with its intent on record: one batch, one commit.

After the commit, calls that may go at once are handed to the executor; those that must wait for their rate, or for a
place at their vendor, are claimed later by the sweep. A repeat of a known call changes nothing; the same identity with
other arguments is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.judge import Verdict, judge
from services.tool_gateway.call.store import Admitted, GatewayStore, Preconditions, Requested
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Rate, Tool
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.prepared import Prepared
from shared.bus import topics
from shared.bus.dead_letters import write_dead_letter
from shared.bus.envelope import Message, parse_record
from shared.bus.kafka import Record
from shared.bus.messages import CALL_REQUESTED, ToolCallRequested, call_closed
from shared.bus.outbox import Outbox, outgoing
from shared.errors import BadInput, Conflict, VioxError
from shared.ids import CallId, RunId, parse_call_id, thread_id
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint

log = logging.getLogger(__name__)
LEASE_MARGIN_SECONDS = 5.0
LONGEST_RATE_KEY = 200


@dataclass(frozen=True, slots=True)
class Ready:
    """A call whose intent is committed and whose lease is ours until `lease_ends` (monotonic clock).

    `in_doubt`: an earlier attempt may have taken effect.
    """

    call: Requested
    tool: Tool
    prepared: Prepared
    attempt: int
    lease_ends: float
    requested_at: float
    in_doubt: bool = False


class Intake:
    """Takes in what agents ask for."""

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Secrets,
        store: GatewayStore,
        outbox: Outbox,
        execute: Callable[[Ready], None],
        wait_until: Callable[[datetime], None],
        places: InFlightLimiter,
        pool: Any,
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._store = store
        self._outbox = outbox
        self._execute = execute
        self._wait_until = wait_until
        self._places = places
        self._pool = pool
        self._unsure: dict[CallId, tuple[Admitted, float]] = {}  # whether they were stored, nobody told us

    async def accept(self, records: Sequence[Record]) -> None:
        """Store a batch. When this returns every record is a call row or a dead letter."""
        failpoint("gateway.before_intent")
        understood: list[tuple[Requested, Record]] = []
        for record in records:
            metrics.MESSAGES_CONSUMED.labels(topics.GATEWAY, record.topic).inc()
            try:
                understood.append((_understand(record), record))
            except VioxError as error:
                await self._bury(record, error, None)
        if understood:
            await self._sort(understood)

    async def poison(self, record: Record, error: Exception) -> None:
        """A record that cannot even be stored: set aside, so that its neighbours go on."""
        await self._bury(record, VioxError("message.unstorable", f"{type(error).__name__}: {error}"), None)

    async def _sort(self, understood: Sequence[tuple[Requested, Record]]) -> None:
        """New calls are admitted; repeats and conflicts are told apart; calls in the name of another's run are refused."""
        preconditions = await self._store.preconditions([call for call, _ in understood])
        fresh: dict[CallId, tuple[Requested, Record]] = {}
        repeats: list[tuple[Requested, Record]] = []
        for call, record in understood:
            if not preconditions[call.agent, call.call_id].own_run:
                error = BadInput(
                    "call.foreign_run",
                    f"run {call.run_id} is not {call.agent}'s.",
                    field="run_id",
                    remedy="An agent calls tools for its own runs.",
                )
                await self._bury(record, error, None)
            elif preconditions[call.agent, call.call_id].known or call.call_id in fresh:
                repeats.append((call, record))
            else:
                fresh[call.call_id] = (call, record)
        if fresh:
            repeats += await self._admit(fresh, preconditions)
        await self._check_repeats(repeats)

    async def _admit(
        self, calls: dict[CallId, tuple[Requested, Record]], preconditions: dict[tuple[str, CallId], Preconditions]
    ) -> list[tuple[Requested, Record]]:
        """Judge and store; returns those that a faster replica had stored already."""
        started = time.monotonic()
        self._unsure = {i: (item, at) for i, (item, at) in self._unsure.items() if at + item.lease_seconds > started}
        judged = [
            (call, judge(call, preconditions[call.agent, call.call_id], self._catalogue)) for call, _ in calls.values()
        ]
        rated = [
            (call.call_id, tool.rate, rate_key(tool.rate, call.arguments))
            for call, verdict in judged
            if (tool := verdict.tool) and tool.rate and self._places.free(tool.vendor)
            if not preconditions[call.agent, call.call_id].paused
        ]
        may_go = await self._store.reserve_rate_slots(rated)
        admitted: list[Admitted] = []
        try:
            for call, verdict in judged:
                paused = preconditions[call.agent, call.call_id].paused
                admitted.append(self._admitted(call, verdict, paused, may_go.get(call.call_id)))
            fresh = await self._store.intake(admitted)
        except BaseException:
            for item in admitted:
                if item.prepared:
                    self._unsure.setdefault(item.call.call_id, (item, started))
            self._give_back(admitted)
            raise
        for call_id in fresh:
            self._unsure.pop(CallId(call_id), None)
        self._give_back(item for item in admitted if item.call.call_id not in fresh)
        failpoint("gateway.after_intent")
        for item in admitted:
            if item.call.call_id in fresh:
                self._go_on(item, started)
        return [calls[i] for i in calls if i not in fresh]

    def _give_back(self, not_started: Iterable[Admitted]) -> None:
        for item in not_started:
            if item.prepared and item.tool:
                self._places.give_back(item.tool.vendor)

    def _go_on(self, item: Admitted, started: float) -> None:
        call = item.call
        if item.answer:
            metrics.CALLS.labels(call.agent, call.tool if item.tool else "", "denied").inc()
            log.info(
                "call %s %s of %s denied: %s", call.call_id, call.tool, call.agent, (item.error or {}).get("message")
            )
            self._outbox.publish([item.answer])
        elif item.prepared is not None and item.tool is not None:
            self._execute(Ready(call, item.tool, item.prepared, 1, started + item.lease_seconds, started))
        elif item.not_before is not None:
            self._wait_until(item.not_before)

    def _admitted(self, call: Requested, verdict: Verdict, paused: bool, may_go: datetime | None) -> Admitted:
        """A call that goes at once has a request, a lease and a place at its vendor."""
        tool = verdict.tool
        if tool is None:
            return self._denied(call, verdict.checks, verdict.error or {}, self._catalogue.tools.get(call.tool))
        item = Admitted(call, "requested", verdict.checks, tool)
        if tool.address and (address := call.arguments.get(tool.address.argument)):
            item.address = (tool.address.channel, str(address))
        if paused:
            return item
        if may_go is not None and may_go > datetime.now(UTC):
            item.not_before = may_go
            return item
        if not self._places.free(tool.vendor):
            return item
        try:
            item.prepared = prepare(tool, call.arguments, self._secrets, key=call.call_id)
        except VioxError as error:
            return self._denied(call, verdict.checks, error.as_dict(), tool)
        self._places.take(tool.vendor)
        item.state = "executing"
        item.lease_seconds = lease_seconds(tool)
        return item

    def _denied(
        self, call: Requested, checks: list[dict[str, Any]], error: dict[str, Any], tool: Tool | None
    ) -> Admitted:
        message = call_closed(
            call.call_id, call.run_id, "denied", None, error, call.conversation_id, datetime.now(UTC), call.traceparent
        )
        answer = outgoing(topics.tool_results(call.agent), message)
        return Admitted(call, "denied", checks, tool, error=error, answer=answer)

    async def _check_repeats(self, repeats: Sequence[tuple[Requested, Record]]) -> None:
        if not repeats:
            return
        metrics.MESSAGES_REPEATED.labels(topics.GATEWAY).inc(len(repeats))
        known = await self._store.known([call.call_id for call, _ in repeats])
        for call, record in repeats:
            first = known[call.call_id]
            unsure = self._unsure.pop(call.call_id, None)
            if (first.agent, first.tool, first.digest) != (call.agent, call.tool, call.digest):
                await self._conflict(call, record)
            elif unsure and first.state == "executing" and first.attempt == 1 and first.owner == self._store.owner:
                # Stored after all, by the statement whose answer was lost: nobody else will start it.
                item, started = unsure
                self._places.take(unsure[0].tool.vendor if unsure[0].tool else "")
                self._go_on(item, started)

    async def _conflict(self, call: Requested, record: Record) -> None:
        error = Conflict(
            "call.conflict",
            f"{call.call_id} already stands for another call; this one is refused.",
            field="call_id",
            remedy="A new call needs a new step or index.",
        )
        metrics.INCIDENTS.labels("call.conflict").inc()
        await self._bury(record, error, call.run_id)

    async def _bury(self, record: Record, error: VioxError, run: RunId | None) -> None:
        log.warning("dead letter from %s[%d]@%d: %s", record.topic, record.partition, record.offset, error)
        metrics.DEAD_LETTERS.labels(topics.GATEWAY, error.code).inc()
        await write_dead_letter(self._pool, topics.GATEWAY, record, error, 1, _message_or_none(record), run)


def lease_seconds(tool: Tool) -> float:
    """Longer than the request may take, so that a live executor never overruns it."""
    return tool.timeout_seconds + LEASE_MARGIN_SECONDS


def rate_key(rate: Rate, arguments: dict[str, Any]) -> str:
    """`airtable:{baseId}` filled from the arguments."""
    key = rate.key
    for name, value in arguments.items() if "{" in key else ():
        key = key.replace("{" + name + "}", str(value)[:LONGEST_RATE_KEY])
    return key[:LONGEST_RATE_KEY]


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
    if (str(run), step, index) != (data.run_id, data.step, data.index) or message.id != data.call_id:
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
    )


def _message_or_none(record: Record) -> Message | None:
    try:
        return parse_record(record.value, record.headers)
    except VioxError:
        return None
