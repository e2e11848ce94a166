"""A small HTTP server that keeps the webhooks it gets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True)
class Hook:
    """One webhook as it arrived."""

    headers: dict[str, str]
    body: str


class Receiver:
    """Answers every POST with 200; `url` is where to send them."""

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.url = f"http://127.0.0.1:{port}/hook"

    def wait(self, enough: Callable[[list[Hook]], bool]) -> list[Hook]:
        """What has arrived, as soon as it is enough; fails after 10 seconds."""
        until = time.monotonic() + 10
        while not enough(self.hooks):
            assert time.monotonic() < until, f"only {len(self.hooks)} webhooks came"
            time.sleep(0.02)
        return list(self.hooks)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _start(self) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    async def _take(self, request: web.Request) -> web.Response:
        self.hooks.append(Hook(dict(request.headers), await request.text()))
        return web.Response()
