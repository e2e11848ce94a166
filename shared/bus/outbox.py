"""Outgoing messages that nothing else stands for: rows in the sender's transaction, sent right after it, and again until the
receiver's mark exists. (Tool calls are told from the steps that want them, results from the calls' rows.)

A message is done when its receiver stored it (inbox row, call row, dead letter), not when it was sent: a broker that
loses everything it holds loses nothing of ours. Each service sweeps only its own rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from shared.bus.envelope import Headers, Message, headers_from_json, headers_to_json
from shared.bus.events import EventType
from shared.bus.publisher import Publisher
from shared.store.pool import Pool, json_column
from shared.store.sql import Queries
from shared.telemetry import metrics
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_suffix(".sql"))
SWEEP_SECONDS = 1.0
BATCH = 500
BATCHES = 10  # a sweep, at most


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One outbox row. `receivers` are the services whose mark ends it; none means the broker's acknowledgement does."""

    outbox_id: UUID
    topic: str
    key: bytes
    value: bytes
    headers: Headers
    source: str
    message_id: str
    receivers: tuple[str, ...]


def addressee(channel: str, fallback: str, address: str) -> str:
    """The receiver of an addressed event: whoever `routes` says, to exactly this question."""
    return f"addressee:{channel}:{fallback}:{sha256_bytes(address.encode())}"


def receivers(entry: EventType, data: Mapping[str, Any]) -> list[str]:
    """The services whose mark ends the sending of an event: its owners, or whom its address belongs to."""
    if entry.addressed:
        return [addressee(entry.addressed, entry.owners[0], str(data.get(entry.address_field or "", "")))]
    return list(entry.owners)


def outgoing(topic: str, message: Message, to: Iterable[str] = ()) -> Outgoing:
    """Make the row for a message."""
    key, value, headers = message.to_kafka()
    return Outgoing(uuid4(), topic, key, value, headers, message.source, message.id, tuple(to))


def columns(rows: Sequence[Outgoing]) -> list[list[Any]]:
    """Column arrays for `unnest`: outbox_id, topic, key, value, headers, source, message_id, receivers (comma-joined)."""
    return [
        [r.outbox_id for r in rows],
        [r.topic for r in rows],
        [r.key for r in rows],
        [r.value for r in rows],
        json_column(headers_to_json(r.headers) for r in rows),
        [r.source for r in rows],
        [r.message_id for r in rows],
        [",".join(r.receivers) for r in rows],
    ]


async def insert(connection: Any, owner: str, rows: Sequence[Outgoing], *, delay: float = 3.0) -> None:
    """Store rows in the caller's transaction. With `delay=0` the owner's sweep sends them as soon as it looks."""
    await connection.execute(SQL["insert_rows"], owner, *columns(rows), delay)


class Outbox:
    """Publishes and sweeps one service's rows."""

    def __init__(self, owner: str, pool: Pool, publisher: Publisher) -> None:
        self.owner = owner
        self._pool = pool
        self._publisher = publisher
        self._acknowledged: list[UUID] = []
        self._wake = asyncio.Event()
        self._connected = True  # what waits from before our start has its own time

    def publish(self, rows: Iterable[Outgoing]) -> None:
        """Send rows that were just committed. What cannot be sent now is sent by the sweep."""
        for row in rows:
            self._publisher.publish_record(row.topic, row.key, row.value, row.headers, partial(self._ended, row))

    def wake(self) -> None:
        """Sweep now: somebody stored rows for us."""
        self._wake.set()

    async def run_sweeper(self) -> None:
        while True:
            try:
                await within(SWEEP_SECONDS, self._wake.wait())
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001  # a sweep that fails is tried again a second later
                log.warning("outbox.sweep_failed", owner=self.owner, error=error)

    async def sweep(self) -> int:
        """One pass: forget what was received, send the rest again. Returns how many were sent.

        While there is no broker nothing is sent, and nothing counts as an attempt; once there is again, all goes at once.
        """
        acknowledged, self._acknowledged = self._acknowledged, []
        async with self._pool.acquire() as connection:
            if acknowledged:
                await connection.execute(SQL["forget_acknowledged"], acknowledged)
            await connection.execute(SQL["forget_received"], self.owner)
            before, self._connected = self._connected, self._publisher.connected
            if not self._connected:
                return 0
            if not before:
                await connection.execute(SQL["bring_forward"], self.owner)
        sent = 0
        for _ in range(BATCHES):
            sent += (found := await self._send_batch())
            if found < BATCH:
                break
        return sent

    async def _send_batch(self) -> int:
        due = await self._pool.fetch(SQL["claim_due"], self.owner, BATCH)
        for record in due:
            row = _row(record)
            await self._publisher.send(row.topic, row.key, row.value, row.headers, partial(self._ended, row))
        if due:
            metrics.OUTBOX_RESENT.labels(self.owner).inc(len(due))
        return len(due)

    def _ended(self, row: Outgoing, error: BaseException | None) -> None:
        if error is None and not row.receivers:
            self._acknowledged.append(row.outbox_id)


def _row(record: Any) -> Outgoing:
    headers = headers_from_json(record["headers"])
    return Outgoing(
        record["outbox_id"],
        record["topic"],
        record["key"],
        record["value"],
        headers,
        "",
        "",
        tuple(record["receivers"]),
    )
