"""Whole gateways without Kafka around them, on real Postgres, against vendors that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from aiohttp import web
from cryptography.fernet import Fernet

from sandbox.postgres import Postgres
from sandbox.vendors import quickbooks
from sandbox.vendors.common import Emulator, Fault, Handler
from sandbox.vendors.hubspot import TOKEN, HubSpot
from sandbox.vendors.main import start
from sandbox.vendors.quickbooks import QuickBooks
from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN, NUMBER, Twilio
from services.tool_gateway.approvals.keeper import Keeper
from services.tool_gateway.budgets.reserve import publish
from services.tool_gateway.budgets.teller import Teller
from services.tool_gateway.call.admit import Admission
from services.tool_gateway.call.close import OutcomeWriter
from services.tool_gateway.call.execute import Connector, Executor, Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.intake import Intake
from services.tool_gateway.call.resume import Resumer
from services.tool_gateway.call.sealed import Seals
from services.tool_gateway.call.settle import Settler
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.connectors.imap import VENDOR as MAILBOX
from services.tool_gateway.connectors.imap import Mailbox
from services.tool_gateway.connectors.memory import Memory
from services.tool_gateway.connectors.office import Office
from services.tool_gateway.connectors.people import Messenger
from services.tool_gateway.connectors.postgres import Records
from services.tool_gateway.connectors.smtp import VENDOR, Mailer
from services.tool_gateway.memory import local
from services.tool_gateway.memory.index import Index
from services.tool_gateway.office.desk import Desk
from services.tool_gateway.policy.rulebook import Rulebook
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.transport import Wire
from shared.budgets import NO_BUDGETS, Budgets
from shared.bus import topics
from shared.bus.kafka import Record
from shared.bus.messages import ToolCallRequested, call_requested
from shared.bus.outbox import Outbox
from shared.business import Business
from shared.clock import Clock
from shared.ids import RunId, call_id, run_id, thread_id
from shared.people import People
from shared.redaction import Redactor
from shared.store.instance import Instance
from shared.store.pool import Pool
from tests.integration.publisher import RecordingPublisher

RUN = run_id("closer", "/t", "1")
RESULTS = topics.tool_results("closer")
OPEN = {"open.cedar": '@id("open") permit(principal, action, resource);'}
PEOPLE = People.model_validate(
    {
        "people": [
            {"name": "Dana", "roles": ["owner"], "sms": "+14155550100"},
            {"name": "Lee", "roles": ["approver"], "sms": "+14155550101"},
        ]
    }
)
W = TypeVar("W", bound="World")


async def until(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Until it is true. Raises TimeoutError when it never is."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


class Gateway:
    """One replica of the gateway without Kafka around it."""

    def __init__(
        self,
        pool: Pool,
        dsn: str,
        secrets: dict[str, str],
        timeout: float = 60,
        lag_seconds: float = 0.2,
        per_vendor: int = 16,
        for_live: int = 0,
        policies: Mapping[str, str] | None = None,
        people: People = PEOPLE,
        approval_hours: float = 72.0,
        budgets: Budgets = NO_BUDGETS,
        business: Business | None = None,
    ) -> None:
        self._pool, self._budgets = pool, budgets
        business, clock = business or Business(), Clock()
        self.clock = clock
        loaded = catalogue.load()
        tools = [
            replace(
                t,
                timeout_seconds=timeout,
                settle=replace(t.settle, lag_seconds=lag_seconds) if t.settle else None,
                rate=None,
            )
            for t in loaded.tools.values()
        ]
        grants: Mapping[str, frozenset[str]] = {**catalogue.read_grants(), "closer": frozenset(loaded.tools)}
        self.catalogue = catalogue.Catalogue(tools, grants)
        self.rulebook = Rulebook(policies or OPEN, self.catalogue, people.addresses, business)
        values = Secrets(secrets)
        self.instance = Instance(dsn, "gateway")
        self.store = GatewayStore(pool, self.instance.owner, Seals(values))
        self.publisher = publisher = RecordingPublisher("gateway")
        self.wire = Wire(Guard(loopback=True))
        self.tokens = Tokens(values, pool, self.wire)
        self.redactor = redactor = Redactor()
        self.embeddings = local.opened("wordllama")
        self.index = Index(pool, self.embeddings)
        others: dict[str, Connector] = {
            "smtp": Mailer(values, Guard(loopback=True), redactor.of(VENDOR)),
            "imap": Mailbox(values, Guard(loopback=True), redactor.of(MAILBOX)),
            "postgres": Records(pool, values),
            "memory": Memory(pool, self.embeddings),
            "office": Office(pool, business.zone),
            "people": Messenger(self.store, self.catalogue, people, redactor.everywhere),
        }
        self.sender = Sender(self.wire, values, self.tokens, others, redactor)
        self.places = places = InFlightLimiter(per_vendor, for_live)
        admission = Admission(
            self.catalogue,
            self.rulebook,
            values,
            self.store,
            places,
            business,
            approval_hours * 3600,
            budgets=budgets,
            clock=clock,
            people=people,
        )
        self.resumer = Resumer(admission, self.store, publisher, lambda ready: self.executor.start(ready))
        self.outcomes = OutcomeWriter(self.store, publisher, self.resumer.wait_until)
        self.executor = Executor(self.sender, self.outcomes.submit, places)
        self.intake = Intake(admission, self.store, publisher, self.executor.start, self.resumer.wait_until, pool)
        self.settler = Settler(self.catalogue, values, self.store, publisher, self.sender, places)
        hide = redactor.everywhere
        self.approvals = Keeper(self.store, publisher, self.catalogue, people, business, hide)
        self.teller = Teller(self.store, self.catalogue, people, business, hide)
        self.outbox = Outbox("gateway", pool, publisher)
        self.desk = Desk(self.store, publisher, business, clock, self.outbox.wake)
        self.instance.on_notify("viox_approvals", self.wake)
        for channel in ("viox_runs", "viox_clock"):
            self.instance.on_notify(channel, self.desk.wake)
        self._loops: list[asyncio.Task[None]] = []

    async def start(self, *loops: str) -> None:
        await self.instance.start()
        await publish(self._pool, self._budgets, "UTC")
        self.go_on(*loops or ("outcomes", "resumer", "settler", "approvals", "desk"))

    def wake(self) -> None:
        self.resumer.wake()
        self.approvals.wake()

    def go_on(self, *loops: str) -> None:
        """Start these loops, too."""
        runs = {
            "outcomes": self.outcomes.run,
            "resumer": self.resumer.run,
            "settler": self.settler.run,
            "approvals": self.approvals.run,
            "desk": self.desk.run,
            "outbox": self.outbox.run_sweeper,
        }
        self._loops += [asyncio.create_task(runs[name]()) for name in loops]

    async def die(self) -> None:
        """As by SIGKILL: loops gone, session gone, what is in flight goes on to nobody."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.instance.stop()

    async def stop(self) -> None:
        await self.executor.drain(5)
        await self.die()
        await self.wire.aclose()
        await self.embeddings.close()


