"""Voice without a model: says what the rules found."""

from __future__ import annotations

from shared.models.offline import Seen, cannot, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "take_over" in facts:
        return say(f"[offline] {data.get('From')} wrote {data.get('Body')!r}: for {facts['take_over']}.")
    if "reached" in facts:
        return say(
            f"[offline] {data.get('To')}: {facts['status']}, {'reached' if facts['reached'] else 'not reached'}."
        )
    if kind:
        return say(f"[offline] {kind} noted; only a model reads what was said.")
    return cannot("without a model Voice says who takes over a text message, and takes no tasks.")
