"""What Closer listens to and which conversation an event belongs to.

Events: viox.lead.created, com.hubspot.contact.creation, com.hubspot.deal.creation, com.stripe.checkout.session.completed; text
messages and mails of leads it wrote to.
"""

from __future__ import annotations

from services.closer.domain import lead_paid_for
from services.closer.graph import graph
from services.closer.offline import policy
from services.closer.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per lead, contact or deal. A payment belongs to the lead whose link was used."""
    data = event.data
    match event.type:
        case "viox.lead.created":
            return f"lead:{str(data['email']).lower()}"
        case "com.stripe.checkout.session.completed":
            lead = lead_paid_for(data)
            return f"lead:{lead}" if lead else f"payment:{data['data']['object']['id']}"
        case "com.hubspot.deal.creation":
            return f"deal:{data.get('objectId')}"
        case _:
            return f"contact:{data.get('objectId')}"


CLOSER = AgentSpec("closer", SYSTEM, conversation, graph, policy)
