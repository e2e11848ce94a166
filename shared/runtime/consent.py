"""Wishes to stop, recorded before anything else is done with the message that says so.

Every agent that listens records them, whoever the message is for: the first one writes the row, and a wish outlives the
conversation it was said in. The gateway reads it before anything is sent to that address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shared.bus.consent import Wish, address_key, wish, wish_in_mail
from shared.bus.envelope import Message
from shared.bus.events import MAIL_CHANNEL, EventType
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
Row = tuple[str, str, Any, str, str, str]


def wishes(addressed: Iterable[tuple[Message, EventType]]) -> list[Row]:
    """Rows for the messages that say something about further messages."""
    found: list[Row] = []
    for message, entry in addressed:
        sender = str(message.data.get(entry.sender_field or entry.address_field or "") or "")
        if sender and entry.addressed and (wanted := _wish(entry, message.data)):
            found.append((entry.addressed, address_key(sender), message.time, wanted, message.source, message.id))
    return found


def _wish(entry: EventType, data: Mapping[str, Any]) -> Wish | None:
    """A wish to stop is obeyed whoever says it. Only a proved sender of a mail takes it back."""
    text = str(data.get(entry.text_field or "") or "")
    if entry.addressed != MAIL_CHANNEL:
        return wish(text)
    wanted = wish_in_mail(str(data.get("subject") or ""), text)
    return None if wanted == "start" and not data.get("verified") else wanted


async def record(connection: Any, rows: Iterable[Row]) -> None:
    await connection.executemany(SQL["record_wish"], list(rows))
