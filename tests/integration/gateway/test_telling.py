"""Telling people of the business something: by name or role, once, without their address reaching an agent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.transport import NotSent
from shared.ids import call_id
from shared.people import People
from tests.integration.gateway.test_approvals import sent
from tests.integration.gateway.world import RUN, Gateway, World, gateway_world, until, wants

__all__ = ["gateway_world"]
DANA, LEE = "+14155550100", "+14155550101"
NEWS = {"subject": "Briefing", "text": "The long story.", "short": "All is well."}


async def test_the_owner_is_told_by_text_message_where_there_is_no_mail_address(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("person_tell", NEWS)])
    row = await world.state("succeeded")
    assert orjson.loads(row["result"]) == {"told": "Dana", "by": "sms", "call_id": call_id(RUN, -1, 0)}
    assert DANA not in str(dict(row)), "an agent learns no address"
    await until(lambda: sent(world, DANA) == ["All is well."])


@pytest.mark.parametrize(("to", "number"), [("lee", LEE), ("approver", LEE), ("Owner", DANA), ("DANA", DANA)])
async def test_people_are_meant_by_name_or_by_role(world: World, to: str, number: str) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("person_tell", NEWS | {"to": to})])
    await until(lambda: sent(world, number) == ["All is well."])


async def test_nobody_is_told_what_is_for_nobody(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("person_tell", NEWS | {"to": "auditor"})])
    row = await world.state("failed")
    assert "person.unknown" in row["error"]
    assert world.twilio.messages == {}


async def test_a_repeat_of_the_call_tells_nobody_twice(world: World) -> None:
    gateway = await world.gateway("outcomes")
    first, second = await told(gateway, **NEWS), await told(gateway, **NEWS)
    assert first == second
    stored = await world.admin.fetchval("select count(*) from tool_calls where agent = 'gateway'")
    assert stored == 1


async def test_a_mail_is_written_where_there_is_an_address_and_its_subject_is_one_line(world: World) -> None:
    people = People.model_validate(
        {"people": [{"name": "Dana", "roles": ["owner"], "sms": DANA, "email": "dana@example.com"}]}
    )
    gateway = await world.gateway("outcomes", people=people)
    made = await told(gateway, **NEWS | {"subject": "Brief\r\nBcc: eve@example.com"})
    row = await world.admin.fetchrow("select * from tool_calls where call_id = $1", made["call_id"])
    assert row["tool"] == "email_send"
    assert orjson.loads(row["arguments"]) == {
        "to": ["dana@example.com"],
        "subject": "Brief Bcc: eve@example.com",
        "text": "The long story.",
    }
    assert (await told(gateway, "7", **NEWS, by="sms"))["by"] == "sms"


async def test_somebody_without_an_address_is_not_told_silently(world: World) -> None:
    gateway = await world.gateway(
        "outcomes", people=People.model_validate({"people": [{"name": "D", "roles": ["owner"]}]})
    )
    with pytest.raises(NotSent, match="neither sms nor email") as refused:
        await told(gateway, **NEWS)
    assert refused.value.final


async def told(gateway: Gateway, step: str = "1", **given: Any) -> Any:
    """What the connector answers to one call."""
    tool = gateway.catalogue.tools["person_tell"]
    assert tool.problem_with(given) is None
    prepared = prepare(tool, given, gateway.sender._secrets, key=f"{RUN}.{step}.0")
    connector = gateway.sender._others["people"]
    return orjson.loads((await connector.send(prepared, 5.0, _agreed)).body)


async def _agreed() -> None:
    """A gate that lets everything through."""
