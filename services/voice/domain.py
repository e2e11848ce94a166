"""Voice's rules: who should take a message that nobody owns. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
from typing import Any

# First match wins; the order is the business's order of urgency.
ROUTING = (
    ("steward", ("broken", "help", "problem", "complaint", "refund", "not working", "cancel my")),
    ("controller", ("invoice", "payment", "paid", "receipt", "bill")),
    ("people-ops", ("job", "apply", "application", "hiring", "interview", "resume")),
    ("closer", ("price", "quote", "offer", "interested", "buy", "appointment", "service")),
)
FAILED = {"failed", "undelivered", "busy", "no-answer", "canceled"}


def colleague_for(text: str) -> str:
    """The agent whose subject a message is; Voice itself when none is named."""
    words = text.lower()
    return next((agent for agent, marks in ROUTING if any(mark in words for mark in marks)), "voice")


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Voice's rules put before the model, as one line of JSON."""
    data = trigger["data"]
    match trigger["type"]:
        case "com.twilio.message.received":
            return json.dumps({"take_over": colleague_for(str(data.get("Body", "")))})
        case "com.twilio.message.status" | "com.twilio.call.completed":
            status = str(data.get("MessageStatus") or data.get("CallStatus") or "unknown")
            return json.dumps({"status": status, "reached": status not in FAILED})
        case _:
            return None
