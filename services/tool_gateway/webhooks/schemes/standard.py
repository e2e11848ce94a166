"""Standard Webhooks 1.0: HMAC-SHA256 over `<id>.<timestamp>.<raw body>` in `webhook-signature: v1,<base64> [v1,...]`."""

from __future__ import annotations

from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes.body_mac import base64_key
from services.tool_gateway.webhooks.schemes.proof import (
    MALFORMED,
    MISSING,
    WRONG,
    Incoming,
    Verdict,
    base64_sha256,
    matches_any,
    seconds,
    within,
)

PAST_SECONDS = 300
PREFIX = "whsec_"
MOST_SIGNATURES = 16


def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
    message_id, sent, given = (request.header(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not message_id or sent is None or given is None:
        return MISSING
    listed = given.split(" ")
    sent_at, signatures = seconds(sent), [one for one in listed if one.startswith("v1,")]
    if sent_at is None or "" in listed or not 0 < len(signatures) <= MOST_SIGNATURES:
        return MALFORMED
    message = f"{message_id}.{sent}.".encode("utf-8", "surrogateescape") + request.body
    if not matches_any(["v1," + base64_sha256(_key(secret), message) for secret in secrets], signatures):
        return WRONG
    return within(sent_at, now, PAST_SECONDS)


def check_secret(secret: str) -> None:
    """Raises ValueError when a secret cannot be one."""
    if not _key(secret):
        raise ValueError("it is empty")


def _key(secret: str) -> bytes:
    return base64_key(secret.removeprefix(PREFIX))
