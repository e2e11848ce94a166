"""A role's graph driven to the end of its run against vendors that remember, and what is read of the record afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import orjson

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.tools import Tool
from shared.runtime.agent import AgentSpec
from shared.runtime.history import Step
from shared.runtime.replay import replay_run
from tests.unit.agents.driving import RUN, Graph, answered, trigger

World = Callable[[Mapping[str, Any]], Any]


def task(instruction: str, **context: Any) -> dict[str, Any]:
    return trigger("viox.task.requested", {"instruction": instruction, "context": context})


async def finish(graph: Graph, world: World, *given: dict[str, Any]) -> Graph:
    """One run, to its end. What it calls fits the tools."""
    state = await graph.go(*given)
    while state["outgoing"]:
        for call in state["outgoing"]:
            check(call["tool"], call["arguments"])
        state = await graph.go(results=answered(state, world))
    return graph


def check(tool: str, arguments: Mapping[str, Any]) -> None:
    """Raises AssertionError when the gateway would refuse the call for its arguments."""
    known = _tools().get(tool)
    assert known is not None, f"there is no tool {tool!r}"
    problem = known.problem_with(dict(arguments))
    assert problem is None, f"{tool}: {problem}"


@cache
def _tools() -> Mapping[str, Tool]:
    return catalogue.load().tools


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
    stored: dict[str, str | None] = {key: orjson.dumps(one).decode() for key, one in graph.asked_with.items()}
    steps = [_read_back(step) for step in graph.history]
    report = await replay_run(spec, RUN, steps, stored)
    assert report.same, report.lines()
    return report.same


def _read_back(step: Step) -> Step:
    return replace(step, body=orjson.loads(orjson.dumps(step.body)))
