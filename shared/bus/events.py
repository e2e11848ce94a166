"""Every event type the deployment knows: its topic, who handles it, and the schema of its data where it is ours.

An unknown type is refused by name: a typo must not vanish into a topic that nobody reads. Vendors' types carry the
vendor's own payload as data, unchanged; vendor_events.py says what it must hold at least.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.bus import topics, vendor_events
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
    phone: str | None = Field(default=None, description="E.164, for instance +14155550123")


class CandidateReplied(EventData):
    """An applicant answered, by mail for instance. Text messages come from Twilio, and find their conversation by the number."""

    candidate_id: str = Field(min_length=1)
    text: str = Field(min_length=1, max_length=50_000)


class MailAttachment(EventData):
    """A file that came with a mail. Its bytes stay in the mailbox."""

    filename: str = ""
    content_type: str = ""
    size: int = Field(default=0, ge=0, description="bytes")


class MailReceived(EventData):
    """A mail came in. The gateway makes these from a mailbox or from `POST /webhooks/mail`; systems of yours may, too."""

    sender: str = Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", description="address of From")
    sender_name: str = Field(default="", max_length=250)
    recipients: list[str] = Field(default_factory=list, description="addresses of To and Cc")
    subject: str = Field(default="", max_length=1000)
    text: str = Field(
        default="", max_length=100_000, description="what is new in it, without the quoted letters before"
    )
    kind: Literal["message", "automatic", "undelivered"] = Field(
        default="message",
        description="automatic: of a machine, nobody waits for an answer; undelivered: a mail of ours did not arrive",
    )
    message_id: str | None = Field(default=None, max_length=998, description="its Message-ID, with angle brackets")
    verified: Literal["", "dmarc", "reply"] = Field(
        default="",
        description="how it is known that the sender is who From says: by the receiving server's DMARC check, or because it "
        "answers a mail that went to nobody else; empty: anybody may have written it",
    )
    owner_key: str = Field(
        default="",
        max_length=320,
        description="under what the address book has its conversation: the mail of ours that it answers, or a proved sender",
    )
    attachments: list[MailAttachment] = Field(default_factory=list)
    truncated: bool = Field(default=False, description="it was too large to be read to its end")
    lost: list[str] = Field(default_factory=list, description="of an undelivered one: whom it did not reach, and why")


class BriefingDue(EventData):
    day: str = Field(description="ISO date of the day to brief about, or of the last day of the week")
    period: Literal["day", "week"] = "day"


class UpkeepDue(EventData):
    day: str = Field(description="ISO date of the day on which it is due")
    of: Literal["contacts", "automations"] = Field(
        description="contacts: duplicates in the CRM; automations: runs of workflows and scenarios that failed"
    )


class AutomationRequested(EventData):
    request_id: str = Field(min_length=1)
    title: str
    description: str = ""
    requested_by: str | None = None


EventModel = type[EventData]
VendorModel = type[vendor_events.VendorData]


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the published table. `owners` handle it; `addressed` ones go to whoever owns the conversation."""

    type: str
    domain: str
    owners: tuple[str, ...]
    about: str
    data: EventModel | None = None  # of our own types
    vendor: VendorModel | None = None  # of vendors' types
    addressed: str | None = None  # channel of the address book, with `owners` as those who take unowned ones
    address_field: str | None = None
    sender_field: str | None = None  # who wrote, where that is not `address_field`
    text_field: str | None = None  # where the sender may ask not to be written to
    hears_own: bool = False  # owners also hear of what their own calls caused: news of it, not its echo
    news: tuple[str, frozenset[str]] | None = None  # a field, and its values that are news; of others nobody hears

    @property
    def topic(self) -> str:
        return topics.events(self.domain)

    def heard_by(self, agent: str, extensions: Mapping[str, str], data: Any) -> bool:
        """Whether an owner starts a run because of such an event: not because of the echo of its own call, nor of one that
        says that all went as it should."""
        if self.news and isinstance(data, Mapping) and str(data.get(self.news[0], "")) not in self.news[1] | {""}:
            return False
        return self.hears_own or extensions.get(CAUSED_BY_AGENT) != agent


TASK_TYPE = "viox.task.requested"
MAIL_TYPE, MAIL_CHANNEL = "viox.mail.received", "email"
CAUSED_BY_CALL, CAUSED_BY_AGENT = "causedbycall", "causedbyagent"  # extensions of what one of our own calls caused

