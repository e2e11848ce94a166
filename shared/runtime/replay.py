"""Replay: run a run's graph again from the record, with a model that answers what was recorded, and compare.

Has no effects: nothing is sent, nothing is stored. A step is the same when the rebuilt model request has the recorded
digest and the calls the graph emits are the recorded ones, identity and arguments included.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson

from shared.business import Business
from shared.ids import RunId
from shared.models.models_file import OFFLINE, limits_for
from shared.models.port import ChatReply, ChatRequest, Toolbox, ToolSpec, Usage, sha256_json
from shared.models.window import fit
from shared.runtime.agent import AgentSpec
from shared.runtime.calls import ASKING, wanted_calls
from shared.runtime.context import RunContext
from shared.runtime.flow import MOST_NODES, concluded
from shared.runtime.forks import fork_of, prompts_of
from shared.runtime.history import Step, assistant_message, seen_by


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as recorded. `detail` is a unified diff where there is text to compare."""

    step: int
    what: str
    detail: str


@dataclass(slots=True)
class Report:
    """The result of a replay."""

    run_id: UUID
    steps: int = 0
    model_requests: int = 0
    calls: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not self.differences

    def document(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run_id),
            "same": self.same,
            "steps": self.steps,
            "model_requests": self.model_requests,
            "calls": self.calls,
            "differences": [{"step": d.step, "what": d.what, "detail": d.detail} for d in self.differences],
        }

    def lines(self) -> list[str]:
        told = f"{self.steps} steps, {self.model_requests} model requests, {self.calls} calls"
        if self.same:
            return [f"same: {told} rebuilt from the record are as recorded"]
        shown = [f"DIFFERENT: {told}"]
        for difference in self.differences:
            shown += ["", f"step {difference.step}: {difference.what}", *difference.detail.splitlines()]
        return shown


class _Recorded:
    """Answers with the recorded turns, in order, and compares each request with the recorded digest."""

    def __init__(self, turns: Sequence[Step], stored: Mapping[str, str | None], report: Report) -> None:
        self._turns = list(turns)
        self._stored = stored
        self._report = report
        self.provider = self._turns[0].body.get("provider", "") if self._turns else ""
        self.model = self._next_model("")

    def _next_model(self, otherwise: str) -> str:
        """What the next turn asked for: a restart with other keys may have changed it within the run."""
        return str(self._turns[0].body.get("requested_model", "")) if self._turns else otherwise

    def tools_of_next_turn(self, tools: Toolbox) -> Toolbox:
        """The tool list that was recorded for it: today's may differ without the run being any different."""
        text = self._stored.get(self._turns[0].body["tools_sha256"]) if self._turns else None
        return Toolbox(ToolSpec(**tool) for tool in orjson.loads(text)) if text else tools

    async def complete(self, request: ChatRequest) -> ChatReply:
        if not self._turns:
            self._report.differences.append(Difference(-1, "the graph asks the model once more than recorded", ""))
            raise _Diverged
        turn = self._turns.pop(0)
        self.model = self._next_model(self.model)
        self._report.model_requests += 1
        body = turn.body
        if request.digest() != body["request_sha256"]:
            self._report.differences.append(Difference(turn.step, "model request", self._why(request, body)))
        if (was := body.get("shortened")) and fit(request.messages, was["budget_bytes"])[1] != was:
            self._report.differences.append(Difference(turn.step, "what was left out of the model request", ""))
        usage = Usage(**body["usage"])
        return ChatReply(
            assistant_message(body),
            body["stop"],
            body["requested_model"],
            body["model"],
            usage,
            body.get("request_id"),
            body["attempts"],
            body["latency_ms"],
            body.get("refusal"),
            body.get("shortened"),
            body.get("has_fallback", False),
        )

    async def aclose(self) -> None:
        """Nothing is open."""

    def _why(self, request: ChatRequest, body: dict[str, Any]) -> str:
        parts: list[str] = []
        if sha256_json(request.system) != body["prompt_sha256"]:
            parts.append(_diff("system prompt", self._text(body["prompt_sha256"]), request.system))
        if request.toolbox.sha256 != body["tools_sha256"]:
            parts.append(_diff("tools", self._text(body["tools_sha256"]), _pretty(request.toolbox.document())))
        return "\n".join(parts) or "the conversation before this turn is rendered differently now"

    def _text(self, sha256: str) -> str:
        stored = self._stored.get(sha256)
        if stored is None:
            return ""
        value = orjson.loads(stored)
        return value if isinstance(value, str) else _pretty(value)


class _Diverged(Exception):
    """The graph left the recorded path; nothing after this can be compared."""


