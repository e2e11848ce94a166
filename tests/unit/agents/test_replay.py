"""Replay: the same record is green, one changed line of a prompt, a rule or a call is red."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.models.port import AssistantMessage, ModelToolCall, sha256_json
from shared.runtime.agent import AgentSpec
from shared.runtime.history import Step
from shared.runtime.replay import Report, replay_run
from tests import plain_agent
from tests.plain_agent import PLAIN
from tests.unit.agents.driving import RUN, Graph, Scripted, calls, closed, trigger


async def recorded() -> list[Step]:
    """A run of two turns in which an event joined."""
    graph = Graph(PLAIN, Scripted(calls("a", "b"), calls("c"), AssistantMessage("done")))
    state = await graph.go(trigger("viox.task.requested", {"instruction": "x", "context": {}}))
    joined = [trigger("com.twilio.message.received", {"From": "+1", "Body": "my invoice"})]
    state = await graph.go(*joined, results=closed(state, {"n": 1}))
    await graph.go(results=closed(state, {"n": 2}))
    return [orjson_round_trip(step) for step in graph.history]


def orjson_round_trip(step: Step) -> Step:
    """As it comes back from the table."""
    return replace(step, body=orjson.loads(orjson.dumps(step.body)))


async def replayed(spec: AgentSpec, steps: list[Step]) -> Report:
    stored = {sha256_json(PLAIN.prompt): orjson.dumps(PLAIN.prompt).decode(), sha256_json([]): "[]"}
    return await replay_run(spec, RUN, steps, stored)


async def test_an_unchanged_run_is_green() -> None:
    report = await replayed(PLAIN, await recorded())
    assert report.same, report.lines()
    assert (report.model_requests, report.calls) == (3, 3)


async def test_one_changed_line_of_the_prompt_is_red_and_shown() -> None:
    changed = replace(PLAIN, prompt=PLAIN.prompt.replace("Never promise prices", "Sometimes promise prices"))
    report = await replayed(changed, await recorded())
    assert not report.same
    assert "+Sometimes promise prices or dates." in "\n".join(report.lines())


async def test_a_changed_rule_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(PLAIN, Scripted(AssistantMessage("done")))
    await graph.go(trigger("com.twilio.message.received", {"From": "+1", "Body": "my invoice"}))
    steps = [orjson_round_trip(step) for step in graph.history]
    monkeypatch.setattr(plain_agent, "SUBJECTS", {})
    report = await replayed(PLAIN, steps)
    assert "note was recorded, model came" in [d.what for d in report.differences]


@pytest.mark.parametrize("kind", ["results", "trigger"])
async def test_a_record_that_was_tampered_with_is_red(kind: str) -> None:
    steps = await recorded()
    place = next(i for i, s in enumerate(steps) if s.kind == kind)
    body: dict[str, Any] = orjson.loads(
        orjson.dumps(steps[place].body).replace(b'"n":1', b'"n":7').replace(b'"x"', b'"y"')
    )
    steps[place] = replace(steps[place], body=body)
    assert not (await replayed(PLAIN, steps)).same


async def test_repeated_provider_ids_do_not_confuse_it() -> None:
    same = AssistantMessage("", (ModelToolCall("id", "a", {}), ModelToolCall("id", "b", {})))
    graph = Graph(PLAIN, Scripted(same, AssistantMessage("done")))
    state = await graph.go(trigger("viox.task.requested", {"instruction": "x", "context": {}}))
    await graph.go(results=closed(state))
    assert (await replayed(PLAIN, graph.history)).same
