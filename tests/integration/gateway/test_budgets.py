"""Money and calls are reserved before they are spent: nothing passes a budget but what a person agrees to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.budgets.reserve import publish
from shared.budgets import NO_BUDGETS, Budgets
from shared.ids import thread_id
from shared.operations import decisions as decide
from shared.store.pool import Pool, open_pool
from tests.integration.gateway.world import PEOPLE, RUN, Gateway, World, gateway_world, until, wants

__all__ = ["gateway_world"]
PAY = "quickbooks_create_payment"
TEXT = "twilio_send_message"
DANA, LEE = PEOPLE.people
TWO = """
@id("open") permit (principal, action, resource);
@id("pay.two") @people("2")
forbid (principal, action == Action::"quickbooks_create_payment", resource) unless { context.person };
"""


def budgets(**more: Any) -> Budgets:
    return Budgets.model_validate({"budgets": [{"name": "day", "of": "agent", "per": "day"} | more]})


THOUSAND = budgets(money={"usd": "1000.00"})


@pytest.fixture(name="operator")
async def operator_connection(postgres: Postgres) -> AsyncIterator[Pool]:
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator", size=1)
    yield pool
    await pool.close()


async def paying(world: World, gateway: Gateway) -> Any:
    """Arguments of a payment of so much."""
    await gateway.intake.accept([wants("quickbooks_create_customer", {"DisplayName": "Ana"}, 9)])
    made = json.loads((await world.state("succeeded", 9))["result"])
    customer = made["Customer"]["Id"]
    return lambda amount: {"CustomerRef": {"value": customer}, "TotalAmt": amount}


async def used(world: World) -> dict[str, int]:
    """Measure → what is counted of the agent's budget, with what came back taken off."""
    rows = await world.admin.fetch(
        "select u.measure, u.used - coalesce((select sum(r.amount) from budget_releases r where (r.name, r.scope, r.period, r.measure)"
        " = (u.name, u.scope, u.period, u.measure)), 0) as used from budget_use u"
    )
    return {row["measure"]: int(row["used"]) for row in rows}


async def approval(world: World, step: int) -> Any:
    call = await world.call(step)
    return await world.admin.fetchrow("select * from approvals where approval_id = $1", call["approval_id"])


async def states(world: World, *steps: int) -> list[str]:
    return sorted([(await world.call(step))["state"] for step in steps])


@pytest.mark.rule(13)
async def test_two_payments_in_parallel_at_two_gateways_do_not_pass_a_budget_together(world: World) -> None:
    first, second = [await world.gateway(budgets=THOUSAND) for _ in range(2)]
    payment = await paying(world, first)
    await asyncio.gather(
        first.intake.accept([wants(PAY, payment(900), 1)]), second.intake.accept([wants(PAY, payment(901), 2)])
    )
    async with asyncio.timeout(60):
        while await states(world, 1, 2) != ["awaiting_approval", "succeeded"]:
            await asyncio.sleep(0.02)
    assert (await used(world))["money:usd"] in (90_000, 90_100)


@pytest.mark.rule(13)
async def test_a_turn_that_splits_a_sum_gets_what_fits(world: World) -> None:
    gateway = await world.gateway(budgets=THOUSAND)
    payment = await paying(world, gateway)
    await gateway.intake.accept([wants(PAY, payment(400 + n), n + 1) for n in range(3)])
    assert await states(world, 3) == ["awaiting_approval"]
    await world.state("succeeded", 1)
    await world.state("succeeded", 2)
    asked = await approval(world, 3)
    assert asked["rules"] == ["budget:day"]
    assert asked["reasons"] == [
        "the budget day of closer is at its end: 801.00 USD of 1,000.00 USD used, and this takes 402.00 USD"
    ]


async def test_an_amount_without_a_currency_counts_in_every_one(world: World) -> None:
    gateway = await world.gateway(budgets=budgets(money={"usd": "1000.00", "eur": "500.00"}))
    payment = await paying(world, gateway)
    await gateway.intake.accept([wants(PAY, payment(450), 1)])
    await world.state("succeeded", 1)
    await gateway.intake.accept([wants(PAY, payment(60), 2)])
    assert (await world.state("awaiting_approval", 2))["reserved"] is None
    assert await used(world) == {"money:usd": 45_000, "money:eur": 45_000}


