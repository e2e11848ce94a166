"""Our own messages, one class each, and the envelopes that carry them.

Commands are imperative and have one receiver; events are past tense and anyone may listen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.events import TASK_TYPE, EventData, TaskRequested
from shared.ids import CallId, RunId
from shared.telemetry.digest import sha256_bytes

CALL_REQUESTED = "viox.tool.call.requested"
CALL_CLOSED = "viox.tool.call.closed"
RUN_STARTED = "viox.run.started"
RUN_WAITING = "viox.run.waiting"
RUN_FINISHED = "viox.run.finished"
CANCEL = "viox.run.cancel_requested"
FORKED = "viox.run.forked"  # stands for what a fork of a run began with: written with its run, never sent
DEAD_LETTER = "viox.dead_letter.recorded"
APPROVAL_REQUESTED = "viox.approval.requested"
APPROVAL_DECIDED = "viox.approval.decided"
CHECKPOINT_SIGNED = "viox.audit.checkpoint.signed"

GATEWAY_SOURCE = "/viox/gateway"
LIVE_SOURCE = "/viox/gateway/live"  # of the runs of live calls; what is said in them comes from outside all the same

RunStatus = Literal["running", "waiting", "finished", "failed", "blocked", "cancelled"]


AGENT_SOURCES = "/viox/agents/"


def agent_source(agent: str) -> str:
    return AGENT_SOURCES + agent


DELEGATIONS = "/viox/delegations/"  # tasks that the gateway sends for an agent, which may quote what that has read
TIMERS = "/viox/timers/"  # tasks that an agent set for itself


def delegation_source(agent: str) -> str:
    return DELEGATIONS + agent


def timer_source(agent: str) -> str:
    return TIMERS + agent


def sender(source: str) -> str:
    """The service that sends messages with this source of ours: an agent its own, the gateway those of operators too."""
    return source.removeprefix(AGENT_SOURCES) if source.startswith(AGENT_SOURCES) else topics.GATEWAY


class ToolCallRequested(EventData):
    """An agent wants one tool run. The caller is not in here: the topic says who it is."""

    call_id: str
    run_id: str
    step: int = Field(ge=0, le=2**31 - 1)
    index: int = Field(ge=0, le=2**31 - 1)
    tool: str = Field(max_length=256)
    arguments: dict[str, Any]
    deadline: AwareDatetime | None = None


class ToolCallClosed(EventData):
    """The one outcome of a tool call. `result` is the projection for the model; `error` has code, message, remedy."""

    call_id: str
    state: Literal["succeeded", "failed", "denied", "rejected", "expired"]
    result: Any = None
    error: dict[str, Any] | None = None


class Tokens(EventData):
    input: int = 0
    output: int = 0


class Waiting(EventData):
    kind: str
    id: str


class Trigger(EventData):
    source: str
    id: str
    type: str


class Run(EventData):
    """A run as the contract shows it: on `viox.runs`, from `viox run ID --json` and in `viox runs`."""

    run_id: str
    agent: str
    conversation_id: str
    status: RunStatus
    outcome: Literal["succeeded", "partly", "failed"] | None = None
    waiting_for: list[Waiting] = Field(default_factory=list)
    trigger: Trigger
    parent_run_id: str | None = None
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    steps: int = 0
    tool_calls: int = 0
    failed_calls: int = 0
    tokens: Tokens = Field(default_factory=Tokens)
    cost_usd: float = 0.0
    model: str | None = None
    text: str | None = None


class Approval(EventData):
    """A call that waits, or waited, for people: what would run, why they are asked, and what came of it."""

    approval_id: str
    call_id: str
    run_id: str
    agent: str
    tool: str
    arguments: dict[str, Any]
    arguments_sha256: str
    policy_version: str
    rules: list[str]
    reasons: list[str]
    people: int
    state: Literal["waiting", "approved", "rejected", "answered", "expired", "withdrawn"]
    asked_at: AwareDatetime
    expires_at: AwareDatetime
    decided_at: AwareDatetime | None = None
    decided_by: list[str] | None = None
    reason: str | None = None
    question: bool = False
    choices: list[str] | None = None
    audience: list[str] | None = None


class DeadLetterRecorded(EventData):
    """A message could not be handled and was set aside, with its original bytes, to be redriven."""

    dead_letter_id: str
    service: str
    topic: str
    code: str
    error: str
    attempts: int
    run_id: str | None = None


class CheckpointSigned(EventData):
    """So many leaves under this root: a signed note, which is checked without us ([audit](../audit.md))."""

    origin: str
    size: int
    checkpoint: str


def task(
    agent: str,
    message_id: str,
    source: str,
    instruction: str,
    context: dict[str, Any],
    now: datetime,
    conversation_id: str | None,
) -> Message:
    data = TaskRequested(instruction=instruction, context=context).model_dump()
    return Message(message_id, source, TASK_TYPE, data, now, subject=agent, conversation_id=conversation_id)


def call_requested(
    agent: str, call: ToolCallRequested, conversation_id: str, now: datetime, traceparent: str | None
) -> Message:
    return Message(
        call.call_id,
        agent_source(agent),
        CALL_REQUESTED,
        call.model_dump(mode="json"),
        now,
        subject=call.run_id,
        conversation_id=conversation_id,
        traceparent=traceparent,
    )


def call_closed(
    call: CallId,
    run: RunId,
    state: str,
    result: Any,
    error: dict[str, Any] | None,
    conversation_id: str,
    now: datetime,
    traceparent: str | None,
) -> Message:
    """Written by hand rather than through the model: one is made for every call, and its parts are already checked."""
    data = {"call_id": call, "state": state, "result": result, "error": error}
    return Message(call, GATEWAY_SOURCE, CALL_CLOSED, data, now, str(run), conversation_id, traceparent)


def approval_changed(event: str, row: Mapping[str, Any], now: datetime) -> Message:
    """One of viox.approval.requested, .decided, from a row of `approvals`. The id is derived."""
    data = approval_document(row)
    name = f"{data['approval_id']}:{event.rsplit('.', 1)[1]}"
    return Message(
        name, GATEWAY_SOURCE, event, data, now, subject=data["call_id"], conversation_id=row["conversation_id"]
    )


def approval_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """An approval as its readers see it."""
    fields = {name: row[name] for name in Approval.model_fields}
    return Approval.model_validate(fields | {"run_id": str(row["run_id"])}).model_dump(mode="json")


def run_changed(event: str, run: dict[str, Any], now: datetime) -> Message:
    """One of viox.run.started, .waiting, .finished. The id is derived, so a repeat is recognised by readers too.

    A run waits more than once, and one that was blocked and redriven starts and ends again: the run's step count, and what
    it waits for, tell those apart.
    """
    parts = [run["run_id"], event.rsplit(".", 1)[1], str(run["steps"])]
    if run["waiting_for"]:
        awaited = sorted(f"{w['kind']} {w['id']}" for w in run["waiting_for"])
        parts.append(sha256_bytes("\n".join(awaited).encode())[:16])
    return Message(
        ":".join(parts),
        agent_source(run["agent"]),
        event,
        run,
        now,
        subject=run["run_id"],
        conversation_id=run["conversation_id"],
    )
