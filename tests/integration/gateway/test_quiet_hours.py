"""Quiet hours by what the tables say: who has just written or called, in whatever conversation, is answered."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.tool_gateway.policy import files
from shared.business import Business
from shared.ids import run_id, thread_id
from tests.integration.gateway.world import OPEN, World, gateway_world, wants

__all__ = ["gateway_world"]
ANA = "+4915112345678"  # Berlin
SMS = {"To": ANA, "Body": "Yes, at nine."}
POLICIES = OPEN | {"common.cedar": files.texts(None)["common.cedar"]}


def quiet_now(hours: float = 2.0) -> Business:
    """It is the middle of the quiet hours in Berlin, whenever the test runs."""
    now = datetime.now(ZoneInfo("Europe/Berlin"))
    start, end = now - timedelta(hours=hours), now + timedelta(hours=hours)
    return Business.model_validate({"quiet_hours": {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}})


async def heard(
    world: World,
    number: str,
    ago: timedelta = timedelta(minutes=5),
    kind: str = "com.twilio.message.received",
    merged: bool = False,
) -> None:
    """Voice's run began with what a number sent; or joined one that was active."""
    run, at = run_id("voice", "/twilio", "SM1"), datetime.now(UTC) - ago
    host = run_id("voice", "/twilio", "SM0") if merged else run
    for one, trigger in {run: "SM1", host: "SM0" if merged else "SM1"}.items():
        await world.admin.execute(
            "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,"
            " started_at, merged_into) values ($1, 'voice', $2, 'sms', 'running', '/twilio', $3, $4, $5, $6)",
            one,
            thread_id("voice", "sms"),
            trigger,
            kind if one == run else "com.twilio.call.completed",
            at,
            host if merged and one == run else None,
        )
    await world.admin.execute(
        "insert into steps (agent, run_id, step, thread_id, seq, kind, body) values ('voice', $1, 1, $2, 1, 'trigger', $3)",
        host,
        thread_id("voice", "sms"),
        json.dumps({"type": kind, "source": "/twilio", "data": {"From": number, "Body": "At nine?"}}),
    )


async def texted(world: World, business: Business) -> Any:
    gateway = await world.gateway(policies=POLICIES, business=business)
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    async with asyncio.timeout(60):
        while not ((row := await world.call()) and row["state"] in ("succeeded", "denied")):
            await asyncio.sleep(0.02)
    return row


async def test_a_text_at_night_is_refused_and_says_until_when(world: World) -> None:
    row = await texted(world, quiet_now())
    error = json.loads(row["error"])
    assert (row["state"], error["rules"]) == ("denied", ["sends.quiet-hours"])
    assert error["until"] in error["remedy"]
    assert datetime.fromisoformat(error["until"]) > datetime.now(UTC)
    assert world.twilio.messages == {}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("number", [ANA, "+49 151 12345678"])
async def test_who_has_just_written_is_answered(world: World, merged: bool, number: str) -> None:
    await heard(world, number, merged=merged)
    assert (await texted(world, quiet_now()))["state"] == "succeeded"


async def test_who_has_just_called_is_texted_back(world: World) -> None:
    await heard(world, ANA, kind="com.twilio.call.completed")
    assert (await texted(world, quiet_now()))["state"] == "succeeded"


@pytest.mark.parametrize(("number", "ago"), [(ANA, timedelta(minutes=16)), ("+4915112345679", timedelta(minutes=1))])
async def test_an_old_message_or_anothers_is_none_of_theirs(world: World, number: str, ago: timedelta) -> None:
    await heard(world, number, ago)
    assert (await texted(world, quiet_now()))["state"] == "denied"


async def test_what_was_written_before_the_clock_was_moved_is_long_ago(world: World) -> None:
    await heard(world, ANA, timedelta(minutes=1))
    await world.admin.execute("insert into sandbox_clock (ahead, moved_at) values ('1 day', now())")
    assert (await texted(world, quiet_now()))["state"] == "denied"


async def test_by_day_everybody_is_texted(world: World) -> None:
    by_night = quiet_now()
    assert by_night.quiet_hours
    day = {"quiet_hours": {"start": f"{by_night.quiet_hours.end:%H:%M}", "end": f"{by_night.quiet_hours.start:%H:%M}"}}
    assert (await texted(world, Business.model_validate(day)))["state"] == "succeeded"
