"""Blocked runs: what is set aside, and what happens when somebody sends it again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shared.bus import topics
from shared.ids import run_id
from shared.models.port import AssistantMessage, UserMessage
from shared.operations import store
from shared.runtime.history import Step
from shared.runtime.replay import replay_run
from shared.store.pool import Pool
from tests.integration.runtime.world import CLOSER, DONE, LIMITS, RUN, Agent, ask, calls, keep_trying, statuses

FAILS = [RuntimeError("boom")] * LIMITS.max_attempts


async def redrive(agent: Agent, admin: Any, operator: Pool) -> None:
    """Redrive the one dead letter there is, and have its service take it in."""
    letter = await admin.fetchval("select dead_letter_id from dead_letters where state = 'dead'")
    await store.redrive(operator, letter)
    assert await agent.redrives.take() == 1
    assert await admin.fetchval("select state from dead_letters where dead_letter_id = $1", letter) == "redriven"


def calls_sent(agent: Agent) -> list[str]:
    return agent.sent(topics.tool_calls("closer"))


@pytest.mark.rule(4)
async def test_a_run_that_was_blocked_after_its_calls_goes_on_with_their_results(
    agents: Any, admin: Any, operator: Pool
) -> None:
    agent = await agents(calls("a"), *FAILS)
    await agent.accept(ask("x"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", {"found": 42})
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    assert await statuses(admin) == {"1": "blocked"}
    letter = await admin.fetchrow("select topic, value, run_id, attempts from dead_letters")
    assert (letter["topic"], letter["run_id"]) == (topics.tasks("closer"), RUN)
    assert (orjson.loads(letter["value"])["instruction"], letter["attempts"]) == ("x", LIMITS.max_attempts)

    agent.model.turns = [DONE]
    await redrive(agent, admin, operator)
    assert await statuses(admin) == {"1": "running"}
    await agent.work()
    assert await statuses(admin) == {"1": "finished"}
    assert agent.model.requests[-1] == agent.model.requests[1], "the question that found no answer is asked again"
    assert calls_sent(agent) == [f"{RUN}.1.0"], "no call is made again"
    told = agent.sent(topics.RUNS)
    assert len(set(told)) == len(told) == 4, "started, blocked, started again, finished"
    kinds = [row["kind"] for row in await admin.fetch("select kind from steps order by seq")]
    assert kinds == ["trigger", "model", "results", "outcome", "model", "outcome"]


@pytest.mark.rule(4)
async def test_a_run_that_was_blocked_at_its_start_starts_again(agents: Any, admin: Any, operator: Pool) -> None:
    agent = await agents(*FAILS)
    await agent.accept(ask("x"))
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    assert await statuses(admin) == {"1": "blocked"}
    agent.model.turns = [*FAILS]
    await redrive(agent, admin, operator)
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    assert await statuses(admin) == {"1": "blocked"}, "and can be blocked again"
    agent.model.turns = [calls("a"), DONE]
    await redrive(agent, admin, operator)
    await agent.work()
    made = calls_sent(agent)
    await agent.hear(admin, made[0], 1)
    await agent.work()
    assert await statuses(admin) == {"1": "finished"}
    assert len(made) == 1


@pytest.mark.rule(4)
async def test_a_run_goes_on_where_it_stood_though_others_came_in_between(
    agents: Any, admin: Any, operator: Pool
) -> None:
    agent = await agents(calls("a"), *FAILS, AssistantMessage("two"))
    await agent.accept(ask("first"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", {"found": 42})
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    await agent.accept(ask("second", number="2"))
    await agent.work()
    agent.model.turns = [calls("b"), DONE]
    await redrive(agent, admin, operator)
    await agent.work()
    await agent.hear(admin, calls_sent(agent)[-1], {"found": 43})
    await agent.work()
    assert await statuses(admin) == {"1": "finished", "2": "finished"}
    shown = [m.text if isinstance(m, UserMessage) else type(m).__name__ for m in agent.model.requests[-1].messages]
    assert shown == ["Task: second", "AssistantMessage", "Task: first", *["AssistantMessage", "ToolMessage"] * 2]
    report = await replay(admin)
    assert report.same, report.lines()
    assert (report.model_requests, report.calls) == (3, 2)


@pytest.mark.rule(4)
async def test_a_run_that_goes_on_joins_no_other(agents: Any, admin: Any, operator: Pool) -> None:
    agent = await agents(calls("a"), *FAILS, calls("b"))
    await agent.accept(ask("first"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", 1)
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    await agent.accept(ask("second", number="2"))
    await agent.work()
    await redrive(agent, admin, operator)
    agent.model.turns = [AssistantMessage("two"), AssistantMessage("one")]
    await agent.hear(admin, f"{run_id('closer', '/t', '2')}.1.0", 1)
    await agent.work()
    rows = await admin.fetch("select text, merged_into from runs order by trigger_id")
    assert [tuple(row) for row in rows] == [("one", None), ("two", None)]
    assert calls_sent(agent) == sorted([f"{RUN}.1.0", f"{run_id('closer', '/t', '2')}.1.0"])


async def test_a_run_that_was_redriven_can_be_cancelled_though_a_cancel_came_too_late_before(
    agents: Any, admin: Any, operator: Pool
) -> None:
    agent = await agents(*FAILS)
    await agent.accept(ask("x"))
    await keep_trying(agent, admin, LIMITS.max_attempts)
    await store.cancel(operator, RUN)
    await admin.execute(
        "update inbox set state = 'done' where kind = 'control'"
    )  # taken when there was nothing to cancel
    await keep_trying(agent, admin, 1)
    assert await statuses(admin) == {"1": "blocked"}
    await redrive(agent, admin, operator)
    await store.cancel(operator, RUN)
    await agent.work()
    assert await statuses(admin) == {"1": "cancelled"}


async def test_a_redriven_message_that_had_joined_a_blocked_run_shows_its_own_end(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), *FAILS, AssistantMessage("two"))
    await agent.accept(ask("first"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", 1)
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    await agent.accept(ask("second", number="2"))
    await admin.execute("update runs set merged_into = $1 where trigger_id = '2'", RUN)  # as such letters left it once
    assert await statuses(admin) == {"1": "blocked", "2": "blocked"}
    await agent.work()
    assert await statuses(admin) == {"1": "blocked", "2": "finished"}


@pytest.mark.rule(2)
async def test_who_lost_the_thread_while_blocking_it_leaves_no_dead_letter(
    agents: Any, admin: Any, monkeypatch: Any
) -> None:
    agent = await agents(*FAILS)
    await agent.accept(ask("x"))
    await keep_trying(agent, admin, LIMITS.max_attempts)
    of = agent.store.dead_letter

    async def too_late(*given: Any, **named: Any) -> Any:
        await admin.execute("update threads set version = version + 1")
        return await of(*given, **named)

    monkeypatch.setattr(agent.store, "dead_letter", too_late)
    await keep_trying(agent, admin, 1)
    assert await admin.fetchval("select count(*) from dead_letters") == 0
    assert await statuses(admin) == {"1": "running"}


async def replay(admin: Any) -> Any:
    rows = await admin.fetch("select run_id, step, kind, body from steps order by seq")
    thread = [Step(r["run_id"], r["step"], r["kind"], orjson.loads(r["body"])) for r in rows]
    stored = {r["sha256"]: r["body"] for r in await admin.fetch("select sha256, body from prompts")}
    return await replay_run(CLOSER, RUN, thread, stored)
