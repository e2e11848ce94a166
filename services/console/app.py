"""What the console is made of, and how it is served: pages of Starlette, on one port with /metrics, /healthz and /readyz."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from services.console import errors, live, routes, sign_in
from services.console.gateway import Gateway
from services.console.guard import Guard
from services.console.health import Health
from services.console.oidc import Provider
from services.console.roster import Roster
from services.console.sessions import Sessions
from shared.business import Business, read_business
from shared.errors import VioxError
from shared.settings import Settings
from shared.store.pool import Pool, open_pool
from shared.telemetry import logs, metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
STATIC = Path(__file__).parent / "static"
STOP_SECONDS = 1  # uvicorn waits so long for streams that never end by themselves


@dataclass
class Console:
    """The opened parts. Pages find it as `request.app.state.console`."""

    settings: Settings
    pool: Pool
    business: Business
    roster: Roster
    sessions: Sessions
    health: Health
    gateway: Gateway
    emulated: tuple[str, ...] = ()
    models_mode: str = ""
    models: str | None = None  # the setting that names the file of models
    audit_key: str | None = None  # the public key of the audit's log
    provider: Provider | None = None  # where people sign in without a token
    address: str | None = None  # of the console, as browsers know it

    @property
    def zone(self) -> ZoneInfo:
        """Where the business's clocks are."""
        return ZoneInfo(self.business.time_zone)


def build(settings: Settings, values: Mapping[str, str], pool: Pool | None = None) -> Starlette:
    """The pages. `pool` is given by tests; else it is opened with the process and closed with it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            opened = pool or await open_pool(
                settings.postgres_dsn.get_secret_value(), application="viox console", size=6, for_people=True
            )
        except VioxError as error:
            app.state.refused = error  # uvicorn keeps only its traceback
            raise
        console = _console(settings, values, opened)
        app.state.console = console
        watching = asyncio.create_task(console.health.run())
        log.info("console.started", port=settings.http_port)
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await console.gateway.close()
            if pool is None:
                await opened.close()

    return Starlette(
        routes=[*_own(), *sign_in.ROUTES, *live.ROUTES, *routes.ROUTES],
        middleware=[Middleware(Guard)],
        exception_handlers=errors.HANDLERS,
        lifespan=lifespan,
    )


def _console(settings: Settings, values: Mapping[str, str], pool: Pool) -> Console:
    provider = Provider.of(values)
    emulated = tuple(name for name in values.get("VIOX_EMULATED", "").split(",") if name)
    return Console(
        settings,
        pool,
        read_business(settings.business),
        Roster(settings.people, provider),
        Sessions(pool, settings.console_session_hours),
        Health(settings.console_services),
        Gateway(values.get("VIOX_GATEWAY_URL"), values.get("VIOX_OPERATOR_TOKEN")),
        emulated,
        values.get("VIOX_MODELS_MODE", ""),
        values.get("VIOX_MODELS"),
        values.get("VIOX_AUDIT_PUBLIC_KEY"),
        provider,
        values.get("VIOX_CONSOLE_URL"),
    )


def _own() -> list[BaseRoute]:
    return [
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        Route("/metrics", _metrics),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]


async def _healthz(request: Request) -> Response:
    return JSONResponse({"service": "console", "status": "alive"})


async def _readyz(request: Request) -> Response:
    console: Console = request.app.state.console
    missing = await _missing(console)
    warnings = {} if console.roster.able else {"people": "nobody of VIOX_PEOPLE has a token to sign in with"}
    body = {"service": "console", "ready": not missing, "missing": missing, "warnings": warnings}
    return JSONResponse(body, status_code=503 if missing else 200)


async def _missing(console: Console) -> dict[str, str]:
    """What it cannot do without."""
    try:
        async with asyncio.timeout(2):
            await console.pool.fetchval("select 1")
    except Exception as error:  # noqa: BLE001  # whatever it is, no page can be shown
        return {"postgres": f"{type(error).__name__}: {error}"}
    return {}


async def _metrics(request: Request) -> Response:
    """The gauge says how it is now, also where nobody asks /readyz."""
    missing = await _missing(request.app.state.console)
    metrics.READY.labels("console").set(0 if missing else 1)
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class App:
    """The console as a service, like the others: importing it makes one of these and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name

    def serve(self, label: str | None = None) -> None:
        """Run until SIGTERM or SIGINT. Raises VioxError when it cannot start."""
        settings = Settings.load()
        logs.configure(label or self.name, settings.log_level, settings.log_format)
        Roster(settings.people).read()
        pages = build(settings, os.environ)
        config = uvicorn.Config(
            pages,
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=settings.trusted_proxies or "127.0.0.1",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        try:
            uvicorn.Server(config).run()
        except SystemExit:
            if refused := getattr(pages.state, "refused", None):
                raise refused from None
            raise
