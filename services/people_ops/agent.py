"""What People Ops listens to and which conversation an event belongs to.

Events: viox.candidate.applied, viox.candidate.replied; text messages and mails of candidates.
"""

from __future__ import annotations

from services.people_ops.graph import graph
from services.people_ops.offline import policy
from services.people_ops.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per candidate."""
    return f"candidate:{event.data.get('candidate_id', event.id)}"


PEOPLE_OPS = AgentSpec("people-ops", SYSTEM, conversation, graph, policy)
