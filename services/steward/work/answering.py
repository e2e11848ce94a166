"""A ticket came: who asks and what is known are looked up, it is judged, answered from sources, or a refund asked for."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.steward import domain
from services.steward.prompts import ANSWER, TRIAGE
from services.steward.rules import answers, letters
from services.steward.rules.answers import Source
from services.steward.work import views
from shared import persons
from shared.runtime.work import Work

NEW, WAITING_ON_CONTACT, WAITING_ON_US, CLOSED = "1", "2", "3", "4"  # stages of HubSpot's support pipeline
CONTACT_OF_TICKET = 16
SURVEY = "satisfaction"
AT = time(10)


# -- looking up ------------------------------------------------------------------------------------------------------------


def read_ticket(work: Work) -> None:
    """A ticket that appeared in HubSpot: its text, and whose it is."""
    key = str(work.trigger.data["objectId"])
    work.call("ticket", "hubspot_get_ticket", {"ticketId": key})
    work.call("people", "hubspot_list_associations", {"fromType": "tickets", "fromId": key, "toType": "contacts"})


def by_ticket(work: Work) -> str:
    return "read_contact" if (work.value("ticket") or {}).get("properties") else "close_unread"


def read_contact(work: Work) -> None:
    people = (work.value("people") or {}).get("results") or []
    if people:
        work.call("contact", "hubspot_get_contact", {"contactId": str(people[0]["toObjectId"])})


def look_up(work: Work) -> None:
    """What the business's documents say, and what all of us know of this customer; at once."""
    ticket = views.ticket(work)
    work.call("documents", "knowledge_search", {"question": ticket.question, "limit": 6})
    if ticket.entity:
        work.call("known", "memory_recall", {"entity": ticket.entity, "limit": 10})
    if ticket.customer_email and work.result("contact") is None:
        work.call("contact", "hubspot_get_contact_by_email", {"email": ticket.customer_email})


def check_contact(work: Work) -> None:
    """Has the CRM a number of theirs, and are the two one person? Then what was said on the phone is known here, too."""
    persons.check_contact(work, work.value("contact"), "known")


def recall_again(work: Work) -> None:
    persons.recall_again(work, "known")


def judge(work: Work) -> None:
    ticket = views.ticket(work)
    work.ask(TRIAGE, outside={"ticket": {"subject": ticket.subject[:250], "body": ticket.body[:6000]}})


def enter_contact(work: Work) -> None:
    """Whoever writes for the first time is entered: HubSpot keeps tickets by contact."""
    contact, ticket = work.result("contact"), views.ticket(work)
    if ticket.customer_email and contact is not None and contact.ok and contact.value is None:
        work.call("entered", "hubspot_create_contact", {"properties": {"email": ticket.customer_email}})


def open_ticket(work: Work) -> None:
    """The ticket in HubSpot: a new one, or the one that there is. Kept from here on."""
    views.keep(work)
    if views.hubspot_ticket(work):
        views.move(work, NEW)
    elif contact := views.contact(work):
        ticket, told = views.ticket(work), views.triage(work)
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": CONTACT_OF_TICKET}]
        properties = {
            "subject": " ".join(ticket.subject.split())[:200] or f"Request {ticket.ticket_id or ''}".strip(),
            "content": ((told.summary + "\n\n" if told else "") + ticket.text)[:60_000],
            "hs_pipeline": "0",
            "hs_pipeline_stage": NEW,
            "hs_ticket_priority": domain.PRIORITY[views.urgency(work)],
        }
        association = {"to": {"id": contact}, "types": types}
        work.call("opened", "hubspot_create_ticket", {"properties": properties, "associations": [association]})


def by_wish(work: Work) -> str:
    ticket, judged = views.ticket(work), views.triage(work)
    wish = judged.wish if judged else domain.wish_by_words(ticket.text)
    if wish == "refund" and domain.can_be_refunded(ticket):
        return "ask_for_refund"
    return "write_answer" if wish != "refund" and sources(work) else "acknowledge"


# -- answering -------------------------------------------------------------------------------------------------------------


def write_answer(work: Work) -> None:
    """The model answers from what was found. Text from outside among it is marked as that."""
    ticket, found = views.ticket(work), sources(work)
    work.ask(
        ANSWER,
        documents=[one.shown() for one in found if one.public],
        known=[one.shown() for one in found if not one.public and not one.outside],
        outside={
            "claims": [one.shown() for one in found if not one.public and one.outside],
            "ticket": {"subject": ticket.subject[:250], "body": ticket.body[:6000]},
        },
    )


