"""`t=<seconds>,v1=<hex>`: HMAC-SHA256 over `<t>.<raw body>`, as Stripe and ElevenLabs sign.

While a secret is rolled, Stripe sends a signature made with each; one right one is enough. Schemes other than the wanted
one are not looked at, so that a weaker one cannot take its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes.proof import (
    MALFORMED,
    MISSING,
    WRONG,
    Incoming,
    Verdict,
    hex_sha256,
    matches_any,
    seconds,
    within,
)

MOST_SIGNATURES = 16


def verify(
    request: Incoming, secrets: Sequence[str], now: float, *, header: str, scheme: str, past_seconds: float
) -> Verdict:
    """Check `header` for a signature of `scheme` that is at most `past_seconds` old."""
    given = request.header(header)
    if given is None:
        return MISSING
    items = [item.partition("=") for item in given.split(",")]
    times = [value for name, _, value in items if name == "t"]
    signatures = [value for name, _, value in items if name == scheme]
    sent_at = seconds(times[0]) if len(times) == 1 else None
    if sent_at is None or not 0 < len(signatures) <= MOST_SIGNATURES:
        return MALFORMED
    message = f"{times[0]}.".encode() + request.body
    if not matches_any([hex_sha256(secret.encode(), message) for secret in secrets], signatures):
        return WRONG
    return within(sent_at, now, past_seconds)
