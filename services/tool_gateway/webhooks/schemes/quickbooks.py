"""QuickBooks: `intuit-signature`, the base64 HMAC-SHA256 of the raw body with the app's verifier token."""

from __future__ import annotations

from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes import body_mac
from services.tool_gateway.webhooks.schemes.proof import Incoming, Verdict


def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
    del now
    keys = [secret.encode() for secret in secrets]
    return body_mac.verify(request, keys, header="intuit-signature", spelling="base64")
