"""What several nodes ask for: a message, a note, a memory, a timer; and what is said of what came of it."""

from __future__ import annotations

from services.closer import domain
from services.closer.domain import Pursuit
from services.closer.work import forms
from services.closer.work.reading import sent_text
from shared import persons
from shared.heard import reply_subject
from shared.runtime.work import Result, Work


def write(work: Work, pursuit: Pursuit, text: str) -> None:
    """One message to the lead, by their channel."""
    lead = pursuit.lead
    if pursuit.channel == "sms" and lead.phone:
        work.call("message", "twilio_send_message", {"To": lead.phone, "Body": text})
    elif lead.email:
        mail = {"to": [lead.email], "subject": f"{pursuit.subject[:1].upper()}{pursuit.subject[1:]}", "text": text}
        if (said := work.trigger.heard) and said.channel == "mail":
            mail |= {"subject": reply_subject(said.subject)}
            mail |= {"in_reply_to": said.message_id} if said.message_id else {}
        work.call("message", "email_send", mail)


def note(work: Work, contact: str | None, text: str) -> None:
    if contact:
        work.call("noted", "hubspot_create_note", forms.note_form(contact, text, work.now))


def remember(work: Work, entity: str, text: str, name: str, value: str | bool) -> None:
    fact = {"text": text, "name": name, "value": value}
    work.call("remembered", "memory_remember", {"entity": entity, "facts": [fact]})


def know_again(work: Work, pursuit: Pursuit) -> None:
    """So that whoever meets them again knows what they wanted, and whose number it is."""
    lead = pursuit.lead
    remember(work, lead.entity, f"Is interested in {pursuit.subject}", "interest", pursuit.subject)
    if lead.phone and lead.email:
        remember(work, f"phone:{lead.phone}", f"The number of {lead.email}", "email", lead.email)
    if persons.may_claim(work, lead.email, lead.phone, "memory"):
        persons.claim_same(work, str(lead.email), str(lead.phone), "a lead gave both")


def set_follow_up(work: Work, days: int) -> None:
    when = {"days": days, "time": domain.TERMS.hour.strftime("%H:%M"), "zone": work.business.time_zone}
    told = "Follow up with the lead of this conversation, unless they have answered."
    work.call(f"follow-up set in {days} days", "timer_set", {"name": "follow-up", "local": when, "instruction": told})


def cancel_follow_up(work: Work) -> None:
    work.call("follow-up cancelled", "timer_cancel", {"name": "follow-up"})


def held(work: Work, pursuit: Pursuit) -> Pursuit:
    """A message that met the recipient's quiet hours waits for their end."""
    message = work.result("message")
    if message is None or (until := message.until) is None:
        return pursuit
    told = "Send the text that waits in this conversation."
    work.call("message put off", "timer_set", {"name": "unsent", "at": until, "instruction": told})
    return pursuit.now(unsent=sent_text(message))


def asked_to_stop(message: Result | None) -> bool:
    return message is not None and (message.error or {}).get("code") == "recipient.opted_out"


def done(work: Work) -> str:
    """What was done, by the names of the calls; looking something up is nothing done."""
    names = dict.fromkeys(
        one.name for one in work.results() if one.ok and one.name not in domain.LOOK_UPS | persons.NAMES
    )
    return ", ".join("message sent" if name == "message" else name for name in names)


def trouble(work: Work) -> str:
    """What did not work. A timer that was not set need not be cancelled, and memory is no part of the work."""
    lost = [
        one for one in work.failures() if one.name not in domain.UNTOLD | persons.NAMES and not _made_good(work, one)
    ]
    return f" Did not work: {'; '.join(f'{one.name}: {one.why}' for one in lost)}." if lost else ""


def _made_good(work: Work, lost: Result) -> bool:
    """The same was done later, or is going to be."""
    newest = work.result(lost.name)
    put_off = lost.name == "message" and work.value("message put off") is not None
    return put_off or (newest is not None and newest.ok)
