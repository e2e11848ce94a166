"""Who asked not to be written to is not written to, by whichever agent, in whichever conversation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.gateway.world import World, gateway_world, wants

__all__ = ["gateway_world"]
SMS = {"To": "+14155550123", "Body": "Hi Ana"}


async def wished(admin: Any, wish: str, minutes_ago: int, address: str = SMS["To"]) -> None:
    await admin.execute(
        """insert into contact_wishes values ('sms', $1, now() - make_interval(mins => $2), $3, '/t', gen_random_uuid()::text)""",
        address,
        minutes_ago,
        wish,
    )


async def test_a_number_that_asked_to_stop_gets_no_message(world: World) -> None:
    await wished(world.admin, "start", 30)
    await wished(world.admin, "stop", 20)
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    row = await world.state("denied")
    assert "recipient.opted_out" in row["error"]
    assert world.twilio.effects == []


async def test_the_newest_wish_counts_and_only_for_its_number(world: World) -> None:
    await wished(world.admin, "stop", 20)
    await wished(world.admin, "start", 10)
    await wished(world.admin, "stop", 5, "+14155550199")
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("succeeded")
    assert [effect["operation"] for effect in world.twilio.effects] == ["send"]


async def test_a_wish_that_comes_while_a_call_waits_holds_it_back(world: World) -> None:
    gateway = await world.gateway()
    await world.admin.execute("insert into pauses (scope, paused_by) values ('tool:twilio_send_message', 'test')")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("requested")
    await wished(world.admin, "stop", 0)
    await world.admin.execute("delete from pauses")
    row = await world.state("failed")
    assert "recipient.opted_out" in row["error"]
    assert world.twilio.effects == []


@pytest.mark.parametrize("tool", ["hubspot_get_contact_by_email"])
async def test_what_only_names_the_address_is_not_held_back(world: World, tool: str) -> None:
    await wished(world.admin, "stop", 5, "ana7@example.com")
    gateway = await world.gateway()
    await gateway.intake.accept([wants(tool, {"email": "ana7@example.com"})])
    assert (await world.state("succeeded"))["error"] is None