_TYPES = (
    EventType("viox.lead.created", "sales", ("closer",), "someone showed interest", LeadCreated),
    EventType(
        "com.hubspot.contact.creation",
        "sales",
        ("closer",),
        "a contact appeared in HubSpot (webhook item)",
        vendor=vendor_events.HubSpotItem,
    ),
    EventType(
        "com.hubspot.deal.creation",
        "sales",
        ("closer",),
        "a deal appeared in HubSpot (webhook item)",
        vendor=vendor_events.HubSpotItem,
    ),
    EventType(
        "com.stripe.checkout.session.completed",
        "sales",
        ("closer",),
        "somebody paid by a payment link or on a checkout page (event object)",
        vendor=vendor_events.StripeCheckoutEvent,
    ),
    EventType(
        "com.twilio.message.received",
        "telephony",
        ("voice",),
        "an SMS came in (Twilio's parameters)",
        vendor=vendor_events.TwilioMessage,
        addressed="sms",
        address_field="From",
        text_field="Body",
    ),
    EventType(
        MAIL_TYPE,
        "telephony",
        ("voice",),
        "a mail came in (those of machines begin no run)",
        MailReceived,
        addressed=MAIL_CHANNEL,
        address_field="owner_key",
        sender_field="sender",
        text_field="text",
        news=("kind", frozenset({"message", "undelivered"})),
    ),
    EventType(
        "com.twilio.message.status",
        "telephony",
        ("voice",),
        "an SMS was not delivered (status callback; those of other statuses begin no run)",
        vendor=vendor_events.TwilioMessageStatus,
        hears_own=True,
        news=("MessageStatus", frozenset({"failed", "undelivered"})),
    ),
    EventType(
        "com.twilio.call.completed",
        "telephony",
        ("voice",),
        "a phone call ended (status callback)",
        vendor=vendor_events.TwilioCall,
        hears_own=True,
    ),
    EventType(
        "com.elevenlabs.post_call_transcription",
        "telephony",
        ("voice",),
        "transcript of a voice call",
        vendor=vendor_events.ElevenLabsTranscription,
        hears_own=True,
    ),
    EventType(
        "com.elevenlabs.call_initiation_failure",
        "telephony",
        ("voice",),
        "a call of the voice agent reached nobody",
        vendor=vendor_events.ElevenLabsFailure,
        hears_own=True,
    ),
    EventType(
        "com.stripe.invoice.paid",
        "finance",
        ("controller",),
        "a Stripe invoice was paid (event object)",
        vendor=vendor_events.StripeInvoiceEvent,
    ),
    EventType(
        "com.stripe.invoice.payment_failed",
        "finance",
        ("controller",),
        "a payment failed (event object)",
        vendor=vendor_events.StripeInvoiceEvent,
    ),
    EventType(
        "com.stripe.charge.dispute.created",
        "finance",
        ("controller",),
        "a charge was disputed (event object)",
        vendor=vendor_events.StripeDisputeEvent,
    ),
    EventType(
        "com.intuit.qbo.invoice.updated",
        "finance",
        ("controller",),
        "an invoice changed in QuickBooks",
        vendor=vendor_events.QuickBooksEntity,
    ),
    EventType("viox.ticket.created", "support", ("steward",), "a customer asked for help", TicketCreated),
    EventType(
        "com.hubspot.ticket.creation",
        "support",
        ("steward",),
        "a ticket appeared in HubSpot (webhook item)",
        vendor=vendor_events.HubSpotItem,
    ),
    EventType("viox.candidate.applied", "people", ("people-ops",), "someone applied for a job", CandidateApplied),
    EventType("viox.candidate.replied", "people", ("people-ops",), "an applicant answered", CandidateReplied),
    EventType("viox.client.signed", "operations", ("operator",), "a client signed", ClientSigned),
    EventType(
        "com.airtable.webhook.notified",
        "operations",
        ("operator",),
        "an Airtable base changed (ping)",
        vendor=vendor_events.AirtablePing,
    ),
    EventType(
        "com.airtable.base.changed",
        "operations",
        ("operator",),
        "what changed in an Airtable base (a payload of its webhook)",
        vendor=vendor_events.AirtableChange,
    ),
    EventType("viox.upkeep.due", "operations", ("operator",), "time to look after contacts or automations", UpkeepDue),
    EventType("viox.automation.requested", "platform", ("builder",), "an automation is wanted", AutomationRequested),
    EventType(
        "com.n8n.execution.failed", "platform", ("builder",), "an n8n execution failed", vendor=vendor_events.N8nFailure
    ),
    EventType(
        "com.make.scenario.failed", "platform", ("builder",), "a Make scenario failed", vendor=vendor_events.MakeFailure
    ),
    EventType("viox.briefing.due", "platform", ("chief-of-staff",), "time for the owner's briefing", BriefingDue),
)


