"""Steward's rules: how urgent a ticket is. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from typing import Any

# Whole words: a download is not down, and neither is a down payment.
URGENT = re.compile(
    r"\b(urgent(ly)?|urgency|asap|down(?! payment)|outages?|lawyers?|data loss|locked out|double charged|charged twice)\b"
)
UPSET = re.compile(r"\b(angry|unacceptable|disappoint(ed|ing)|terrible|worst|complaints?)\b")


def urgency(text: str) -> str:
    """high within the hour, normal within the day, upset customers before others."""
    words = " ".join(text.lower().split())
    if URGENT.search(words):
        return "high"
    return "raised" if UPSET.search(words) else "normal"


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Steward's rules put before the model, as one line of JSON."""
    if trigger["type"] != "viox.ticket.created":
        return None
    data = trigger["data"]
    return json.dumps({"urgency": urgency(f"{data.get('subject', '')} {data.get('body', '')}")})
