"""What Controller listens to and which conversation an event belongs to.

Events: com.stripe.invoice.paid, com.stripe.invoice.payment_failed, com.stripe.charge.dispute.created,
com.intuit.qbo.invoice.updated; mails and text messages of customers whom it reminded or thanked.
"""

from __future__ import annotations

from services.controller.graph import graph
from services.controller.offline import policy
from services.controller.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per invoice, dispute, or invoice of the books: its reminders, payments and timers belong together."""
    data = event.data
    if not event.type.startswith("com.stripe."):
        return f"books:{data.get('intuitentityid') or event.id}"
    stripe = data.get("data", {}).get("object", {})
    kind = "dispute" if "dispute" in event.type else "invoice"
    return f"{kind}:{stripe.get('id') or event.id}"


CONTROLLER = AgentSpec("controller", SYSTEM, conversation, graph, policy)
