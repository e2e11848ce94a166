"""A vendor that takes requests and does not answer holds up its own calls and nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.ids import call_id
from tests.integration.gateway.world import RUN, World, gateway_world, wants

__all__ = ["gateway_world"]
SMS = {"To": "+14155550123", "Body": "Hi Ana"}
PLACES = 2


def contact(number: int) -> dict[str, Any]:
    return {"properties": {"email": f"ana{number}@x.co", "firstname": "Ana"}}


async def states(world: World, tool: str) -> list[str]:
    rows = await world.admin.fetch("select state from tool_calls where tool = $1 order by step", tool)
    return [row["state"] for row in rows]


async def until(world: World, tool: str, wanted: list[str]) -> None:
    async with asyncio.timeout(60):
        while await states(world, tool) != wanted:
            await asyncio.sleep(0.02)


async def test_calls_to_another_vendor_go_on(world: World) -> None:
    gateway = await world.gateway("outcomes", timeout=60, per_vendor=PLACES)
    world.hanging = world.hubspot.app
    await gateway.intake.accept([wants("hubspot_create_contact", contact(n), step=n) for n in range(1, 6)])
    gateway.go_on("resumer")
    await gateway.intake.accept([wants("twilio_send_message", SMS, step=9)])
    await world.state("succeeded", step=9)
    assert await states(world, "hubspot_create_contact") == ["executing"] * PLACES + ["requested"] * 3
    world.hanging = None
    await until(world, "hubspot_create_contact", ["succeeded"] * 5)
    assert len(world.hubspot.effects) == 5


@pytest.mark.rule(9)
async def test_a_call_that_waits_for_a_place_has_no_lease_that_could_end(world: World) -> None:
    """Else calls that never left would count as unknown after a while."""
    gateway = await world.gateway("outcomes", timeout=60, per_vendor=PLACES)
    world.hanging = world.hubspot.app
    await gateway.intake.accept([wants("hubspot_create_contact", contact(n), step=n) for n in range(1, 4)])
    waiting = await world.call(step=3)
    assert (waiting["state"], waiting["attempt"], waiting["lease_until"]) == ("requested", 0, None)
    gateway.go_on("resumer")
    world.hanging = None
    assert (await world.state("succeeded", step=3))["attempt"] == 1
    assert await world.phases(step=3) == ["decision", "intent", "outcome"]


async def test_many_more_calls_than_places_are_all_made_once(world: World) -> None:
    gateway, other = [await world.gateway(timeout=20, per_vendor=PLACES) for _ in range(2)]
    calls = [wants("hubspot_create_contact", contact(n), step=n) for n in range(1, 41)]
    await asyncio.gather(gateway.intake.accept(calls[:20]), other.intake.accept(calls[20:]))
    await until(world, "hubspot_create_contact", ["succeeded"] * 40)
    assert len(world.hubspot.effects) == 40
    attempts = await world.admin.fetch("select call_id, attempt from tool_calls")
    assert {row["call_id"]: row["attempt"] for row in attempts} == {call_id(RUN, n, 0): 1 for n in range(1, 41)}


async def test_look_ups_at_another_vendor_go_on(world: World) -> None:
    gateway = await world.gateway(timeout=60)
    world.fault(world.hubspot, "cut_after", method="POST")
    world.fault(world.twilio, "cut_after", method="POST")
    await gateway.intake.accept([wants("hubspot_create_contact", contact(1), step=1)])
    await world.state("unknown", step=1)
    world.hanging = world.hubspot.app
    async with asyncio.timeout(60):
        while not (await world.call(step=1))["look_ups"]:
            await asyncio.sleep(0.02)
    await gateway.intake.accept([wants("twilio_send_message", SMS, step=2)])
    await world.state("succeeded", step=2)
    assert (await world.call(step=1))["state"] == "unknown"
    world.hanging = None
    await world.state("succeeded", step=1)
    assert (len(world.hubspot.effects), len(world.twilio.effects)) == (1, 1)
