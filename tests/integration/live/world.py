"""Gateways with a port for live calls, on real Postgres, against vendors that can be told to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.postgres import Postgres
from services.tool_gateway.live.room import DESCRIPTION, PATH, Room
from services.tool_gateway.live.tokens import digest_of, setting
from services.tool_gateway.live.waiting import CHANNEL
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.outbox import Outbox
from shared.settings import Settings
from shared.store.pool import Pool
from tests.integration.gateway.world import Gateway, World, opened

CLOSER, OLD_CLOSER, VOICE = "token-of-closer", "old-token-of-closer", "token-of-voice"
TALK = {"X-Conversation-Id": "call:conv_1"}
SMS = {"To": "+14155550123", "Body": "Hi Ana"}
SEND, READ = "twilio_send_message", "hubspot_list_owners"


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], text: str) -> None:
        self.status, self.headers, self.text = status, headers, text
        self.json: dict[str, Any] = json.loads(text) if text.startswith("{") else {}

    @property
    def state(self) -> str:
        return str(self.json["state"])


class Door:
    """One replica's port for live calls."""

    def __init__(self, gateway: Gateway, pool: Pool, settings: Mapping[str, Any], tokens: dict[str, str]) -> None:
        self.gateway, self.tokens = gateway, tokens
        made = Settings.load(**settings)
        outbox = Outbox("gateway", pool, gateway.publisher)
        self.room = Room(
            made, Secrets(tokens), pool, gateway.store, gateway.intake, gateway.catalogue, gateway.places, outbox
        )
        self._session = aiohttp.ClientSession()

    async def open(self) -> None:
        app = web.Application()
        app.router.add_post(PATH, self.room.serve)
        app.router.add_get(DESCRIPTION, self.room.describe)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._loop = asyncio.create_task(self.room.run())

    async def close(self) -> None:
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
        await self._session.close()
        await self._runner.cleanup()

    async def description(self, token: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.get(f"{self.url}{DESCRIPTION}", headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def __call__(
        self,
        tool: str,
        arguments: Any = None,
        headers: Mapping[str, str] = TALK,
        *,
        token: str | None = CLOSER,
        ms: int | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        sent = {"Content-Type": "application/json"} | dict(headers)
        sent |= {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {"Request-Timeout": str(ms)} if ms else {}
        body = raw if raw is not None else json.dumps(arguments or {}).encode()
        async with self._session.post(f"{self.url}/v1/tools/{tool}:invoke", data=body, headers=sent) as answer:
            return Answer(answer.status, answer.headers, await answer.text())


class LiveWorld(World):
    """A world whose gateways can be called."""

    def __init__(self, pool: Pool, admin: Any, dsn: str) -> None:
        super().__init__(pool, admin, dsn)
        self._doors: list[Door] = []

    async def open(self) -> None:
        await super().open()
        self.secrets["TWILIO_LOOKUPS_BASE_URL"] = self.secrets["TWILIO_BASE_URL"]

    async def door(self, *loops: str, per_vendor: int = 16, for_live: int = 0, **settings: Any) -> Door:
        made = Gateway(self.pool, self._dsn, self.secrets, per_vendor=per_vendor, for_live=for_live)
        tokens = {
            setting("closer"): f"sha256:{digest_of(CLOSER)}, sha256:{digest_of(OLD_CLOSER)}",
            setting("voice"): f"sha256:{digest_of(VOICE)}",
        }
        door = Door(made, self.pool, settings, tokens)
        made.instance.on_notify(CHANNEL, door.room.waiting.wake)
        made.outcomes.on_closed(door.room.waiting.closed)
        await made.start(*loops)
        self._gateways.append(made)
        await door.open()
        self._doors.append(door)
        return door

    async def close(self) -> None:
        for door in self._doors:
            await door.close()
        await super().close()

    async def calls(self) -> list[Any]:
        """Live ones, as they were asked for."""
        rows: list[Any] = await self.admin.fetch("select * from tool_calls where live order by created_at, step")
        return rows

    async def runs(self) -> list[Any]:
        rows: list[Any] = await self.admin.fetch(
            "select * from run_overview where trigger_type = 'viox.tool.invoked' order by started_at"
        )
        return rows

    async def phases_of(self, call: str) -> list[str]:
        rows = await self.admin.fetch("select phase from ledger_entries where call_id = $1 order by entry_id", call)
        return [row["phase"] for row in rows]


@pytest.fixture(name="world")
async def live_world(gateway_pool: Pool, admin: Any, postgres: Postgres) -> AsyncIterator[LiveWorld]:
    async with opened(LiveWorld(gateway_pool, admin, postgres.dsn("viox_gateway"))) as made:
        yield made
