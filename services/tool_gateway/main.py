"""The tool gateway as a process: wiring and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from services.tool_gateway.call.admit import Admission
from services.tool_gateway.call.close import OutcomeWriter
from services.tool_gateway.call.execute import Connector, Executor, Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.intake import Intake
from services.tool_gateway.call.resume import Resumer
from services.tool_gateway.call.settle import Settler
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.library import Library
from services.tool_gateway.catalogue.store import CatalogueStore
from services.tool_gateway.connectors.postgres import Records
from services.tool_gateway.connectors.smtp import Mailer
from services.tool_gateway.doctor import Doctor
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.transport import Wire
from shared.bus import topics
from shared.bus.kafka import Consumer, Producer
from shared.bus.outbox import Outbox
from shared.bus.publisher import Publisher
from shared.runtime.process import Process, run
from shared.settings import Settings
from shared.store.pool import Instance, is_transient, open_pool

TOKEN_CONNECTIONS = 4


def build(settings: Settings, *, secrets: Mapping[str, str] | None = None) -> Process:
    """Consumes viox.tool-calls.*; reaches the vendors; changes calls and ledger; announces viox.tool-results.*."""
    process = Process(topics.GATEWAY, settings)
    gateway = _Gateway(settings, os.environ if secrets is None else secrets)
    process.on_start(gateway.start)
    process.app.router.add_post("/doctor", lambda request: gateway.doctor.serve(request, gateway.library.left_out))
    process.loop("producer", lambda: gateway.producer.run())
    process.loop("publisher", lambda: gateway.publisher.run())
    process.loop("outbox sweep", lambda: gateway.outbox.run_sweeper())
    process.loop("outcomes", lambda: gateway.outcomes.run())
    process.loop("resumer", gateway.keep_resuming)
    process.loop("settler", lambda: gateway.settler.run())
    process.loop("catalogue", lambda: gateway.library.follow())
    process.loop("consumer", lambda: gateway.consumer.run())
    process.on_stop(gateway.stop)
    process.check("ledger", lambda: gateway.outcomes.problem if gateway.outcomes else "starting")
    process.check("kafka", lambda: None if gateway.consumer and gateway.consumer.joined else "not joined the group yet")
    return process


class _Gateway:
    """The opened parts of the gateway."""

    outcomes: OutcomeWriter
    consumer: Consumer
    doctor: Doctor
    library: Library
    outbox: Outbox
    settler: Settler

    def __init__(self, settings: Settings, values: Mapping[str, str]) -> None:
        self._settings = settings
        self._values = values
        self._secrets = Secrets(values)
        self._guard = Guard.of(values)
        self.producer = Producer(settings, topics.GATEWAY)
        self.publisher = Publisher(topics.GATEWAY, self.producer)
        self.outcomes = None  # type: ignore[assignment]  # set by start; readiness asks earlier
        self.consumer = None  # type: ignore[assignment]

    async def start(self) -> None:
        settings, secrets = self._settings, self._secrets
        dsn = settings.postgres_dsn.get_secret_value()
        self._pool = await open_pool(dsn, application=topics.GATEWAY, size=settings.postgres_pool_size)
        # A connection is held while a token endpoint is asked: one that hangs must not take the others'.
        self._tokens_pool = await open_pool(dsn, application=f"{topics.GATEWAY} tokens", size=TOKEN_CONNECTIONS)
        self._instance = Instance(dsn, topics.GATEWAY)
        store, published = GatewayStore(self._pool, self._instance.owner), CatalogueStore(self._pool)
        self.library = Library(published, catalogue.extra_documents(settings.catalogue), self._values)
        tools = await self.library.read()
        self._instance.on_notify("viox_documents", self.library.wake)
        self.outbox = Outbox(topics.GATEWAY, self._pool, self.publisher)
        self._instance.on_notify("viox_outbox", self.outbox.wake)
        self._wire = Wire(self._guard)
        mailer = Mailer(secrets, self._guard)
        others: dict[str, Connector] = {"smtp": mailer, "postgres": Records(self._pool, secrets)}
        sender = Sender(self._wire, secrets, Tokens(secrets, self._tokens_pool, self._wire), others)
        places = InFlightLimiter(4 * settings.concurrency)
        admission = Admission(tools, secrets, store, places)
        self._resumer = Resumer(admission, store, self.publisher, lambda ready: self._executor.start(ready))
        self.outcomes = OutcomeWriter(store, self.publisher, self._resumer.wait_until)
        self._executor = Executor(sender, self.outcomes.submit, places)
        self._intake = Intake(
            admission, store, self.publisher, self._executor.start, self._resumer.wait_until, self._pool
        )
        self.settler = Settler(tools, secrets, store, self.publisher, sender, places)
        self.doctor = Doctor(tools, secrets, store, sender, mailer)
        self.consumer = Consumer(
            settings, "viox.gateway", topics.of_gateway(), self._intake.accept, self._intake.poison, is_transient
        )
        await self._instance.start()
        await published.publish(tools)

    async def keep_resuming(self) -> None:
        await self._resumer.run()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Take nothing new, let what is out come back, write it down, announce it, let go."""
        await self.consumer.stop()
        self._resumer.stop()
        await self._executor.drain(20)
        await self.outcomes.drain(10)
        await self.publisher.flush()
        await self.producer.stop()
        await self._wire.aclose()
        await self._instance.stop()
        for pool in (self._tokens_pool, self._pool):
            await asyncio.wait_for(pool.close(), 5)


if __name__ == "__main__":
    run(topics.GATEWAY, build)
