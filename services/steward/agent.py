"""What Steward listens to and which conversation an event belongs to.

Events: viox.ticket.created, com.hubspot.ticket.creation; mails and text messages of those it wrote to.
"""

from __future__ import annotations

from services.steward.graph import graph
from services.steward.offline import policy
from services.steward.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per ticket."""
    return f"ticket:{event.data.get('ticket_id') or event.data.get('objectId') or event.id}"


STEWARD = AgentSpec("steward", SYSTEM, conversation, graph, policy)
