"""Controller without a model: says what the rules found."""

from __future__ import annotations

from shared.models.offline import Seen, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "next" in facts:
        return say(f"[offline] {kind}: {facts['reference']}, {facts['amount'] or 'no amount'}. Next: {facts['next']}.")
    return say(f"[offline] {seen.summary()}")
