"""Steward's rules: how urgent a ticket is. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
from typing import Any

URGENT = ("urgent", "asap", "down", "outage", "lawyer", "data loss", "locked out", "double charged", "charged twice")
UPSET = ("angry", "unacceptable", "disappointed", "terrible", "worst", "complaint")


def urgency(text: str) -> str:
    """high within the hour, normal within the day, upset customers before others."""
    words = text.lower()
    if any(mark in words for mark in URGENT):
        return "high"
    return "raised" if any(mark in words for mark in UPSET) else "normal"


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Steward's rules put before the model, as one line of JSON."""
    if trigger["type"] != "viox.ticket.created":
        return None
    data = trigger["data"]
    return json.dumps({"urgency": urgency(f"{data.get('subject', '')} {data.get('body', '')}")})