def by_answer(work: Work) -> str:
    return "acknowledge" if doubt(work) else "send_answer"


def send_answer(work: Work) -> None:
    answer = work.answer(ANSWER)
    assert answer is not None  # noqa: S101  # by_answer looked
    cited = answers.cited(answer, sources(work))
    letter = letters.answer(views.ticket(work), work.business.name, answers.plain(answer.answer), cited)
    views.send(work, "answer", letter)


def by_delivery(work: Work) -> str:
    """What nobody got is no answer: a person takes over."""
    return "file_answer" if any(one.ok or one.until for one in views.sent(work)[-1:]) else "ask_person"


def file_answer(work: Work) -> None:
    """The customer has an answer: note it everywhere, and ask in some days whether it helped. Whoever may not have written is
    not asked."""
    ticket = views.ticket(work)
    views.keep(work, status="answered", surveyed_at=None, rated=None)
    views.move(work, WAITING_ON_CONTACT)
    views.remember(work, f"Asked: {ticket.subject or ticket.question[:150]}. {what_was_answered(work)}")
    views.send_later(work)
    if ticket.unproved_sender:
        return
    zone = ZoneInfo(work.business.time_zone)
    day = work.now.astimezone(zone).date() + timedelta(days=domain.FOLLOW_UP_DAYS)
    told = {
        "name": SURVEY,
        "at": datetime.combine(day, AT, zone).isoformat(),
        "instruction": "Ask whether our answer helped.",
    }
    work.call("survey timer", "timer_set", told | {"context": {SURVEY: {}}})


def what_was_answered(work: Work) -> str:
    if work.result("refunded"):
        return "The payment was refunded."
    if told := work.value("person"):
        return f"Answered by {told.get('by')}: {told['answer']}"
    answer = work.answer(ANSWER)
    return f"Answered: {answers.plain(answer.answer)}" if answer else "Answered."


def close_unread(work: Work) -> None:
    looked, key = work.result("ticket"), work.trigger.data["objectId"]
    if looked is not None and not looked.ok:
        return work.fail("steward.ticket_unread", f"Ticket {key} could not be read in HubSpot: {looked.why}.")
    return work.conclude(f"HubSpot has no ticket {key}.")


# -- refunds ---------------------------------------------------------------------------------------------------------------


def ask_for_refund(work: Work) -> None:
    """Controller finds the payment and refunds it, behind people. The customer is told at once that it is looked at."""
    ticket = views.ticket(work)
    views.send(work, "refund asked", letters.refund_asked(ticket, work.business.name))
    told = (
        f"A customer ({ticket.customer_email}) wishes a refund. Find the payment and refund it if the rules allow it."
    )
    order = domain.refund_order(ticket)
    work.call("refund", "task_delegate", {"agent": "controller", "instruction": told, "context": {"refund": order}})


def by_refund(work: Work) -> str:
    refund = work.value("refund")
    return "tell_of_refund" if refund and refund.get("status") == "finished" else "ask_person"


def tell_of_refund(work: Work) -> None:
    ticket = views.ticket(work)
    order = domain.refund_order(ticket)
    letter = letters.refunded(ticket, work.business.name, order.get("amount_cents"), order.get("currency", "usd"))
    views.send(work, "refunded", letter)


# -- parts -----------------------------------------------------------------------------------------------------------------


def sources(work: Work) -> list[Source]:
    """Documents first, then what colleagues noted of this customer."""
    return answers.sources_of(*(views.items(work.value(name)) for name in ("documents", "known")))


def doubt(work: Work) -> str | None:
    """Why Steward does not answer by itself."""
    refund = work.result("refund")
    if refund is not None:
        why = refund.why if not refund.ok else (refund.value or {}).get("text") or "nothing came of it"
        return f"the refund was not made: {why}"
    ticket = views.ticket(work)
    judged = views.triage(work)
    if (judged.wish if judged else domain.wish_by_words(ticket.text)) == "refund":
        return "a refund is wished, and nobody knows of which payment"
    if found := answers.doubt(work.answer(ANSWER), sources(work), ticket.text):
        return found
    if undelivered := next((one for one in views.sent(work) if one.name == "answer" and not one.ok), None):
        return f"the answer could not be sent: {undelivered.why}"
    return None if views.can_write(ticket) else "the customer cannot be reached"
