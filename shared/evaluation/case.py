"""Cases: recorded runs with what is expected of them, as files that a person may edit.

A case is made of a run's record: its end, the calls that do more than read, and the answers that decide something are expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import BadInput
from shared.evaluation.values import is_prose, is_word, leaves, plain
from shared.models.port import Toolbox, ToolSpec
from shared.runtime.calls import calls_of, is_answer
from shared.runtime.history import Step


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RecordedStep(_Strict):
    """A step as it is on record."""

    run_id: UUID
    step: int
    kind: str
    body: dict[str, Any]


class Effect(_Strict):
    """A call that has to be made. `phrased` are JSON pointers of arguments whose text may be another."""

    tool: str
    phrased: list[str] = []


class Expected(_Strict):
    """What makes a run pass. `effects` are by call (`<step>.<index>` of the record), `answers` by question; `never` are tools."""

    status: Literal["finished", "failed"] = "finished"
    effects: dict[str, Effect] = {}
    answers: dict[str, dict[str, Any]] = {}
    never: list[str] = []


class Case(_Strict):
    """A recorded run with what is expected of it: a file of `viox eval`. `earlier` are steps of the conversation's other runs,
    `reads` the tools among those granted that change nothing, `outside` those whose answers people outside wrote."""

    format: Literal["viox.eval/1"] = "viox.eval/1"
    agent: str
    run_id: UUID
    expects: Expected
    tools: list[dict[str, Any]]
    reads: list[str]
    outside: list[str] = []
    earlier: list[RecordedStep] = []
    steps: list[RecordedStep] = Field(min_length=2)


def case_of(
    agent: str,
    thread: Sequence[Step],
    run_id: UUID,
    tools: Sequence[ToolSpec],
    reads: Sequence[str],
    outside: Sequence[str],
) -> Case:
    """The case of a run. `thread` is the record of its conversation. Raises BadInput when it cannot be worked anew."""
    own = [step for step in thread if step.run_id == run_id]
    _check_whole(own)
    begun = next(at for at, step in enumerate(thread) if step.run_id == run_id)
    earlier = [step for step in thread[:begun] if step.run_id != run_id]
    calls = [one for step in own for one in calls_of(step) if one["error"] is None]
    expected = Expected(
        status=own[-1].body["status"],
        effects={
            short(one): Effect(tool=one["tool"], phrased=phrased(own, one["arguments"]))
            for one in calls
            if one["tool"] not in reads
        },
        answers=_deciding_answers(own),
    )
    return Case(
        agent=agent,
        run_id=run_id,
        expects=expected,
        tools=Toolbox(tools).document(),
        reads=sorted(set(reads) & {one["tool"] for one in calls}),
        outside=sorted(outside),
        earlier=[_recorded(step) for step in earlier],
        steps=[_recorded(step) for step in own],
    )


def _check_whole(own: Sequence[Step]) -> None:
    def refuse(what: str, remedy: str) -> BadInput:
        return BadInput("eval.not_usable", f"this run {what}.", field="run", remedy=remedy)

    if not own or own[-1].kind != "outcome":
        raise refuse("has not ended", "Wait for its end, or take another one.")
    if any(step.kind == "fork" for step in own):
        raise refuse("is a fork", "Take the run that it was forked from.")
    if own[-1].body["status"] not in ("finished", "failed") or sum(step.kind == "outcome" for step in own) > 1:
        raise refuse("was ended from outside its graph", "Take one that came to its own end.")


def phrased(own: Sequence[Step], arguments: Any) -> list[str]:
    """JSON pointers of the arguments whose text a model wrote: sentences that its turns on record have, whole or in part."""
    written = {plain(text) for step in own if step.kind == "model" for text in _texts_of_turn(step)}
    sentences = [text for text in written if is_prose(text)]
    return [
        pointer
        for pointer, text in leaves(arguments)
        if is_prose(text) and any(one in plain(text) or plain(text) in one for one in sentences)
    ]


def _deciding_answers(own: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Of the newest answer to each question what is a choice: yes or no, or a single word."""
    found: dict[str, dict[str, Any]] = {}
    for question, answer in answers_of(own):
        chosen = {name: value for name, value in answer.items() if isinstance(value, bool) or is_word(value)}
        found.pop(question, None)
        if chosen:
            found[question] = chosen
    return found


def answers_of(own: Sequence[Step]) -> Iterator[tuple[str, dict[str, Any]]]:
    for step in own:
        if step.kind == "model" and "problem" not in step.body:
            for given in step.body["calls"]:
                if is_answer(step, given):
                    yield step.body["question"], given["arguments"]


def _texts_of_turn(step: Step) -> Iterator[str]:
    yield step.body["text"]
    for call in step.body["calls"]:
        yield from (text for _, text in leaves(call["arguments"]))


def short(call: Mapping[str, Any]) -> str:
    """`<step>.<index>` of a call."""
    return ".".join(call["call_id"].rsplit(".", 2)[-2:])


def _recorded(step: Step) -> RecordedStep:
    return RecordedStep(run_id=step.run_id, step=step.step, kind=step.kind, body=step.body)
