"""What Controller listens to and which conversation an event belongs to.

Events: com.stripe.invoice.paid, com.stripe.invoice.payment_failed, com.stripe.charge.dispute.created,
com.intuit.qbo.invoice.updated.
"""

from __future__ import annotations

from services.controller.graph import graph
from services.controller.offline import policy
from services.controller.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per customer, or per object when the event names no customer."""
    data = event.data
    stripe = data.get("data", {}).get("object", {}) if event.type.startswith("com.stripe.") else {}
    if customer := stripe.get("customer"):
        return f"customer:{customer}"
    return f"object:{stripe.get('id') or data.get('intuitentityid') or event.id}"


CONTROLLER = AgentSpec("controller", "money", SYSTEM, conversation, graph, policy)
