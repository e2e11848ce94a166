"""Timers fire once and at their moment of the business's clock; calls that wait for a moment end then; schedules are told of
once a period. All of it over several replicas, and however often a replica dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.office import schedules, timers
from shared.bus import topics
from shared.bus.envelope import Message, headers_from_json, parse_record
from shared.bus.messages import TIMERS
from shared.business import Business
from shared.ids import call_id
from shared.store.pool import Pool, open_pool
from tests.integration.gateway.world import RESULTS, RUN, Gateway, World, gateway_world, until, wants

__all__ = ["gateway_world"]
LOOPS = ("outcomes", "resumer", "desk")
TIMER = {"name": "follow-up", "after": "2d", "instruction": "Ask Ana again.", "context": {"deal": "7"}}


@pytest.fixture(name="operator")
async def operator_connection(postgres: Postgres, world: World) -> AsyncIterator[Pool]:
    """The command line's own, in a sandbox."""
    await world.admin.execute("insert into sandbox_clock default values")
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator", size=1)
    yield pool
    await pool.close()


async def advance(operator: Pool, **span: float) -> None:
    assert await operator.fetchval("select advance_clock($1)", timedelta(**span)) is not None


async def done(world: World, gateway: Gateway, tool: str, arguments: dict[str, Any], step: int = 1) -> Any:
    await gateway.intake.accept([wants(tool, arguments, step)])
    return json.loads((await world.state("succeeded", step))["result"])


async def sent(world: World, topic: str = topics.tasks("closer")) -> list[Message]:
    rows = await world.admin.fetch("select * from outbox where topic = $1 order by created_at", topic)
    return [parse_record(row["value"], headers_from_json(json.loads(row["headers"]))) for row in rows]


async def some_sent(world: World, count: int = 1, topic: str = topics.tasks("closer")) -> list[Message]:
    async with asyncio.timeout(30):
        while len(found := await sent(world, topic)) < count:
            await asyncio.sleep(0.02)
    return found


async def test_a_timer_comes_back_as_a_task_in_its_conversation(world: World, operator: Pool) -> None:
    gateway = await world.gateway(*LOOPS)
    await done(world, gateway, "timer_set", TIMER)
    await gateway.desk.look()
    assert await sent(world) == []
    await advance(operator, days=1, hours=23)
    await gateway.desk.look()
    assert await sent(world) == []
    await advance(operator, hours=1, seconds=1)
    (task,) = await some_sent(world)
    assert (task.source, task.conversation_id) == (f"{TIMERS}closer", "c")
    timer = {"name": "follow-up", "set_by": call_id(RUN, 1, 0)}
    assert task.data == {"instruction": TIMER["instruction"], "context": {"deal": "7", "timer": timer}}
    await advance(operator, days=30)
    await gateway.desk.look()
    assert len(await sent(world)) == 1


async def test_a_timer_of_the_same_name_takes_the_others_place(world: World, operator: Pool) -> None:
    gateway = await world.gateway(*LOOPS)
    await done(world, gateway, "timer_set", TIMER)
    await done(world, gateway, "timer_set", TIMER | {"after": "5d", "instruction": "Later."}, 2)
    listed = await done(world, gateway, "timer_list", {}, 3)
    assert [one["instruction"] for one in listed["timers"]] == ["Later."]
    await advance(operator, days=3)
    await gateway.desk.look()
    assert await sent(world) == []
    await advance(operator, days=3)
    assert [one.data["instruction"] for one in await some_sent(world)] == ["Later."]


async def test_a_cancelled_timer_never_fires_and_one_that_is_not_there_is_said_so(world: World, operator: Pool) -> None:
    gateway = await world.gateway(*LOOPS)
    await done(world, gateway, "timer_set", TIMER)
    await gateway.intake.accept([wants("timer_cancel", {"name": "folow-up"}, 2)])
    error = json.loads((await world.state("failed", 2))["error"])
    assert error["code"] == "timer.not_found"
    assert "follow-up" in error["remedy"]
    assert (await done(world, gateway, "timer_cancel", {"name": "follow-up"}, 3))["state"] == "cancelled"
    assert (await done(world, gateway, "timer_cancel", {"name": "follow-up"}, 4))["state"] == "cancelled"
    await advance(operator, days=3)
    await gateway.desk.look()
    assert await sent(world) == []


async def test_a_repeated_call_does_not_set_a_timer_again_that_has_fired(world: World, operator: Pool) -> None:
    """The replica died after the row was there and before the outcome was."""
    gateway = await world.gateway(*LOOPS)
    await done(world, gateway, "timer_set", TIMER | {"after": "0s"})
    await some_sent(world)
    given = TIMER | {"after": "0s", "call_id": call_id(RUN, 1, 0)}
    async with gateway.store.transaction() as connection:
        told = await timers.set_timer(connection, given, ZoneInfo("UTC"))
    assert told["state"] == "fired"
    await gateway.desk.look()
    assert len(await sent(world)) == 1


