"""Who asked not to be written to is not written to, by whichever agent, in whichever conversation."""

from __future__ import annotations

from typing import Any

import pytest

from services.tool_gateway.mail.references import reply_key
from tests.integration.gateway.world import Gateway, World, gateway_world, wants

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


# -- mail --------------------------------------------------------------------------------------------------------------------

LETTER: dict[str, Any] = {"to": ["Ana.Lopez@Example.com", "bo@example.com"], "subject": "Hi", "text": "Hello"}


async def stopped(admin: Any, address: str) -> None:
    await admin.execute("insert into contact_wishes values ('email', $1, now(), 'stop', '/t', 'm1')", address)


@pytest.mark.parametrize(
    ("place", "written"),
    [("to", "Ana <ana.lopez@example.com>"), ("cc", "ANA.LOPEZ@example.com"), ("bcc", "ana.lopez@example.com")],
)
async def test_who_asked_for_no_mails_gets_none_in_whatever_place(world: World, place: str, written: str) -> None:
    await stopped(world.admin, "ana.lopez@example.com")
    gateway = await world.gateway()
    arguments = {"to": ["bo@example.com"], "subject": "Hi", "text": "Hello", place: [written]}
    await gateway.intake.accept([wants("email_send", arguments)])
    row = await world.state("denied")
    assert "recipient.opted_out" in row["error"]


async def posting(world: World) -> Gateway:
    """A gateway that knows a mail server; that there is none where it should be is no matter here."""
    world.secrets |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "SMTP_TLS": "none", "SMTP_FROM": "office@biz.example"}
    return await world.gateway()


async def test_an_address_that_only_looks_like_it_is_written_to(world: World) -> None:
    await stopped(world.admin, "analopez@example.com")
    gateway = await posting(world)
    await gateway.intake.accept([wants("email_send", LETTER)])
    assert "intent" in await world.phases()


async def test_a_mail_opens_a_conversation_with_each_whom_it_is_to(world: World) -> None:
    gateway = await posting(world)
    await gateway.intake.accept([wants("email_send", LETTER | {"cc": ["cy@example.com"]})])
    row = await world.admin.fetchrow("select call_id, conversation_id from tool_calls")
    owners = await world.admin.fetch(
        "select address, agent, conversation_id from contact_owners where channel = 'email'"
    )
    people = ["ana.lopez@example.com", "bo@example.com"]
    assert {one["address"] for one in owners} == {*people, *(reply_key(row["call_id"], one) for one in people)}
    assert {(one["agent"], one["conversation_id"]) for one in owners} == {("closer", row["conversation_id"])}
