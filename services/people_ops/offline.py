"""People Ops without a model: says what the rules found."""

from __future__ import annotations

from shared.models.offline import Seen, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "missing" in facts:
        years = facts["years_of_experience"]
        seniority = f"{years} years of experience" if years is not None else "experience not stated"
        gaps = f" Ask for: {', '.join(facts['missing'])}." if facts["missing"] else ""
        return say(f"[offline] {data.get('name')} applied as {data.get('position')}: {seniority}.{gaps}")
    return say(f"[offline] {seen.summary()}")
