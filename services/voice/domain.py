"""Voice's rules: who takes a message or a call, when is called back and how often, what a delivery report means.

Pure: no I/O, no clock. What people may want to change stands in `TERMS`, `ROUTING` and the texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from shared.bus.consent import address_key
from shared.heard import Heard

# -- terms ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """How often people are called; and when, in local time, where the business profile has no opening hours."""

    opens: time = time(9)
    closes: time = time(18)
    days: tuple[int, ...] = (0, 1, 2, 3, 4)  # Monday is 0
    tries: int = 2  # calls that nobody answered, one after the other
    again: timedelta = timedelta(hours=2)
    pause: timedelta = timedelta(minutes=15)  # who calls twice within it is called back once
    texts: timedelta = timedelta(hours=12)  # and gets one message within this


TERMS = Terms()
# The order of urgency, where nobody can be asked. Whole words, in any of their forms: nobody's "helper" or "bilingual".
ROUTING = (
    ("steward", r"broken?|help|problem|complain(t)?|refund|not working|cancel my"),
    ("controller", r"invoice|payment|(un)?paid|pay|receipt|bill"),
    ("people-ops", r"job|appl(y|ied|ication)|hir(e|ing)|interview|resume"),
    ("closer", r"pric(e|ing)|quote|offer|interested|buy|appointment|service"),
)
ENDINGS = r"(s|es|ed|d|ing)?"
MISSED = frozenset({"no-answer", "busy", "failed", "canceled"})
LOST = frozenset({"failed", "undelivered"})
# Twilio's codes of numbers that take no text messages: 30003 and 30005 unreachable or unknown, 30006 a landline, 21610 refuses
# them, 21614 no mobile phone. A message that met another fault may arrive another time.
TAKES_NO_TEXTS = frozenset({"30003", "30005", "30006", "21610", "21614"})
SORRY_NOW = "Sorry we missed your call{from_us}. We are calling you back now. You can also text us what it is about."
SORRY_LATER = "Sorry we missed your call{from_us}. We will call you back {when}. You can also text us what it is about."
NOT_REACHED = "We tried to call you back{from_us} and did not reach you. Text us when we may try again."

Colleague = Literal["closer", "steward", "controller", "people-ops", "nobody"]
NAMES: dict[str, str] = {
    "closer": "Closer",
    "steward": "Steward",
    "controller": "Controller",
    "people-ops": "People Ops",
}

# -- who it is -----------------------------------------------------------------------------------------------------------


class Line(BaseModel):
    """How it stands with a number: calls that were tried since somebody was reached, and what it was told last."""

    tries: int = 0
    called_at: datetime | None = None
    texted_at: datetime | None = None
    reason: str = ""
    lost: bool = False  # a text message did not arrive

    def now(self, **changes: Any) -> Line:
        return self.model_copy(update=changes)


class Wanted(BaseModel):
    """A call that a colleague asks for."""

    number: str = Field(pattern=r"^\+[1-9]\d{6,14}$")
    reason: str = Field(default="", max_length=300)


def number_of(kind: str, data: dict[str, Any]) -> str | None:
    """The number of the person outside, as it came: of whom the event tells."""
    if kind.startswith("com.elevenlabs."):
        return _of_conversation(data.get("data", data))
    if kind == "com.twilio.message.received" or is_inbound(data):
        return data.get("From")
    return data.get("To")


def _of_conversation(said: dict[str, Any]) -> str | None:
    metadata = said.get("metadata") or {}
    phone, body = metadata.get("phone_call") or {}, metadata.get("body") or {}
    inbound = str(body.get("Direction") or "").startswith("inbound")
    return phone.get("external_number") or body.get("From" if inbound else "To")


def is_inbound(call: dict[str, Any]) -> bool:
    return str(call.get("Direction") or "").startswith("inbound")


def dialable(given: Any) -> str | None:
    """E.164; None for withheld numbers, short codes and names."""
    key = address_key(given) if isinstance(given, str) else ""
    return key if re.fullmatch(r"\+[1-9]\d{6,14}", key) else None


def mail_place(said: Heard, event: str) -> str:
    """The conversation with who writes a mail."""
    return f"mail:{said.sender}" if said.proved else f"unproved-mail:{event}"


def contact_in(found: Any) -> dict[str, Any] | None:
    """The one contact that has the number. Two are none: nobody knows which of them it is."""
    rows = (found or {}).get("results") or []
    return rows[0] if len(rows) == 1 else None


def plain(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def mail_in(text: str) -> str | None:
    found = re.search(r"[\w.+-]+@[\w-]+\.[\w.-]*\w", text)
    return found.group().lower() if found else None


# -- who takes it --------------------------------------------------------------------------------------------------------


def _named(text: str) -> list[Colleague]:
    words = " ".join(text.lower().split())
    found: list[Any] = [one for one, marks in ROUTING if re.search(rf"\b({marks}){ENDINGS}\b", words)]
    return found


def plain_colleague(said: Heard) -> Colleague | None:
    """Whose subject a message is, where its words name one colleague's and no other's; None: a model has to read it."""
    if said.wish is not None or said.lost or not said.words:
        return "nobody"
    named = _named(said.words)
    return named[0] if len(named) == 1 else None


def colleague_for(text: str, otherwise: Colleague = "nobody") -> Colleague:
    """The most urgent of those whom the words name. For when there is nobody to ask."""
    return next(iter(_named(text)), otherwise)


def handed(
    colleague: Colleague, text: str, subject: str, caller: dict[str, Any], conversation: str, mail: Heard | None = None
) -> dict[str, Any]:
    """The context that a colleague goes on with: the facts, by the names that it knows them under."""
    email, number = caller.get("email"), caller.get("phone")
    match colleague:
        case "closer":
            lead = caller | {"interest": text, "source_conversation": conversation}
            lead["source"] = "telephone" if mail is None else "mail" if mail.proved else "mail, sender not proved"
            return {"lead": {name: value for name, value in lead.items() if value}}
        case "controller":
            found = {"customer_email": email, "phone": number, "question": text}
            return {"payment_question": {name: value for name, value in found.items() if value}}
        case "people-ops":
            proved = "" if mail is None or mail.proved else "It is not proved that they wrote it.\n"
            found = {"name": _name(caller), "email": email, "phone": number, "text": f"{proved}{text}"}
            return {"inquiry": {name: value for name, value in found.items() if value}}
    found = {"subject": subject, "body": text, "customer_email": email, "phone": number}
    if mail:
        found |= {"subject": mail.subject or subject, "body": mail.text or text}
        found |= {"message_id": mail.message_id, "unproved_sender": not mail.proved}
    return {"ticket": {name: value for name, value in found.items() if value}}


def caller_of(contact: dict[str, Any] | None, memory: list[dict[str, Any]], number: str | None) -> dict[str, Any]:
    """Who it is, as far as the CRM and memory know, by the names that leads are told with."""
    known = (contact or {}).get("properties") or {}
    facts = {str(one["name"]): one.get("value") for one in memory if one.get("name")}
    email = known.get("email") or facts.get("email")
    names = {"first_name": known.get("firstname"), "last_name": known.get("lastname"), "company": known.get("company")}
    found = {"email": email if isinstance(email, str) else None, "phone": number, **names}
    return {name: value for name, value in found.items() if value}


def _name(caller: dict[str, Any]) -> str:
    return f"{caller.get('first_name', '')} {caller.get('last_name', '')}".strip()


def known_as(caller: dict[str, Any]) -> str:
    return _name(caller) or str(caller.get("email") or caller.get("phone") or "Somebody")


# -- calls ---------------------------------------------------------------------------------------------------------------


def next_open(local: datetime, terms: Terms) -> datetime:
    """The moment, or when the business opens next."""
    if local.weekday() in terms.days and local.time() < terms.closes:
        return max(local, _at(local, terms.opens))
    day = local + timedelta(days=1)
    while day.weekday() not in terms.days:
        day += timedelta(days=1)
    return _at(day, terms.opens)


def _at(day: datetime, clock: time) -> datetime:
    return day.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)


def in_words(moment: datetime, today: datetime) -> str:
    days = (moment.date() - today.date()).days
    day = {0: "today", 1: "tomorrow"}.get(days, f"on {moment:%A}")
    return f"{day} at {moment:%H:%M}"


def local_time(moment: datetime, today: datetime, zone: str) -> dict[str, Any]:
    """A moment as timers take it."""
    return {"days": (moment.date() - today.date()).days, "time": f"{moment:%H:%M}", "zone": zone}


def is_calling(line: Line, now: datetime, terms: Terms) -> bool:
    """Whether a call to them is on its way, so that a second one would only be in its way."""
    return line.called_at is not None and now - line.called_at < terms.pause


def may_text(line: Line, now: datetime, terms: Terms) -> bool:
    return not line.lost and (line.texted_at is None or now - line.texted_at >= terms.texts)


def sorry(business: str, when: str | None) -> str:
    """What a caller whom nobody answered is told. `when`: the call back is not now."""
    text = SORRY_LATER if when else SORRY_NOW
    return text.format(from_us=_from_us(business), when=when)


def not_reached(business: str) -> str:
    return NOT_REACHED.format(from_us=_from_us(business))


def _from_us(business: str) -> str:
    return "" if business == "the business" else f" to {business}"


# -- what was said -------------------------------------------------------------------------------------------------------


def transcript(event: dict[str, Any], longest: int = 12_000) -> list[str]:
    """A conversation line by line; of a long one its end."""
    turns = event.get("data", event).get("transcript") or []
    lines = [f"{one.get('role')}: {one['message']}" for one in turns if isinstance(one, dict) and one.get("message")]
    size = 0
    for place in reversed(range(len(lines))):
        size += len(lines[place])
        if size > longest:
            return lines[place + 1 :]
    return lines


def words_of_caller(lines: list[str]) -> str:
    return " ".join(line.removeprefix("user: ") for line in lines if line.startswith("user: "))


def vendors_summary(event: dict[str, Any]) -> str:
    analysis = event.get("data", event).get("analysis") or {}
    return str(analysis.get("transcript_summary") or "")


# -- the CRM and reports -------------------------------------------------------------------------------------------------

CONTACT = ["email", "firstname", "lastname", "phone", "company"]
NOTE = 202  # HubSpot's association type id, to contacts


def contacts_with(name: str, value: str) -> dict[str, Any]:
    """A search for the contacts that have a phone or an email."""
    filters = [{"propertyName": name, "operator": "EQ", "value": value}]
    return {"filterGroups": [{"filters": filters}], "properties": CONTACT, "limit": 2}


def note_form(contact: str, text: str, at: datetime) -> dict[str, Any]:
    link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE}
    properties = {"hs_timestamp": at.isoformat().replace("+00:00", "Z"), "hs_note_body": text}
    return {"properties": properties, "associations": [{"to": {"id": contact}, "types": [link]}]}


def day_of(asked: Any, today: datetime) -> tuple[datetime, datetime]:
    """Begin and end of the local day that a report is asked about: {"day": "2026-12-01"}; else today."""
    try:
        day = datetime.fromisoformat(str(asked["day"] if isinstance(asked, dict) else asked)[:10])
    except (KeyError, ValueError):
        day = today
    start = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=today.tzinfo)
    return start, start + timedelta(days=1)


def day_in_words(calls: list[dict[str, Any]], messages: list[dict[str, Any]], missing: list[str]) -> str:
    missed = sum(one.get("status") in MISSED for one in calls)
    came = sum(one.get("status") == "received" for one in messages)
    lost = sum(one.get("status") in LOST for one in messages)
    said = (
        f"Voice: {len(calls)} calls, {missed} of them not answered; {came} text messages came, "
        f"{len(messages) - came} went out, {lost} of them did not arrive."
    )
    return said + (f" Not known: {', '.join(missing)}." if missing else "")
