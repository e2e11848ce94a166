"""What fails: whose fault it is, how often it is tried, and where it ends."""

from __future__ import annotations

import math
from typing import Any

import asyncpg
import orjson
import pytest

from shared.ids import run_id, thread_id
from shared.models.port import ModelError
from shared.operations import store
from shared.store.pool import Pool
from tests.integration.runtime.world import DONE, LIMITS, RUN, ask, calls, close_call, closed, keep_trying, statuses


@pytest.mark.rule(4)
async def test_a_message_that_always_fails_is_set_aside_and_its_run_blocked(agents: Any, admin: Any) -> None:
    agent = await agents(*[RuntimeError("boom")] * 5, DONE)
    await agent.accept(ask("poison"))
    await keep_trying(agent, admin, 4)
    assert len(agent.model.requests) == LIMITS.max_attempts
    row = await admin.fetchrow("select status, error from runs")
    assert row["status"] == "blocked"
    letter = await admin.fetchrow("select code, value, run_id, attempts from dead_letters")
    assert (letter["code"], letter["run_id"], letter["attempts"]) == ("message.poison", RUN, 2)
    assert orjson.loads(letter["value"])["instruction"] == "poison"
    agent.model.turns = [DONE]
    await agent.accept(ask("next", number="2"))
    await agent.work()
    assert await admin.fetchval("select status from runs where trigger_id = '2'") == "finished", "the thread is free"


@pytest.mark.rule(4)
async def test_tasks_that_wait_for_their_turn_lose_no_attempts(agents: Any, admin: Any) -> None:
    agent = await agents(*[DONE] * 9)
    await agent.accept(*[ask(f"task {n}", number=str(n)) for n in range(9)])
    await agent.work()
    assert await statuses(admin) == {str(n): "finished" for n in range(9)}
    assert len(agent.model.requests) == 9


@pytest.mark.rule(4)
async def test_a_message_that_always_fails_takes_none_of_those_behind_it_along(agents: Any, admin: Any) -> None:
    agent = await agents(*[RuntimeError("boom")] * LIMITS.max_attempts, DONE, DONE)
    await agent.accept(*[ask(f"task {n}", number=str(n)) for n in (1, 2, 3)])
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    assert await statuses(admin) == {"1": "blocked", "2": "finished", "3": "finished"}
    assert await admin.fetchval("select count(*) from dead_letters") == 1


@pytest.mark.rule(4)
async def test_what_joined_a_run_that_always_fails_is_tried_by_itself(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), *[RuntimeError("boom")] * LIMITS.max_attempts, DONE, DONE)
    await agent.accept(ask("first"))
    await agent.work()
    await close_call(admin, f"{RUN}.1.0", 1)
    await agent.accept(ask("second", number="2"), closed(f"{RUN}.1.0"), ask("third", number="3"))
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    assert await statuses(admin) == {"1": "blocked", "2": "finished", "3": "finished"}


@pytest.mark.rule(4)
async def test_a_provider_that_is_down_gives_back_only_what_it_took(agents: Any, admin: Any) -> None:
    agent = await agents(RuntimeError("boom"), ModelError("model.overloaded", "529", retryable=True))
    await agent.accept(ask("first"))
    await keep_trying(agent, admin, 1)
    await agent.accept(ask("second", number="2"))
    await keep_trying(agent, admin, 1)
    rows = await admin.fetch("select message_id, state from inbox order by message_id")
    assert [tuple(row) for row in rows] == [("1", "done"), ("2", "pending")]
    assert await admin.fetchval("select attempts from threads") == 1


@pytest.mark.rule(4)
async def test_a_full_disk_costs_no_attempts_even_when_nothing_can_be_given_back(
    agents: Any, admin: Any, monkeypatch: Any
) -> None:
    agent = await agents(*[DONE] * 7)

    async def full(*_: Any, **__: Any) -> Any:
        raise asyncpg.DiskFullError("could not extend file: No space left on device")

    await agent.accept(ask("x"))
    with monkeypatch.context() as patch:
        patch.setattr(agent.store, "commit", full)
        patch.setattr(agent.store, "release", full)
        for _ in range(5):
            await admin.execute("update threads set lease_until = null, retry_at = null")
            agent.woken.append(thread_id("closer", "c"))
            await agent.work()
    await admin.execute("update threads set lease_until = null, retry_at = null")
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert await admin.fetchval("select status from runs") == "finished"
    assert await admin.fetchval("select count(*) from dead_letters") == 0


