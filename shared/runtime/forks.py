"""Forks: a run is taken up again from one of its steps, with something changed, in a conversation of its own.

The fork's record begins as its original's does, up to the step, with what was changed there; a step of kind `fork` says so.
From there it goes on as any run goes on from its record. Nothing of the original is touched, and no call of it is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.bus.events import TASK_TYPE
from shared.errors import BadInput, VioxError
from shared.models.models_file import Limits
from shared.runtime.history import ENTERING, Step
from shared.runtime.shapes import misfits

LONGEST_TOLD = 300


@dataclass(frozen=True, slots=True)
class Changes:
    """What a fork changes. `prompt` is who the agent is, `questions` what is asked, by the question's name; `instruction` and
    `results` (by call: `<step>.<index>`) replace what is on record where the fork begins."""

    model: str | None = None
    prompt: str | None = None
    instruction: str | None = None
    results: Mapping[str, Any] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork that can be made: `kept` steps of the original stand at its beginning, `edited` ones of them with other bodies.

    `body` is that of the step that says so, with `warnings` about edits that rules have to bear.
    """

    kept: int
    edited: Mapping[int, dict[str, Any]]
    body: dict[str, Any]


def plan(
    own: Sequence[Step], at: int, changes: Changes, by: str, answered: Mapping[str, Sequence[Any]] | None = None
) -> Fork:
    """How a run is forked at a step. `own` are its steps, in order. Raises BadInput naming what does not fit.

    A graph is entered with what came: it begins anew behind the newest results or trigger before the step. `answered` are
    answers on record by tool: what a call that failed would have given has their shape.
    """
    kept = _beginning(own, at)
    came = _came(own, kept)
    edited = _edited_results(came, changes.results)
    warnings = _check_shapes(_results_by_call(came), changes.results, answered or {})
    if changes.instruction is not None:
        edited |= _edited_task(came, changes.instruction)
    body = {"of": str(own[0].run_id), "at": kept, "by": by}
    body |= {name: value for name in ("model", "prompt") if (value := getattr(changes, name)) is not None}
    body |= {"questions": dict(changes.questions)} if changes.questions else {}
    body |= {"warnings": warnings} if warnings else {}
    return Fork(kept, edited, body | ({"edited": sorted(edited)} if edited else {}))


@dataclass(frozen=True, slots=True)
class Beginning:
    """A step at which a run can be forked, and what came there and may be changed: the task's instruction, results by call.

    `tools` says of each of these calls which tool it was, `errors` why those that failed did, `node` where the graph went then.
    """

    step: int
    node: str | None
    instruction: str | None
    results: Mapping[str, Any]
    tools: Mapping[str, str]
    errors: Mapping[str, str]


def beginnings(own: Sequence[Step]) -> list[Beginning]:
    """Where a run can be forked, in order."""
    return [_as_beginning(own, number) for number in _starts(own)]


def _as_beginning(own: Sequence[Step], number: int) -> Beginning:
    came = _came(own, number)
    task = _task(came)
    results = [one for step in came if step.kind == "results" for one in step.body["results"]]
    node = next((step.body["node"] for step in own[number:] if step.body.get("node")), None)
    return Beginning(
        number,
        node,
        task.body["data"].get("instruction") if task else None,
        {_short(one["call_id"]): one["result"] for one in results},
        {_short(one["call_id"]): one["tool"] for one in results},
        {_short(one["call_id"]): one["error"]["message"] for one in results if one["error"]},
    )


def fork_of(own: Sequence[Step]) -> dict[str, Any] | None:
    """What the newest fork among a run's steps says."""
    return next((step.body for step in reversed(own) if step.kind == "fork"), None)


def rules_failed(node: str, fork: Mapping[str, Any], error: Exception) -> VioxError:
    """A node's rules cannot work on the record of a fork: they are given the same at each attempt, so that none can help."""
    words = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_TOLD]
    what = "what was edited" if "edited" in fork else "this record"
    told = f"the rules of {node} cannot work on {what}: {words}."
    remedy = "Fork again with everything in the edited result that they read."
    if "edited" not in fork:
        remedy = "The graph may have changed since: see what `viox replay` says of the original."
    return VioxError("fork.rules_failed", told, remedy=remedy)


def with_model(limits: Callable[[str], Limits], fork: Mapping[str, Any] | None) -> Callable[[str], Limits]:
    """Limits of questions, with the model that a fork names for all of them."""
    if fork is None or "model" not in fork:
        return limits
    model = fork["model"]
    return lambda question: replace(limits(question), model=model)


