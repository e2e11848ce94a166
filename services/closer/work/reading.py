"""What the record of a conversation says: typed values from triggers, answers of tools and of the model. Nothing is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from services.closer import domain
from services.closer.domain import Fit, Lead, Meaning, Paid, Pursuit
from services.closer.prompts import ANSWER, INTEREST
from services.closer.work import forms
from shared import persons
from shared.heard import Heard
from shared.runtime.work import Result, Work

CHECKOUT = "com.stripe.checkout.session.completed"


def local(work: Work) -> datetime:
    return work.now.astimezone(ZoneInfo(work.business.time_zone))


def pursuit_of(work: Work) -> Pursuit | None:
    return work.kept("pursuit", Pursuit)


def a_pursuit(work: Work) -> Pursuit:
    """The lead of this conversation; or, where it has none, who wrote or paid, as far as the CRM knows them."""
    if known := pursuit_of(work):
        return _reached_by(work, known)
    contact = contact_of(work)
    if paid := payment(work):
        lead = forms.lead_in(contact) or Lead(email=paid.email)
        deal, subject = paid.deal, domain.plain(paid.subject) or "your order"
        channel = domain.channel_for(lead, [], valid=True)
        return Pursuit(lead=lead, contact=contact and contact["id"], deal=deal, subject=subject, channel=channel)
    by_mail = said(work).channel == "mail"
    lead = Lead(email=said(work).sender) if by_mail else Lead(phone=said(work).sender)
    way: domain.Channel = "mail" if by_mail else "sms"
    return Pursuit(lead=lead, contact=contact and contact["id"], stage="answered", channel=way)


def _reached_by(work: Work, known: Pursuit) -> Pursuit:
    """Who answers is answered the way they took."""
    answer = work.trigger.heard
    if answer is None or answer.lost:
        return known
    if answer.channel == "sms":
        return known.now(channel="sms") if known.lead.phone else known
    lead = known.lead if known.lead.email else known.lead.model_copy(update={"email": answer.sender})
    return known.now(channel="mail", lead=lead)


def lead_of(work: Work) -> Lead | None:
    """The lead that the trigger brings; None when it brings none that can be worked on."""
    try:
        return _lead(work)
    except ValidationError:
        return None


def a_lead(work: Work) -> Lead:
    found = lead_of(work)
    assert found is not None, "the way here begins with a lead"  # noqa: S101
    return found


def _lead(work: Work) -> Lead | None:
    trigger, known = work.trigger, pursuit_of(work)
    if trigger.type == "viox.lead.created":
        return Lead.model_validate(trigger.data)
    if trigger.heard and known:
        sender = trigger.heard.sender if trigger.heard.channel == "mail" else domain.address_in(answer_text(work))
        return known.lead.model_copy(update={"email": sender})
    if "lead" in trigger.context:
        return Lead.model_validate(trigger.context["lead"])
    return domain.new_lead(trigger.instruction)


def contact_of(work: Work) -> dict[str, Any] | None:
    """The contact that the CRM has, or has now."""
    found = work.value("contact entered") or work.value("contact") or forms.first(work.value("contacts"))
    return found if isinstance(found, dict) and found.get("id") else None


def contact_id(work: Work) -> str:
    return str((contact_of(work) or {}).get("id"))


def items(work: Work, name: str) -> list[dict[str, Any]]:
    """What memory or the business's documents answered to the calls of a name, each once."""
    return _each_once(work.results(name))


def texts_known_of(work: Work, entities: Iterable[str]) -> list[str]:
    """What memory knows of every one of them: of somebody who gave an address and a number, only what is confirmed to be one
    person's. Each of the two may be another's, and what is said of it could reach whoever has the other."""
    theirs = [one for one in work.results("memory") if all(_is_known_of(one, entity) for entity in entities)]
    return [str(item["text"]) for item in _each_once(theirs)]


def _is_known_of(recalled: Result, entity: str) -> bool:
    told = recalled.value or {}
    if recalled.arguments.get("entity") == entity or persons.SAME_AS not in told:
        return True
    return any(one["entity"] == entity and one["state"] == "confirmed" for one in told[persons.SAME_AS])


def _each_once(recalled: Iterable[Result]) -> list[dict[str, Any]]:
    found = [item for one in recalled if one.ok and one.value for item in one.value.get("items", [])]
    return list({item.get("id", at): item for at, item in enumerate(found)}.values())


