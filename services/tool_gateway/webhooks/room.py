"""The room put together: what the gateway opens, runs and drains for webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.http.limits import trusted
from services.tool_gateway.webhooks.accept import SQL, Acceptor, Trip
from services.tool_gateway.webhooks.causes import Causes
from services.tool_gateway.webhooks.intake import Webhooks
from services.tool_gateway.webhooks.letters import Letters
from services.tool_gateway.webhooks.polling.asking import Asker
from services.tool_gateway.webhooks.polling.poller import Poller
from services.tool_gateway.webhooks.polling.store import PollStore
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
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
TELL_SECONDS = 60.0
PATH = "/webhooks/{source}"


@dataclass(frozen=True, slots=True)
class Outward:
    """How vendors are asked: what the gateway's calls go through. `now` is the clock by which lists are read."""

    catalogue: Catalogue
    calls: GatewayStore
    sender: Sender
    places: InFlightLimiter
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Room:
    """Webhooks of one gateway, and the lists of what was never delivered. Raises BadInput when a setting cannot be used."""

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        redactor: Redactor,
        pool: Pool,
        outbox: Outbox,
        outward: Outward | None = None,
    ) -> None:
        self._public_url = _public(settings.public_url)
        self._sources = load(settings.webhooks, secrets, redactor)
        self._pool = pool
        self.acceptor = Acceptor(pool, outbox, _trip(settings))
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
            told=self._hurry,
            unproved_per_hour=settings.mail_unproved_per_hour,
        )
        self.poller = self._poller(settings, secrets, outward) if outward else None

    def _poller(self, settings: Settings, secrets: Secrets, outward: Outward) -> Poller:
        polls = PollStore(self._pool, outward.calls.owner)
        asker = Asker(outward.catalogue, secrets, outward.calls, polls, outward.sender, outward.places)
        return Poller(
            asker,
            polls,
            self.webhooks.found,
            self._sources,
            secrets,
            every=settings.poll_seconds,
            first_seconds=settings.poll_first_seconds,
            now=outward.now,
        )

    async def _hurry(self, source: str, documents: Sequence[Mapping[str, Any]]) -> bool:
        return self.poller is not None and await self.poller.told(source, documents)

    async def run(self) -> None:
        """Store what comes, count, and say what is configured, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.acceptor.run())
            group.create_task(self.tally.run())
            group.create_task(self._tell())
            if self.poller:
                group.create_task(self.poller.run())

    async def serve(self, request: web.Request) -> web.Response:
        return await self.webhooks.serve(request)

    async def drain(self) -> None:
        await self.webhooks.drain()

    async def tell_sources(self) -> None:
        """Write down which sources there are, and whether they can be used."""
        pauses = self.poller.pauses() if self.poller else {}
        rows = [
            {
                "webhook": one.source.name,
                "scheme": one.source.scheme,
                "url": f"{self._public_url or ''}/webhooks/{one.source.name}",
                "secrets": one.source.secrets,
                "configured": one.configured,
                "problem": one.problem,
                "poll_seconds": pauses.get(one.source.name),
            }
            for one in self._sources.standings()
        ]
        await self._pool.execute(*SQL.bind("tell_sources", rows=rows))

    async def _tell(self) -> None:
        while True:
            try:
                await self.tell_sources()
                metrics.LOOPS_OPEN.set(await self._pool.fetchval(SQL["open_trips"]))
            except Exception as error:  # noqa: BLE001  # said again a minute later
                log.warning("webhooks.sources_not_told", error=error)
            await asyncio.sleep(TELL_SECONDS)


def _trip(settings: Settings) -> Trip:
    return Trip(
        settings.webhook_trip_events,
        settings.webhook_trip_seconds,
        settings.loop_runs,
        settings.loop_runs_of_all,
        settings.loop_seconds,
    )


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
