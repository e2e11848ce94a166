"""The room put together: what the gateway opens, runs and drains for webhooks."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from services.tool_gateway.webhooks.accept import SQL, Acceptor, Trip
from services.tool_gateway.webhooks.causes import Causes
from services.tool_gateway.webhooks.intake import Webhooks
from services.tool_gateway.webhooks.letters import Letters
from services.tool_gateway.webhooks.limits import trusted
from services.tool_gateway.webhooks.sources import load
from services.tool_gateway.webhooks.tally import Tally
from services.tool_gateway.wire.credentials import Secrets
from shared.bus import topics
from shared.bus.kafka import Record
from shared.bus.outbox import Outbox
from shared.errors import BadInput
from shared.redaction import Redactor
from shared.settings import Settings
from shared.store.pool import Pool
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
TELL_SECONDS = 60.0
PATH = "/webhooks/{source}"


class Room:
    """Webhooks of one gateway. Raises BadInput when a setting cannot be used."""

    def __init__(self, settings: Settings, secrets: Secrets, redactor: Redactor, pool: Pool, outbox: Outbox) -> None:
        self._public_url = _public(settings.public_url)
        self._sources = load(settings.webhooks, secrets, redactor)
        self._pool = pool
        self.acceptor = Acceptor(pool, outbox, Trip(settings.webhook_trip_events, settings.webhook_trip_seconds))
        self.tally = Tally(pool)
        self.letters = Letters(pool)
        self.webhooks = Webhooks(
            self._sources,
            self.acceptor,
            self.letters,
            Causes(pool),
            self.tally,
            public_url=self._public_url,
            trusted=trusted(settings.trusted_proxies),
        )

    async def run(self) -> None:
        """Store what comes, count, and say what is configured, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.acceptor.run())
            group.create_task(self.tally.run())
            group.create_task(self._tell())

    async def serve(self, request: web.Request) -> web.Response:
        return await self.webhooks.serve(request)

    async def drain(self) -> None:
        await self.webhooks.drain()

    async def tell_sources(self) -> None:
        """Write down which sources there are, and whether they can be used."""
        rows = [
            {
                "webhook": one.source.name,
                "scheme": one.source.scheme,
                "url": f"{self._public_url or ''}/webhooks/{one.source.name}",
                "secrets": one.source.secrets,
                "configured": one.configured,
                "problem": one.problem,
            }
            for one in self._sources.standings()
        ]
        await self._pool.execute(*SQL.bind("tell_sources", rows=rows))

    async def _tell(self) -> None:
        while True:
            try:
                await self.tell_sources()
            except Exception as error:  # noqa: BLE001  # said again a minute later
                log.warning("webhooks.sources_not_told", error=error)
            await asyncio.sleep(TELL_SECONDS)


def is_webhook(record: Record) -> bool:
    """Whether a redriven dead letter is a delivery."""
    return record.topic.startswith(topics.WEBHOOKS)


def _public(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise BadInput(
            "settings.invalid",
            f"{url!r} is not an address that vendors can call.",
            field="VIOX_PUBLIC_URL",
            remedy="For instance https://hooks.example.com, without query.",
        )
    return url.rstrip("/")
