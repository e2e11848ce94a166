"""The emulated Stripe account as tests use it: its SDK client, its control, a receiver of its webhooks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from aiohttp import web

from sandbox.vendors.stripe import API_KEY
from tests.contract.emulators import Served


def sdk(served: Served, key: str = API_KEY) -> Any:
    made = stripe.StripeClient(key, base_addresses={"api": served.url}, max_network_retries=0)
    return made.v1


def act(served: Served, name: str, **what: Any) -> Any:
    """What customers, banks and time do."""
    request = urllib.request.Request(
        f"{served.url}/_sandbox/{name}", json.dumps(what).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def body(error: pytest.ExceptionInfo[stripe.StripeError]) -> Any:
    """The error object of a refusal."""
    return error.value.error


def operations(served: Served) -> list[str]:
    return [effect["operation"] for effect in served.emulator.effects]


def eventually(holds: Callable[[], Any]) -> Any:
    """What `holds` answers as soon as it is true."""
    deadline = time.monotonic() + 5
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


def monthly(client: Any, amount: int = 1500) -> Any:
    product = client.products.create({"name": "Plan"})
    recurring = {"interval": "month"}
    given = {"product": product.id, "currency": "eur", "unit_amount": amount, "recurring": recurring}
    return client.prices.create(given)


class Hook:
    """A receiver of webhooks on a thread of its own."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, str]] = []
        self.refusals = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(5)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def _take(self, request: web.Request) -> web.Response:
        if self.refusals > 0:
            self.refusals -= 1
            return web.Response(status=500)
        self.received.append((await request.read(), request.headers["Stripe-Signature"]))
        return web.Response()

    def event(self, kind: str, secret: str) -> Any:
        """The event of that type once it came, its signature verified by the SDK."""
        return eventually(lambda: next((e for e in self.events(secret) if e.type == kind), None))

    def events(self, secret: str) -> list[Any]:
        return [stripe.Webhook.construct_event(raw, proof, secret) for raw, proof in list(self.received)]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
