"""The tool gateway as a process: `faststream run services.tool_gateway.main:app`, or `python -m services.tool_gateway.main`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from services.tool_gateway import traces
from services.tool_gateway.approvals import examine
from services.tool_gateway.approvals.keeper import Keeper
from services.tool_gateway.audit.remembered import CheckpointFile, CheckpointTopic
from services.tool_gateway.audit.sequencer import Sequencer
from services.tool_gateway.audit.telling import tell
from services.tool_gateway.audit.witnesses import Witnesses, read_witnesses
from services.tool_gateway.budgets.reserve import forget as forget_budgets
from services.tool_gateway.budgets.reserve import publish
from services.tool_gateway.budgets.teller import Teller
from services.tool_gateway.call import payloads, sealed, waiting
from services.tool_gateway.call.admit import Admission
from services.tool_gateway.call.backlog import Backlog
from services.tool_gateway.call.close import OutcomeWriter
from services.tool_gateway.call.execute import Connector, Executor, Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.intake import Intake
from services.tool_gateway.call.resume import Resumer
from services.tool_gateway.call.sealed import Seals
from services.tool_gateway.call.settle import Settler
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.library import Library
from services.tool_gateway.catalogue.store import CatalogueStore
from services.tool_gateway.connectors.apis import Drafts
from services.tool_gateway.connectors.imap import VENDOR as MAILBOX
from services.tool_gateway.connectors.imap import Mailbox
from services.tool_gateway.connectors.memory import Memory
from services.tool_gateway.connectors.office import Office
from services.tool_gateway.connectors.people import Messenger
from services.tool_gateway.connectors.postgres import Records
from services.tool_gateway.connectors.smtp import VENDOR, Mailer
from services.tool_gateway.doctor import Doctor
from services.tool_gateway.live import room as live
from services.tool_gateway.live.waiting import CHANNEL as LIVE_CALLS
from services.tool_gateway.memory import embeddings, index
from services.tool_gateway.office.desk import Desk
from services.tool_gateway.policy import files as policy_files
from services.tool_gateway.policy.rulebook import Rulebook
from services.tool_gateway.webhooks import room
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.transport import Wire
from shared.audit.store import erase_old
from shared.budgets import Budgets, read_budgets
from shared.bus import topics
from shared.bus.app import App
from shared.bus.dead_letters import CHANNEL, Redrives
from shared.bus.kafka import Consumer, Record
from shared.bus.outbox import Outbox
from shared.bus.publisher import Publisher
from shared.bus.whole import newest_values
from shared.business import Business, check_owner, read_business
from shared.clock import Clock
from shared.entry import run
from shared.people import read_people
from shared.regularly import regularly
from shared.runtime import gauges
from shared.runtime.process import Process
from shared.settings import Settings
from shared.store.instance import Instance
from shared.store.pool import Pool, is_transient, open_pool
from shared.waiting import within

TOKEN_CONNECTIONS = 4
CLOSE_SECONDS = 5.0
DRAIN_SECONDS = 20.0
HOUR = 3600.0


def build(settings: Settings, *, secrets: Mapping[str, str] | None = None) -> Process:
    """Consumes viox.tool-calls.*; reaches the vendors; changes calls and ledger; announces viox.tool-results.*."""
    process = Process(topics.GATEWAY, settings)
    gateway = _Gateway(process, os.environ if secrets is None else secrets)
    process.on_start(gateway.start)
    process.app.router.add_post("/doctor", lambda request: gateway.doctor.serve(request, gateway.library.left_out))
    process.app.router.add_post(examine.PATH, lambda request: gateway.examiner.serve(request))
    process.app.router.add_post(room.PATH, gateway.webhook)
    process.app.router.add_post(live.PATH, gateway.invoke)
    process.app.router.add_get(live.DESCRIPTION, gateway.describe)
    process.loop("publisher", lambda: gateway.publisher.run())
    process.loop("outbox sweep", lambda: gateway.outbox.run_sweeper())
    process.loop("outcomes", lambda: gateway.outcomes.run())
    process.loop("resumer", gateway.keep_resuming)
    process.loop("settler", lambda: gateway.settler.run())
    process.loop("budgets", lambda: gateway.budgets.run())
    process.loop("approvals", lambda: gateway.approvals.run())
    process.loop("office", lambda: gateway.desk.run())
    process.loop("timers past", lambda: regularly(HOUR, lambda: gateway.desk.forget(), "timers.not_forgotten"))
    process.loop("redrives", lambda: gateway.redrives.run())
    process.loop("webhooks", lambda: gateway.webhooks.run())
    process.loop("live calls", lambda: gateway.live.run())
    process.loop("memory", lambda: gateway.index.run())
    days = settings.payload_days
    process.loop(
        "payloads", lambda: regularly(HOUR, lambda: payloads.forget(gateway.pool, days), "payloads.not_forgotten")
    )
    process.loop("budgets past", lambda: regularly(HOUR, lambda: forget_budgets(gateway.pool), "budgets.not_forgotten"))
    if kept := settings.audit_content_days:
        process.loop("old contents", lambda: regularly(HOUR, lambda: erase_old(gateway.pool, kept), "audit.not_erased"))
    process.loop("backlog", lambda: gateway.backlog.run(gateway.consumer.lag))
    process.loop(
        "sealed arguments", lambda: regularly(10.0, lambda: sealed.forget(gateway.pool), "arguments.not_forgotten")
    )
    process.loop("audit", lambda: gateway.audit.run())
    if settings.audit_witnesses:
        process.loop("audit witnesses", lambda: gateway.witnesses.run())
    process.loop("gauges", lambda: gauges.keep(topics.GATEWAY, gateway.pool, gateway.consumer.lag))
    process.loop(
        "waiting calls", lambda: regularly(gauges.EVERY_SECONDS, lambda: waiting.look(gateway.pool), "gauges.not_read")
    )
    process.loop("catalogue", lambda: gateway.library.follow())
    process.on_drain(gateway.drain)
    process.check("ledger", lambda: gateway.outcomes.problem if gateway.outcomes else "starting")
    process.check("kafka", lambda: gateway.consumer.problem if gateway.consumer else "starting")
    process.warn("audit", lambda: gateway.audit.problem if gateway.audit else None)
    process.warn("audit_witnesses", lambda: gateway.witnesses.problem if gateway.audit else None)
    process.warn("vendors", lambda: gateway.places.breakers.problem())
    process.warn("memory", lambda: gateway.index.problem if gateway.index else None)
    process.warn("backlog", lambda: gateway.backlog.problem() if gateway.consumer else None)
    process.warn("kafka", lambda: gateway.consumer.degraded if gateway.consumer else None)
    return process


class _Gateway:
    """The opened parts of the gateway."""

    audit: Sequencer
    witnesses: Witnesses
    backlog: Backlog
    outcomes: OutcomeWriter
    consumer: Consumer
    desk: Desk
    approvals: Keeper
    budgets: Teller
    doctor: Doctor
    examiner: examine.Examiner
    index: index.Index
    library: Library
    live: live.Room
    outbox: Outbox
    pool: Pool
    redrives: Redrives
    settler: Settler
    webhooks: room.Room

    def __init__(self, process: Process, values: Mapping[str, str]) -> None:
        self._process = process
        self._values = values
        self._secrets = Secrets(values)
        self._guard = Guard.of(values)
        concurrency = process.settings.concurrency
        self.places = InFlightLimiter(4 * concurrency, for_live=(concurrency + 1) // 2)
        self.publisher = Publisher(topics.GATEWAY, process.bus.producer)
        self._clock = Clock()
        self.audit = None  # type: ignore[assignment]
        self.outcomes = None  # type: ignore[assignment]  # set by start; readiness asks earlier
        self.consumer = None  # type: ignore[assignment]
        self.index = None  # type: ignore[assignment]
        self.webhooks = None  # type: ignore[assignment]
        self.live = None  # type: ignore[assignment]

    async def start(self) -> None:
        """Open everything; each is closed again at the stop, last opened first."""
        process, settings = self._process, self._process.settings
        self.pool = await self._open_pool(topics.GATEWAY, settings.postgres_pool_size)
        # A connection is held while a token endpoint is asked: one that hangs must not take the others'.
        tokens_pool = await self._open_pool(f"{topics.GATEWAY} tokens", TOKEN_CONNECTIONS)
        self._instance = Instance(settings.postgres_dsn.get_secret_value(), topics.GATEWAY)
        self._store = GatewayStore(self.pool, self._instance.owner, Seals(self._secrets))
        published = CatalogueStore(self.pool)
        business, budgets = read_business(settings.business), read_budgets(settings.budgets)
        self._tools = await self._open_library(published, business)
        self.outbox = Outbox(topics.GATEWAY, self.pool, self.publisher)
        self._instance.on_notify("viox_outbox", self.outbox.wake)
        check_owner(business, self._people)
        traces.know(lambda: self._tools.tools)
        sender, mailer = self._open_wire(tokens_pool, business)
        self._lay_path(sender, business, budgets)
        self._open_doors(sender)
        self._keep_people_told(business)
        self._open_desk(business)
        self.examiner = examine.Examiner(self._tools, self._secrets, self.places.breakers)
        self._open_audit()
        self.doctor = Doctor(self._tools, self._secrets, self._store, sender, mailer)
        process.on_stop(self._instance.stop)
        await self._instance.start()
        await publish(self.pool, budgets, business.time_zone)
        await published.publish(self._tools)

    async def _open_library(self, published: CatalogueStore, business: Business) -> Catalogue:
        """The tools, and the policies about them: both change when a document is imported."""
        settings = self._process.settings
        documents = catalogue.extra_documents(settings.catalogue)
        self.library = Library(published, documents, self._values, self._fit_policies)
        tools = await self.library.read()
        self._people = read_people(settings.people)
        texts = policy_files.texts(settings.policies)
        self._rulebook = Rulebook(texts, tools, self._people.addresses, business)
        self._instance.on_notify("viox_documents", self.library.wake)
        return tools

    def _open_wire(self, tokens_pool: Pool, business: Business) -> tuple[Sender, Mailer]:
        """What reaches the vendors."""
        process, secrets = self._process, self._secrets
        wire = Wire(self._guard)
        process.on_stop(wire.aclose)
        tokens = Tokens(secrets, tokens_pool, wire)
        mailer = Mailer(secrets, self._guard, process.redactor.of(VENDOR), tokens)
        model = embeddings.chosen(process.settings.embeddings, secrets, wire, process.redactor)
        if model:
            process.on_stop(model.close)
        self.index = index.Index(self.pool, model)
        self._instance.on_notify(index.CHANNEL, self.index.wake)
        drafts = Drafts(self.pool, self._tools, self._guard)
        process.on_stop(drafts.aclose)
        others: dict[str, Connector] = {
            "smtp": mailer,
            "imap": Mailbox(secrets, self._guard, process.redactor.of(MAILBOX), tokens),
            "postgres": Records(self.pool, secrets),
            "memory": Memory(self.pool, model),
            "office": Office(self.pool, business.zone, process.settings.delegation_depth),
            "people": Messenger(self._store, self._tools, self._people, process.redactor.everywhere),
            "apis": drafts,
        }
        return Sender(wire, secrets, tokens, others, process.redactor), mailer

    def _lay_path(self, sender: Sender, business: Business, budgets: Budgets) -> None:
        """The path of a call, from Kafka to its outcome."""
        settings, store, secrets = self._process.settings, self._store, self._secrets
        admission = Admission(
            self._tools,
            self._rulebook,
            secrets,
            store,
            self.places,
            business,
            settings.approval_hours * 3600,
            _per_agent(settings),
            budgets,
            self._clock,
            self._people,
        )
        self.backlog = Backlog(store, settings.most_open_calls)
        self._resumer = Resumer(admission, store, self.publisher, lambda ready: self._executor.start(ready))
        self.outcomes = OutcomeWriter(store, self.publisher, self._resumer.wait_until)
        self._executor = Executor(sender, self.outcomes.submit, self.places)
        waits = self._resumer.wait_until
        self._intake = Intake(admission, store, self.publisher, self._executor.start, waits, self.pool)
        self.settler = Settler(self._tools, secrets, store, self.publisher, sender, self.places)
        self.redrives = Redrives(topics.GATEWAY, self.pool, self._accept_again, self._set_aside_again, is_transient)
        self._instance.on_notify(CHANNEL, self.redrives.wake)
        self.consumer = self._process.bus.consume(
            topics.group_of(topics.GATEWAY),
            topics.of_gateway(),
            self._intake.accept,
            self._intake.poison,
            is_transient,
            lambda: self.backlog.has_room,
        )

    def _open_doors(self, sender: Sender) -> None:
        """What comes in over HTTP: deliveries of vendors, and calls whose callers wait."""
        process, settings, secrets, tools = self._process, self._process.settings, self._secrets, self._tools
        outward = room.Outward(tools, self._store, sender, self.places)
        self.webhooks = room.Room(settings, secrets, process.redactor, self.pool, self.outbox, outward)
        self.live = live.Room(settings, secrets, self.pool, self._store, self._intake, tools, self.places, self.outbox)
        self._instance.on_notify(LIVE_CALLS, self.live.waiting.wake)
        self.outcomes.on_closed(self.live.waiting.closed)

    def _keep_people_told(self, business: Business) -> None:
        """Who is told of what waits for people."""
        store, tools, people, hide = self._store, self._tools, self._people, self._process.redactor.everywhere
        self.approvals = Keeper(store, self.publisher, tools, people, business, hide)
        self.budgets = Teller(store, tools, people, business, hide)
        self._instance.on_notify("viox_approvals", self._decided)

    def _open_desk(self, business: Business) -> None:
        """What is awaited besides vendors."""
        self.desk = Desk(self._store, self.publisher, business, self._clock, self.outbox.wake)
        for channel in ("viox_runs", "viox_clock"):
            self._instance.on_notify(channel, self.desk.wake)

    def _open_audit(self) -> None:
        """What makes the ledger checkable."""
        settings = self._process.settings
        folder = settings.audit_folder or settings.home / "audit"
        topic = CheckpointTopic(lambda: newest_values(settings, topics.AUDIT_CHECKPOINTS, 100))
        file = CheckpointFile(folder)
        self.witnesses = Witnesses(self.pool, read_witnesses(settings.audit_witnesses))
        self.audit = Sequencer(self.pool, settings.audit_key, file, topic, lambda note: tell(self.publisher, note))

    def _decided(self) -> None:
        """A person decided on a call."""
        self._resumer.wake()
        self.approvals.wake()

    def _fit_policies(self, tools: Catalogue) -> Callable[[], None]:
        policies = self._rulebook.made_for(tools)
        return lambda: self._rulebook.take(policies)

    async def webhook(self, request: web.Request) -> web.Response:
        if self.webhooks is None:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"})
        return await self.webhooks.serve(request)

    async def invoke(self, request: web.Request) -> web.Response:
        return await self.live.serve(request) if self.live else live.starting()

    async def describe(self, request: web.Request) -> web.Response:
        return await self.live.describe(request) if self.live else live.starting()

    async def _accept_again(self, records: Sequence[Record]) -> None:
        """Redriven letters go back to where they came in: calls, or deliveries of webhooks."""
        for record in filter(room.is_webhook, records):
            await self.webhooks.webhooks.redrive(record)
        if calls := [record for record in records if not room.is_webhook(record)]:
            await self._intake.accept(calls)

    async def _set_aside_again(self, record: Record, error: Exception) -> None:
        if room.is_webhook(record):
            await self.webhooks.letters.again(record, error)
        else:
            await self._intake.poison(record, error)

    async def keep_resuming(self) -> None:
        await self._resumer.run()
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Take nothing new, let what is out come back, write it down, hand over what tells of it."""
        await self.webhooks.drain()
        await self.live.drain()
        await self.consumer.stop()
        self._resumer.stop()
        await self._executor.drain(self._process.settings.drain_seconds or DRAIN_SECONDS)
        await self.outcomes.drain(10)
        await self.publisher.flush()

    async def _open_pool(self, application: str, size: int) -> Pool:
        dsn = self._process.settings.postgres_dsn.get_secret_value()
        pool = await open_pool(dsn, application=application, size=size)
        self._process.on_stop(lambda: within(CLOSE_SECONDS, pool.close()))
        return pool


def _per_agent(settings: Settings) -> tuple[float, int] | None:
    rate = settings.agent_calls_per_second
    return (rate, max(1, round(rate))) if rate else None


app = App(topics.GATEWAY, build)

if __name__ == "__main__":
    run(app.serve)
