"""Accepting what was delivered: marks and outbox rows in one statement for many deliveries, and only then an answer.

A delivery that waits is one of a batch: while one batch is being committed the next one gathers, so that many senders at a
time cost few commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from services.tool_gateway.webhooks.messages import Opened
from shared.batches import next_batch
from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.events import CAUSED_BY_CALL, event_type
from shared.bus.identity import content
from shared.bus.outbox import Outbox, Outgoing, columns, outgoing, receivers
from shared.errors import Unavailable
from shared.store.pool import Pool, dumps, is_transient
from shared.store.sql import Queries
from shared.telemetry import metrics
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
T = TypeVar("T")
SQL = Queries(Path(__file__).with_name("accept.sql"))
WITHOUT_DATA = "com.intuit."
BATCH = 200
BATCH_BYTES = 16_000_000
QUEUE = 2000


@dataclass(frozen=True, slots=True)
class Trip:
    """The trip switches: more events of one subject than `events` in the window are held back. More than `runs` that calls of
    ours caused are a loop, for one agent and subject, or `runs_of_all` for all of them: it is stopped."""

    events: int = 60
    seconds: float = 60.0
    runs: int = 20
    runs_of_all: int = 500
    run_seconds: float = 600.0


@dataclass(slots=True)
class Accepted:
    """What became of a delivery's events: their places in it."""

    fresh: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    conflicting: list[int] = field(default_factory=list)
    trips: set[UUID] = field(default_factory=set)  # the stopped loops that held ones wait for


@dataclass(slots=True)
class Delivered:
    """One delivery with its events, ready to be stored. `free` passes the trip switches: a person let it through.

    `polled_at`: it was found in a vendor's list, which was read at this time.
    """

    webhook: str
    body_sha256: str
    messages: Sequence[Message]
    free: bool = False
    polled_at: datetime | None = None
    delivery_id: UUID = field(default_factory=uuid4)
    rows: list[Outgoing] = field(init=False)
    done: asyncio.Future[Accepted] = field(init=False)

    def __post_init__(self) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.rows = []
        for message in self.messages:
            entry = event_type(message.type)
            to = [
                name
                for name in receivers(entry, message.data)
                if entry.heard_by(name, message.extensions, message.data)
            ]
            self.rows.append(outgoing(entry.topic, message, to))

    def covers_until(self, place: int) -> datetime | None:
        """Of an event without data: whoever reads its thing now sees all that happened to it until then."""
        message = self.messages[place]
        if message.subject is None or not message.type.startswith(WITHOUT_DATA):
            return None
        return self.polled_at or message.time

    def echo_agent(self, place: int) -> str | None:
        """Who starts a run because of an event that a call of ours caused."""
        message, receivers = self.messages[place], self.rows[place].receivers
        return receivers[0] if CAUSED_BY_CALL in message.extensions and receivers else None

    @property
    def alone(self) -> bool:
        """Whether nothing else may be accepted between the questions and the marks."""
        places = range(len(self.messages))
        return self.polled_at is not None or any(self.covers_until(n) or self.echo_agent(n) for n in places)

    @property
    def size(self) -> int:
        return sum(len(row.value) for row in self.rows)