class World:
    """Vendors, replicas and the tables, for one test."""

    def __init__(self, pool: Pool, admin: Any, dsn: str) -> None:
        self.pool, self.admin, self._dsn = pool, admin, dsn
        self.hubspot, self.twilio, self.quickbooks = HubSpot(index_delay=0), Twilio(), QuickBooks()
        self.hubspot.unlimited = True
        self.seen: list[tuple[str, str, bytes]] = []
        self.hanging: web.Application | None = None  # reads what it is asked and does not answer until it is set free
        self._gateways: list[Gateway] = []
        self._runners: list[web.AppRunner] = []

    async def open(self) -> None:
        ports = []
        for emulator in (self.hubspot, self.twilio, self.quickbooks):
            emulator.app.middlewares.insert(0, self._keep)
            runner, port = await start(emulator, 0)
            self._runners.append(runner)
            ports.append(port)
        self.secrets = {
            "HUBSPOT_BASE_URL": f"http://127.0.0.1:{ports[0]}",
            "HUBSPOT_ACCESS_TOKEN": TOKEN,
            "TWILIO_BASE_URL": f"http://127.0.0.1:{ports[1]}",
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_FROM": NUMBER,
            "QUICKBOOKS_BASE_URL": f"http://127.0.0.1:{ports[2]}",
            "QUICKBOOKS_REALM_ID": quickbooks.REALM_ID,
            "QUICKBOOKS_CLIENT_ID": quickbooks.CLIENT_ID,
            "QUICKBOOKS_CLIENT_SECRET": quickbooks.CLIENT_SECRET,
            "QUICKBOOKS_REFRESH_TOKEN": quickbooks.REFRESH_TOKEN,
            "QUICKBOOKS_TOKEN_URL": f"http://127.0.0.1:{ports[2]}/oauth2/v1/tokens/bearer",
            "VIOX_SECRET_KEY": Fernet.generate_key().decode(),
        }

    @web.middleware
    async def _keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What the vendors were asked, byte for byte: method, path with query, body."""
        self.seen.append((request.method, request.raw_path, await request.read()))
        while request.app is self.hanging:
            await asyncio.sleep(0.01)
        return await handler(request)

    async def gateway(
        self,
        *loops: str,
        timeout: float = 60,
        per_vendor: int = 16,
        policies: Mapping[str, str] | None = None,
        people: People | None = None,
        approval_hours: float = 72.0,
        budgets: Budgets = NO_BUDGETS,
        business: Business | None = None,
    ) -> Gateway:
        made = Gateway(
            self.pool,
            self._dsn,
            self.secrets,
            timeout,
            per_vendor=per_vendor,
            policies=policies,
            people=people or PEOPLE,
            approval_hours=approval_hours,
            budgets=budgets,
            business=business,
        )
        await made.start(*loops)
        self._gateways.append(made)
        return made

    async def close(self) -> None:
        self.hanging = None
        for emulator in self._emulators():
            emulator.clock.go_on()
        for gateway in self._gateways:
            await gateway.stop()
        for runner in self._runners:
            await runner.cleanup()

    def _emulators(self) -> list[Emulator]:
        return [one for one in vars(self).values() if isinstance(one, Emulator)]

    async def were_asked(self, times: int = 1) -> None:
        """Until the vendors were asked so often."""
        await until(lambda: len(self.seen) >= times)

    async def call(self, step: int = 1, index: int = 0) -> Any:
        return await self.admin.fetchrow("select * from tool_calls where call_id = $1", call_id(RUN, step, index))

    async def state(self, wanted: str, step: int = 1, seconds: float = 60) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                row = await self.call(step)
                if row is not None and row["state"] == wanted:
                    return row
                await asyncio.sleep(0.02)

    async def unknown_for(self, ago: timedelta = timedelta(hours=1), step: int = 1) -> Any:
        """Once the call is unknown: as if it were so for a while, and its next look-up due. The call, as it is then."""
        await self.state("unknown", step)
        return await self.admin.fetchrow(
            "update tool_calls set unknown_since = now() - $2::interval, lease_until = now() - $2::interval,"
            " not_before = now() where call_id = $1 and state = 'unknown' returning *",
            call_id(RUN, step, 0),
            ago,
        )

    def fault(self, emulator: Any, kind: str, **more: Any) -> None:
        emulator.faults.append(Fault(kind, **more))

    async def phases(self, step: int = 1) -> list[str]:
        rows = await self.admin.fetch(
            "select phase from ledger_entries where call_id = $1 order by entry_id", call_id(RUN, step, 0)
        )
        return [row["phase"] for row in rows]


@asynccontextmanager
async def opened(made: W) -> AsyncIterator[W]:
    """A world with one run in it, until the test is over."""
    await made.open()
    await made.admin.execute(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)"
        " values ($1, 'closer', $2, 'c', 'running', '/t', '1', 'viox.task.requested')",
        RUN,
        thread_id("closer", "c"),
    )
    yield made
    await made.close()


@pytest.fixture(name="world")
async def gateway_world(gateway_pool: Pool, admin: Any, postgres: Postgres) -> AsyncIterator[World]:
    async with opened(World(gateway_pool, admin, postgres.dsn("viox_gateway"))) as made:
        yield made


def wants(
    tool: str,
    arguments: dict[str, Any],
    step: int = 1,
    index: int = 0,
    agent: str = "closer",
    run: RunId = RUN,
    conversation: str = "c",
) -> Record:
    made = ToolCallRequested(
        call_id=call_id(run, step, index), run_id=str(run), step=step, index=index, tool=tool, arguments=arguments
    )
    key, value, headers = call_requested(agent, made, conversation, datetime.now(UTC), None).to_kafka()
    return Record(topics.tool_calls(agent), 0, step, key, value, tuple(headers))
