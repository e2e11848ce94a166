"""HubSpot, signature v3: HMAC-SHA256 over method, URI, raw body and time. Versions 1 and 2 have no time and are refused."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes.proof import (
    MALFORMED,
    MISSING,
    WRONG,
    Incoming,
    Verdict,
    base64_sha256,
    matches_any,
    within,
)

PAST_SECONDS = 300
_MILLISECONDS = re.compile(r"[0-9]{1,14}")
# What HubSpot writes plainly in the URI that it signs, however it is spelled in the one that it calls.
_PLAIN = {f"%{ord(mark):02X}": mark for mark in (":", "/", "?", "@", "!", "$", "'", "(", ")", "*", ",", ";")}
_ENCODED = re.compile("|".join(_PLAIN), re.IGNORECASE)


def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
    given, sent = request.header("x-hubspot-signature-v3"), request.header("x-hubspot-request-timestamp")
    if given is None or sent is None:
        return MISSING
    if not _MILLISECONDS.fullmatch(sent):
        return MALFORMED
    expected = [
        base64_sha256(secret.encode(), f"{request.method}{url}".encode() + request.body + sent.encode())
        for secret in secrets
        for url in dict.fromkeys((request.url, decoded(request.url)))
    ]
    if not matches_any(expected, [given]):
        return WRONG
    return within(int(sent) / 1000, now, PAST_SECONDS)


def decoded(url: str) -> str:
    """The URI as HubSpot's documentation has it before it is signed."""
    return _ENCODED.sub(lambda found: _PLAIN[found.group().upper()], url)
