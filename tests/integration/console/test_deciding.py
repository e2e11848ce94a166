"""Deciding on the page what the real gateway asked: with other arguments, for calls to come, and by two people at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sandbox.net import free_ports
from sandbox.postgres import Postgres
from services.tool_gateway.approvals import examine
from services.tool_gateway.wire import operator
from services.tool_gateway.wire.credentials import Secrets
from shared.store.pool import open_pool
from tests.integration.console.world import got, people_file, sent, served, signed_in
from tests.integration.gateway.test_approvals import ASKS, SMS, TOOL, asked, waiting
from tests.integration.gateway.test_approvals import sent as texts
from tests.integration.gateway.world import Gateway, World, gateway_world, wants

__all__ = ["gateway_world"]
OPERATOR = "operator-of-the-test"


@asynccontextmanager
async def examined(gateway: Gateway) -> AsyncIterator[str]:
    """Where the gateway answers what only it knows of its tools."""
    examiner = examine.Examiner(gateway.catalogue, Secrets({operator.SETTING: OPERATOR}), gateway.places.breakers)
    app = web.Application()
    app.router.add_post(examine.PATH, examiner.serve)
    runner, (port,) = web.AppRunner(app), free_ports(1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def console(gateway: Gateway, postgres: Postgres, folder: Path) -> AsyncIterator[str]:
    """A console that may ask this gateway."""
    dsn = postgres.dsn("viox_console")
    pool = await open_pool(dsn, application="test console", size=4)
    try:
        async with examined(gateway) as url:
            values = {"VIOX_GATEWAY_URL": url, operator.SETTING: OPERATOR}
            async with served(pool, dsn, people_file(folder), values) as address:
                yield address
    finally:
        await pool.close()


async def test_edited_arguments_are_judged_again_and_sent_as_they_were_edited(
    world: World, postgres: Postgres, tmp_path: Path
) -> None:
    gateway, approval = await asked(world, ASKS)
    path, form = f"/approvals/{approval['approval_id']}/approve", {"seen": approval["arguments_sha256"]}
    async with console(gateway, postgres, tmp_path) as url, signed_in(url, "Lee") as client:
        told = await sent(client, path, form | {"arguments": '{"To": 5}'}, status=400)
        assert "Approved" not in told
        assert texts(world) == []
        edited = '{"To": "+14155550123", "Body": "Hi Ana, from a person"}'
        assert "Approved. Its run goes on." in await sent(client, path, form | {"arguments": edited})
        await world.state("succeeded")
        assert "A person changed the arguments" in await got(client, f"/approvals/{approval['approval_id']}")
    assert texts(world) == ["Hi Ana, from a person"]
    assert await world.admin.fetchval("select decided_by from approvals") == ["Lee"]


async def test_such_calls_go_by_themselves_after_a_standing_approval_until_it_is_revoked(
    world: World, postgres: Postgres, tmp_path: Path
) -> None:
    gateway, approval = await asked(world, ASKS)
    async with console(gateway, postgres, tmp_path) as url, signed_in(url, "Dana") as client:
        form = {"seen": approval["arguments_sha256"], "times": "5", "until": "30d"}
        assert "standing approval" in await sent(client, f"/approvals/{approval['approval_id']}/approve", form)
        await world.state("succeeded", 1)
        await gateway.intake.accept([wants(TOOL, SMS | {"Body": "Hi again"}, 2)])
        await world.state("succeeded", 2)
        assert "4 calls left" in await got(client, "/approvals?tab=standing")
        standing = await world.admin.fetchval("select standing_id from standing_approvals")
        assert "Revoked" in await sent(client, f"/standing/{standing}/revoke", {})
        await gateway.intake.accept([wants(TOOL, SMS | {"Body": "Hi a third time"}, 3)])
        await world.state("awaiting_approval", 3)
        assert await waiting(world, 3)
    assert texts(world) == [SMS["Body"], "Hi again"]


@pytest.mark.parametrize("other", ["approve", "reject"])
async def test_of_two_people_at_once_one_decides_and_the_call_is_made_once_or_not_at_all(
    world: World, postgres: Postgres, tmp_path: Path, other: str
) -> None:
    gateway, approval = await asked(world, ASKS)
    path = f"/approvals/{approval['approval_id']}"
    form = {"seen": approval["arguments_sha256"], "reason": "not now"}
    async with (
        console(gateway, postgres, tmp_path) as url,
        signed_in(url, "Lee") as lee,
        signed_in(url, "Dana") as dana,
    ):
        deciding = lee.post(f"{path}/approve", data=form), dana.post(f"{path}/{other}", data=form)
        statuses = sorted(answer.status for answer in await asyncio.gather(*deciding))
        assert statuses == [200, 409]
    async with asyncio.timeout(60):
        while (row := await world.call())["state"] not in ("succeeded", "rejected"):
            await asyncio.sleep(0.02)
    assert len(texts(world)) == (1 if row["state"] == "succeeded" else 0)


async def test_a_tools_page_says_at_what_rate_it_goes_and_whether_its_vendor_is_left_alone(
    world: World, postgres: Postgres, tmp_path: Path, admin: Any
) -> None:
    gateway = await world.gateway()
    await admin.execute(
        """insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to)
           values ('twilio_send_message', 'twilio', 'POST', '/Messages', 'once', '{}', 'Sends it.', '{}', '{closer}')"""
    )
    async with console(gateway, postgres, tmp_path) as url, signed_in(url, "Vera") as client:
        assert "answers" in await got(client, "/tools/twilio_send_message")
        for number in range(6):
            gateway.places.breakers.failed("twilio", f"call-{number}")  # type: ignore[arg-type]  # any name of a call
        page = await got(client, "/tools/twilio_send_message")
        assert "left alone" in page
        assert "a call tries it in" in page
