"""Tool calls of a plan or of a model turn: their identity, which of them can be sent, and their results on record. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from shared.bus.envelope import has_nul
from shared.ids import RunId, call_id
from shared.models.port import ModelToolCall
from shared.models.turns import unsendable
from shared.runtime.context import RunContext
from shared.runtime.history import Call, Step

ASKING = ("plan", "model")  # kinds of steps that ask for calls
ANSWER_TOOL = "answer"  # by which a model gives a typed answer; the gateway has no such tool, and never sees it


def calls_of(step: Step) -> list[Call]:
    """The calls of a plan or a model turn, each with its identity. None of a turn that could not be used is made."""
    if step.kind not in ASKING or "problem" in step.body:
        return []
    return [
        identified_call(step.run_id, step.step, index, given)
        for index, given in enumerate(step.body["calls"])
        if not is_answer(step, given)
    ]


def is_answer(turn: Step, given: Mapping[str, Any]) -> bool:
    """Whether this is the model's answer to a question, and no call."""
    return given["tool"] == ANSWER_TOOL and "question" in turn.body


def wanted_calls(steps: Sequence[Step]) -> list[Call]:
    """The calls that an activation with these steps ended at: those of its last step."""
    if not steps or has_answered(steps[-1]):
        return []
    return sendable(calls_of(steps[-1]))


def has_answered(turn: Step) -> bool:
    """Whether a model's turn answers its question: its other calls are not made."""
    return turn.kind == "model" and any(is_answer(turn, given) for given in turn.body["calls"])


def open_step(history: Sequence[Step], awaiting: Collection[str]) -> Step | None:
    """The step that asked for the calls a thread waits for."""
    if not awaiting:
        return None
    run, step, _ = next(iter(awaiting)).rsplit(".", 2)
    return next(s for s in reversed(history) if s.kind in ASKING and str(s.run_id) == run and s.step == int(step))


def sendable(calls: Sequence[Call]) -> list[Call]:
    """Those that a message can carry."""
    return [call for call in calls if call["error"] is None]


def identified_call(run: UUID, step: int, index: int, given: Mapping[str, Any]) -> Call:
    """A call with its identity. `given` is an entry of a step's `calls`."""
    return Call(
        index=index,
        call_id=call_id(RunId(run), step, index),
        tool=given["tool"],
        provider_id=given["provider_id"],
        arguments=given["arguments"],
        error=_unsendable(given),
    )


def record_results(
    context: RunContext, steps: Sequence[Step], calls: Sequence[Call], results: Mapping[str, dict[str, Any]], of: Step
) -> list[Step]:
    """The activation's steps with the results of the calls of the step `of`. `results` are {state, result, error} by call id."""
    body: dict[str, Any] = {"results": [_result(context, call, results) for call in calls]}
    if of.kind == "plan":
        body = {"of": "plan"} | body
    elif "question" in of.body:
        body = {"of": "question"} | body
    return context.step(steps, "results", body)


def _unsendable(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why no message can carry this call; who asked for it is told and may ask again."""
    call = ModelToolCall(given["provider_id"], given["tool"], given["arguments"], given.get("raw_arguments"))
    error = unsendable(call)
    if error is None and has_nul(orjson.dumps(given["arguments"])):
        error = {
            "code": "tool.malformed_arguments",
            "message": "the arguments contain a NUL character.",
            "remedy": "Call the tool again with a JSON object of plain text.",
        }
    return {key: text.replace("\x00", "") for key, text in error.items()} if error else None


def _result(context: RunContext, call: Call, results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    closed = {"state": "failed", "result": None, "error": call["error"]} if call["error"] else results[call["call_id"]]
    outside = closed["state"] == "succeeded" and call["tool"] in context.outside_tools
    return {key: call[key] for key in ("index", "call_id", "tool", "provider_id")} | {
        "state": closed["state"],
        "result": closed["result"],
        "error": closed["error"],
        **({"outside": True} if outside else {}),
    }
