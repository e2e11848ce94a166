"""A secret in a header, for senders that sign nothing: Make, n8n, scripts. As `Authorization: Bearer` or by itself.

It proves who sent the request and nothing of what is in it, so it is for HTTPS only; repeats are known by the event's id.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes.proof import MISSING, PROVED, WRONG, Incoming, Verdict, matches_any

HEADER = "x-viox-secret"
_BEARER = "Bearer "


def verify(request: Incoming, secrets: Sequence[str], now: float, *, header: str = HEADER) -> Verdict:
    del now
    given = request.header(header)
    if given is None and header == HEADER:
        given, header = request.header("authorization"), "authorization"
    if given is None:
        return MISSING
    if header.lower() == "authorization":
        given = given.removeprefix(_BEARER)
    return PROVED if matches_any(secrets, [given]) else WRONG
