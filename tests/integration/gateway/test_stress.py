"""Under stress: rates that replicas share, vendors that ask us to wait, pauses, and no more than can be borne taken in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from aiohttp import web

from services.tool_gateway.call.backlog import Backlog
from services.tool_gateway.call.close import JITTER, spread
from services.tool_gateway.catalogue.tools import Rate
from tests.integration.gateway.test_large_answers import DEAL, endless
from tests.integration.gateway.test_payloads import SEARCH
from tests.integration.gateway.world import RUN, Gateway, World, gateway_world, until, wants

__all__ = ["endless", "gateway_world"]
GET = "hubspot_search_contacts"


def with_rates(gateway: Gateway, tool: str, rate: Rate | None, own_rate: Rate | None = None) -> None:
    gateway.catalogue.tools[tool] = replace(gateway.catalogue.tools[tool], rate=rate, own_rate=own_rate)


async def slots(world: World) -> dict[int, Any]:
    rows = await world.admin.fetch("select step, not_before from tool_calls where state = 'requested' order by step")
    return {row["step"]: row["not_before"] for row in rows}


@pytest.mark.parametrize("own", [False, True])
async def test_replicas_share_a_vendors_rate_and_a_tools_own(world: World, own: bool) -> None:
    vendors, tools = Rate("hubspot", 1000, 1000), Rate("tool:x", 1000, 1000)
    slow = Rate("slow", 0.01, 1)
    one, other = await world.gateway("outcomes"), await world.gateway("outcomes")
    for gateway in (one, other):
        with_rates(gateway, GET, rate=vendors if own else slow, own_rate=slow if own else tools)
    await one.intake.accept([wants(GET, SEARCH, 1)])
    await other.intake.accept([wants(GET, SEARCH, 2), wants(GET, SEARCH, 3)])
    waits = await slots(world)
    assert list(waits) == [2, 3]
    assert waits[3] - waits[2] == timedelta(seconds=100)


async def test_an_agent_has_a_rate_of_its_own_over_all_tools(world: World) -> None:
    gateway = await world.gateway("outcomes")
    gateway.intake._admission._per_agent = (0.01, 1)
    await gateway.intake.accept([wants(GET, SEARCH, 1), wants("hubspot_list_owners", {}, 2)])
    assert list(await slots(world)) in ([1], [2]), "one of them goes, the other waits"
    key = await world.admin.fetchval("select key from rate_limits")
    assert key == "agent:closer"


async def test_pausing_a_vendor_holds_its_calls_up_and_no_others(world: World) -> None:
    await world.admin.execute("insert into pauses (scope, paused_by) values ('vendor:hubspot', 'test')")
    gateway = await world.gateway("outcomes", "resumer")
    await gateway.intake.accept([wants("hubspot_list_owners", {}, 1), wants("twilio_list_messages", {}, 2)])
    await world.state("succeeded", 2)
    assert (await world.call(1))["state"] == "requested"
    assert await gateway.store.count_open(10) == 0, "what waits for the end of a pause is no backlog"
    seen = await world.admin.fetchrow("select status, waiting_for from run_overview where run_id = $1", RUN)
    assert (seen["status"], orjson.loads(seen["waiting_for"])) == (
        "waiting",
        [{"kind": "paused", "id": "vendor:hubspot"}],
    )
    await world.admin.execute("delete from pauses")
    await world.state("succeeded", 1)


# -- vendors that ask us to wait ----------------------------------------------------------------------------------------


@pytest.fixture
async def busy(world: World) -> AsyncIterator[dict[str, Any]]:
    """A HubSpot that does not answer a creation, and answers a look-up as it is told."""
    told: dict[str, Any] = {"looks": 0, "headers": {}, "status": 429}

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/crm/v3/objects/deals":
            return web.Response(status=500)
        told["looks"] += 1
        return web.json_response({"message": "slow down"}, status=told["status"], headers=told["headers"])

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world.secrets["HUBSPOT_BASE_URL"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield told
    await runner.cleanup()


def a_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("form", ["seconds", "date", "forbidden"])
@pytest.mark.parametrize("rated", [False, True])
async def test_a_look_up_that_comes_too_often_waits_as_long_as_the_vendor_says(
    world: World, busy: dict[str, Any], form: str, rated: bool
) -> None:
    busy["headers"] = {"Retry-After": a_date(200) if form == "date" else "200"}
    busy["status"] = 403 if form == "forbidden" else 429
    gateway = await world.gateway("outcomes")
    for name in ("hubspot_search_deals", "hubspot_list_associations"):
        with_rates(gateway, name, rate=Rate("hubspot-search", 100, 100) if rated else None)
    await gateway.intake.accept([wants("hubspot_create_deal", DEAL)])
    await world.unknown_for()
    gateway.go_on("settler")
    await until(lambda: "hubspot" in gateway.settler._resting())
    assert busy["looks"] == 1
    await world.admin.execute("update tool_calls set not_before = now() - interval '1 hour'")
    assert await gateway.store.claim_unknown(10, 2.0, gateway.settler._resting()) == [], "it is not even claimed"
    if rated:
        paused = await world.admin.fetchval("select tat - now() from rate_limits where key = 'hubspot-search'")
        assert timedelta(seconds=100) < paused < timedelta(seconds=201), "neither are calls sent"


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_write_that_comes_too_often_waits_as_long_as_the_vendor_says(
    world: World, endless: dict[str, Any], form: str
) -> None:
    gateway = await world.gateway("outcomes")
    asked = {"Retry-After": a_date(200) if form == "date" else "200"}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=429, headers=asked)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world.secrets["HUBSPOT_BASE_URL"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    with_rates(gateway, "hubspot_create_deal", rate=Rate("hubspot", 100, 100))
    await gateway.intake.accept([wants("hubspot_create_deal", DEAL)])
    await until(lambda: not gateway.executor._tasks)
    await gateway.outcomes.drain(10)
    row = await world.state("requested")
    wait = row["not_before"] - datetime.now(UTC)
    assert timedelta(seconds=100) < wait <= timedelta(seconds=200 * (1 + JITTER))
    assert await world.admin.fetchval("select tat > now() + interval '100 s' from rate_limits where key = 'hubspot'")
    assert "429" in orjson.loads(row["error"])["code"]
    await runner.cleanup()


def test_waits_are_spread_and_never_shorter() -> None:
    waits = [spread(10.0) for _ in range(200)]
    assert min(waits) >= 10.0
    assert max(waits) <= 10.0 * (1 + JITTER)
    assert len({round(wait, 3) for wait in waits}) > 50


# -- no more than can be borne ------------------------------------------------------------------------------------------


async def test_a_backlog_has_no_room_until_a_fifth_of_it_is_done(world: World) -> None:
    gateway = await world.gateway("outcomes")
    with_rates(gateway, GET, rate=Rate("slow", 0.001, 1))
    backlog = Backlog(gateway.store, most=5)
    await gateway.intake.accept([wants(GET, SEARCH, step) for step in range(1, 7)])
    await gateway.outcomes.drain(10)
    await backlog.look()
    assert not backlog.has_room
    assert "no more are taken" in (backlog.problem() or "")
    await world.admin.execute("update tool_calls set state = 'failed' where step > 5")
    await backlog.look()
    assert not backlog.has_room, "taking and not taking do not alternate with every call"
    await world.admin.execute("update tool_calls set state = 'failed' where step > 3")
    await backlog.look()
    assert (backlog.has_room, backlog.problem()) == (True, None)


async def test_what_waits_for_a_person_is_no_backlog(world: World) -> None:
    gateway = await world.gateway("outcomes")
    await gateway.intake.accept([wants("hubspot_list_owners", {}, step) for step in range(1, 4)])
    await world.state("succeeded", 3)
    await world.admin.execute("update tool_calls set state = 'awaiting_approval'")
    assert await gateway.store.count_open(10) == 0
