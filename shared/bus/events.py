"""Every event type the deployment knows: its topic, who handles it, and the schema of its data where it is ours.

An unknown type is refused by name: a typo must not vanish into a topic that nobody reads. Vendors' types carry the
vendor's own payload as data, unchanged; their schemas are the vendors' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.bus import topics
from shared.errors import BadInput


class EventData(BaseModel):
    """Base of our own event data. Readers ignore unknown fields, so an older service survives a newer field."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskRequested(EventData):
    """Do this: a command to one agent."""

    instruction: str = Field(min_length=1, max_length=100_000)
    context: dict[str, Any] = Field(default_factory=dict)


class LeadCreated(EventData):
    """Someone showed interest in buying."""

    email: str = Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")
    first_name: str = ""
    last_name: str = ""
    phone: str | None = Field(default=None, description="E.164, for instance +14155550123")
    company: str | None = None
    interest: str | None = None
    amount_cents: int | None = Field(default=None, ge=0, description="expected deal size, minor units")
    source: str | None = None


class ClientPackage(EventData):
    """One thing the client bought, that becomes a project in their base."""

    name: str = Field(min_length=1)
    amount_cents: int = Field(ge=0)
    starts_on: str | None = Field(default=None, description="ISO date")


class ClientContact(EventData):
    name: str = Field(min_length=1)
    email: str
    role: str | None = None


class ClientSigned(EventData):
    """A client signed; their back office must be set up."""

    client_id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    airtable_workspace_id: str = Field(min_length=1)
    contacts: list[ClientContact] = Field(min_length=1)
    packages: list[ClientPackage] = Field(min_length=1)
    signed_at: AwareDatetime | None = None


class TicketCreated(EventData):
    ticket_id: str = Field(min_length=1)
    subject: str
    body: str = ""
    customer_email: str | None = None


class CandidateApplied(EventData):
    candidate_id: str = Field(min_length=1)
    name: str
    email: str
    position: str
    resume_text: str = ""


class BriefingDue(EventData):
    day: str = Field(description="ISO date of the day to brief about")


class AutomationRequested(EventData):
    request_id: str = Field(min_length=1)
    title: str
    description: str = ""
    requested_by: str | None = None


EventModel = type[EventData]


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the published table. `owners` handle it; `addressed` ones go to whoever owns the conversation."""

    type: str
    domain: str
    owners: tuple[str, ...]
    about: str
    data: EventModel | None = None
    addressed: str | None = None  # channel of the address book, with `owners` as those who take unowned ones
    address_field: str | None = None

    @property
    def topic(self) -> str:
        return topics.events(self.domain)


TASK_TYPE = "viox.task.requested"

_TYPES = (
    EventType("viox.lead.created", "sales", ("closer",), "someone showed interest", LeadCreated),
    EventType("com.hubspot.contact.creation", "sales", ("closer",), "a contact appeared in HubSpot (webhook item)"),
    EventType("com.hubspot.deal.creation", "sales", ("closer",), "a deal appeared in HubSpot (webhook item)"),
    EventType(
        "com.twilio.message.received",
        "telephony",
        ("voice",),
        "an SMS came in (Twilio's parameters)",
        addressed="sms",
        address_field="From",
    ),
    EventType("com.twilio.message.status", "telephony", ("voice",), "delivery news of an SMS (status callback)"),
    EventType("com.twilio.call.completed", "telephony", ("voice",), "a phone call ended (status callback)"),
    EventType("com.elevenlabs.post_call_transcription", "telephony", ("voice",), "transcript of a voice call"),
    EventType("com.stripe.invoice.paid", "finance", ("controller",), "a Stripe invoice was paid (event object)"),
    EventType("com.stripe.invoice.payment_failed", "finance", ("controller",), "a payment failed (event object)"),
    EventType("com.stripe.charge.dispute.created", "finance", ("controller",), "a charge was disputed (event object)"),
    EventType("com.intuit.qbo.invoice.updated", "finance", ("controller",), "an invoice changed in QuickBooks"),
    EventType("viox.ticket.created", "support", ("steward",), "a customer asked for help", TicketCreated),
    EventType("com.hubspot.ticket.creation", "support", ("steward",), "a ticket appeared in HubSpot (webhook item)"),
    EventType("viox.candidate.applied", "people", ("people-ops",), "someone applied for a job", CandidateApplied),
    EventType("viox.client.signed", "operations", ("operator",), "a client signed", ClientSigned),
    EventType("com.airtable.webhook.notified", "operations", ("operator",), "an Airtable base changed (ping)"),
    EventType("viox.automation.requested", "platform", ("builder",), "an automation is wanted", AutomationRequested),
    EventType("com.n8n.execution.failed", "platform", ("builder",), "an n8n execution failed"),
    EventType("com.make.scenario.failed", "platform", ("builder",), "a Make scenario failed"),
    EventType("viox.briefing.due", "platform", ("chief-of-staff",), "time for the owner's briefing", BriefingDue),
)

REGISTRY: dict[str, EventType] = {entry.type: entry for entry in _TYPES}


def event_type(name: str) -> EventType:
    """The registered type. Raises BadInput naming it, with the nearest known names, when there is none."""
    if entry := REGISTRY.get(name):
        return entry
    import difflib

    near = difflib.get_close_matches(name, REGISTRY, n=3)
    raise BadInput(
        "event.unknown_type",
        f"{name!r} is not an event type of this deployment.",
        field="type",
        remedy=f"Did you mean {', '.join(near)}?" if near else "See docs/reference/events.md for the table.",
    )


def check_data(entry_type: str, data: Any) -> None:
    """Data of our own types must fit their schema. Raises BadInput naming the field."""
    model = TaskRequested if entry_type == TASK_TYPE else event_type(entry_type).data
    if model is None:
        if not isinstance(data, dict):
            raise BadInput(
                "event.invalid_data", "data must be a JSON object.", field="data", remedy="Send an object, not a list."
            )
        return
    from pydantic import ValidationError

    try:
        model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["data", *(str(part) for part in first["loc"])])
        raise BadInput(
            "event.invalid_data",
            f"{first['msg']} (in {entry_type}).",
            field=where,
            remedy=f"See the schema of {entry_type} in docs/reference/schemas.",
        ) from error