async def test_what_is_over_goes_on_when_a_person_agrees_and_is_counted(world: World, operator: Any) -> None:
    gateway = await world.gateway(budgets=THOUSAND)
    payment = await paying(world, gateway)
    await gateway.intake.accept([wants(PAY, payment(1500), 1)])
    await world.state("awaiting_approval", 1)
    assert await decide.approve(operator, await approval(world, 1), DANA, None, None) == "approved"
    await world.state("succeeded", 1)
    assert await used(world) == {"money:usd": 150_000}
    await gateway.intake.accept([wants(PAY, payment(1), 2)])
    await world.state("awaiting_approval", 2)


async def test_who_is_asked_about_a_budget_later_is_asked_about_the_policies_again(world: World, operator: Any) -> None:
    """Otherwise one person could lift, with the budget, what two have to agree to."""
    gateway = await world.gateway(budgets=THOUSAND, policies={"own.cedar": TWO})
    payment = await paying(world, gateway)
    await gateway.intake.accept([wants(PAY, payment(900), 1)])
    await world.state("awaiting_approval", 1)
    assert await used(world) == {"money:usd": 90_000}, "what waits counts"
    await publish(world.pool, budgets(money={"usd": "500.00"}), "UTC")
    tool = gateway.catalogue.tools[PAY]
    changed = payment(950)
    await decide.approve(operator, await approval(world, 1), DANA, changed, tool)
    await decide.approve(operator, await approval(world, 1), LEE, changed, tool)
    await until_asked_again(world)
    again = await approval(world, 1)
    assert (again["people"], again["rules"]) == (2, ["pay.two", "budget:day"])


async def until_asked_again(world: World) -> None:
    async with asyncio.timeout(60):
        while (await approval(world, 1))["revision"] < 2:
            await asyncio.sleep(0.02)


async def test_what_provably_did_not_happen_comes_back_and_what_is_unknown_stays(world: World) -> None:
    gateway = await world.gateway("outcomes", budgets=THOUSAND)
    payment = await paying(world, gateway)
    await gateway.intake.accept([wants(PAY, payment(800) | {"CustomerRef": {"value": "999999"}}, 1)])
    await world.state("failed", 1)
    assert await used(world) == {"money:usd": 0}
    world.fault(world.quickbooks, "cut_after", method="POST", path="payment", count=99)
    await gateway.intake.accept([wants(PAY, payment(700), 2)])
    async with asyncio.timeout(60):
        while (await world.call(2))["state"] == "executing":
            await asyncio.sleep(0.02)
    assert await used(world) == {"money:usd": 70_000}, "it may have been paid"
    await gateway.intake.accept([wants(PAY, payment(400), 3)])
    await world.state("awaiting_approval", 3)


async def test_a_call_of_outcome_unknown_keeps_what_it_reserved_until_a_person_settles_it(world: World) -> None:
    gateway = await world.gateway("outcomes", budgets=budgets(calls=2))
    world.fault(world.twilio, "cut_after", method="POST", count=1)
    await gateway.intake.accept([wants(TEXT, {"To": "+14155550123", "Body": "a"}, 1)])
    await world.state("unknown", 1)
    assert await used(world) == {"calls": 1}
    await world.admin.execute("update tool_calls set state = 'failed', closed_at = now() where state = 'unknown'")
    assert await used(world) == {"calls": 1}, "it was made, whatever came of it"


@pytest.mark.parametrize("end", ["rejected", "answered", "expired"])
async def test_what_people_do_not_agree_to_comes_back(world: World, operator: Any, end: str) -> None:
    hours = 0.2 / 3600 if end == "expired" else 72.0
    gateway = await world.gateway(
        budgets=budgets(calls=5, money={"usd": "1000.00"}), policies={"own.cedar": TWO}, approval_hours=hours
    )
    payment = await paying(world, gateway)
    await gateway.intake.accept([wants(PAY, payment(900), 1)])
    asked = await approval(world, 1)
    if end == "rejected":
        await decide.reject(operator, asked, DANA, "no")
    elif end == "answered":
        await decide.answer(operator, asked, DANA, "I did it")
    await world.state("succeeded" if end == "answered" else end, 1)
    assert await used(world) == {"money:usd": 0, "calls": 1}, "only the customer was made"


