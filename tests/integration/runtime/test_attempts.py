"""What fails: whose fault it is, how often it is tried, and where it ends."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson
import pytest

from shared.ids import thread_id
from shared.models.port import ModelError
from tests.integration.runtime.world import (
    DONE,
    LIMITS,
    RUN,
    ask,
)


@pytest.mark.rule(4)
async def test_a_message_that_always_fails_is_set_aside_and_its_run_blocked(agents: Any, admin: Any) -> None:
    agent = await agents(*[RuntimeError("boom")] * 5, DONE)
    await agent.accept(ask("poison"))
    for _ in range(4):
        await admin.execute("update threads set retry_at = null")
        agent.woken.append(thread_id("closer", "c"))
        await agent.work()
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
    for _ in range(7):
        await admin.execute("update threads set retry_at = null")
        agent.woken.append(thread_id("closer", "c"))
        await agent.work()
    assert await admin.fetchval("select status from runs") == "finished"


async def test_a_refusal_for_good_fails_the_run_with_its_reason(agents: Any, admin: Any) -> None:
    agent = await agents(ModelError("model.authentication", "bad key", retryable=False))
    await agent.accept(ask("x"))
    await agent.work()
    row = await admin.fetchrow("select status, error from runs")
    assert row["status"] == "failed"
    assert "bad key" in row["error"]
