"""Airtable: `X-Airtable-Content-MAC: hmac-sha256=<hex>` with the webhook's base64 `macSecretBase64`."""

from __future__ import annotations

from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes import body_mac
from services.tool_gateway.webhooks.schemes.proof import Incoming, Verdict


def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
    del now
    keys = [body_mac.base64_key(secret) for secret in secrets]
    return body_mac.verify(request, keys, header="x-airtable-content-mac", prefix="hmac-sha256=")


def check_secret(secret: str) -> None:
    """Raises ValueError when a webhook's secret cannot be one."""
    body_mac.base64_key(secret)
