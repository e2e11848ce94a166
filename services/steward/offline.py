"""Steward without a model: says what the rules found."""

from __future__ import annotations

from shared.models.offline import Seen, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "urgency" in facts:
        return say(f"[offline] Ticket {data.get('ticket_id')} ({data.get('subject')}): {facts['urgency']} urgency.")
    return say(f"[offline] {seen.summary()}")
