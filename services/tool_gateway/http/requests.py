"""What is common to requests of anybody: they are refused with a reason, and read no further than they may be long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from shared.errors import BadInput, VioxError
from shared.store.pool import dumps

BODY_SECONDS = 10.0
PROBLEM = "application/problem+json"


class Refused(Exception):
    """A request that is not taken: HTTP status, error, and seconds after which to try again."""

    def __init__(self, status: int, error: VioxError, retry_after: float | None = None) -> None:
        super().__init__(error.message)
        self.status, self.error, self.retry_after = status, error, retry_after


async def body_of(request: web.Request, most: int, kind: str) -> bytes:
    """The bytes as they came. Raises Refused before more of it is read than `most`, or when it comes too slowly.

    `kind` is how the codes of its errors begin: `webhook`, `invoke`.
    """
    if (request.content_length or 0) > most:
        raise Refused(413, _too_large(most, kind))
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                size += len(part)
                if size > most:
                    raise Refused(413, _too_large(most, kind))
                parts.append(part)
    except TimeoutError:
        error = BadInput(f"{kind}.slow", "the body did not come in time.", field="body", remedy="Send it at once.")
        raise Refused(408, error) from None
    return b"".join(parts)


def problem(
    status: int,
    error: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
    *,
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An error as RFC 9457 has it. `error` is a VioxError as a dict, `more` further members; `retry_after` in seconds."""
    message = error.get("message") or "the call did not succeed."
    document = {
        "type": "about:blank",
        "title": message,
        "status": status,
        **{name: error.get(name) for name in ("code", "field", "remedy")},
        "message": message,
        "retryable": bool(error.get("retryable")),
        **(more or {}),
    }
    after = {"Retry-After": str(math.ceil(retry_after))} if retry_after else {}
    sent = {**(headers or {}), **after}
    return web.Response(text=dumps(document), status=status, content_type=PROBLEM, headers=sent)


def _too_large(most: int, kind: str) -> BadInput:
    return BadInput(f"{kind}.too_large", f"more than {most:,} bytes are not taken.", field="body", remedy="Send less.")
