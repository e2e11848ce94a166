"""Results that travel by reference: what is kept of them, and what goes in their place. Reading on is a tool of its own
(`connectors/payloads.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.tool_gateway.answers.large import Large
from shared.store.sql import Queries, base64_text
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
FORGET_SECONDS = 3600.0
SQL = Queries(Path(__file__).with_name("payloads.sql"))


@dataclass(frozen=True, slots=True)
class Payload:
    """One result of one call that is kept apart. Equal contents are kept once; each call has its own id for them."""

    payload_id: str
    call_id: str
    content: Large


def by_reference(call_id: str, result: Any) -> tuple[Any, Payload | None]:
    """A result as it travels, and what has to be kept for that."""
    if not isinstance(result, Large):
        return result, None
    payload_id = "pl_" + sha256_bytes(f"{call_id}\0{result.sha256}".encode())[:32]
    return result.reference(payload_id), Payload(payload_id, call_id, result)


async def keep(connection: Any, payloads: Sequence[Payload]) -> None:
    """Store payloads, in the transaction in which their calls end."""
    if payloads:
        await connection.execute(*SQL.bind("keep", payloads=[_row(one) for one in payloads]))


async def forget(connection: Any, days: int) -> int:
    """Remove the contents that no call was given for so many days; with 0 none. Their references stay. How many there were."""
    gone = 0
    while days and (found := len(await connection.fetch(*SQL.bind("forget", days=days)))):
        gone += found
    return gone


def _row(payload: Payload) -> dict[str, Any]:
    content = payload.content
    return {
        "payload_id": payload.payload_id,
        "call_id": payload.call_id,
        "sha256": content.sha256,
        "media_type": content.media_type[:200],
        "whole": content.whole,
        "content": base64_text(content.text),
    }
