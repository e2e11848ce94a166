"""The gateway's room for webhooks on real Postgres and a real port, with a broker that keeps what it gets, or takes nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from services.tool_gateway.webhooks.room import PATH, Outward, Room
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.envelope import Message
from shared.bus.outbox import Outbox
from shared.redaction import Redactor
from shared.settings import Settings
from shared.store.pool import Pool
from tests.integration.publisher import RecordingPublisher
from tests.unit.webhooks import signing

MAC_KEY = "c2VjcmV0IG9mIGFpcnRhYmxlJ3Mgd2ViaG9vaw=="
SECRETS = {
    "STRIPE_WEBHOOK_SECRET": "whsec_the_stripe_secret",
    "TWILIO_AUTH_TOKEN": "the-auth-token",
    "HUBSPOT_CLIENT_SECRET": "the-client-secret",
    "QUICKBOOKS_WEBHOOK_TOKEN": "the-verifier-token",
    "ELEVENLABS_WEBHOOK_SECRET": "wsec_the_elevenlabs_secret",
    "AIRTABLE_WEBHOOK_SECRET": MAC_KEY,
    "MAKE_WEBHOOK_SECRET": "the-make-secret",
    "N8N_WEBHOOK_SECRET": "the-n8n-secret",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Door:
    """One replica's port."""

    def __init__(self, room: Room, publisher: RecordingPublisher, url: str, session: aiohttp.ClientSession) -> None:
        self.room, self.publisher, self.url, self._session = room, publisher, url, session

    def to(self, source: str) -> str:
        return f"{self.url}/webhooks/{source}"

    async def post(self, source: str, body: bytes, headers: Mapping[str, str], **more: Any) -> Answer:
        return await self.send("POST", self.to(source), data=body, headers=dict(headers), **more)

    async def send(self, method: str, url: str, **more: Any) -> Answer:
        async with self._session.request(method, url, **more) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def stripe(
        self, event: Mapping[str, Any], secret: str = SECRETS["STRIPE_WEBHOOK_SECRET"], **more: Any
    ) -> Answer:
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json"} | signing.stripe(secret, body, int(more.pop("at", time.time())))
        return await self.post("stripe", body, headers, **more)

    def events(self) -> list[Message]:
        return [message for topic, message in self.publisher.messages if topic.startswith("viox.events.")]


class Dead(Outbox):
    """The process was killed between commit and publish."""

    def publish(self, rows: Any) -> None:
        del rows


@asynccontextmanager
async def opened(
    pool: Pool,
    secrets: Mapping[str, str] = SECRETS,
    *,
    custom: Path | None = None,
    dead: bool = False,
    redactor: Redactor | None = None,
    outward: Outward | None = None,
    **settings: Any,
) -> AsyncIterator[Door]:
    publisher = RecordingPublisher("gateway")
    outbox = (Dead if dead else Outbox)("gateway", pool, publisher)
    made = Settings.load(webhooks=str(custom) if custom else None, **settings)
    room = Room(made, Secrets(secrets), redactor or Redactor(), pool, outbox, outward)
    app = web.Application()
    app.router.add_post(PATH, room.serve)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running = asyncio.create_task(room.run())
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Door(room, publisher, f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    finally:
        await room.drain()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await runner.cleanup()


def stripe_event(number: int = 1, kind: str = "invoice.paid", **more: Any) -> dict[str, Any]:
    thing = "dispute" if "dispute" in kind else "invoice"
    return {
        "id": f"evt_{number}",
        "object": "event",
        "created": 1790928000,
        "type": kind,
        "pending_webhooks": 1,
        "data": {"object": {"id": f"in_{number}", "object": thing, "customer": f"cus_{number}", "amount_due": 1200}},
    } | more
