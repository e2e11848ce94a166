"""What Operator listens to and which conversation an event belongs to.

Events: viox.client.signed, viox.upkeep.due, com.airtable.webhook.notified,
com.airtable.base.changed.
"""

from __future__ import annotations

from services.operator.graph import graph
from services.operator.offline import policy
from services.operator.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per client, per base that changed, or per time at which something is looked after: what is to be
    known the next time stands in records, so that no conversation grows for ever."""
    if event.type == "viox.client.signed":
        return f"client:{event.data['client_id']}"
    if event.type == "viox.upkeep.due":
        return f"upkeep:{event.data['of']}:{event.id}"
    return f"base:{event.data.get('base', {}).get('id', event.id)}"


OPERATOR = AgentSpec("operator", SYSTEM, conversation, graph, policy)
