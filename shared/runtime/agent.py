"""What makes an agent: the few facts its service hands to the runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.bus.envelope import Message
from shared.business import Business
from shared.models.offline import Policy
from shared.runtime.flow import Flow


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent. `conversation` maps an event to the conversation it belongs to; `graph` builds its graph."""

    name: str
    prompt: str
    conversation: Callable[[Message], str]
    graph: Callable[[], Flow]
    offline: Policy
    max_turns: int = 120

    def prompt_for(self, business: Business, prompt: str | None = None) -> str:
        """Who the agent is (or is by another prompt), and the business it works for."""
        who, facts = prompt or self.prompt, business.in_words()
        return f"{who.rstrip()}\n\n# The business\n{facts}\n" if facts else who
