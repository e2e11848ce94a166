"""Evaluation: work a recorded run's task anew, with a model that is really asked and results that are taken from the record.

Has no effects: a call gets the result that was recorded for the same call, and one that is not on record ends the run. A run
passes when the role's rules, which are its graph, lead to what its case expects. What the model phrases may be phrased otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.errors import GraphRecursionError

from shared.business import Business
from shared.errors import VioxError
from shared.evaluation.case import Case, Expected, answers_of
from shared.evaluation.world import Left, World
from shared.ids import RunId
from shared.models.models_file import NO_LIMITS, Limits
from shared.models.port import ChatModel, ModelError, Toolbox, ToolSpec
from shared.runtime.agent import AgentSpec
from shared.runtime.calls import wanted_calls
from shared.runtime.context import RunContext
from shared.runtime.flow import MOST_NODES, concluded, entered
from shared.runtime.history import Step


@dataclass(slots=True)
class Verdict:
    """What came of a case. `problems` say why it did not pass; `error` why it could not be tried (a model that is away)."""

    problems: list[str] = field(default_factory=list)
    error: str | None = None
    status: str = ""
    text: str = ""
    turns: int = 0
    unusable_turns: int = 0
    tokens: int = 0
    cost_microusd: int = 0
    recorded_tokens: int = 0
    recorded_cost_microusd: int = 0

    @property
    def passed(self) -> bool:
        return not self.problems and self.error is None


async def evaluate(
    spec: AgentSpec,
    case: Case,
    model: ChatModel,
    *,
    business: Business | None = None,
    prompt: str | None = None,
    limits: Callable[[str], Limits] = lambda question: NO_LIMITS,
) -> Verdict:
    """Work the case's task anew. Reports what does not come out as expected, and what it took."""
    recorded = [Step(one.run_id, one.step, one.kind, one.body) for one in case.steps]
    verdict = Verdict()
    verdict.recorded_tokens, verdict.recorded_cost_microusd = _spent(recorded)
    world = World(case, recorded)
    own: list[Step] = []
    try:
        await _work(spec, case, world, own, model, business or Business(), prompt, limits)
    except Left as left:
        verdict.problems.append(str(left))
    except ModelError as error:
        verdict.error = error.message
    except GraphRecursionError:
        verdict.problems.append(f"passed through {MOST_NODES} nodes without a call, a question or an end")
    except VioxError as error:
        verdict.problems.append(error.message)
    else:
        verdict.problems += _judged(case.expects, own, world)
    _count(verdict, own)
    return verdict


async def _work(
    spec: AgentSpec,
    case: Case,
    world: World,
    own: list[Step],
    model: ChatModel,
    business: Business,
    prompt: str | None,
    limits: Callable[[str], Limits],
) -> None:
    graph = spec.graph().compile()
    earlier = [Step(one.run_id, one.step, one.kind, one.body) for one in case.earlier]
    tools = Toolbox(ToolSpec(**tool) for tool in case.tools)
    triggers, at = world.begin()
    results: dict[str, dict[str, Any]] = {}
    asked: Step | None = None
    while True:
        context = RunContext(
            RunId(case.run_id),
            [*earlier, *own],
            len(own),
            model,
            spec.prompt_for(business, prompt),
            tools,
            spec.max_turns,
            business,
            frozenset(case.outside),
            limits,
        )
        steps = entered(context, triggers, asked, results, at)
        output = await graph.ainvoke({"steps": steps, "end": None}, {"recursion_limit": MOST_NODES}, context=context)
        own += concluded(context, output)
        wanted = wanted_calls(own[-1:])
        if not wanted:
            return
        asked = own[-1]
        results, triggers, at = world.answer(wanted)


def _judged(expects: Expected, own: Sequence[Step], world: World) -> Iterator[str]:
    end = own[-1].body
    if end["status"] != expects.status:
        why = f": {end['error']['message']}" if end.get("error") else ""
        yield f"ended as {end['status']}, not as {expects.status}{why}"
    for call in expects.effects:
        if call not in world.used:
            yield f"did not ask for {expects.effects[call].tool} (call {call} of the record)"
    answers = dict(answers_of(own))
    for question, chosen in expects.answers.items():
        given = answers.get(question, {})
        for name, value in chosen.items():
            if given.get(name) != value:
                yield f"answered {question}: {name} is {given.get(name)!r}, not {value!r}"


def _count(verdict: Verdict, own: Sequence[Step]) -> None:
    turns = [step for step in own if step.kind == "model"]
    verdict.turns = len(turns)
    verdict.unusable_turns = sum("problem" in step.body for step in turns)
    verdict.tokens, verdict.cost_microusd = _spent(own)
    if own and own[-1].kind == "outcome":
        verdict.status, verdict.text = own[-1].body["status"], own[-1].body["text"]


def _spent(steps: Sequence[Step]) -> tuple[int, int]:
    """(tokens, cost in millionths of a dollar) of the model's turns."""
    turns = [step.body for step in steps if step.kind == "model"]
    tokens = sum(sum(turn["usage"][name] for name in ("input", "output", "cache_read")) for turn in turns)
    return tokens, sum(turn["cost_microusd"] or 0 for turn in turns)


def summed(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """{passed, failed, error, tokens, cost_microusd, recorded_tokens, recorded_cost_microusd} of a suite."""
    names = ("tokens", "cost_microusd", "recorded_tokens", "recorded_cost_microusd")
    total = dict.fromkeys(("passed", "failed", "error", *names), 0)
    for one in verdicts:
        total["error" if one.error else "passed" if one.passed else "failed"] += 1
        for name in names:
            total[name] += getattr(one, name)
    return total