async def test_replicas_that_look_at_once_fire_each_timer_once(world: World, operator: Pool) -> None:
    replicas = [await world.gateway("outcomes", "resumer") for _ in range(3)]
    for step in range(1, 41):
        await replicas[0].intake.accept([wants("timer_set", TIMER | {"name": f"t{step}"}, step)])
    for step in range(1, 41):
        await world.state("succeeded", step)
    await advance(operator, days=3)
    await asyncio.gather(*(one.desk.look() for one in replicas for _ in range(3)))
    found = await sent(world)
    assert len(found) == len({one.id for one in found}) == 40


async def test_what_cannot_be_sent_was_not_fired(world: World, operator: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the claim and the task: both are of one transaction."""
    gateway = await world.gateway("outcomes", "resumer")
    await done(world, gateway, "timer_set", TIMER)
    await advance(operator, days=3)

    async def dies(*_: Any, **__: Any) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(timers, "insert", dies)
        await gateway.desk.look()
    assert await sent(world) == []
    await gateway.desk.look()
    assert len(await sent(world)) == 1


async def test_too_many_timers_of_one_conversation_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "MOST_OPEN", 2)
    gateway = await world.gateway(*LOOPS)
    for step in (1, 2):
        await done(world, gateway, "timer_set", TIMER | {"name": f"t{step}"}, step)
    await gateway.intake.accept([wants("timer_set", TIMER | {"name": "t3"}, 3)])
    assert "timer.too_many" in (await world.state("failed", 3))["error"]
    await done(world, gateway, "timer_set", TIMER | {"name": "t2", "after": "9d"}, 4)


async def test_a_call_waits_until_its_moment(world: World, operator: Pool) -> None:
    gateway = await world.gateway(*LOOPS)
    await gateway.intake.accept([wants("wait_until", {"after": "6h"})])
    async with asyncio.timeout(30):
        while not ((row := await world.call()) and row["deferred"]):
            await asyncio.sleep(0.02)
    await advance(operator, hours=5)
    await gateway.desk.look()
    assert (await world.call())["state"] == "requested"
    await advance(operator, hours=1, seconds=1)
    row = await world.state("succeeded")
    assert row["attempt"] == 1
    told = json.loads(row["result"])
    assert told["now"] >= told["until"]
    await until(lambda: gateway.publisher.sent(RESULTS))
    await gateway.desk.look()
    assert await world.admin.fetchval("select count(*) from waits") == 0


async def test_a_short_wait_ends_by_itself_and_none_at_all_at_once(world: World) -> None:
    gateway = await world.gateway(*LOOPS)
    await done(world, gateway, "wait_until", {"after": "1s"})
    await done(world, gateway, "wait_until", {"at": datetime.now(UTC).isoformat()}, 2)
    assert await world.phases(2) == ["intent", "outcome"]


async def test_a_repeated_call_does_not_wait_longer(world: World, operator: Pool) -> None:
    gateway = await world.gateway(*LOOPS)
    await gateway.intake.accept([wants("wait_until", {"after": "6h"})])
    async with asyncio.timeout(30):
        while not ((row := await world.call()) and row["deferred"]):
            await asyncio.sleep(0.02)
    before = await world.admin.fetchval("select until from waits")
    await advance(operator, hours=2)
    async with gateway.store.transaction() as connection:
        await timers.wait(connection, {"after": "6h", "call_id": call_id(RUN, 1, 0)}, ZoneInfo("UTC"))
    assert await world.admin.fetchval("select until from waits") == before


async def test_a_wait_of_more_than_a_day_is_a_timers(world: World) -> None:
    gateway = await world.gateway(*LOOPS)
    await gateway.intake.accept([wants("wait_until", {"after": "3d"})])
    error = json.loads((await world.state("failed"))["error"])
    assert (error["code"], error["field"]) == ("tool.invalid_arguments", "after")


async def test_a_clock_is_moved_in_a_sandbox_only(world: World, postgres: Postgres, gateway_pool: Pool) -> None:
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator", size=1)
    try:
        assert await pool.fetchval("select advance_clock('2 days')") is None
        with pytest.raises(Exception, match="permission denied"):
            await pool.execute("insert into sandbox_clock default values")
        with pytest.raises(Exception, match="permission denied"):
            await gateway_pool.execute("select advance_clock('2 days')")
        assert await pool.fetchval("select viox_now() = now()")
    finally:
        await pool.close()


async def test_the_gateways_clock_follows(world: World, operator: Pool) -> None:
    gateway = await world.gateway(*LOOPS)
    await advance(operator, days=2)
    await until(lambda: gateway.clock.ahead == timedelta(days=2))


# -- schedules ------------------------------------------------------------------------------------------------------------

DAILY = Business.model_validate(
    {
        "time_zone": "America/New_York",
        "schedules": [{"briefing": "day", "at": "07:30"}, {"briefing": "week", "at": "16:00", "on": "fri"}],
    }
)
BRIEFINGS = topics.events("platform")


async def tell(gateway: Gateway, moment: str, business: Business = DAILY) -> list[str]:
    async with gateway.store.transaction() as connection, connection.transaction():
        return list(await schedules.tell(connection, business, datetime.fromisoformat(moment)))


async def test_each_period_is_told_of_once_from_the_next_time_on(world: World) -> None:
    gateway = await world.gateway("outcomes")
    assert await tell(gateway, "2026-11-23T15:00:00Z") == [], "what was over when the schedule was made"
    assert await tell(gateway, "2026-11-24T12:29:59Z") == []
    assert await tell(gateway, "2026-11-24T12:30:00Z") == ["briefing-day"]
    assert await tell(gateway, "2026-11-24T12:31:00Z") == []
    assert await tell(gateway, "2026-11-28T12:00:00Z") == ["briefing-day", "briefing-week"]
    told = {one.id: one.data for one in await sent(world, BRIEFINGS)}
    assert told == {
        "briefing-day:2026-11-24": {"day": "2026-11-24", "period": "day"},
        "briefing-day:2026-11-27": {"day": "2026-11-27", "period": "day"},
        "briefing-week:2026-11-27": {"day": "2026-11-27", "period": "week"},
    }


async def test_upkeep_is_due_by_its_own_schedules_and_goes_to_operator(world: World) -> None:
    schedule = [{"upkeep": "contacts", "at": "02:30"}, {"upkeep": "automations", "at": ["07:00", "17:00"]}]
    business = Business.model_validate({"schedules": schedule})
    gateway = await world.gateway("outcomes")
    await tell(gateway, "2026-11-23T23:00:00Z", business)
    assert await tell(gateway, "2026-11-24T08:00:00Z", business) == ["upkeep-automations-0700", "upkeep-contacts"]
    told = {(one.type, one.id): one.data for one in await sent(world, topics.events("operations"))}
    assert told == {
        ("viox.upkeep.due", "upkeep-automations-0700:2026-11-24"): {"day": "2026-11-24", "of": "automations"},
        ("viox.upkeep.due", "upkeep-contacts:2026-11-24"): {"day": "2026-11-24", "of": "contacts"},
    }


async def test_replicas_tell_of_a_period_together_once(world: World) -> None:
    replicas = [await world.gateway("outcomes") for _ in range(4)]
    await tell(replicas[0], "2026-11-23T15:00:00Z")
    await asyncio.gather(*(tell(one, "2026-11-24T13:00:00Z") for one in replicas for _ in range(2)))
    assert len(await sent(world, BRIEFINGS)) == 1


@pytest.mark.parametrize(
    ("at", "day", "before", "due"),
    [
        ("02:30", "2026-03-08", "2026-03-08T07:29:59Z", "2026-03-08T07:30:00Z"),  # skipped: an hour later by the clock
        ("01:30", "2026-11-01", "2026-11-01T05:29:59Z", "2026-11-01T05:30:00Z"),  # twice: the first of both
    ],
)
async def test_a_time_that_is_skipped_or_comes_twice_is_told_of_once(
    world: World, at: str, day: str, before: str, due: str
) -> None:
    given = {"time_zone": "America/New_York", "schedules": [{"briefing": "day", "at": at}]}
    business, gateway = Business.model_validate(given), await world.gateway("outcomes")
    await tell(gateway, (datetime.fromisoformat(due) - timedelta(hours=12)).isoformat(), business)
    assert await tell(gateway, before, business) == []
    assert await tell(gateway, due, business) == ["briefing-day"]
    for minutes in range(10, 180, 10):
        assert (
            await tell(gateway, (datetime.fromisoformat(due) + timedelta(minutes=minutes)).isoformat(), business) == []
        )
    assert [one.data["day"] for one in await sent(world, BRIEFINGS)] == [day]


async def test_the_desk_tells_of_schedules_by_the_moved_clock(world: World, operator: Pool) -> None:
    given = {"schedules": [{"briefing": "day", "at": "07:30"}]}
    gateway = await world.gateway(*LOOPS, business=Business.model_validate(given))
    await gateway.desk.look()
    assert await sent(world, BRIEFINGS) == []
    await advance(operator, days=1)
    (event,) = await some_sent(world, 1, BRIEFINGS)
    assert event.type == "viox.briefing.due"