def texts(work: Work, name: str) -> list[str]:
    return [str(item["text"]) for item in items(work, name)]


def subject_of(work: Work) -> str:
    """What they want, as it may stand in our messages."""
    lead, known, said = a_lead(work), pursuit_of(work), work.answer(INTEREST)
    if known and known.stage == "addressless":
        return known.subject
    return domain.plain((said and said.subject) or "") or domain.plain(lead.interest or "") or "your request"


def fit_of(work: Work) -> Fit:
    lead, said, number = a_lead(work), work.answer(INTEREST), work.value("number") or {}
    intent, deals = said.intent if said else "buy", len(forms.open_deals(work.value("deals")))
    return domain.fit(lead, intent, number.get("country_code"), deals, pursuit_of(work), domain.TERMS)


def new_pursuit(work: Work) -> Pursuit:
    lead, contact, number = a_lead(work), contact_of(work), work.value("number")
    channel = domain.channel_for(lead, items(work, "memory"), valid=number is None or number.get("valid") is not False)
    currency = str((work.value("account") or {}).get("companyCurrency") or "usd").lower()
    return Pursuit(
        lead=lead,
        contact=contact and contact["id"],
        subject=subject_of(work),
        channel=channel,
        currency=currency,
        apart=persons.knows_links(work, "memory") or None,
    )


def reachable(work: Work) -> Pursuit:
    """The lead, by the channel on which they can be reached as far as is known by now."""
    pursuit = a_pursuit(work)
    if pursuit.channel == "mail":
        return pursuit
    return pursuit.now(channel=domain.channel_for(pursuit.lead, items(work, "memory"), valid=True))


def said(work: Work) -> Heard:
    """The message that came."""
    found = work.trigger.heard
    assert found is not None  # noqa: S101  # the way here begins with one
    return found


def answer_text(work: Work) -> str:
    found = work.trigger.heard
    return found.words if found else ""


def answered(work: Work) -> str:
    """What a note in the CRM says of it."""
    way = "mail" if said(work).channel == "mail" else "text message"
    return f"Answered by {way}: {answer_text(work)}"


def meaning_of(work: Work) -> Meaning:
    """What an answer means: by rule where it is plain, else as the model reads it."""
    read = work.answer(ANSWER)
    return domain.plain_meaning(answer_text(work), said(work).wish) or (read.meaning if read else "other")


def price_of(work: Work) -> int | None:
    pursuit = a_pursuit(work)
    return domain.price_of(work.value("deal"), pursuit.lead, pursuit.currency)


def is_closed(work: Work) -> bool:
    """Whether the deal is won or lost, as the CRM has it."""
    deal = work.value("deal") or {}
    return (deal.get("properties") or {}).get("dealstage") in domain.CLOSED


def offered(work: Work) -> Pursuit:
    """The lead with the offer that was made to them, if one was."""
    pursuit, link = a_pursuit(work), work.value("payment link made")
    return pursuit.now(link=link["url"], price=price_of(work)) if link else pursuit


def reply_text(work: Work) -> str:
    """What an answer is answered: by rule, or what the model wrote where that may go out."""
    pursuit, meaning, said = offered(work), meaning_of(work), work.answer(ANSWER)
    if meaning == "yes":
        return domain.offer_text(pursuit, call=domain.wants_call(answer_text(work)))
    if meaning == "no":
        return domain.text_of(domain.LOST, pursuit)
    return said.reply if said and domain.sendable(said.reply) else domain.UNCLEAR


def payment(work: Work) -> Paid | None:
    """The payment that came, as the event or a colleague's task tells it."""
    if "paid" in work.trigger.context:
        return Paid.model_validate(work.trigger.context["paid"])
    return domain.paid_session(work.trigger.data) if work.trigger.type == CHECKOUT else None


def sent_text(message: Result | None) -> str:
    """The text of a call that was to write to somebody."""
    given = message.arguments if message else {}
    return str(given.get("Body") or given.get("text") or "")


def name_of(work: Work) -> str:
    if known := pursuit_of(work):
        return known.lead.name
    heard = work.trigger.heard
    lead = None if heard else lead_of(work)
    return lead.name if lead else (heard.sender if heard else "") or "The sender"
