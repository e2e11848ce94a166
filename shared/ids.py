"""Identities: who mints them and how they are derived. Derived ids make a repeat recognisable after any crash."""

from __future__ import annotations

from functools import lru_cache
from typing import NewType
from uuid import UUID, uuid5

AgentName = NewType("AgentName", str)
ThreadId = NewType("ThreadId", UUID)
RunId = NewType("RunId", UUID)
CallId = NewType("CallId", str)

# Fixed for ever: every derived id of every deployment hangs on it.
NAMESPACE = UUID("6f0f9a52-3d1b-5c64-9a77-2b7c1f6d4e10")


@lru_cache(maxsize=8192)  # asked for every message of a conversation
def thread_id(agent: str, conversation_id: str) -> ThreadId:
    """One conversation of one agent."""
    return ThreadId(uuid5(NAMESPACE, f"thread\n{agent}\n{conversation_id}"))


def run_id(agent: str, source: str, event_id: str) -> RunId:
    """The run that an event triggers at an agent. Known before anything is stored, so `ask` can print it at once."""
    return RunId(uuid5(NAMESPACE, f"run\n{agent}\n{source}\n{event_id}"))


def call_id(run: RunId, step: int, index: int) -> CallId:
    """Identity of a tool call: ours, never the provider's, whose ids repeat inside real runs."""
    return CallId(f"{run}.{step}.{index}")


def approval_id(call: str, revision: int) -> str:
    """The nth time that people are asked about a call."""
    made = uuid5(NAMESPACE, f"approval\n{call}\n{revision}")
    return f"apr_{made.hex[:20]}"


def parse_call_id(value: str) -> tuple[RunId, int, int]:
    """Split `<run>.<step>.<index>`. Raises ValueError when it is not of that form."""
    run, step, index = value.rsplit(".", 2)
    return RunId(UUID(run)), int(step), int(index)


def is_run_of(run: UUID, agent: str, source: str, event_id: str) -> bool:
    """Whether a stored run stands under the id derived from it. An agent can write a row of its own under any id."""
    return run == run_id(agent, source, event_id)


def dead_letter_id(service: str, topic: str, partition: int, offset: int, digest: str) -> UUID:
    """Same whenever a service meets the same bytes at the same place."""
    return uuid5(NAMESPACE, f"dead\n{service}\n{topic}\n{partition}\n{offset}\n{digest}")