async def test_a_call_that_is_judged_again_or_repeated_reserves_once(world: World, operator: Any) -> None:
    """Approved, its executor dies, and the message comes once more."""
    gateway = await world.gateway(budgets=budgets(calls=50, money={"usd": "1000.00"}), policies={"own.cedar": TWO})
    payment = await paying(world, gateway)
    record = wants(PAY, payment(900), 1)
    await gateway.intake.accept([record])
    for person in (DANA, LEE):
        await decide.approve(operator, await approval(world, 1), person, None, None)
    await world.state("succeeded", 1)
    await gateway.intake.accept([record])
    assert await used(world) == {"money:usd": 90_000, "calls": 2}


async def test_a_raise_lets_calls_go_that_people_were_asked_about_for_nothing_else(world: World, operator: Any) -> None:
    gateway = await world.gateway(budgets=budgets(calls=1))
    texts = [wants(TEXT, {"To": "+14155550123", "Body": str(n)}, n) for n in (1, 2, 3)]
    await gateway.intake.accept(texts)
    await world.state("succeeded", 1)
    assert await states(world, 2, 3) == ["awaiting_approval", "awaiting_approval"]
    came = await operator.fetchval("select raise_budget('day', 'calls', 'closer', 2, 'Dana')")
    assert came == "raised"
    async with asyncio.timeout(60):
        while await states(world, 2, 3) != ["awaiting_approval", "succeeded"]:
            await asyncio.sleep(0.02)
    assert await used(world) == {"calls": 2}


@pytest.mark.parametrize(
    ("given", "came"),
    [
        (("day", "calls", "closer", 1), "lower"),
        (("day", "tokens", "", 5), "unknown"),
        (("nope", "calls", "", 5), "unknown"),
        (("one", "calls", "", 5), "scope"),
    ],
)
async def test_a_raise_that_means_nothing_is_refused(world: World, operator: Any, given: Any, came: str) -> None:
    run = {"name": "one", "of": "run", "per": "run", "calls": 1}
    both = [{"name": "day", "of": "agent", "per": "day", "calls": 1}, run]
    await publish(world.pool, Budgets.model_validate({"budgets": both}), "UTC")
    assert await operator.fetchval("select raise_budget($1, $2, $3, $4, 'Dana')", *given) == came


async def test_without_a_budget_that_counts_it_a_call_reserves_nothing(world: World) -> None:
    gateway = await world.gateway(budgets=THOUSAND)
    await gateway.intake.accept([wants(TEXT, {"To": "+14155550123", "Body": "a"}, 1)])
    assert (await world.state("succeeded", 1))["reserved"] is None
    assert await used(world) == {}


async def test_changed_limits_hold_for_everybody_and_the_same_ones_change_nothing(world: World) -> None:
    version = "select version from budget_settings"
    await publish(world.pool, THOUSAND, "UTC")
    before = await world.admin.fetchval(version)
    await publish(world.pool, THOUSAND, "UTC")
    assert await world.admin.fetchval(version) == before
    await publish(world.pool, NO_BUDGETS, "UTC")
    assert await world.admin.fetchval(version) == before + 1
    assert await world.admin.fetchval("select count(*) from budgets") == 0


