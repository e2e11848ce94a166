"""Steps: the numbered, append-only record of a run, and the conversation a model sees, which is made from nothing else.

Body of each kind of step (JSON); `at` is when it entered the record:

    trigger     {type, source, id, time, data, at?}          an event or task, as it came
    plan        {node, calls: [{name, provider_id, tool, arguments}]}          calls that a node's rules want made
    ask         {node, question, text}                       what a node asks the model
    model       {node?, question?, text, calls, provider, provider_extra, model, requested_model, usage, cost_microusd,
                 latency_ms, attempts, stop, request_sha256, prompt_sha256, tools_sha256, refusal?, request_id?,
                 shortened?: {budget_bytes, messages_left_out, messages_shortened, sha256},
                 problem?: {code, message, remedy}, has_fallback?}      a turn with a problem is shown to no model again
    results     {of?: plan | question, results: [{index, call_id, tool, provider_id, state, result, error, outside?}], at?}
    record      {values: {name: value}}                      what a node keeps for later runs of the conversation
    note        {text, retry?, concluded?, question?, summary?}          with `retry` what was wrong with the model's turn
                                                             before; with `concluded` the last step of the triggers that are
                                                             done with; with `summary` it stands for all runs before its own
    fork        {of, at, by, model?, prompt?, questions?, edited?, warnings?}      the steps before are those of the run `of`;
                                                             `edited` ones of them with other bodies, `warnings` what rules
                                                             have to bear of that; from here on with another model, prompt,
                                                             or (by name) another prompt of a question
    outcome     {status, text, error?}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict
from uuid import UUID

import orjson

from shared.bus.envelope import Message
from shared.bus.events import TASK_TYPE
from shared.models.port import AssistantMessage, ChatMessage, ModelToolCall, ToolMessage, UserMessage

ENTERING = ("results", "trigger", "fork")  # kinds of steps with which an activation begins


@dataclass(frozen=True, slots=True)
class Step:
    """One entry. `step` numbers it within its run."""

    run_id: UUID
    step: int
    kind: str
    body: dict[str, Any]


class Call(TypedDict):
    """A tool call of the last plan or model turn. `error` is set when it cannot be sent (no message can carry its arguments)."""

    index: int
    call_id: str
    tool: str
    provider_id: str
    arguments: dict[str, Any] | None
    error: dict[str, Any] | None


def trigger_body(message: Message) -> dict[str, Any]:
    return {
        "type": message.type,
        "source": message.source,
        "id": message.id,
        "time": message.time.isoformat(),
        "data": message.data,
    }


def turns_of(history: Iterable[Step], run_id: UUID) -> int:
    """How many model turns of this run are on record."""
    return sum(s.kind == "model" and s.run_id == run_id for s in history)


def has_begun(history: Iterable[Step], run_id: UUID) -> bool:
    """Whether what triggered this run is on record."""
    return any(s.kind == "trigger" and s.run_id == run_id for s in history)


def seen_by(history: Sequence[Step], run_id: UUID, own: int) -> Sequence[Step]:
    """A thread's history as one run sees it, `own` of whose steps are its own: those last.

    They are, as a rule, since a thread has one run at a time. Others come in between when a run was blocked and goes on
    after a redrive: it must find its trigger and the results of its calls where they were, or it would call again.
    """
    if all(s.run_id == run_id for s in history[len(history) - own :]):
        return history
    return [*(s for s in history if s.run_id != run_id), *(s for s in history if s.run_id == run_id)]


def conversation(steps: Iterable[Step]) -> tuple[ChatMessage, ...]:
    """The messages that say what happened in a conversation. Questions of nodes are apart from it (`exchange`)."""
    messages: list[ChatMessage] = []
    for step in since_summary(list(steps)):
        messages.extend(_messages(step))
    return tuple(messages)


def since_summary(steps: Sequence[Step]) -> Sequence[Step]:
    """The newest summary, the rest of its run and all that came later; all steps where there is none."""
    at = next((i for i in reversed(range(len(steps))) if is_summary(steps[i])), None)
    if at is None:
        return steps
    run, summary = steps[at].run_id, steps[at]
    return [summary, *(s for i, s in enumerate(steps) if i != at and (i > at or s.run_id == run))]


def is_summary(step: Step) -> bool:
    return step.kind == "note" and bool(step.body.get("summary"))


def exchange(steps: Iterable[Step]) -> tuple[ChatMessage, ...]:
    """The messages of one question of a node: what was asked, and what the model did about it since."""
    messages: list[ChatMessage] = []
    for step in steps:
        if step.kind == "ask":
            messages.append(UserMessage(step.body["text"]))
        elif step.kind == "results" and step.body.get("of") == "question":
            messages.extend(_tool_message(result) for result in step.body["results"])
        elif step.kind == "model" or (step.kind == "note" and "retry" in step.body):
            messages.extend(_told(step))
    return tuple(messages)


def _messages(step: Step) -> Sequence[ChatMessage]:
    body = step.body
    match step.kind:
        case "trigger":
            return [UserMessage(_trigger_text(body))]
        case "model" | "note":
            return () if "question" in body else _told(step)
        case "results" if body.get("of") == "plan":
            return [UserMessage(_done_text(body["results"]))]
        case "results" if body.get("of") == "question":
            return ()
        case "results":
            return [_tool_message(result) for result in body["results"]]
        case "outcome" if body.get("said"):
            return [UserMessage(f"[done] {body['text']}")]
        case _:
            return ()


def _told(step: Step) -> Sequence[ChatMessage]:
    body = step.body
    if step.kind == "note":
        what = "retry" if "retry" in body else "what came before, in short" if body.get("summary") else "note"
        return [UserMessage(f"[{what}] {body['text']}")]
    return [] if "problem" in body else [assistant_message(body)]


def _trigger_text(body: dict[str, Any]) -> str:
    data = body["data"]
    if body["type"] == TASK_TYPE:
        context = data.get("context") or {}
        extra = f"\nContext:\n{_json(context)}" if context else ""
        return f"Task: {data['instruction']}{extra}"
    return f"Event {body['type']} from {body['source']} at {body['time']}:\n{_json(data)}"


def _done_text(results: Sequence[dict[str, Any]]) -> str:
    """What came of the calls that the role's own rules made."""
    lines = [f"{result['tool']} {result['state']}: {_json(_content(result))}" for result in results]
    return "[done by the role's rules]\n" + "\n".join(lines)


def assistant_message(body: dict[str, Any]) -> AssistantMessage:
    calls = tuple(
        ModelToolCall(c["provider_id"], c["tool"], c["arguments"], c.get("raw_arguments"), c.get("provider_extra"))
        for c in body["calls"]
    )
    return AssistantMessage(body["text"], calls, body["provider"], body.get("provider_extra"))


def _tool_message(result: dict[str, Any]) -> ToolMessage:
    failed = result["state"] != "succeeded"
    return ToolMessage(result["provider_id"], result["tool"], _json(_content(result)), is_error=failed)


def _content(result: dict[str, Any]) -> Any:
    """What the model is shown of a result. What people outside wrote is inside of a mark that says so."""
    if result["state"] != "succeeded":
        return {"state": result["state"], **(result["error"] or {})}
    return {"from_outside": result["result"]} if result.get("outside") else result["result"]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