async def replay_run(
    spec: AgentSpec,
    run_id: UUID,
    thread: Sequence[Step],
    stored: Mapping[str, str | None],
    business: Business | None = None,
    models: str | None = OFFLINE,
) -> Report:
    """Replay one run. `thread` is the whole thread's record in order; `stored` has prompts and tool lists by digest; `models`
    is the setting that names the file of models.

    A run that was blocked and went on is replayed stretch by stretch: what blocked it came from outside the graph.
    """
    report = Report(run_id, steps=sum(s.run_id == run_id for s in thread))
    graph = spec.graph().compile()
    for before, mine in _stretches(thread, run_id):
        asked = [s for s in mine if s.kind in ASKING]
        if _ended_from_outside(mine[-1]):
            if not asked:
                continue
            mine = mine[: mine.index(asked[-1]) + 1]
        try:
            await _replay_stretch(spec, graph, run_id, before, mine, stored, report, business, models)
        except _Diverged:
            break
    return report


def _ended_from_outside(last: Step) -> bool:
    """A graph ends a run itself when it finished, or failed for want of a usable turn."""
    return last.kind == "outcome" and last.body["status"] != "finished" and "error" not in last.body


def _stretches(thread: Sequence[Step], run_id: UUID) -> Iterator[tuple[list[Step], list[Step]]]:
    """(all that the run saw when it began or went on, its steps from there to its next end) of each stretch, in order."""
    mine: list[Step] = []
    begun = 0
    for at, step in enumerate(thread):
        if step.run_id != run_id:
            continue
        begun = begun if mine else at
        mine.append(step)
        if step.kind == "outcome":
            yield list(thread[:begun]), mine
            mine = []
    if mine:
        yield list(thread[:begun]), mine


async def _replay_stretch(
    spec: AgentSpec,
    graph: Any,
    run_id: UUID,
    before: list[Step],
    mine: list[Step],
    stored: Mapping[str, str | None],
    report: Report,
    business: Business | None,
    models: str | None,
) -> None:
    turns = [s for s in mine if s.kind == "model"]
    model = _Recorded(turns, stored, report)
    history = list(seen_by(before, run_id, sum(s.run_id == run_id for s in before)))
    at = 0
    while at < len(mine):
        entered = _entered(mine, at)
        fork = fork_of([s for s in (*history, *entered) if s.run_id == run_id])
        context = RunContext(
            RunId(run_id),
            list(history),
            _next_step(history, run_id),
            model,
            spec.prompt_for(business or Business(), (fork or {}).get("prompt")),
            Toolbox(),
            spec.max_turns,
            business or Business(),
            question_prompts=prompts_of(fork),
            limits=lambda question: replace(limits_for(spec.name, question, models), model=None),
            pick_tools=model.tools_of_next_turn,
        )
        state = {"steps": entered, "end": None}
        output = await graph.ainvoke(state, {"recursion_limit": MOST_NODES}, context=context)
        made = concluded(context, output)
        _compare(report, mine[at : at + len(made)], made)
        if not wanted_calls(made):
            break
        history.extend(made)
        at += len(made)


def _next_step(history: Sequence[Step], run_id: UUID) -> int:
    return max((s.step for s in history if s.run_id == run_id), default=-1) + 1


def _entered(mine: Sequence[Step], at: int) -> list[Step]:
    """What the activation that began here was entered with: the results of its calls, what triggered or joined it, a fork."""
    following = mine[at:]
    results = [s for s in following[:1] if s.kind == "results"]
    return results + list(itertools.takewhile(lambda s: s.kind in ("trigger", "fork"), following[len(results) :]))


def _compare(report: Report, recorded: Sequence[Step], made: Sequence[Step]) -> None:
    for was, now in zip(recorded, made, strict=False):
        if (was.step, was.kind) != (now.step, now.kind):
            report.differences.append(Difference(was.step, f"{was.kind} was recorded, {now.kind} came", ""))
            raise _Diverged
        if was.kind == "model":
            report.calls += len(now.body["calls"])
            _same(report, was.step, "calls emitted", was.body["calls"], now.body["calls"])
            continue
        report.calls += len(was.body["calls"]) if was.kind == "plan" else 0
        _same(report, was.step, was.kind, was.body, now.body)
    if len(made) < len(recorded):
        report.differences.append(Difference(recorded[len(made)].step, "the graph stops earlier than recorded", ""))


def _same(report: Report, step: int, what: str, was: Any, now: Any) -> None:
    if orjson.dumps(was, option=orjson.OPT_SORT_KEYS) != orjson.dumps(now, option=orjson.OPT_SORT_KEYS):
        report.differences.append(Difference(step, what, _diff(what, _pretty(was), _pretty(now))))


def _diff(what: str, was: str, now: str) -> str:
    lines = difflib.unified_diff(
        was.splitlines(), now.splitlines(), f"{what} (recorded)", f"{what} (now)", lineterm="", n=1
    )
    return "\n".join(lines)


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
