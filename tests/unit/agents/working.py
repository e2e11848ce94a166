"""A role's graph driven to the end of its run against vendors that remember, and what is read of the record afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from shared.models.port import Toolbox, sha256_json
from shared.runtime.agent import AgentSpec
from shared.runtime.history import Step
from shared.runtime.questions import toolbox
from shared.runtime.replay import replay_run
from tests.unit.agents.driving import RUN, Graph, answered, trigger

World = Callable[[Mapping[str, Any]], Any]


def task(instruction: str, **context: Any) -> dict[str, Any]:
    return trigger("viox.task.requested", {"instruction": instruction, "context": context})


async def finish(graph: Graph, world: World, *given: dict[str, Any]) -> Graph:
    """One run, to its end."""
    state = await graph.go(*given)
    while state["outgoing"]:
        state = await graph.go(results=answered(state, world))
    return graph


def turns(graph: Graph) -> int:
    """Model turns of all runs."""
    return [step.kind for step in graph.history].count("model")


def end(graph: Graph) -> dict[str, Any]:
    """How the last run ended."""
    outcome = graph.history[-1]
    assert outcome.kind == "outcome"
    return outcome.body


def asked(graph: Graph, question: str) -> tuple[str, str]:
    """What the model was given for a question: by our own rules, and from outside."""
    text = next(
        step.body["text"]
        for step in reversed(graph.history)
        if step.kind == "ask" and step.body["question"] == question
    )
    own, _, outside = text.partition('from="outside"')
    return own, outside


async def replays(spec: AgentSpec, graph: Graph) -> bool:
    """Whether the first run, read back from the record, comes out the same."""
    asked_with = [(spec.prompt, Toolbox())]
    for questions in spec.graph()._questions.values():
        asked_with += [(question.system(spec.prompt), toolbox(question, Toolbox())) for question in questions.values()]
    stored: dict[str, str | None] = {sha256_json(prompt): orjson.dumps(prompt).decode() for prompt, _ in asked_with}
    stored |= {tools.sha256: orjson.dumps(tools.document()).decode() for _, tools in asked_with}
    steps = [_read_back(step) for step in graph.history]
    report = await replay_run(spec, RUN, steps, stored)
    assert report.same, report.lines()
    return report.same


def _read_back(step: Step) -> Step:
    return replace(step, body=orjson.loads(orjson.dumps(step.body)))