class Acceptor:
    """Stores deliveries in batches, and publishes what is new."""

    def __init__(self, pool: Pool, outbox: Outbox, trip: Trip) -> None:
        self._pool = pool
        self._outbox = outbox
        self._trip = trip
        self._queue: asyncio.Queue[Delivered] = asyncio.Queue(QUEUE)

    async def accept(self, delivered: Delivered) -> Accepted:
        """Returns once it is durable. Raises Unavailable when it could not be stored now."""
        try:
            self._queue.put_nowait(delivered)
        except asyncio.QueueFull:
            raise Unavailable("webhook.busy", "too many deliveries wait.", remedy="Send it again later.") from None
        return await delivered.done

    async def unknown(self, given: Sequence[tuple[T, Opened]]) -> list[tuple[T, Opened]]:
        """Those of which something has not been accepted yet, or could not be read. Lists tell the same many times."""
        messages = [message for _, read in given for message in read.messages]
        sources, ids = [message.source for message in messages], [message.id for message in messages]
        rows = await self._pool.fetch(*SQL.bind("accepted_before", sources=sources, ids=ids)) if messages else []
        known = {(row["source"], row["message_id"]) for row in rows}
        return [
            (one, read)
            for one, read in given
            if read.problem or any((message.source, message.id) not in known for message in read.messages)
        ]

    async def lately(self, source: str, subject: str, seconds: float) -> int:
        """How many events of a subject were accepted within so many seconds."""
        values = {"source": source, "subject": subject, "seconds": seconds}
        return int(await self._pool.fetchval(*SQL.bind("lately", **values)))

    async def run(self) -> None:
        while True:
            batch = await next_batch(self._queue, BATCH, BATCH_BYTES)
            try:
                for part in _apart(batch):
                    await self._store(part)
            finally:
                for delivered in batch:
                    if not delivered.done.done():  # only when this loop was stopped
                        delivered.done.cancel()

    async def _store(self, batch: Sequence[Delivered]) -> None:
        """Commit a batch; one whose content Postgres does not take is narrowed down to the delivery at fault."""
        try:
            found = await self._commit(batch)
        except Exception as error:  # noqa: BLE001  # its sender is told, and sends again
            log.warning("webhooks.not_stored", deliveries=len(batch), error=error)
            if len(batch) > 1 and not is_transient(error):
                for delivered in batch:
                    await self._store([delivered])
                return
            for delivered in batch:
                if not delivered.done.done():
                    delivered.done.set_exception(not_stored())
            return
        for delivered, accepted in zip(batch, found, strict=True):
            self._outbox.publish(delivered.rows[place] for place in accepted.fresh)
            if not delivered.done.done():
                delivered.done.set_result(accepted)

    async def _commit(self, batch: Sequence[Delivered]) -> list[Accepted]:
        if not any(delivered.alone for delivered in batch):
            return await self._mark(self._pool, batch, {})
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["alone"])
            held = await self._loops(connection, batch)
            return await self._mark(connection, batch, held)

    async def _loops(self, connection: Any, batch: Sequence[Delivered]) -> Mapping[int, UUID]:
        """Which places of the batch belong to a loop that is stopped, by the stop's id."""
        echoes = [
            (number, agent, delivered.messages[place])
            for number, (delivered, place) in enumerate(_places(batch))
            if not delivered.free and (agent := delivered.echo_agent(place)) is not None
        ]
        if not echoes:
            return {}
        values = {
            "places": [number for number, _, _ in echoes],
            "agents": [agent for _, agent, _ in echoes],
            "sources": [message.source for _, _, message in echoes],
            "ids": [message.id for _, _, message in echoes],
            "subjects": [message.subject or "" for _, _, message in echoes],
        }
        limits = {"seconds": self._trip.run_seconds, "most": self._trip.runs, "most_of_all": self._trip.runs_of_all}
        rows = await connection.fetch(*SQL.bind("loops", **values, **limits))
        for trip, row in {row["trip_id"]: row for row in rows if row["fresh"]}.items():
            scope = "one" if row["agent"] else "all"
            metrics.LOOPS_STOPPED.labels(scope).inc()
            log.error(
                "webhooks.loop_stopped",
                trip=str(trip),
                agent=row["agent"],
                source=row["source"],
                subject=row["subject"],
            )
        return {row["place"]: row["trip_id"] for row in rows}

    async def _mark(self, connection: Any, batch: Sequence[Delivered], loops: Mapping[int, UUID]) -> list[Accepted]:
        owners = _places(batch)
        found = [Accepted() for _ in batch]
        by_delivery = {id(delivered): accepted for delivered, accepted in zip(batch, found, strict=True)}
        digests = [content_digest(delivered.messages[place]) for delivered, place in owners]
        told = await connection.fetch(*SQL.bind("accept", **self._parameters(batch, owners, digests, loops)))
        for number, (row, (delivered, place), digest) in enumerate(zip(told, owners, digests, strict=True)):
            accepted = by_delivery[id(delivered)]
            _sorted_into(accepted, place, row, digest)
            if row["held"] and number in loops:
                accepted.trips.add(loops[number])
        return found

    def _parameters(
        self,
        batch: Sequence[Delivered],
        owners: Sequence[tuple[Delivered, int]],
        digests: Sequence[str],
        loops: Mapping[int, UUID],
    ) -> dict[str, Any]:
        messages = [delivered.messages[place] for delivered, place in owners]
        ids, to, keys, values, headers, sources, message_ids, named = columns([d.rows[place] for d, place in owners])
        return {
            "places": list(range(len(owners))),
            "deliveries": [delivered.delivery_id for delivered, _ in owners],
            "sources": sources,
            "ids": message_ids,
            "types": [message.type for message in messages],
            "subjects": [message.subject for message in messages],
            "digests": digests,
            "outbox_ids": ids,
            "topics": to,
            "keys": keys,
            "values": values,
            "headers": headers,
            "receivers": named,
            "free": [delivered.free for delivered, _ in owners],
            "polled": [delivered.polled_at is not None for delivered, _ in owners],
            "happened": [message.time for message in messages],
            "covers": [delivered.covers_until(place) for delivered, place in owners],
            "echo_agents": [delivered.echo_agent(place) for delivered, place in owners],
            "loops": [number in loops for number in range(len(owners))],
            "delivery_ids": [delivered.delivery_id for delivered in batch],
            "webhooks": [delivered.webhook for delivered in batch],
            "bodies": [delivered.body_sha256 for delivered in batch],
            "window_seconds": self._trip.seconds,
            "most": self._trip.events,
        }


def _apart(batch: Sequence[Delivered]) -> Iterator[Sequence[Delivered]]:
    """Deliveries together, and what was found in lists after them: by then it is known what was delivered."""
    if delivered := [one for one in batch if one.polled_at is None]:
        yield delivered
    for one in batch:
        if one.polled_at is not None:
            yield [one]


def _places(batch: Sequence[Delivered]) -> list[tuple[Delivered, int]]:
    return [(delivered, place) for delivered in batch for place in range(len(delivered.rows))]


def content_digest(message: Message) -> str:
    """Of what an event says: a redelivery that only counts itself says the same, and so does another subscription that tells
    of the same creation."""
    if message.type.startswith("com.hubspot.") and message.id == f"{message.subject}:creation":
        return sha256_bytes(dumps([message.type, message.subject]).encode())
    return sha256_bytes(dumps([message.type, content(message.type, message.data)]).encode())


def _sorted_into(accepted: Accepted, place: int, row: Any, digest: str) -> None:
    if row["fresh"]:
        accepted.fresh.append(place)
    elif row["held"]:
        accepted.held.append(place)
    elif row["content_sha256"] != digest:
        accepted.conflicting.append(place)
    else:
        accepted.repeated.append(place)


def not_stored() -> Unavailable:
    """The sender is to try again."""
    return Unavailable("webhook.not_stored", "the delivery could not be stored.", remedy="Send it again later.")


def letter_topic(webhook: str) -> str:
    """Under which a delivery that could not be used is set aside; no topic of Kafka."""
    return topics.WEBHOOKS + webhook
