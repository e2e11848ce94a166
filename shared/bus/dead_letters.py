"""Messages that could not be handled, set aside with their original bytes, to be redriven.

A redriven letter does not travel again: the service that wrote it hands the stored record to its own intake. So it
reaches nobody else, and nobody can have a service send what is not its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from shared.bus import topics
from shared.bus.envelope import Message, headers_from_json, headers_to_json, identity
from shared.bus.kafka import Record
from shared.bus.messages import DEAD_LETTER, GATEWAY_SOURCE, DeadLetterRecorded, agent_source
from shared.bus.outbox import Outgoing, columns, outgoing
from shared.errors import VioxError
from shared.ids import dead_letter_id
from shared.store.pool import Pool
from shared.store.sql import Queries
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_suffix(".sql"))
CHANNEL = "viox_redrive"
LOOK_SECONDS = 30.0  # without a notification
RETRY_SECONDS = 1.0


async def write_dead_letter(
    connection: Any,
    service: str,
    record: Record,
    error: VioxError,
    attempts: int,
    message: Message | None,
    run_id: UUID | None,
    *,
    identified: bool = True,
) -> UUID | None:
    """Set a record aside with its original bytes, and tell the world. The id is derived from place and bytes, so what Kafka
    delivers again is the same letter.

    A record that cannot be read keeps the identity its sender gave it, where that can be read: it is the mark by which
    the sender's outbox knows that it arrived. With `identified=False` it leaves no such mark: the identity is a false one.
    """
    source, message_id = _identity(record, message) if identified else (None, None)
    letter = dead_letter_id(service, record.topic, record.partition, record.offset, sha256_bytes(record.value or b""))
    found: UUID | None = await connection.fetchval(
        SQL["insert"],
        letter,
        service,
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        headers_to_json(record.headers),
        source,
        message_id,
        run_id,
        error.code,
        str(error),
        attempts,
        *columns([_announcement(letter, service, record.topic, error, attempts, run_id)]),
    )
    return found


def _identity(record: Record, message: Message | None) -> tuple[str | None, str | None]:
    return (message.source, message.id) if message else identity(record.value, record.headers)


def _announcement(
    letter: UUID, service: str, topic: str, error: VioxError, attempts: int, run_id: UUID | None
) -> Outgoing:
    data = DeadLetterRecorded(
        dead_letter_id=str(letter),
        service=service,
        topic=topic,
        code=error.code,
        error=error.message,
        attempts=attempts,
        run_id=str(run_id) if run_id else None,
    )
    source = GATEWAY_SOURCE if service == topics.GATEWAY else agent_source(service)
    document, now = data.model_dump(), datetime.now(UTC)
    message = Message(data.dead_letter_id, source, DEAD_LETTER, document, now, subject=data.run_id)
    return outgoing(topics.DEAD_LETTERS, message)


class Redrives:
    """Hands the letters of one service that an operator wants handled again to the service's own intake.

    A letter is marked as redriven after its record was accepted: a crash in between repeats it, and intakes know repeats.
    """

    def __init__(
        self,
        service: str,
        pool: Pool,
        accept: Callable[[Sequence[Record]], Awaitable[None]],
        poison: Callable[[Record, Exception], Awaitable[None]],
        is_transient: Callable[[Exception], bool],
    ) -> None:
        """`poison` sets a record aside that cannot be stored; `is_transient` tells an error that will go away by itself."""
        self._service = service
        self._pool = pool
        self._accept = accept
        self._poison = poison
        self._is_transient = is_transient
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look now: an operator marked letters."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            wait = LOOK_SECONDS
            try:
                await self.take()
            except Exception as error:  # noqa: BLE001  # Postgres away: the letters are still marked
                log.warning("redrive.failed", service=self._service, error=error)
                wait = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await within(wait, self._wake.wait())

    async def take(self) -> int:
        """Handle all letters that are marked. Returns how many."""
        rows = await self._pool.fetch(SQL["redriving"], self._service)
        for row in rows:
            await self._handle(_stored(row))
            await self._pool.execute(SQL["redriven"], self._service, row["dead_letter_id"])
            log.info("redrive.accepted", service=self._service, dead_letter_id=str(row["dead_letter_id"]))
        return len(rows)

    async def _handle(self, record: Record) -> None:
        try:
            await self._accept([record])
        except Exception as error:
            if self._is_transient(error):
                raise
            await self._poison(record, error)


def _stored(row: Any) -> Record:
    """No place in a log: the moment of the redrive stands in for the offset, so that the same bytes can die once more."""
    moment = int(row["redriven_at"].timestamp() * 1000)
    return Record(row["topic"], -1, moment, row["key"], row["value"], tuple(headers_from_json(row["headers"])))
