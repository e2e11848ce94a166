"""Stripe: `Stripe-Signature: t=,v1=[,v1=]`, five minutes. The secret is the whole `whsec_` text."""

from __future__ import annotations

from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes import timestamped
from services.tool_gateway.webhooks.schemes.proof import Incoming, Verdict

PAST_SECONDS = 300


def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
    return timestamped.verify(request, secrets, now, header="stripe-signature", scheme="v1", past_seconds=PAST_SECONDS)
