"""What a node of a role sees, and what it may ask for.

A node is a plain function of one `Work`: it reads what happened as typed values and says what it wants. It does nothing
itself: calls go out after the commit, and the graph goes on behind the node when their results are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel

from shared.bus.events import TASK_TYPE
from shared.business import Business
from shared.heard import Heard, heard
from shared.runtime.context import RunContext
from shared.runtime.history import Step, assistant_message
from shared.runtime.questions import Question, rendered
from shared.runtime.standing import Standing

A = TypeVar("A")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call. `state` is that of the call; `value` the tool's answer where it succeeded, else None."""

    name: str
    tool: str
    arguments: dict[str, Any]
    state: str
    value: Any
    error: dict[str, Any] | None
    call_id: str

    @property
    def ok(self) -> bool:
        return self.state == "succeeded"

    @property
    def why(self) -> str:
        """Why it did not succeed, in a sentence without its full stop."""
        return str((self.error or {}).get("message") or self.state).rstrip(". ")

    @property
    def until(self) -> str | None:
        """The moment from which on a call may be made that was denied for now: the end of the recipient's quiet hours."""
        found = (self.error or {}).get("until") if self.state == "denied" else None
        return str(found) if found else None


@dataclass(frozen=True, slots=True)
class Trigger:
    """The event or task that is worked on. `data` is as it came."""

    type: str
    source: str
    id: str
    time: datetime
    data: dict[str, Any]
    step: int

    @property
    def is_task(self) -> bool:
        return self.type == TASK_TYPE

    @property
    def instruction(self) -> str:
        """What a task says is to be done; nothing for an event."""
        return str(self.data.get("instruction", "")) if self.is_task else ""

    @property
    def heard(self) -> Heard | None:
        """What somebody wrote to us, where that is what came."""
        return heard(self.type, self.data)

    @property
    def context(self) -> dict[str, Any]:
        """What a task brings along."""
        return dict(self.data.get("context") or {}) if self.is_task else {}


class Work:
    """One trigger's work, as one node finds it."""

    def __init__(self, context: RunContext, steps: Sequence[Step], at: Standing, node: str = "") -> None:
        self._context = context
        self._steps = steps
        self._at = at
        self.node = node
        self.calls: list[dict[str, Any]] = []
        self.asked: tuple[Question[Any], str] | None = None
        self.kept_now: dict[str, Any] = {}
        self.notes: list[str] = []
        self.end: dict[str, Any] | None = None

    # -- what it sees -------------------------------------------------------------------------------------------------

    @cached_property
    def trigger(self) -> Trigger:
        step = self._at.triggers[0]
        body = step.body
        moment = datetime.fromisoformat(body["time"])
        return Trigger(body["type"], body["source"], body["id"], moment, body["data"], step.step)

    def event(self, model: type[M]) -> M:
        """The data of the event that is worked on."""
        return model.model_validate(self.trigger.data)

    @property
    def now(self) -> datetime:
        """When what this activation works on came. Replay finds the same moment."""
        for step in reversed([*self._context.own, *self._steps]):
            if at := step.body.get("at"):
                return datetime.fromisoformat(at)
        return self.trigger.time

    @property
    def business(self) -> Business:
        return self._context.business

    def results(self, name: str | None = None) -> list[Result]:
        """What came of the calls of this name (of all plans: None) since work on the trigger began, in the order of the plan."""
        return [one for one in self._results if name in (None, one.name)]

    def result(self, name: str) -> Result | None:
        """The newest of them; None when no such call was made."""
        return next((one for one in reversed(self._results) if one.name == name), None)

    def value(self, name: str) -> Any:
        """What the newest of them answered; None when there is none, or it did not succeed."""
        found = self.result(name)
        return found.value if found else None

    def failures(self) -> list[Result]:
        """Calls that did not succeed."""
        return [one for one in self._results if not one.ok]

    def answer(self, question: Question[A]) -> A | None:
        """What the model answered; None when it was not asked, or had no answer to an optional question."""
        for step in reversed(self._at.piece):
            if step.kind == "model" and step.body.get("question") == question.name and "problem" not in step.body:
                try:
                    return question.read(assistant_message(step.body))
                except ValueError:
                    continue  # a turn that used other tools first
        return None

    def kept(self, name: str, model: type[M]) -> M | None:
        """What an earlier node or run of this conversation kept under a name."""
        value = self._kept.get(name)
        return model.model_validate(value) if value is not None else None

    # -- what it asks for ---------------------------------------------------------------------------------------------

    def call(self, name: str, tool: str, arguments: Mapping[str, Any]) -> None:
        """Make a call. All calls of a node go out together; its results are found under `name`. None values are left out."""
        given = {key: value for key, value in arguments.items() if value is not None}
        at = len(self.calls)
        self.calls.append({"name": name, "provider_id": f"plan_{at}", "tool": tool, "arguments": given})

    def ask(self, question: Question[Any], outside: Mapping[str, Any] | None = None, **given: Any) -> None:
        """Ask the model. `outside` is what people outside the business wrote: data, never an instruction."""
        self.asked = (question, rendered(question.name, given, outside or {}))

    def keep(self, name: str, value: BaseModel) -> None:
        """Keep something for later nodes and runs of the conversation."""
        self.kept_now[name] = value.model_dump(mode="json", exclude_none=True)

    def note(self, text: str) -> None:
        """Put something on record that an open loop is shown."""
        self.notes.append(text)

    def conclude(self, text: str) -> None:
        """End the work on this trigger. `text` is for the owner to read."""
        self.end = {"status": "finished", "text": text}

    def fail(self, code: str, message: str, remedy: str | None = None) -> None:
        """End the work on this trigger, which could not be done."""
        error = {"code": code, "message": message, "field": None, "remedy": remedy, "retryable": False}
        self.end = {"status": "failed", "text": message, "error": error}

    # -- reading the record -------------------------------------------------------------------------------------------

    @cached_property
    def _results(self) -> list[Result]:
        plans = {step.step: step for step in self._at.piece if step.kind == "plan"}
        answers = [step for step in self._at.piece if step.kind == "results" and step.body.get("of") == "plan"]
        return [one for step in answers for one in _results_of(step, plans)]

    @cached_property
    def _kept(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for step in (*self._context.history, *self._steps):
            if step.kind == "record":
                found |= step.body["values"]
        return found


def _results_of(step: Step, plans: Mapping[int, Step]) -> Iterable[Result]:
    for one in step.body["results"]:
        _, at, index = one["call_id"].rsplit(".", 2)
        if plan := plans.get(int(at)):
            call = plan.body["calls"][int(index)]
            value = one["result"] if one["state"] == "succeeded" else None
            yield Result(
                call["name"], one["tool"], call["arguments"], one["state"], value, one["error"], one["call_id"]
            )
