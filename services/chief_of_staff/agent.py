"""What Chief of Staff listens to and which conversation an event belongs to.

Events: viox.briefing.due.
"""

from __future__ import annotations

from services.chief_of_staff.graph import graph
from services.chief_of_staff.offline import policy
from services.chief_of_staff.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per day."""
    return f"day:{event.data.get('day', event.id)}"


CHIEF_OF_STAFF = AgentSpec("chief-of-staff", SYSTEM, conversation, graph, policy)
