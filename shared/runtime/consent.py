"""Wishes to stop, recorded before anything else is done with the message that says so.

Every agent that listens records them, whoever the message is for: the first one writes the row, and a wish outlives the
conversation it was said in. The gateway reads it before anything is sent to that address.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.bus.consent import address_key, wish
from shared.bus.envelope import Message
from shared.bus.events import EventType
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
Row = tuple[str, str, Any, str, str, str]


def wishes(addressed: Iterable[tuple[Message, EventType]]) -> list[Row]:
    """Rows for the messages that say something about further messages."""
    found: list[Row] = []
    for message, entry in addressed:
        sender, text = (str(message.data.get(field or "") or "") for field in (entry.address_field, entry.text_field))
        if sender and entry.addressed and (wanted := wish(text)):
            found.append((entry.addressed, address_key(sender), message.time, wanted, message.source, message.id))
    return found


async def record(connection: Any, rows: Iterable[Row]) -> None:
    await connection.executemany(SQL["record_wish"], list(rows))