async def test_agents_cannot_touch_what_is_counted(postgres: Postgres, admin: Any) -> None:
    connection = await asyncpg.connect(postgres.dsn("viox_closer"))
    try:
        for statement in (
            "update budget_use set used = 0",
            "select release_budgets('[]')",
            "select reserve_budgets('[]')",
            "select publish_budgets('[]', 'UTC')",
            "select raise_budget('day', 'calls', '', 9, 'Dana')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.rule(13)
async def test_many_calls_in_any_order_at_two_gateways_add_up(world: World) -> None:
    """Batches that want several scopes at once, and some that fail meanwhile: no deadlock, and the count is exact."""
    both = Budgets.model_validate(
        {
            "budgets": [
                {"name": "party", "of": "counterparty", "per": "day", "calls": 1000},
                {"name": "all", "of": "business", "per": "day", "calls": 30},
            ]
        }
    )
    gateways = [await world.gateway(budgets=both) for _ in range(2)]
    numbers = [f"+1415555012{n}" for n in range(4)]
    batches = [
        [wants(TEXT, {"To": numbers[(n * m) % 4], "Body": f"{m}.{n}"}, 10 * m + n + 1) for n in range(5)]
        for m in range(1, 9)
    ]
    await asyncio.gather(*(gateways[m % 2].intake.accept(batch) for m, batch in enumerate(batches)))
    await until(lambda: len(world.twilio.messages) >= 30)
    rows = await world.admin.fetch("select state, count(*) as n from tool_calls group by state")
    found = {row["state"]: row["n"] for row in rows}
    assert found["awaiting_approval"] == 10
    assert await world.admin.fetchval("select used from budget_use where name = 'all'") == 30
    assert await world.admin.fetchval("select sum(used) from budget_use where name = 'party'") == 30


async def test_a_person_is_told_once_of_a_budget_that_runs_wait_for(world: World) -> None:
    first, second = [await world.gateway() for _ in range(2)]
    await first.teller.look()
    assert len(world.twilio.messages) == 0
    await world.admin.execute(
        "insert into threads (thread_id, agent, conversation_id, active_run, waits_for_budget) values ($1, 'closer', 'c', $2, $3)",
        thread_id("closer", "c"),
        RUN,
        "agent-models closer",
    )
    await asyncio.gather(first.teller.look(), second.teller.look())
    await first.teller.look()
    await until(lambda: world.twilio.messages)
    told = [(one["to"], one["body"]) for one in world.twilio.messages.values()]
    assert told == [
        (
            DANA.sms,
            "the business: the budget agent-models of closer is at its end, and a run waits."
            " Raise it: viox budgets raise agent-models --scope closer --to N",
        )
    ]


async def test_an_approval_in_general_lifts_no_budget(world: World, operator: Any) -> None:
    """What a person agreed to for many calls is what the policies ask."""
    one = TWO.replace('@people("2")', "")
    gateway = await world.gateway(budgets=budgets(calls=4), policies={"own.cedar": one})
    payment = await paying(world, gateway)
    await gateway.intake.accept([wants(PAY, payment(10), 1)])
    asked = await approval(world, 1)
    await decide.approve(operator, asked, DANA, None, None)
    await world.state("succeeded", 1)
    given = "select give_standing_approval('s', $1, 'Dana', $2, '', 5000, null, 9, now() + interval '1 day')"
    row = await world.call(1)
    assert await operator.fetchval(given, asked["approval_id"], row["counterparties"])
    for step in (2, 3, 4):
        await gateway.intake.accept([wants(PAY, payment(10 + step), step)])
    await world.state("succeeded", 2)
    await world.state("succeeded", 3)
    assert (await world.call(3))["reserved"] is not None
    assert (await approval(world, 4))["rules"] == ["pay.two", "budget:day"]
    assert await world.admin.fetchval("select left_calls from standing_approvals") == 7


async def test_what_nobody_counts_with_any_more_is_forgotten(world: World) -> None:
    from services.tool_gateway.budgets.reserve import forget

    use = "insert into budget_use (name, scope, period, measure, used) values ('day', $1, $2, 'calls', 1)"
    today = await world.admin.fetchval("select budget_day()")
    for scope, period in (("old", "2020-01-01"), ("new", today)):
        await world.admin.execute(use, scope, period)
        await world.admin.execute(
            "insert into budget_releases (name, scope, period, measure, amount) values ('day', $1, $2, 'calls', 1)",
            scope,
            period,
        )
    await world.admin.execute(use, str(RUN), "run")
    await world.admin.execute(
        "insert into model_holds (agent, run_id, items, at) select 'closer', gen_random_uuid(), '[]', now() - past * interval '1 day'"
        " from unnest(array[2, 0]) as past"
    )
    await forget(world.pool)
    left = "select array_agg(scope order by scope) from "
    assert set(await world.admin.fetchval(left + "budget_use")) == {"new", str(RUN)}
    assert await world.admin.fetchval(left + "budget_releases") == ["new"]
    assert await world.admin.fetchval("select count(*) from model_holds") == 1
    await world.admin.execute("update runs set status = 'finished', finished_at = now() - interval '40 days'")
    await forget(world.pool)
    assert await world.admin.fetchval(left + "budget_use") == ["new"]
