"""What a service process has beside its bus: resources, loops, and the port with /metrics, /healthz and /readyz.

FastStream runs it (`shared.bus.app`): it has the signals and calls `opened`, `begin` and `drain` in their order.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.bus.kafka import Bus
from shared.redaction import Redactor
from shared.settings import Settings
from shared.telemetry import failpoints, logs, metrics
from shared.telemetry.export import settings as trace_settings
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

Action = Callable[[], Awaitable[None]]
Check = Callable[[], str | None]
OPEN_FILES = 65_536


class Process:
    """Lifecycle of one service. Loops run until the process stops; one that ends or fails takes the process down.

    A supervisor (ours, Kubernetes) starts it again: after an error nobody foresaw, a clean start beats limping on.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.redactor = _redactor_of(settings)
        self.bus = Bus(settings, name)
        self.app = web.Application()
        self.app.add_routes(
            [web.get("/metrics", _metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        )
        self._start: list[Action] = []
        self._drain: list[Action] = []
        self._stop: list[Action] = []
        self._loops: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._checks: dict[str, Check] = {}
        self._warnings: dict[str, Check] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self.port = 0
        self.loop("bus", lambda: self.bus.ended())

    def on_start(self, action: Action) -> None:
        """Run before the bus starts. What it opens, it closes with `on_stop`."""
        self._start.append(action)

    def on_drain(self, action: Action) -> None:
        """Run before the bus stops."""
        self._drain.append(action)

    def on_stop(self, action: Action) -> None:
        """Run after the bus and the loops stopped, last registered first."""
        self._stop.append(action)

    def loop(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loops.append((name, run))

    def check(self, name: str, check: Check) -> None:
        """Readiness: None when fine, else what is missing."""
        self._checks[name] = check

    def warn(self, name: str, check: Check) -> None:
        """What readiness says although the service does its work: None when there is nothing to say."""
        self._warnings[name] = check

    @asynccontextmanager
    async def opened(self, label: str, stop: Callable[[], None]) -> AsyncIterator[None]:
        """The process with its port and its resources open. Raises what ended a loop, after closing."""
        _prepare(label, self.settings)
        logs.redact_with(self.redactor.everywhere)
        self._trace(label)
        self._end = stop
        runner = await self._serve()
        try:
            for action in self._start:
                await action()
            yield
        finally:
            await self._close(runner)
        if self._failure:
            raise self._failure

    def _trace(self, label: str) -> None:
        """Send spans where the environment says. What sends them is loaded only then."""
        wanted = trace_settings.read(os.environ, self.redactor)
        if wanted.on:
            from shared.telemetry.export.tracer import start

            tracer = start(self.name, label, wanted, self.redactor, content=self.settings.trace_content)
            self._stop.insert(0, tracer.aclose)  # closed last, so that it has the last spans
            log.info("process.traces", content=self.settings.trace_content)

    async def begin(self) -> None:
        """Start the loops."""
        for name, run in self._loops:
            task = asyncio.create_task(run(), name=name)
            task.add_done_callback(self._loop_ended)
            self._tasks.append(task)
        gc.collect()
        gc.freeze()  # what was loaded until now stays: a full collection need not walk it
        log.info("process.started", port=self.port)

    async def drain(self) -> None:
        """Take nothing new and finish what is under way, while the loops still run."""
        log.info("process.stopping")
        for action in self._drain:
            await _attempt(action)

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        self._failure = task.exception() or RuntimeError(f"loop {task.get_name()!r} ended")
        log.error("process.loop_ended", loop=task.get_name(), error=repr(self._failure))
        self._end()

    async def _close(self, runner: web.AppRunner) -> None:
        pending = set(self._tasks)
        while pending:  # a library may lose a cancellation (see shared.waiting), but not every one
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=1.0)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for action in reversed(self._stop):
            await _attempt(action)
        await runner.cleanup()
        log.info("process.stopped")

    async def _serve(self) -> web.AppRunner:
        runner = web.AppRunner(self.app, access_log=None, auto_decompress=False)  # signed bytes stay as they came
        await runner.setup()
        site = web.TCPSite(runner, self.settings.http_host, self.settings.http_port)
        await site.start()
        self.port = runner.addresses[0][1]
        metrics.READY.labels(self.name).set_function(lambda: 0 if _said(self._checks) else 1)
        return runner

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"service": self.name, "status": "alive"})

    async def _readyz(self, request: web.Request) -> web.Response:
        missing, warnings = _said(self._checks), _said(self._warnings)
        return web.json_response(
            {"service": self.name, "ready": not missing, "missing": missing, "warnings": warnings},
            status=503 if missing else 200,
        )


def _redactor_of(settings: Settings) -> Redactor:
    """Knows the passwords among the settings."""
    redactor = Redactor()
    redactor.tell("settings", "VIOX_POSTGRES_DSN", _password_of(settings.postgres_dsn.get_secret_value()))
    if settings.kafka_sasl_plain_password:
        password = settings.kafka_sasl_plain_password.get_secret_value()
        redactor.tell("settings", "VIOX_KAFKA_SASL_PLAIN_PASSWORD", password)
    return redactor


def _password_of(dsn: str) -> str | None:
    try:
        return unquote(urlsplit(dsn).password or "")
    except ValueError:  # not a URL: Postgres says so when it is opened
        return None


def _said(checks: dict[str, Check]) -> dict[str, str]:
    return {name: reason for name, check in checks.items() if (reason := check()) is not None}


async def _attempt(action: Action) -> None:
    """At the stop one action that fails does not keep the others from being done."""
    try:
        await action()
    except Exception:
        log.exception("process.stop_failed")


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _prepare(label: str, settings: Settings) -> None:
    """Logs, failpoints, and enough open files for a connection a call."""
    logs.configure(label, settings.log_level, settings.log_format)
    failpoints.arm_from(settings.failpoint_dir)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
