"""Controller's rules: what a money event amounts to. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from typing import Any

from shared.money import as_written


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
    currency = str(thing.get("currency") or "usd")
    plain = re.fullmatch(r"[A-Za-z]{3}", currency)
    return json.dumps(
        {
            "amount": as_written(amount, currency) if amount is not None and plain else None,
            "next": next_step(trigger["type"], int(thing.get("attempt_count") or 0)),
        }
    )
