"""What emulators send out: deliveries in order, each signed the vendor's way, retried once, all on view.

POST /_sandbox/webhooks   {"url": ..., "events"?: [names]}   register a receiver where the vendor's API has no call for it
POST /_sandbox/webhooks   {"deliver": false}                 lose every delivery from now on, or no longer (true)
GET  /_sandbox/webhooks   every delivery: url, event, headers, body, status (0: nobody answered)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

Sign = Callable[[str, bytes], dict[str, str]]
"""(url, body) → headers that prove who sent it, made anew for every attempt."""


@dataclass
class Receiver:
    """Somebody who wants to hear of `events` (all when empty)."""

    url: str
    events: frozenset[str]
    sign: Sign


@dataclass
class Delivery:
    """One webhook request and what came of it."""

    url: str
    event: str
    headers: dict[str, str]
    body: str
    status: int = 0


@dataclass
class Webhooks:
    """The outgoing side of one vendor. `sign` is used for receivers registered through `/_sandbox/webhooks`."""

    sign: Sign
    method: str = "POST"
    content_type: str = "application/json"
    receivers: dict[str, Receiver] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    loses: bool = False
    _queue: asyncio.Queue[tuple[Receiver, Delivery]] = field(default_factory=asyncio.Queue)
    _worker: asyncio.Task[None] | None = None

    def add_routes(self, app: web.Application) -> None:
        app.add_routes([web.post("/_sandbox/webhooks", self._register), web.get("/_sandbox/webhooks", self._show)])
        app.on_cleanup.append(self._stop)

    def register(self, url: str, events: frozenset[str] = frozenset(), sign: Sign | None = None) -> None:
        """Send `events` to a URL from now on; a URL registered again changes what it gets."""
        self.receivers[url] = Receiver(url, events, sign or self.sign)

    def remove(self, url: str) -> None:
        self.receivers.pop(url, None)

    def send(self, event: str, body: bytes, content_type: str | None = None) -> None:
        """Queue one event for everybody who wants it. Never waits, never fails."""
        for receiver in list(self.receivers.values()):
            if not receiver.events or event in receiver.events or "*" in receiver.events:
                self.send_to(receiver, event, body, content_type)

    def send_to(self, receiver: Receiver, event: str, body: bytes, content_type: str | None = None) -> None:
        """Queue one event for one receiver."""
        headers = {"Content-Type": content_type or self.content_type}
        delivery = Delivery(receiver.url, event, headers, body.decode())
        self.deliveries.append(delivery)
        if self.loses:
            return
        self._queue.put_nowait((receiver, delivery))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    def reset(self) -> None:
        self.receivers.clear()
        self.deliveries.clear()
        self.loses = False

    async def _work(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                receiver, delivery = await self._queue.get()
                for pause in (0.0, 0.5):
                    await asyncio.sleep(pause)
                    if await self._post(session, receiver, delivery):
                        break

    async def _post(self, session: aiohttp.ClientSession, receiver: Receiver, delivery: Delivery) -> bool:
        body = delivery.body.encode()
        delivery.headers |= receiver.sign(receiver.url, body)
        try:
            async with session.request(self.method, receiver.url, data=body, headers=delivery.headers) as answer:
                delivery.status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            delivery.status = 0
        return 200 <= delivery.status < 300

    async def _stop(self, app: web.Application) -> None:
        if self._worker:
            self._worker.cancel()

    async def _register(self, request: web.Request) -> web.Response:
        given: dict[str, Any] = await request.json()
        if "deliver" in given:
            self.loses = not given["deliver"]
        if "url" in given:
            self.register(given["url"], frozenset(given.get("events", ())))
        return web.json_response({"receivers": sorted(self.receivers)})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response([vars(delivery) for delivery in self.deliveries])
