"""What the record of a conversation says: typed values from triggers, answers of tools and of the model. Nothing is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from services.voice import domain
from services.voice.domain import MISSED, Colleague, Line, Wanted
from services.voice.prompts import ROUTE, TALK
from shared import persons
from shared.heard import Heard
from shared.runtime.work import Work

TALKED = "com.elevenlabs.post_call_transcription"


def local(work: Work) -> datetime:
    return work.business.local(work.now)


def opens(work: Work, after: timedelta = timedelta()) -> datetime:
    """Local time at which may be called: `after` from now, or when the business opens after that."""
    moment = work.now + after
    if work.business.opening_hours is None:
        return domain.next_open(work.business.local(moment), domain.TERMS)
    return work.business.local(work.business.next_open(moment))


def number(work: Work) -> str | None:
    """The number this is about, where one can call or text it."""
    if asked := wanted(work):
        return asked.number
    if work.trigger.is_task:
        kept = work.kept("number", Wanted)
        return kept.number if kept else None
    return domain.dialable(domain.number_of(work.trigger.type, work.trigger.data))


def wanted(work: Work) -> Wanted | None:
    """The call that a colleague asks for; None when it names no number."""
    if "call" not in work.trigger.context:
        return None
    try:
        return Wanted.model_validate(work.trigger.context["call"])
    except ValidationError:
        return None


def line(work: Work) -> Line:
    return work.kept("line", Line) or Line()


def mail(work: Work) -> Heard | None:
    """The mail that came, where one did."""
    found = work.trigger.heard
    return found if found and found.channel == "mail" else None


def mail_sender(work: Work) -> str | None:
    found = mail(work)
    return found.sender if found else None


def said(work: Work) -> Heard:
    """The message that came."""
    found = work.trigger.heard
    assert found is not None  # noqa: S101  # the way here begins with one
    return found


def place(work: Work) -> str:
    """The conversation that colleagues go on in: one for each number, and for each mail address."""
    if letter := mail(work):
        return domain.mail_place(letter, work.trigger.id)
    found = number(work)
    return f"phone:{found}" if found else f"call:{work.trigger.id}"


def spoken(work: Work) -> bool:
    return work.trigger.type == TALKED


def body(work: Work) -> str:
    found = work.trigger.heard
    return found.words if found else ""


def contact(work: Work) -> dict[str, Any] | None:
    return domain.contact_in(work.value("contacts"))


def memory(work: Work) -> list[dict[str, Any]]:
    return list((work.value("memory") or {}).get("items", []))


def known(work: Work) -> dict[str, Any]:
    """What a model is shown of who it is: people's own words may stand in it."""
    return {"contact": (contact(work) or {}).get("properties"), "memory": [one["text"] for one in memory(work)]}


def caller(work: Work) -> dict[str, Any]:
    """Who it is. An address that is confirmed to be theirs counts before one that memory has heard of, and one that they named
    themselves where nobody knew one."""
    found = domain.caller_of(contact(work), memory(work), number(work))
    if contact(work) is None and (known := domain.mail_in(persons.confirmed(work, "memory", "person") or "")):
        found |= {"email": known}
    talk = work.answer(TALK)
    if sender := mail_sender(work):
        return found | {"email": sender}
    named = domain.mail_in(talk.email if talk else "" if spoken(work) else body(work))
    return found if found.get("email") or not named else found | {"email": named}


def is_valid(work: Work) -> bool:
    return (work.value("number") or {}).get("valid") is not False


def was_missed(work: Work) -> bool:
    """Whether a call of ours reached nobody."""
    return work.trigger.type.endswith("call_initiation_failure") or work.trigger.data.get("CallStatus") in MISSED


def colleague(work: Work) -> Colleague:
    """Whose it is: by plain words, else as the model reads it, else by the most urgent word."""
    if spoken(work):
        talk, words = work.answer(TALK), domain.words_of_caller(domain.transcript(work.trigger.data))
        return talk.colleague if talk else domain.colleague_for(words)
    route, message = work.answer(ROUTE), said(work)
    # Nobody has read it: a mail that names no subject is better looked at than lost.
    otherwise: Colleague = "steward" if message.channel == "mail" else "nobody"
    found = domain.plain_colleague(message) or (
        route.colleague if route else domain.colleague_for(message.words, otherwise)
    )
    # Controller says what is owed to colleagues alone; who asks by mail is answered by who answers customers.
    return "steward" if found == "controller" and message.channel == "mail" else found


def told(work: Work) -> str:
    """What the person said, for colleagues and the CRM."""
    if not spoken(work):
        return body(work)
    talk, words = work.answer(TALK), domain.words_of_caller(domain.transcript(work.trigger.data))
    return talk.summary if talk else domain.vendors_summary(work.trigger.data) or domain.plain(words, 600)


def subject(work: Work) -> str:
    answer = work.answer(TALK) or work.answer(ROUTE)
    return (answer.subject if answer else "") or domain.plain(told(work), 80)


def headline(work: Work) -> str:
    """What happened, in a sentence."""
    data, who = work.trigger.data, domain.known_as(caller(work))
    if (letter := mail(work)) and letter.lost:
        return f"{letter.words}. No conversation of ours sent it."
    if letter:
        proved = "" if letter.proved else " (who wrote it is not proved)"
        return f"{letter.sender}{proved} wrote a mail, {letter.subject!r}: for {colleague(work)}."
    match work.trigger.type:
        case "com.twilio.message.received":
            return f"{data.get('From')} wrote {body(work)!r}: for {colleague(work)}."
        case "com.twilio.message.status":
            reached = "not delivered" if data["MessageStatus"] in domain.LOST else "on its way or delivered"
            return f"{data['To']}: a text message is {data['MessageStatus']}, {reached}."
        case "com.twilio.call.completed" if domain.is_inbound(data):
            missed = data.get("CallStatus") in MISSED
            return (
                f"{who if number(work) else 'A withheld number'} called and was {'missed' if missed else 'answered'}."
            )
        case "com.elevenlabs.post_call_transcription":
            spoke = domain.words_of_caller(domain.transcript(data))
            return f"Talked with {who}: {told(work)}" if spoke else f"Nobody spoke on the call with {who}."
    if work.trigger.is_task:
        return f"{who}: call back."
    return f"{who}: {'not reached' if was_missed(work) else 'reached'} by phone."
