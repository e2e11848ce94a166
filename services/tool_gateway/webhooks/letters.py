"""Deliveries whose sender is proved and that cannot be used: set aside with their bytes, to be redriven."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from services.tool_gateway.webhooks.accept import SQL, letter_topic, not_stored
from services.tool_gateway.webhooks.schemes.proof import Incoming
from shared.bus import topics
from shared.bus.dead_letters import write_dead_letter
from shared.bus.kafka import Record
from shared.errors import BadInput, VioxError
from shared.store.pool import Pool, is_transient
from shared.telemetry import metrics

POLLED = "viox-polled-at"  # of what was found in a vendor's list: when it was read
KEPT_HEADERS = ("content-type", "webhook-id", "idempotency-key", POLLED)  # what reading needs; no proof, and no secret


class Letters:
    """Writes them. The same bytes again are the same letter."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, webhook: str, incoming: Incoming, error: VioxError, trips: Collection[UUID] = ()) -> bool:
        """`trips` are the stopped loops that it waits for. False when it was kept before. Raises Unavailable when it cannot be
        stored now."""
        headers = [
            (name, value.encode("utf-8", "surrogateescape"))
            for name in KEPT_HEADERS
            if (value := incoming.header(name))
        ]
        record = Record(letter_topic(webhook), 0, 0, None, incoming.body, tuple(headers))
        try:
            return await self._write(record, error, trips)
        except Exception as failed:
            if is_transient(failed):
                raise not_stored() from failed
            raise

    async def again(self, record: Record, error: Exception) -> None:
        """A redriven one did not go in: set it aside once more."""
        said = error if isinstance(error, VioxError) else BadInput("webhook.unfit", f"{type(error).__name__}: {error}.")
        await self._write(record, said)

    async def _write(self, record: Record, error: VioxError, trips: Collection[UUID] = ()) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            letter = await write_dead_letter(connection, topics.GATEWAY, record, error, 1, None, None, identified=False)
            if letter is not None and trips:
                await connection.execute(*SQL.bind("held_back", trips=list(trips), letter=letter))
        if letter is not None:
            metrics.DEAD_LETTERS.labels(topics.GATEWAY, error.code).inc()
        return letter is not None