def prompts_of(fork: Mapping[str, Any] | None) -> Mapping[str, str]:
    """What a fork asks instead, by the question's name."""
    found: Mapping[str, str] = (fork or {}).get("questions", {})
    return found


def _beginning(own: Sequence[Step], at: int) -> int:
    starts = _starts(own)
    if not starts:
        raise BadInput(
            "fork.nothing_done", "this run has done nothing that could go another way.", field="run", remedy="Ask anew."
        )
    if not starts[0] <= at < len(own):
        raise BadInput(
            "fork.no_such_step",
            f"the run cannot be forked at step {at}.",
            field="--at",
            remedy=f"Give a step from {starts[0]} to {len(own) - 1}: see `viox run`.",
        )
    return max(number for number in starts if number <= at)


def _starts(own: Sequence[Step]) -> list[int]:
    return [
        number for number in range(1, len(own)) if own[number - 1].kind in ENTERING and own[number].kind not in ENTERING
    ]


def _came(own: Sequence[Step], kept: int) -> list[Step]:
    """The results and triggers that the fork begins with."""
    first = kept
    while first and own[first - 1].kind in ENTERING:
        first -= 1
    return list(own[first:kept])


def _edited_results(came: Sequence[Step], given: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    edited: dict[int, dict[str, Any]] = {}
    calls = _results_by_call(came)
    for call, value in given.items():
        if _short(call) not in calls:
            known = f"Those that came there are {', '.join(calls)}." if calls else "None came there."
            raise BadInput(
                "fork.no_such_result",
                f"no result of call {call} came where the fork begins.",
                field="--result",
                remedy=known,
            )
        step, one = calls[_short(call)]
        body = edited.get(step.step, step.body)
        changed = one | {"state": "succeeded", "result": value, "error": None}
        edited[step.step] = body | {
            "results": [changed if other["call_id"] == one["call_id"] else other for other in body["results"]]
        }
    return edited


def _results_by_call(came: Sequence[Step]) -> dict[str, tuple[Step, dict[str, Any]]]:
    """The step and the result of each call that came back, by the call's short name."""
    return {
        _short(one["call_id"]): (step, one) for step in came if step.kind == "results" for one in step.body["results"]
    }


def _check_shapes(
    came: Mapping[str, tuple[Step, dict[str, Any]]], given: Mapping[str, Any], answered: Mapping[str, Sequence[Any]]
) -> list[str]:
    """What the role's rules have to bear of the edited results. Raises BadInput for what they may read and would not find."""
    warnings = []
    for call, value in given.items():
        result = came[_short(call)][1]
        succeeded = result["state"] == "succeeded"
        found = misfits(value, [result["result"]] if succeeded else answered.get(result["tool"], ()))
        of = f"the result of {result['tool']} (call {_short(call)})"
        if found.broken:
            raise BadInput(
                "fork.result_misfit",
                f"{of} is not as rules may read it: {'; '.join(found.broken)}.",
                field="--result",
                remedy="Write the whole result, as it is on record but for what is to be different. What a vendor leaves "
                "empty is null.",
            )
        warnings += [f"{of}: {told}." for told in found.doubtful]
    return warnings


def failed_tools(own: Sequence[Step], changes: Changes) -> set[str]:
    """Tools of calls that failed and are given a result."""
    given = {_short(call) for call in changes.results}
    results = [one for step in own if step.kind == "results" for one in step.body["results"]]
    return {one["tool"] for one in results if _short(one["call_id"]) in given and one["state"] != "succeeded"}


def _short(call: str) -> str:
    """`<step>.<index>` of a call's id."""
    return ".".join(call.rsplit(".", 2)[-2:])


def _edited_task(came: Sequence[Step], instruction: str) -> dict[int, dict[str, Any]]:
    task = _task(came)
    if task is None:
        raise BadInput(
            "fork.no_task",
            "no task came where the fork begins, so that there is no instruction to change.",
            field="--instruction",
            remedy="Fork at the step behind the task, or change a result.",
        )
    return {task.step: task.body | {"data": task.body["data"] | {"instruction": instruction}}}


def _task(came: Sequence[Step]) -> Step | None:
    return next((step for step in reversed(came) if step.kind == "trigger" and step.body["type"] == TASK_TYPE), None)