@pytest.mark.rule(4)
async def test_a_provider_that_is_down_costs_no_attempts(agents: Any, admin: Any) -> None:
    down = ModelError("model.overloaded", "529", retryable=True, retry_after=0.0)
    agent = await agents(*[down] * 6, DONE)
    await agent.accept(ask("x"))
    await keep_trying(agent, admin, 7)
    assert await admin.fetchval("select status from runs") == "finished"


async def test_a_provider_that_stays_down_is_asked_less_and_less_often(
    agents: Any, admin: Any, monkeypatch: Any
) -> None:
    down = ModelError("model.overloaded", "529", retryable=True)
    agent = await agents(*[down] * 8, calls("a"), down, DONE)
    release, waits = agent.store.release, []

    async def noted(*given: Any, retry_in: float, **named: Any) -> None:
        waits.append(retry_in)
        await release(*given, retry_in=retry_in, **named)

    monkeypatch.setattr(agent.store, "release", noted)
    await agent.accept(ask("x"))
    await keep_trying(agent, admin, 9)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    await agent.hear(admin, f"{RUN}.1.0", 1)
    await keep_trying(agent, admin, 2)
    assert waits[8:] == [1], "it moved on meanwhile"
    assert await statuses(admin) == {"1": "finished"}


@pytest.mark.parametrize("said", [math.nan, math.inf, -math.inf, 1e9])
async def test_a_provider_that_asks_for_a_senseless_wait_is_asked_again_within_minutes(
    agents: Any, admin: Any, said: float
) -> None:
    agent = await agents(ModelError("model.rate_limited", "429", retryable=True, retry_after=said), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    assert await admin.fetchval("select retry_at < now() + interval '301 seconds' from threads")
    await keep_trying(agent, admin, 1)
    assert await statuses(admin) == {"1": "finished"}


async def test_a_run_that_is_left_alone_for_a_while_can_be_cancelled_at_once(
    agents: Any, admin: Any, operator: Pool
) -> None:
    agent = await agents(ModelError("model.rate_limited", "429", retryable=True, retry_after=200.0))
    await agent.accept(ask("x"))
    await agent.work()
    assert await agent.store.due() == []
    await store.cancel(operator, RUN)
    assert await agent.store.due() == [thread_id("closer", "c")]
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert await statuses(admin) == {"1": "cancelled"}


async def test_a_result_of_a_run_that_never_was_changes_nothing(agents: Any, admin: Any) -> None:
    agent = await agents(DONE, DONE)
    await agent.accept(ask("first"))
    await agent.work()
    await agent.hear(admin, f"{run_id('closer', '/t', 'never')}.1.0", 1)
    await agent.work()
    await agent.accept(ask("second", number="2"))
    await agent.work()
    assert await statuses(admin) == {"1": "finished", "2": "finished"}


async def test_a_cancel_that_cannot_be_carried_out_ends_and_takes_no_run_along(
    agents: Any, admin: Any, operator: Pool, monkeypatch: Any
) -> None:
    agent = await agents(ModelError("model.overloaded", "529", retryable=True), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    await store.cancel(operator, RUN)

    async def broken(*_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(agent.store, "cancel_queued", broken)
    await keep_trying(agent, admin, LIMITS.max_attempts + 2)
    assert await statuses(admin) == {"1": "finished"}
    assert await admin.fetchval("select count(*) from dead_letters") == 0


async def test_a_refusal_for_good_fails_the_run_with_its_reason(agents: Any, admin: Any) -> None:
    agent = await agents(ModelError("model.authentication", "bad key", retryable=False))
    await agent.accept(ask("x"))
    await agent.work()
    row = await admin.fetchrow("select status, error from runs")
    assert row["status"] == "failed"
    assert "bad key" in row["error"]
