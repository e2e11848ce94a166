"""What Operator listens to and which conversation an event belongs to.

Events: viox.client.signed, com.airtable.webhook.notified,
com.airtable.base.changed.
"""

from __future__ import annotations

from services.operator.graph import graph
from services.operator.offline import policy
from services.operator.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per client, or per base that changed."""
    if event.type == "viox.client.signed":
        return f"client:{event.data['client_id']}"
    return f"base:{event.data.get('base', {}).get('id', event.id)}"


OPERATOR = AgentSpec("operator", SYSTEM, conversation, graph, policy)
