"""Controller's rules: what a money event amounts to. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
from typing import Any

# Stripe's currencies whose amounts are whole units, and those whose amounts are thousandths. UGX and ISK have no minor units
# either, but Stripe goes on counting them in hundredths: an amount of 500 is 5 UGX.
ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def money(amount: int, currency: str) -> str:
    """Minor units as people write them: (125050, "usd") → "1,250.50 USD"."""
    code = currency.lower()
    places = 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2
    return f"{amount / 10**places:,.{places}f} {code.upper()}"


def next_step(event_type: str, attempts: int) -> str:
    """What the business does about it. A second failed payment is a person's matter."""
    if event_type.endswith("payment_failed"):
        return "remind the customer" if attempts < 2 else "ask the owner"
    return {"com.stripe.charge.dispute.created": "collect evidence before the due date"}.get(event_type, "file it")


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Controller's rules put before the model, as one line of JSON."""
    if not trigger["type"].startswith("com.stripe."):
        return None
    thing = trigger["data"].get("data", {}).get("object", {})
    amount = next((thing[k] for k in ("amount_due", "amount_paid", "amount") if isinstance(thing.get(k), int)), None)
    return json.dumps(
        {
            "amount": money(amount, str(thing.get("currency", "usd"))) if amount is not None else None,
            "reference": thing.get("number") or thing.get("id"),
            "next": next_step(trigger["type"], int(thing.get("attempt_count") or 0)),
        }
    )
