"""The world as a record knows it: calls get the results that the same calls got then, and nothing else is answered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.evaluation.case import Case, phrased, short
from shared.evaluation.values import brief, masked, values
from shared.runtime.calls import calls_of
from shared.runtime.history import ENTERING, Call, Step


class Left(Exception):
    """The run asks for something of which the record does not know what comes back."""


@dataclass(slots=True)
class _Known:
    """A call on record, what came of it, and with which of the times at which something came."""

    call: str
    tool: str
    arguments: Any
    phrased: list[str]
    closed: dict[str, Any]
    came: int


class World:
    """Answers calls with what the record has for them, each once; a call that reads may be made again."""

    def __init__(self, case: Case, recorded: Sequence[Step]) -> None:
        self._case = case
        self._groups = list(_groups(recorded))
        self._told = 1  # groups whose triggers were delivered
        self.used: set[str] = set()
        self._known = list(_known(case, recorded, self._groups))

    def begin(self) -> tuple[list[dict[str, Any]], str | None]:
        """(bodies of triggers, when they came) of the run's beginning."""
        triggers = [step.body for step in self._groups[0] if step.kind == "trigger"]
        return [_without_at(body) for body in triggers], triggers[0].get("at")

    def answer(self, calls: Sequence[Call]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]], str | None]:
        """(what came of the calls by their ids, triggers that came with it, when). Raises Left."""
        found = {call["call_id"]: self._find(call) for call in calls}
        latest = max(one.came for one in found.values())
        joined = [
            _without_at(step.body)
            for group in self._groups[self._told : latest + 1]
            for step in group
            if step.kind == "trigger"
        ]
        self._told = max(self._told, latest + 1)
        at = next((step.body["at"] for step in self._groups[latest] if "at" in step.body), None)
        return {call: one.closed for call, one in found.items()}, joined, at

    def _find(self, call: Call) -> _Known:
        if call["tool"] in self._case.expects.never:
            raise Left(f"asks for {call['tool']}, which it never may")
        alike = [one for one in self._known if one.tool == call["tool"]]
        for one in alike:
            again = one.call in self.used and one.tool not in self._case.reads
            if not again and _same_call(one, call["arguments"]):
                self.used.add(one.call)
                return one
        raise Left(_left(call, alike, self.used))


def _groups(recorded: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps with which something came, those of one time together."""
    for enters, steps in itertools.groupby(recorded, lambda step: step.kind in ENTERING):
        if enters:
            yield list(steps)


def _known(case: Case, recorded: Sequence[Step], groups: Sequence[Sequence[Step]]) -> Iterator[_Known]:
    closed = {
        one["call_id"]: (one, came)
        for came, group in enumerate(groups)
        for step in group
        if step.kind == "results"
        for one in step.body["results"]
    }
    for step in recorded:
        for call in calls_of(step):
            if call["error"] is None and call["call_id"] in closed:
                result, came = closed[call["call_id"]]
                effect = case.expects.effects.get(short(call))
                free = effect.phrased if effect else phrased(recorded, call["arguments"])
                yield _Known(short(call), call["tool"], call["arguments"], free, result, came)


def _same_call(known: _Known, arguments: Any) -> bool:
    if known.arguments == arguments:
        return True
    return bool(known.phrased) and masked(known.arguments, known.phrased) == masked(arguments, known.phrased)


def _left(call: Call, alike: Sequence[_Known], used: set[str]) -> str:
    tool = call["tool"]
    if not alike:
        return f"asks for {tool}, of which nothing is on record: {brief(call['arguments'])}"
    if all(one.call in used for one in alike) and any(_same_call(one, call["arguments"]) for one in alike):
        return f"asks for {tool} once more than the record has it"
    there = [one for one in alike if one.call not in used] or alike
    was, now = dict(values(there[0].arguments)), dict(values(call["arguments"]))
    names = [name for name in {**was, **now} if was.get(name) != now.get(name) and name not in there[0].phrased]
    told = "; ".join(f"{name} is {brief(now.get(name))}, not {brief(was.get(name))}" for name in names[:5])
    return f"asks for {tool} with other arguments than call {there[0].call} of the record: {told}"


def _without_at(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "at"}
