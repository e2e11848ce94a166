"""Sensitive arguments. The vendor is sent the real ones; calls and ledger have `[redacted]` in their place.

While a call is open its real arguments, and its first request for a repeat byte for byte, are kept sealed in a table that only
the gateway reads. They are gone soon after the call has ended.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import InvalidToken

from services.tool_gateway.wire.box import KEY_NAME, box_of
from services.tool_gateway.wire.credentials import Secrets, redacted
from services.tool_gateway.wire.prepared import Prepared
from shared.store.sql import Queries, base64_text
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_name("sealed.sql"))
FORGET_SECONDS = 10.0
UNREADABLE = {
    "code": "arguments.sealed_with_another_key",
    "message": f"its sensitive arguments were sealed with another {KEY_NAME}.",
    "remedy": f"Put the former key behind today's in {KEY_NAME}, after a comma.",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """What was sealed. `arguments` is None when it cannot be opened; `request` is the first one: URL, headers, body."""

    arguments: dict[str, Any] | None
    request: tuple[str, list[tuple[str, str]], bytes] | None = None


class Seals:
    """Seals with the gateway's key."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def check(self) -> None:
        """Raises BadInput when nothing can be sealed here."""
        box_of(self._secrets)

    async def keep(self, connection: Any, calls: Mapping[str, tuple[dict[str, Any], Prepared | None]]) -> None:
        """Seal each call's arguments, and its request if it is its first."""
        if not calls:
            return
        box = box_of(self._secrets)
        rows = [
            {
                "call_id": call,
                "arguments": base64_text(box.encrypt(orjson.dumps(arguments))),
                "request": base64_text(box.encrypt(_written(prepared))) if prepared else None,
            }
            for call, (arguments, prepared) in calls.items()
        ]
        await connection.execute(*SQL.bind("keep", calls=rows))

    async def opened(self, connection: Any, ids: Sequence[str]) -> dict[str, Opened]:
        """What was sealed of those of these calls that have something sensitive."""
        rows = await connection.fetch(*SQL.bind("sealed", ids=list(ids))) if ids else []
        return {row["call_id"]: self._open(row) for row in rows}

    def _open(self, row: Any) -> Opened:
        try:
            box = box_of(self._secrets)
            request = _read(box.decrypt(row["request"])) if row["request"] else None
            return Opened(orjson.loads(box.decrypt(row["arguments"])), request)
        except InvalidToken:
            log.error("arguments.sealed_with_another_key", call_id=row["call_id"], setting=KEY_NAME)
            return Opened(None)


async def forget(connection: Any) -> None:
    """Remove what was sealed of calls that have ended."""
    await connection.execute(SQL["forget"])


def _written(prepared: Prepared) -> bytes:
    url, headers = redacted(prepared)
    return orjson.dumps([url, headers, base64.b64encode(prepared.body).decode()])


def _read(text: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    url, headers, body = orjson.loads(text)
    return url, [(name, value) for name, value in headers], base64.b64decode(body)
