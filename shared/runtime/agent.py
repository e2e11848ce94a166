"""What makes an agent: the few facts its service hands to the runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.bus.envelope import Message
from shared.models.port import AssistantMessage, ChatRequest
from shared.runtime.flow import Flow


class OfflinePolicy(Protocol):
    """A deterministic stand-in for a model: it sees what an adapter would send, and nothing else."""

    def __call__(self, request: ChatRequest) -> AssistantMessage: ...


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent. `conversation` maps an event to the conversation it belongs to; `graph` builds its graph."""

    name: str
    model_role: str
    prompt: str
    conversation: Callable[[Message], str]
    graph: Callable[[], Flow]
    offline: OfflinePolicy
    max_turns: int = 120
