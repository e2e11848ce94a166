"""Steps: the numbered, append-only record of a run, and the conversation a model sees, which is made from nothing else.

Body of each kind of step (JSON):

    trigger     {type, source, id, time, data}              an event or task, as it came
    note        {text, retry?}                               what a deterministic node found; with `retry` what was wrong
                                                             with the model's turn before
    model       {text, calls, provider, provider_extra, model, requested_model, usage, cost_microusd, latency_ms,
                 attempts, stop, request_sha256, prompt_sha256, tools_sha256, refusal?, request_id?,
                 shortened?: {budget_bytes, messages_left_out, messages_shortened, sha256},
                 problem?: {code, message, remedy}, has_fallback?}      a turn with a problem is shown to no model again
    results     {results: [{index, call_id, tool, provider_id, state, result, error}]}
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


@dataclass(frozen=True, slots=True)
class Step:
    """One entry. `step` numbers it within its run."""

    run_id: UUID
    step: int
    kind: str
    body: dict[str, Any]


class Call(TypedDict):
    """A tool call of the last model turn. `error` is set when it cannot be sent (arguments no message can carry)."""

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


def seen_by(history: Sequence[Step], run_id: UUID, own: int) -> Sequence[Step]:
    """A thread's history as one run sees it, `own` of whose steps are its own: those last.

    They are, as a rule, since a thread has one run at a time. Others come in between when a run was blocked and goes on
    after a redrive: it must find its trigger and the results of its calls where they were, or it would call again.
    """
    if all(s.run_id == run_id for s in history[len(history) - own :]):
        return history
    return [*(s for s in history if s.run_id != run_id), *(s for s in history if s.run_id == run_id)]


def conversation(steps: Iterable[Step]) -> tuple[ChatMessage, ...]:
    """The messages a model is shown for these steps."""
    messages: list[ChatMessage] = []
    for step in steps:
        messages.extend(_messages(step))
    return tuple(messages)


def _messages(step: Step) -> Sequence[ChatMessage]:
    body = step.body
    match step.kind:
        case "trigger":
            return [UserMessage(_trigger_text(body))]
        case "note":
            return [UserMessage(f"[{'retry' if 'retry' in body else 'note'}] {body['text']}")]
        case "model":
            return [] if "problem" in body else [assistant_message(body)]
        case "results":
            return [_tool_message(result) for result in body["results"]]
        case _:
            return []


def _trigger_text(body: dict[str, Any]) -> str:
    data = body["data"]
    if body["type"] == TASK_TYPE:
        context = data.get("context") or {}
        extra = f"\nContext:\n{_json(context)}" if context else ""
        return f"Task: {data['instruction']}{extra}"
    return f"Event {body['type']} from {body['source']} at {body['time']}:\n{_json(data)}"


def assistant_message(body: dict[str, Any]) -> AssistantMessage:
    calls = tuple(
        ModelToolCall(c["provider_id"], c["tool"], c["arguments"], c.get("raw_arguments"), c.get("provider_extra"))
        for c in body["calls"]
    )
    return AssistantMessage(body["text"], calls, body["provider"], body.get("provider_extra"))


def _tool_message(result: dict[str, Any]) -> ToolMessage:
    failed = result["state"] != "succeeded"
    content: Any = result["error"] if failed else result["result"]
    if failed:
        content = {"state": result["state"], **(content or {})}
    return ToolMessage(result["provider_id"], result["tool"], _json(content), is_error=failed)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
