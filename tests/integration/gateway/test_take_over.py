"""While a person has a conversation, calls that would speak in it are held; what only looks is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.tool_gateway.catalogue.store import CatalogueStore
from shared.operations.conversations import scope
from tests.integration.gateway.world import Gateway, World, gateway_world, wants

__all__ = ["gateway_world"]
SMS = {"To": "+14155550123", "Body": "Hi Ana"}


@pytest.fixture(name="gateway")
async def published(world: World) -> Gateway:
    """One whose catalogue is there: the risks of tools stand in it."""
    made = await world.gateway()
    await CatalogueStore(world.pool).publish(made.catalogue)
    return made


@pytest.mark.parametrize("taken", [scope("c", None), scope("c", "closer")])
async def test_what_would_speak_is_held_until_the_conversation_is_given_back(
    world: World, gateway: Gateway, taken: str
) -> None:
    await world.admin.execute("insert into pauses (scope, paused_by) values ($1, 'Dana')", taken)
    look: dict[str, Any] = {"limit": 1}
    await gateway.intake.accept([wants("twilio_send_message", SMS), wants("hubspot_list_owners", look, 2)])
    await world.state("succeeded", 2)
    gateway.resumer.wake()
    await asyncio.sleep(0.2)
    assert (await world.call())["state"] == "requested"
    assert world.twilio.messages == {}
    await world.admin.execute("delete from pauses")
    await world.state("succeeded")
    assert [one["to"] for one in world.twilio.messages.values()] == [SMS["To"]]


@pytest.mark.parametrize("taken", [scope("d", None), scope("c", "voice")])
async def test_other_conversations_speak_on(world: World, gateway: Gateway, taken: str) -> None:
    await world.admin.execute("insert into pauses (scope, paused_by) values ($1, 'Dana')", taken)
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("succeeded")
