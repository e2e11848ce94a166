"""Accepting what was delivered: marks and outbox rows in one statement for many deliveries, and only then an answer.

A delivery that waits is one of a batch: while one batch is being committed the next one gathers, so that many senders at a
time cost few commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from shared.batches import next_batch
from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.events import event_type
from shared.bus.identity import content
from shared.bus.outbox import Outbox, Outgoing, columns, outgoing, receivers
from shared.errors import Unavailable
from shared.store.pool import Pool, dumps, is_transient
from shared.store.sql import Queries
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_name("accept.sql"))
BATCH = 200
BATCH_BYTES = 16_000_000
QUEUE = 2000


@dataclass(frozen=True, slots=True)
class Trip:
    """The trip switch: more events of one subject than this in the window are held back."""

    events: int = 60
    seconds: float = 60.0


@dataclass(slots=True)
class Accepted:
    """What became of a delivery's events: their places in it."""

    fresh: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    conflicting: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Delivered:
    """One delivery with its events, ready to be stored. `free` passes the trip switch: a person let it through."""

    webhook: str
    body_sha256: str
    messages: Sequence[Message]
    free: bool = False
    delivery_id: UUID = field(default_factory=uuid4)
    rows: list[Outgoing] = field(init=False)
    done: asyncio.Future[Accepted] = field(init=False)

    def __post_init__(self) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.rows = []
        for message in self.messages:
            entry = event_type(message.type)
            self.rows.append(outgoing(entry.topic, message, receivers(entry, message.data)))

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

    async def run(self) -> None:
        while True:
            batch = await next_batch(self._queue, BATCH, BATCH_BYTES)
            try:
                await self._store(batch)
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
        owners = [(delivered, place) for delivered in batch for place in range(len(delivered.rows))]
        found = [Accepted() for _ in batch]
        by_delivery = {id(delivered): accepted for delivered, accepted in zip(batch, found, strict=True)}
        digests = [content_digest(delivered.messages[place]) for delivered, place in owners]
        told = await self._pool.fetch(*SQL.bind("accept", **self._parameters(batch, owners, digests)))
        for row, (delivered, place), digest in zip(told, owners, digests, strict=True):
            _sorted_into(by_delivery[id(delivered)], place, row, digest)
        return found

    def _parameters(
        self, batch: Sequence[Delivered], owners: Sequence[tuple[Delivered, int]], digests: Sequence[str]
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
            "delivery_ids": [delivered.delivery_id for delivered in batch],
            "webhooks": [delivered.webhook for delivered in batch],
            "bodies": [delivered.body_sha256 for delivered in batch],
            "window_seconds": self._trip.seconds,
            "most": self._trip.events,
        }


def content_digest(message: Message) -> str:
    """Of what an event says: a redelivery that only counts itself says the same."""
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
