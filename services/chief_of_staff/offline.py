"""Chief of Staff without a model: says what the rules found."""

from __future__ import annotations

from shared.models.offline import Seen, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "weekday" in facts:
        due = [name for name in ("week_report", "month_report") if facts[name]]
        return say(
            f"[offline] Briefing for {facts['weekday']} {facts['day']}. Due: {', '.join(due) or 'nothing special'}."
        )
    if "problem" in facts:
        return say(f"[offline] No briefing: {facts['problem']}.")
    return say(f"[offline] {seen.summary()}")
