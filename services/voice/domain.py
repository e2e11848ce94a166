"""Voice's rules: who should take a message that nobody owns. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from typing import Any

# First match wins; the order is the business's order of urgency. Whole words, in any of their forms: nobody's "helper" or "bilingual".
ROUTING = (
    ("steward", r"broken?|help|problem|complain(t)?|refund|not working|cancel my"),
    ("controller", r"invoice|payment|(un)?paid|pay|receipt|bill"),
    ("people-ops", r"job|appl(y|ied|ication)|hir(e|ing)|interview|resume"),
    ("closer", r"pric(e|ing)|quote|offer|interested|buy|appointment|service"),
)
ENDINGS = r"(s|es|ed|d|ing)?"
KNOWN = {
    "accepted",
    "queued",
    "sending",
    "sent",
    "receiving",
    "received",
    "delivered",
    "undelivered",
    "failed",
    "read",
} | {*("canceled", "scheduled", "initiated", "ringing", "in-progress", "answered", "completed", "busy", "no-answer")}
FAILED = {"failed", "undelivered", "busy", "no-answer", "canceled"}


def colleague_for(text: str) -> str:
    """The agent whose subject a message is; Voice itself when none is named."""
    words = " ".join(text.lower().split())
    return next((agent for agent, marks in ROUTING if re.search(rf"\b({marks}){ENDINGS}\b", words)), "voice")


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Voice's rules put before the model, as one line of JSON."""
    data = trigger["data"]
    match trigger["type"]:
        case "com.twilio.message.received":
            return json.dumps({"take_over": colleague_for(str(data.get("Body", "")))})
        case "com.twilio.message.status" | "com.twilio.call.completed":
            status = str(data.get("MessageStatus") or data.get("CallStatus") or "unknown")
            status = status if status in KNOWN else "unknown"
            return json.dumps({"status": status, "reached": status not in FAILED})
        case _:
            return None