def _of_manifests() -> Iterator[EventType]:
    """Types that an agent's own `agent.toml` brings: any JSON object is their data."""
    for agent, told in topics.MANIFESTS.items():
        for one in told.get("events", []):
            yield EventType(one["type"], one["domain"], (agent,), one["about"], EventData)


REGISTRY: dict[str, EventType] = {entry.type: entry for entry in (*_TYPES, *_of_manifests())}


def unheard(entries: Iterable[EventType], listeners: Mapping[str, Collection[str]]) -> list[str]:
    """Owners that do not consume the topic of what they own, in words: their events would be lost. `listeners`: domain → who
    consumes it."""
    return [
        f"{owner} owns {entry.type}, and does not consume {entry.topic}"
        for entry in entries
        for owner in entry.owners
        if owner not in listeners.get(entry.domain, ())
    ]


def check_owners() -> None:
    """Raises BadInput when an event would go to a service that does not hear of it."""
    if problems := unheard(REGISTRY.values(), topics.LISTENERS):
        raise BadInput(
            "event.unheard",
            f"{'; '.join(problems)}.",
            field="LISTENERS",
            remedy="Name it among the listeners of the domain in shared/bus/topics.py.",
        )


def unheard_contacts(channel: str, agent: str) -> list[str]:
    """Topics with answers to an agent that opens conversations on a channel, and that it does not consume."""
    entries = [entry for entry in REGISTRY.values() if entry.addressed == channel]
    return sorted({entry.topic for entry in entries if agent not in topics.LISTENERS.get(entry.domain, ())})


def event_type(name: str) -> EventType:
    """The registered type. Raises BadInput naming it, with the nearest known names, when there is none."""
    if entry := REGISTRY.get(name):
        return entry
    near = difflib.get_close_matches(name, REGISTRY, n=3)
    raise BadInput(
        "event.unknown_type",
        f"{name!r} is not an event type of this deployment.",
        field="type",
        remedy=f"Did you mean {', '.join(near)}?" if near else "See docs/reference/events.md for the table.",
    )


def check_data(entry_type: str, data: Any) -> None:
    """Data must fit the schema of our own types, and be the vendor's of a vendor's. Raises BadInput naming the field."""
    from pydantic import ValidationError

    entry = None if entry_type == TASK_TYPE else event_type(entry_type)
    own = TaskRequested if entry is None else entry.data
    model = own or (entry.vendor if entry else None)
    if not isinstance(data, dict) or model is None:
        raise BadInput(
            "event.invalid_data", "data must be a JSON object.", field="data", remedy="Send an object, not a list."
        )
    try:
        model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["data", *(str(part) for part in first["loc"])])
        raise BadInput(
            "event.invalid_data",
            f"{first['msg']} (in {entry_type}).",
            field=where,
            remedy=_remedy(entry_type, where, data) if own else _VENDORS_OWN.format(entry_type),
        ) from error


_VENDORS_OWN = "Send the vendor's own payload as it came; docs/reference/examples.md has one of {}."


def _remedy(entry_type: str, missing: str, data: dict[str, Any]) -> str:
    meant = next((field for field, near in unknown_fields(entry_type, data) if near == missing), None)
    return f"Is {meant} meant? " * bool(meant) + f"See the schema of {entry_type} in docs/reference/schemas."


def unknown_fields(entry_type: str, data: Any) -> list[tuple[str, str | None]]:
    """(field, the known one that it may be meant for) of each field that our own schema does not have. Readers ignore them."""
    model = TaskRequested if entry_type == TASK_TYPE else event_type(entry_type).data
    return list(_unknown(model, data, "data")) if model else []


def _unknown(model: type[BaseModel], data: Any, path: str) -> Iterator[tuple[str, str | None]]:
    if not isinstance(data, dict):
        return
    for name, value in data.items():
        if field := model.model_fields.get(name):
            for inner in _models_in(field.annotation):
                for number, item in enumerate(value if isinstance(value, list) else [value]):
                    place = f".{number}" if isinstance(value, list) else ""
                    yield from _unknown(inner, item, f"{path}.{name}{place}")
        else:
            near = difflib.get_close_matches(name.lower(), set(model.model_fields) - set(data), n=1)
            yield f"{path}.{name}", f"{path}.{near[0]}" if near else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models of a field: itself, the items of its list, or one of its alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)
