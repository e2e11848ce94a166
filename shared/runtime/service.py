"""An agent as a process: the runtime's parts put together for one AgentSpec. Every agent's `main` runs `agent_service`."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

from aiohttp import web

from shared.bus import topics
from shared.bus.dead_letters import CHANNEL, Redrives
from shared.bus.outbox import Outbox
from shared.bus.publisher import Publisher
from shared.bus.record import Record
from shared.business import read_business
from shared.errors import VioxError
from shared.models.models_file import ROLES, limits_for
from shared.models.port import ChatModel
from shared.models.registry import model_for
from shared.runtime import gauges
from shared.runtime.activation import Activator
from shared.runtime.agent import AgentSpec
from shared.runtime.announce import Announcer
from shared.runtime.inbox import Inbox
from shared.runtime.process import Process
from shared.runtime.schedule import Limits
from shared.runtime.store import RuntimeStore
from shared.settings import Settings
from shared.store.instance import Instance
from shared.store.pool import Pool, is_transient, open_pool
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
TOOLS_REFRESH_SECONDS = 5.0
RESEND_EVERY_SECONDS = 1.0
CLOSE_SECONDS = 5.0
DRAIN_SECONDS = 10.0


def agent_service(spec: AgentSpec, settings: Settings, *, model: ChatModel | None = None) -> Process:
    """Build the service of one agent. Nothing is opened before it runs."""
    process = Process(spec.name, settings)
    runner = _Runner(spec, process, model)
    process.on_start(runner.start)
    process.loop("publisher", lambda: runner.publisher.run())
    process.loop("outbox sweep", lambda: runner.outbox.run_sweeper())
    process.loop("thread sweep", lambda: runner.activator.threads.run_sweeper())
    process.loop("unheard calls", runner.resend_unheard_calls)
    process.loop("announcer", lambda: runner.announcer.run())
    process.loop("tools", runner.keep_tools)
    process.loop("redrives", lambda: runner.redrives.run())
    process.loop("gauges", lambda: gauges.keep(spec.name, runner.pool, runner.consumer.lag))
    process.on_drain(runner.drain)
    process.app.router.add_get("/graph", lambda request: _graph(spec))
    process.check("postgres", lambda: runner.tools_problem)
    process.check("kafka", lambda: runner.consumer.problem)
    process.warn("kafka", lambda: runner.consumer.degraded)
    return process


async def _graph(spec: AgentSpec) -> web.Response:
    """The role's graph for whoever draws it: nodes with the questions they ask a model, and ways."""
    drawing = spec.graph().drawing()
    nodes = [{"name": node.id, "asks": (node.metadata or {}).get("asks the model")} for node in drawing.nodes.values()]
    return web.json_response({"nodes": nodes, "ways": [[edge.source, edge.target] for edge in drawing.edges]})


class _Runner:
    """The opened parts of one agent service."""

    pool: Pool
    outbox: Outbox
    activator: Activator
    announcer: Announcer
    redrives: Redrives

    def __init__(self, spec: AgentSpec, process: Process, model: ChatModel | None) -> None:
        self._spec = spec
        self._process = process
        self._model = model or model_for(ROLES[spec.name], spec.offline, process.settings, process.redactor)
        self.publisher = Publisher(spec.name, process.bus.producer)
        self.consumer = process.bus.consume(
            topics.group_of(spec.name), topics.of(spec.name), self._accept, self._poison, is_transient
        )
        self._inbox: Inbox | None = None
        self._published = asyncio.Event()
        self.tools_problem: str | None = "starting"

    async def start(self) -> None:
        """Open everything; each is closed again at the stop, last opened first."""
        process, settings, spec = self._process, self._process.settings, self._spec
        dsn = settings.postgres_dsn.get_secret_value()
        process.on_stop(self._model.aclose)
        pool = await open_pool(dsn, application=spec.name, size=settings.postgres_pool_size)
        process.on_stop(lambda: within(CLOSE_SECONDS, pool.close()))
        self.pool = pool
        instance = Instance(dsn, spec.name)
        self.outbox = Outbox(spec.name, pool, self.publisher)
        store = RuntimeStore(pool, spec.name)
        limits = Limits(settings.lease_seconds, settings.max_attempts, settings.concurrency)
        self.announcer = Announcer(spec.name, store, self.publisher, instance.owner)
        business = read_business(process.settings.business)
        self.activator = Activator(
            spec,
            store,
            self._model,
            self.publisher,
            self.announcer,
            instance.owner,
            limits,
            business,
            partial(limits_for, spec.name, setting=settings.models),
        )
        self._inbox = Inbox(spec, store, self.activator.threads, instance.owner, limits)
        self.redrives = Redrives(spec.name, pool, self._inbox.accept_again, self._poison, is_transient)
        for channel in ("viox_catalogue", "viox_budgets"):
            instance.on_notify(channel, self._published.set)
        instance.on_notify(CHANNEL, self.redrives.wake)
        process.on_stop(instance.stop)
        await instance.start()
        await self.announcer.start()
        process.on_stop(self.announcer.stop)
        await self.activator.refresh()
        self.tools_problem = None

    async def drain(self) -> None:
        """Take nothing new, finish what is under way, hand over what is committed."""
        await self.consumer.stop()
        await self.activator.threads.drain(self._process.settings.drain_seconds or DRAIN_SECONDS)
        await self.publisher.flush()

    async def resend_unheard_calls(self) -> None:
        while True:
            await asyncio.sleep(RESEND_EVERY_SECONDS)
            try:
                if self.publisher.connected:
                    await self.activator.send_unheard_calls()
            except Exception as error:  # noqa: BLE001  # Postgres away: tried again
                log.warning("calls.not_resent", error=error)

    async def keep_tools(self) -> None:
        """Follow the gateway's catalogue and budgets, and tell readiness whether Postgres answers."""
        while True:
            with contextlib.suppress(TimeoutError):
                await within(TOOLS_REFRESH_SECONDS, self._published.wait())
            self._published.clear()
            try:
                await self.activator.refresh()
                self.tools_problem = None
            except Exception as error:  # noqa: BLE001  # reported by readiness, tried again
                self.tools_problem = f"Postgres does not answer: {error}"

    async def _accept(self, records: object) -> None:
        assert self._inbox is not None  # noqa: S101  # the consumer starts after `start`
        await self._inbox.accept(records)  # type: ignore[arg-type]

    async def _poison(self, record: Record, error: Exception) -> None:
        assert self._inbox is not None  # noqa: S101  # the consumer starts after `start`
        await self._inbox.bury(record, VioxError("message.unstorable", f"{type(error).__name__}: {error}"))
