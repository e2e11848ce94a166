"""A vendor that does not answer: calls wait for it, and go when it is back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.tool_gateway.call import breaker, resume
from shared.bus import topics
from tests.integration.gateway.world import World, gateway_world, wants

__all__ = ["gateway_world"]
READS = "hubspot_list_owners"
MANY = 12


async def until(world: World, condition: str, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await world.admin.fetchval(f"select {condition} from tool_calls"):  # noqa: S608
            await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_SECONDS", 0.5)
    monkeypatch.setattr(breaker, "LONGEST_SECONDS", 0.5)


async def down(world: World) -> Any:
    """A gateway with more calls than the failures that open the breaker, at a vendor that only says 503."""
    world.fault(world.hubspot, "503", count=10_000)
    gateway = await world.gateway(per_vendor=2)
    await gateway.intake.accept([wants(READS, {}, step=2 + n) for n in range(MANY)])
    async with asyncio.timeout(60):
        while not gateway.places.breakers.left_alone():
            await asyncio.sleep(0.02)
    return gateway


@pytest.mark.rule(9)
async def test_calls_wait_without_using_up_attempts_and_go_when_it_is_back(world: World) -> None:
    gateway = await down(world)
    asked = len(world.seen)
    await asyncio.sleep(0.3)
    assert len(world.seen) <= asked + 1, "left alone but for the one that was on its way"
    assert "hubspot" in (gateway.places.breakers.problem() or "")
    world.hubspot.faults.clear()
    await until(world, "count(*) filter (where state = 'succeeded') = count(*)")
    assert await world.admin.fetchval("select count(*) from tool_calls") == MANY
    assert gateway.places.breakers.problem() is None


async def test_other_vendors_do_not_notice(world: World) -> None:
    gateway = await down(world)
    await gateway.intake.accept([wants("quickbooks_get_company", {}, step=100)])
    assert (await world.state("succeeded", step=100))["attempt"] == 1


async def test_a_call_that_an_operator_holds_up_does_not_fail_for_the_vendor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.admin.execute("insert into pauses (scope, paused_by) values ('tool:hubspot_list_pipelines', 'test')")
    gateway = await down(world)
    await gateway.intake.accept([wants("hubspot_list_pipelines", {"objectType": "deals"}, step=100)])
    monkeypatch.setattr(resume, "PATIENCE_SECONDS", 0.0)
    await until(world, "count(*) filter (where state = 'failed') = count(*) - 1")
    assert (await world.state("requested", step=100))["attempt"] == 0


@pytest.mark.rule(9)
async def test_who_waits_too_long_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await down(world)
    monkeypatch.setattr(resume, "PATIENCE_SECONDS", 0.0)
    await until(world, "count(*) filter (where state = 'failed') = count(*)")
    errors = await world.admin.fetch("select error->>'code' as code, attempt from tool_calls")
    assert {row["code"] for row in errors} <= {"vendor.not_answering", "http.503"}
    assert "vendor.not_answering" in {row["code"] for row in errors}
    told = [m.data["error"]["code"] for m in gateway.publisher.sent(topics.tool_results("closer"))]
    assert len(told) == MANY
    assert "vendor.not_answering" in told
