"""A run at the end of a budget waits, loses nothing, and goes on when the budget is raised or begins anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.budgets.reserve import publish
from shared.budgets import Budgets
from shared.bus import topics
from shared.bus.messages import RUN_WAITING
from shared.ids import thread_id
from shared.models.port import ModelError
from shared.store.pool import Pool, open_pool
from tests.integration.runtime.world import DONE, LIMITS, RUN, ask, calls, keep_trying, statuses

THREAD = thread_id("closer", "c")


@pytest.fixture(name="limits")
async def published(gateway_pool: Pool) -> Any:
    async def make(agent: Any, *budgets: dict[str, Any]) -> None:
        await publish(gateway_pool, Budgets.model_validate({"budgets": list(budgets)}), "Europe/Berlin")
        await agent.activator.refresh()

    return make


def day(tokens: int, of: str = "agent") -> dict[str, Any]:
    return {"name": f"{of}-day", "of": of, "per": "day", "tokens": tokens}


def whole_run(tokens: int) -> dict[str, Any]:
    return {"name": "run", "of": "run", "per": "run", "tokens": tokens}


async def waits_for(admin: Any) -> list[tuple[str, str]]:
    row = await admin.fetchrow("select waiting_for from run_overview where run_id = $1", RUN)
    import json

    return [(one["kind"], one["id"]) for one in json.loads(row["waiting_for"])]


async def due(agent: Any) -> bool:
    return THREAD in await agent.store.due()


async def go_on(agent: Any) -> None:
    agent.woken.append(THREAD)
    await agent.work()


async def used(admin: Any) -> dict[str, int]:
    return {row["name"]: row["used"] for row in await admin.fetch("select name, used from budget_use")}


@pytest.mark.rule(13)
async def test_a_run_at_its_budget_waits_and_goes_on_when_it_is_raised(
    agents: Any, admin: Any, limits: Any, operator: Pool
) -> None:
    agent = await agents(DONE)
    await limits(agent, day(500))
    await agent.accept(ask("x"))
    await agent.work()
    assert (agent.model.requests, await statuses(admin)) == ([], {"1": "waiting"})
    assert await waits_for(admin) == [("budget", "agent-day closer")]
    assert not await due(agent)
    told = [message for topic, message in agent.publisher.messages if topic == topics.RUNS]
    assert [(one.type, one.data["status"], one.data["waiting_for"]) for one in told] == [
        (RUN_WAITING, "waiting", [{"kind": "budget", "id": "agent-day closer"}])
    ]
    assert await operator.fetchval("select raise_budget('agent-day', 'tokens', 'closer', 100000, 'Dana')") == "raised"
    assert await due(agent)
    await go_on(agent)
    assert await statuses(admin) == {"1": "finished"}
    assert await used(admin) == {"agent-day": 107}, "what was used, not what was reserved"


async def test_waiting_is_no_attempt_and_survives_a_restart(
    agents: Any, admin: Any, limits: Any, operator: Pool
) -> None:
    first = await agents(calls("a"))
    await first.accept(ask("x"))
    await first.work()
    await limits(first, whole_run(120))
    await first.hear(admin, f"{RUN}.1.0", 1)
    await keep_trying(first, admin, 3 * LIMITS.max_attempts)
    assert await waits_for(admin) == [("budget", f"run {RUN}")]
    assert await admin.fetchval("select attempts from threads") == 0
    waiting = [message for topic, message in first.publisher.messages if message.type == RUN_WAITING]
    assert len(waiting) == 1, "said once, however often it looked"
    await first.instance.stop()
    second = await agents(DONE)
    await second.activator.refresh()
    assert not await due(second)
    assert await operator.fetchval("select raise_budget('run', 'tokens', $1, 50000, 'Dana')", str(RUN)) == "raised"
    await go_on(second)
    assert await statuses(admin) == {"1": "finished"}
    assert await waits_for(admin) == []
    assert await admin.fetchval("select waits_for_budget from threads") is None


async def test_the_next_day_begins_anew(agents: Any, admin: Any, limits: Any) -> None:
    agent = await agents(DONE)
    await limits(agent, day(6000, "business"))
    await admin.execute("insert into budget_use select 'business-day', 'business', budget_day(), 'tokens', 5999")
    await agent.accept(ask("x"))
    await agent.work()
    assert await waits_for(admin) == [("budget", "business-day business")]
    at = "select retry_at = (((now() at time zone 'Europe/Berlin')::date + 1)::timestamp at time zone 'Europe/Berlin') from threads"
    assert await admin.fetchval(at)
    await admin.execute("update threads set retry_at = now()")
    await admin.execute("update budget_use set period = 'yesterday'")
    await go_on(agent)
    assert await statuses(admin) == {"1": "finished"}


async def test_two_turns_at_once_do_not_pass_a_budget_together(agents: Any, admin: Any, limits: Any) -> None:
    """The second waits for what the first has reserved, and goes on when that turn used less."""
    first, second = await agents(DONE), await agents(DONE)
    await limits(first, day(8000))
    await second.activator.refresh()
    first.model.gate = asyncio.Event()
    await first.accept(ask("x"))
    working = asyncio.create_task(first.work())
    async with asyncio.timeout(60):
        while not first.model.requests:
            await asyncio.sleep(0.01)
    await second.accept(ask("y", "d", "2"))
    await second.work()
    assert second.model.requests == []
    first.model.gate.set()
    await working
    assert thread_id("closer", "d") in await second.store.due()
    second.woken.append(thread_id("closer", "d"))
    await second.work()
    assert set((await statuses(admin)).values()) == {"finished"}
    assert await used(admin) == {"agent-day": 214}


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ModelError("model.rate_limited", "429", retryable=True), False),
        (ModelError("model.unavailable", "no answer in time", retryable=True), True),
    ],
)
async def test_a_turn_that_was_certainly_not_made_gives_back_what_it_reserved(
    agents: Any, admin: Any, limits: Any, error: ModelError, kept: bool
) -> None:
    agent = await agents(error)
    await limits(agent, day(50_000))
    await agent.accept(ask("x"))
    await agent.work()
    assert ((await used(admin))["agent-day"] > 0) == kept
    assert await admin.fetchval("select count(*) from model_holds") == int(kept)


async def test_a_waiting_run_can_be_cancelled(agents: Any, admin: Any, limits: Any, operator: Pool) -> None:
    from shared.operations import store

    agent = await agents()
    await limits(agent, whole_run(10))
    await agent.accept(ask("x"))
    await agent.work()
    await store.cancel(operator, RUN)
    await go_on(agent)
    assert await statuses(admin) == {"1": "cancelled"}


async def test_a_limit_that_changes_while_a_run_finds_it_reached_is_looked_at_again(
    agents: Any, admin: Any, limits: Any, gateway_pool: Pool
) -> None:
    """The raise comes between the refusal and the waiting: nobody would wake the run any more."""
    agent = await agents(DONE)
    await limits(agent, day(500))
    waited = agent.store.model_budgets.wait

    async def raised_first(*given: Any) -> Any:
        await publish(gateway_pool, Budgets.model_validate({"budgets": [day(100_000)]}), "Europe/Berlin")
        agent.store.model_budgets.wait = waited
        return await waited(*given)

    agent.store.model_budgets.wait = raised_first
    await agent.accept(ask("x"))
    await agent.work()
    assert await statuses(admin) == {"1": "finished"}


async def test_within_a_runs_own_budget_no_statement_is_sent(agents: Any, admin: Any, limits: Any) -> None:
    agent = await agents(DONE)
    await limits(agent, whole_run(1_000_000))
    await agent.accept(ask("x"))
    await agent.work()
    assert await statuses(admin) == {"1": "finished"}
    assert await used(admin) == {}


async def test_an_agent_settles_its_own_turns_only(agents: Any, admin: Any, limits: Any, postgres: Postgres) -> None:
    agent = await agents(ModelError("model.unavailable", "no answer", retryable=True))
    await limits(agent, day(50_000))
    await agent.accept(ask("x"))
    await agent.work()
    before = await used(admin)
    hold = await admin.fetchval("select hold from model_holds")
    voice = await open_pool(postgres.dsn("viox_voice"), application="test voice", size=1)
    await voice.execute("select settle_model_budget($1, '{}')", hold)
    came = await voice.fetchval("select wait_for_budget($1, 'me', 'agent-day closer', now(), 1)", THREAD)
    await voice.close()
    assert (came, await used(admin)) == (None, before)


async def test_a_negative_settlement_frees_nothing_more(
    agents: Any, admin: Any, limits: Any, closer_pool: Pool
) -> None:
    agent = await agents(ModelError("model.unavailable", "no answer", retryable=True))
    await limits(agent, day(50_000))
    await agent.accept(ask("x"))
    await agent.work()
    hold = await admin.fetchval("select hold from model_holds")
    for _ in range(2):
        await closer_pool.execute("select settle_model_budget($1, '{\"tokens\": -99999}')", hold)
    assert await used(admin) == {"agent-day": 0}
