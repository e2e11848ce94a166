"""A service process: opens what it needs, runs its loops, answers /metrics, /healthz and /readyz, stops in order."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.settings import Settings
from shared.telemetry import failpoints, logs, metrics

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
OPEN_FILES = 65_536


class Process:
    """Lifecycle of one service. Loops run until the process stops; one that ends or fails takes the process down.

    A supervisor (ours, Kubernetes) starts it again: after an error nobody foresaw, a clean start beats limping on.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.app = web.Application()
        self.app.add_routes(
            [web.get("/metrics", _metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        )
        self._start: list[Callable[[], Awaitable[None]]] = []
        self._loops: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._stop: list[Callable[[], Awaitable[None]]] = []
        self._checks: dict[str, Check] = {}
        self.port = 0
        self._ended = asyncio.Event()

    def on_start(self, action: Callable[[], Awaitable[None]]) -> None:
        self._start.append(action)

    def on_stop(self, action: Callable[[], Awaitable[None]]) -> None:
        """Run at stop, last registered first."""
        self._stop.append(action)

    def loop(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loops.append((name, run))

    def check(self, name: str, check: Check) -> None:
        """Readiness: None when fine, else what is missing."""
        self._checks[name] = check

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        runner = await self._serve()
        tasks: list[asyncio.Task[None]] = []
        try:
            for action in self._start:
                await action()
            tasks = [asyncio.create_task(run(), name=name) for name, run in self._loops]
            log.info("started on port %d", self.port)
            await self._until_ended(tasks)
        finally:
            await self._shut_down(tasks, runner)

    async def stop(self) -> None:
        self._ended.set()

    async def _until_ended(self, tasks: list[asyncio.Task[None]]) -> None:
        ended = asyncio.create_task(self._ended.wait())
        done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {ended}:
            log.error("loop %r ended unexpectedly", task.get_name())
            task.result()
        ended.cancel()

    async def _shut_down(self, tasks: list[asyncio.Task[None]], runner: web.AppRunner) -> None:
        log.info("stopping")
        for action in reversed(self._stop):
            try:
                await action()
            except Exception:
                log.exception("at stop")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.cleanup()
        log.info("stopped")

    async def _serve(self) -> web.AppRunner:
        runner = web.AppRunner(self.app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self.settings.http_host, self.settings.http_port)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"service": self.name, "status": "alive"})

    async def _readyz(self, request: web.Request) -> web.Response:
        missing = {name: reason for name, check in self._checks.items() if (reason := check()) is not None}
        metrics.READY.labels(self.name).set(0 if missing else 1)
        return web.json_response(
            {"service": self.name, "ready": not missing, "missing": missing}, status=503 if missing else 200
        )


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def run(name: str, build: Callable[[Settings], Process], settings: Settings | None = None) -> None:
    """Entry of every `main.py`: logs, fault points, enough open files for a connection a call, event loop."""
    settings = settings or Settings.load()
    logs.configure(name, settings.log_level, settings.log_format)
    failpoints.arm_from(settings.failpoint_dir)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
    import uvloop

    async def main() -> None:
        await build(settings).run()

    uvloop.run(main())
