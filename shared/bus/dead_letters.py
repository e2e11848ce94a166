"""Messages that could not be handled, set aside with their original bytes, to be redriven."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from shared.bus.envelope import Message, headers_to_json, identity
from shared.bus.kafka import Record
from shared.errors import VioxError
from shared.ids import dead_letter_id
from shared.telemetry.digest import sha256_bytes

INSERT = """
insert into dead_letters (dead_letter_id, service, topic, partition, kafka_offset, key, value, headers, source,
                          message_id, run_id, code, error, attempts)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict do nothing
returning dead_letter_id
"""


async def write_dead_letter(
    connection: Any, service: str, record: Record, error: VioxError, attempts: int, message: Message | None,
    run_id: UUID | None,
) -> UUID | None:  # fmt: skip
    """Set a record aside with its original bytes. The id is derived from place and bytes, so a repeat by Kafka is one letter.

    A record that cannot be read keeps the identity its sender gave it, where that can be read: it is the mark by which
    the sender's outbox knows that it arrived.
    """
    source, message_id = (message.source, message.id) if message else identity(record.value, record.headers)
    letter = dead_letter_id(record.topic, record.partition, record.offset, sha256_bytes(record.value or b""))
    found: UUID | None = await connection.fetchval(
        INSERT,
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
    )
    return found
