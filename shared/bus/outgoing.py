"""Outbox rows as one JSON parameter: what `outgoing.sql` inserts, for statements that store messages beside other rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.bus.envelope import headers_to_json
from shared.bus.outbox import Outgoing

OUTGOING = Path(__file__).with_suffix(".sql")


def outgoing_rows(owner: str, rows: Sequence[Outgoing]) -> list[dict[str, Any]]:
    """What `:outgoing` of {insert_outgoing} is bound to. Keys and values are JSON or text, never other bytes."""
    return [
        {
            "outbox_id": row.outbox_id,
            "owner": owner,
            "topic": row.topic,
            "key": row.key.decode(),
            "value": row.value.decode(),
            "headers": headers_to_json(row.headers),
            "source": row.source,
            "message_id": row.message_id,
            "receivers": ",".join(row.receivers),
        }
        for row in rows
    ]
