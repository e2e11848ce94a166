"""Controller's rules: what a money event amounts to. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from typing import Any

from shared.money import amount_in, as_written

REFUND = re.compile(r"\brefund\b", re.IGNORECASE)
CHARGE = re.compile(r"\b(?:ch|py)_\w+")


def next_step(event_type: str, attempts: int) -> str:
    """What the business does about it. A second failed payment is a person's matter."""
    if event_type.endswith("payment_failed"):
        return "remind the customer" if attempts < 2 else "ask the owner"
    return {"com.stripe.charge.dispute.created": "collect evidence before the due date"}.get(event_type, "file it")


def refund_order(instruction: str) -> dict[str, Any] | None:
    """The charge and the amount, in hundredths, that an order to refund names; None when it is no such order or names none."""
    charge, amount = CHARGE.search(instruction), amount_in(instruction)
    if not REFUND.search(instruction) or charge is None or amount is None:
        return None
    return {"charge": charge.group(), "amount": amount}


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Controller's rules put before the model, as one line of JSON."""
    if trigger["type"] == "viox.task.requested":
        order = refund_order(str(trigger["data"].get("instruction", "")))
        return json.dumps({"refund": order, "next": "refund it; a person agrees first"}) if order else None
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
