"""The same call several times in one turn of a model, and calls that a paused tool holds up."""

from __future__ import annotations

import asyncio
import json
from itertools import permutations
from typing import Any

import pytest

from shared.ids import call_id
from tests.integration.gateway.world import RUN, World, gateway_world, wants

__all__ = ["gateway_world"]
SMS = {"To": "+14155550123", "Body": "Hi Ana"}


async def ended(world: World, *places: tuple[int, int]) -> list[tuple[str, Any]]:
    """State and error code of calls (step, index), once all of them are over."""
    async with asyncio.timeout(60):
        while True:
            rows = [await world.call(step, index) for step, index in places]
            if all(row and row["state"] in ("succeeded", "failed", "denied") for row in rows):
                return [(row["state"], json.loads(row["error"] or "{}").get("code")) for row in rows]
            await asyncio.sleep(0.02)


ONE, SAME = ("succeeded", None), ("denied", "tool.same_call")


@pytest.mark.parametrize("together", [True, False])
async def test_the_same_call_twice_in_one_turn_is_made_once(world: World, together: bool) -> None:
    gateway = await world.gateway()
    calls = [wants("twilio_send_message", SMS, index=index) for index in range(3)]
    for batch in [calls] if together else [[one] for one in calls]:
        await gateway.intake.accept(batch)
    assert await ended(world, (1, 0), (1, 1), (1, 2)) == [ONE, SAME, SAME]
    assert len(world.twilio.effects) == 1
    row = await world.call(1, 1)
    assert call_id(RUN, 1, 0) in row["error"], "it says which call it is"
    kept = await world.admin.fetchval("select checks from ledger_entries where call_id = $1", row["call_id"])
    assert {"check": "turn.once", "passed": False} in json.loads(kept)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_whichever_comes_first_is_made_however_often_they_come(world: World, order: tuple[int, ...]) -> None:
    gateway = await world.gateway()
    for index in (*order, *order):
        await gateway.intake.accept([wants("twilio_send_message", SMS, index=index)])
    states = await ended(world, (1, 0), (1, 1), (1, 2))
    assert states[order[0]] == ONE
    assert states.count(SAME) == 2
    assert len(world.twilio.effects) == 1


async def test_the_same_call_in_another_turn_is_another_effect(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS, step=step) for step in (1, 3)])
    assert await ended(world, (1, 0), (3, 0)) == [ONE, ONE]
    assert len(world.twilio.effects) == 2


async def test_reads_may_run_twice(world: World) -> None:
    gateway = await world.gateway()
    asked = {"email": "ana@x.co"}
    await gateway.intake.accept([wants("hubspot_get_contact_by_email", asked, index=index) for index in range(2)])
    assert await ended(world, (1, 0), (1, 1)) == [ONE, ONE]


async def waits_for(world: World) -> tuple[str, Any]:
    row = await world.admin.fetchrow("select status, waiting_for from run_overview where run_id = $1", RUN)
    return row["status"], json.loads(row["waiting_for"])


async def test_a_paused_tool_is_what_its_run_waits_for(world: World) -> None:
    await world.admin.execute(
        "insert into pauses (scope, paused_by) values ('tool:twilio_send_message', 'bo'), ('tool:hubspot_get_deal', 'bo')"
    )
    gateway = await world.gateway()
    assert await waits_for(world) == ("running", [])
    await gateway.intake.accept(
        [wants("twilio_send_message", SMS), wants("twilio_send_message", SMS | {"Body": "b"}, 1, 1)]
    )
    assert await waits_for(world) == ("waiting", [{"kind": "paused", "id": "tool:twilio_send_message"}])
    await world.admin.execute("delete from pauses")
    assert await waits_for(world) == ("running", [])
    await ended(world, (1, 0), (1, 1))
    assert len(world.twilio.effects) == 2
    assert await waits_for(world) == ("running", [])


async def test_a_retry_that_a_pause_holds_up_shows_it(world: World) -> None:
    world.fault(world.twilio, "429", method="POST", retry_after=1)
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("requested")
    await world.admin.execute("insert into pauses (scope, paused_by) values ('tool:twilio_send_message', 'bo')")
    assert await waits_for(world) == ("waiting", [{"kind": "paused", "id": "tool:twilio_send_message"}])
