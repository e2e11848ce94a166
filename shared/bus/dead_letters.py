"""Messages that could not be handled, set aside with their original bytes, to be redriven."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from shared.bus import topics
from shared.bus.envelope import Message, headers_to_json, identity
from shared.bus.kafka import Record
from shared.bus.messages import DEAD_LETTER, GATEWAY_SOURCE, DeadLetterRecorded, agent_source
from shared.bus.outbox import Outgoing, columns, outgoing
from shared.errors import VioxError
from shared.ids import dead_letter_id
from shared.store.sql import Queries
from shared.telemetry.digest import sha256_bytes

SQL = Queries(Path(__file__).with_suffix(".sql"))


async def write_dead_letter(
    connection: Any,
    service: str,
    record: Record,
    error: VioxError,
    attempts: int,
    message: Message | None,
    run_id: UUID | None,
) -> UUID | None:
    """Set a record aside with its original bytes, and tell the world. The id is derived from place and bytes, so what Kafka
    delivers again is the same letter.

    A record that cannot be read keeps the identity its sender gave it, where that can be read: it is the mark by which
    the sender's outbox knows that it arrived.
    """
    source, message_id = (message.source, message.id) if message else identity(record.value, record.headers)
    letter = dead_letter_id(record.topic, record.partition, record.offset, sha256_bytes(record.value or b""))
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
