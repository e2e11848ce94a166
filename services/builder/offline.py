"""Builder without a model: says what the rules found."""

from __future__ import annotations

from shared.models.offline import Seen, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "transient" in facts:
        again = "may be tried again" if facts["transient"] else "needs a change first"
        return say(f"[offline] {kind}: {facts['error'] or 'no message'}; {again}.")
    if kind == "viox.automation.requested":
        return say(f"[offline] Automation wanted: {data.get('title')}.")
    return say(f"[offline] {seen.summary()}")
