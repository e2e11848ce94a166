"""What all of Steward's work reads and does: the ticket, what is kept of it, writing to the customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from services.steward import domain
from services.steward.domain import Case, ReportOrder, Ticket, Triage, Urgency
from services.steward.prompts import TRIAGE
from services.steward.rules import letters
from services.steward.rules.letters import Letter
from shared.heard import Heard
from shared.runtime.work import Result, Work

KEPT = "case"
SENT = ("answer", "acknowledgement", "refund asked", "refunded", "from a person", "survey", "sorry", "later")
DELIVER = "deliver"
DELEGATIONS = "/viox/delegations/"
TASKS: dict[str, type[Ticket] | type[ReportOrder]] = {"ticket": Ticket, "report": ReportOrder}


def what_is_wrong(work: Work) -> str | None:
    """What is missing in a task's context; None when it can be worked on."""
    context = work.trigger.context
    kind = next((kind for kind in TASKS if kind in context), None)
    try:
        made = TASKS[kind].model_validate(context[kind]) if kind else None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"context.{kind}.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if isinstance(made, Ticket) and not made.text:
        return "context.ticket: it has neither subject nor body"
    return None


def case(work: Work) -> Case | None:
    """What is kept of the ticket. What a customer writes after it was closed is another one."""
    kept = work.kept(KEPT, Case)
    said = work.trigger.heard
    return None if kept and kept.status == "closed" and said and not said.lost else kept


def ticket(work: Work) -> Ticket:
    """What is worked on: as it came, or as it is kept where a timer came."""
    kept, trigger = case(work), work.trigger
    if trigger.is_task:
        given = trigger.context.get("ticket")
        if not isinstance(given, Mapping):
            return kept.ticket if kept else Ticket()
        return _completed(Ticket.model_validate(given), kept)
    if trigger.type == "viox.ticket.created":
        return _completed(Ticket.model_validate(trigger.data), kept)
    if trigger.heard:
        return _completed(_heard(trigger.heard), kept)
    properties = (work.value("ticket") or {}).get("properties") or {}
    person = (work.value("contact") or {}).get("properties") or {}
    return Ticket(
        ticket_id=str(trigger.data.get("objectId")),
        subject=str(properties.get("subject") or ""),
        body=str(properties.get("content") or ""),
        customer_email=person.get("email"),
        phone=person.get("phone"),
    )


def _heard(said: Heard) -> Ticket:
    """What the customer wrote, as a ticket. A mail of ours that did not arrive is still about theirs."""
    if said.lost:
        return Ticket()
    if said.channel == "sms":
        return Ticket(body=said.text, phone=said.sender)
    told = {"customer_email": said.sender, "message_id": said.message_id, "unproved_sender": not said.proved}
    return Ticket.model_validate({"subject": said.subject, "body": said.text, **told})


def _completed(given: Ticket, kept: Case | None) -> Ticket:
    """A follow-up may leave out what the conversation knows already."""
    if kept is None:
        return given
    if not given.text:
        return kept.ticket
    known = kept.ticket.model_dump(include={"ticket_id", "customer_email", "phone"}, exclude_none=True)
    return Ticket.model_validate(known | given.model_dump(exclude_none=True))


def triage(work: Work) -> Triage | None:
    return work.answer(TRIAGE)


def urgency(work: Work) -> Urgency:
    kept = case(work)
    if kept and work.trigger.is_task and "ticket" not in work.trigger.context:
        return kept.urgency
    return domain.urgency(ticket(work).text, triage(work))


def keep(work: Work, **change: Any) -> None:
    """Note how far the ticket went."""
    known = {"ticket": ticket(work), "urgency": urgency(work), "hubspot_ticket": hubspot_ticket(work)}
    before = case(work)
    work.keep(KEPT, (before or Case(ticket=ticket(work))).model_copy(update=known | change))


def hubspot_ticket(work: Work) -> str | None:
    """The ticket's id in HubSpot."""
    if work.trigger.type == "com.hubspot.ticket.creation":
        return str(work.trigger.data["objectId"])
    if opened := (work.value("opened") or {}).get("id"):
        return str(opened)
    kept = case(work)
    return kept.hubspot_ticket if kept else None


def contact(work: Work) -> str | None:
    """The customer's id in HubSpot."""
    found = (work.value("contact") or {}).get("id") or (work.value("entered") or {}).get("id")
    return str(found) if found else None


# -- writing to the customer -----------------------------------------------------------------------------------------------


def send(work: Work, name: str, letter: Letter) -> None:
    """By mail, else by text message. `name` is one of SENT."""
    to = ticket(work)
    if to.customer_email:
        mail = {"to": [to.customer_email], "subject": letter.subject, "text": letter.text}
        work.call(name, "email_send", mail | ({"in_reply_to": to.message_id} if to.message_id else {}))
    elif domain.is_sms_number(to.phone):
        work.call(name, "twilio_send_message", {"To": to.phone, "Body": letters.as_text_message(letter)})


def can_write(to: Ticket) -> bool:
    return bool(to.customer_email) or domain.is_sms_number(to.phone)


def is_delegated(work: Work) -> bool:
    """Whether a colleague waits for what comes of this run."""
    return work.trigger.is_task and "ticket" in work.trigger.context and work.trigger.source.startswith(DELEGATIONS)


def sent(work: Work) -> list[Result]:
    return [one for one in work.results() if one.name in SENT]


def send_later(work: Work) -> None:
    """Text messages that came into somebody's quiet hours go out at their end."""
    for one in sent(work):
        until = one.until
        if until and one.tool == "twilio_send_message":
            told = {"name": f"{DELIVER} {one.name}", "at": until, "instruction": "Send the message that waited."}
            work.call("put off", "timer_set", told | {"context": {DELIVER: {"text": one.arguments["Body"]}}})


def move(work: Work, stage: str) -> None:
    """Move the ticket in HubSpot."""
    if key := hubspot_ticket(work):
        priority = domain.PRIORITY[urgency(work)]
        properties = {"hs_pipeline_stage": stage, "hs_ticket_priority": priority}
        work.call("moved", "hubspot_update_ticket", {"ticketId": key, "properties": properties})


def remember(work: Work, *facts: str) -> None:
    if entity := ticket(work).entity:
        work.call("remember", "memory_remember", {"entity": entity, "facts": [{"text": one[:500]} for one in facts]})


def items(answer: Any) -> list[Mapping[str, Any]]:
    found = answer.get("items") if isinstance(answer, Mapping) else answer
    return [one for one in found or [] if isinstance(one, Mapping)]
