"""Threads that wait in a graph of an earlier version go on under today's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.operator.agent import OPERATOR
from shared.bus import topics
from shared.runtime.flow import Flow
from shared.runtime.history import Step
from shared.runtime.replay import replay_run
from shared.runtime.work import Work
from tests.integration.runtime import world
from tests.integration.runtime.world import DONE, RUN, ask, calls, statuses
from tests.plain_agent import PLAIN

# Steps as they were before nodes asked for calls: a rule's note, and a model's turn that no node is named in.
BEFORE_NODES = "update steps set body = (body::jsonb - 'node')::json where kind = 'model'"


@pytest.mark.rule(7)
async def test_a_run_that_waits_since_before_there_were_nodes_goes_on(
    agents: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await agents(calls("a", "b"))
    await old.accept(ask("x"))
    await old.work()
    await admin.execute(BEFORE_NODES)
    await admin.execute("update threads set graph_version = 'before'")

    monkeypatch.setattr(world, "CLOSER", replace(OPERATOR, name="closer"))
    new = await agents(DONE)
    await new.hear(admin, f"{RUN}.1.0", {"found": 1})
    await new.hear(admin, f"{RUN}.1.1", {"found": 2})
    await new.work()
    assert await statuses(admin) == {"1": "finished"}
    shown = [type(message).__name__ for message in new.model.requests[0].messages]
    assert shown == ["UserMessage", "AssistantMessage", "ToolMessage", "ToolMessage"], "the model sees its own turn"
    assert await admin.fetchval("select graph_version from threads") == OPERATOR.graph().version
    rows = await admin.fetch("select run_id, step, kind, body from steps order by seq")
    thread = [Step(row["run_id"], row["step"], row["kind"], orjson.loads(row["body"])) for row in rows]
    assert [step.kind for step in thread] == ["trigger", "model", "results", "model", "outcome"]
    report = await replay_run(world.CLOSER, RUN, thread, {})
    assert report.model_requests == 2, "what was recorded before is replayed along today's graph"


def look_up(work: Work) -> None:
    work.call("one", "a", {"q": 1})
    work.call("two", "b", {"q": 2})


def tell(work: Work) -> None:
    work.conclude(f"{work.value('one')} and {work.value('two')}")


def planning() -> Flow:
    flow = Flow()
    flow.add_node("look_up", look_up)
    flow.add_node("tell", tell)
    flow.add_open_loop("improvise")
    flow.begin("look_up")
    flow.add_edge("look_up", "tell")
    return flow


@pytest.mark.rule(7)
async def test_a_plan_survives_a_restart_and_its_calls_are_made_once(
    agents: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "CLOSER", replace(PLAIN, graph=planning))
    first = await agents()
    await first.accept(ask("x"))
    await first.work()
    made = [f"{RUN}.1.0", f"{RUN}.1.1"]
    assert first.sent(topics.tool_calls("closer")) == made
    second = await agents()
    for number, call in enumerate(made):
        await second.hear(admin, call, number)
    await second.work()
    assert second.sent(topics.tool_calls("closer")) == []
    assert await statuses(admin) == {"1": "finished"}
    assert await admin.fetchval("select text from runs") == "0 and 1"
    kinds = [row["kind"] for row in await admin.fetch("select kind from steps order by seq")]
    assert kinds == ["trigger", "plan", "results", "outcome"]


@pytest.mark.rule(3)
async def test_calls_of_a_plan_that_the_gateway_did_not_hear_are_sent_again(
    agents: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "CLOSER", replace(PLAIN, graph=planning))
    agent = await agents()
    await agent.accept(ask("x"))
    await agent.work()
    await admin.execute("update threads set updated_at = now() - interval '1 minute'")
    await agent.activator.send_unheard_calls()
    assert agent.sent(topics.tool_calls("closer")) == [f"{RUN}.1.0", f"{RUN}.1.1"] * 2
