"""Closer's rules: whom it works for, what it writes to whom and when, how an answer is read, what an offer costs.

Pure: no I/O, no clock. What people may want to change stands in `TERMS` and in the texts below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.bus.consent import Wish, address_key
from shared.money import amount_in, as_written, places

# -- terms ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """For whom the business works, and how often it writes. Amounts in minor units of the account's currency."""

    floor: int = 5_000  # a smaller budget gets no deal and no follow-ups; one that nobody named does
    countries: frozenset[str] = frozenset()  # ISO codes of the phone numbers that are served; none named: all are
    cadence: tuple[int, ...] = (2, 5, 9)  # days after the first message
    hour: time = time(10)  # of follow-ups and tasks, in the business's time zone
    later: int = 14  # days, for who says "later" and not when
    high: int = 500_000
    low: int = 50_000


TERMS = Terms()
CLOSED = ("closedwon", "closedlost")
FIRST = "Hi {who}, thanks for asking about {subject}. Shall we send you our offer? A yes is enough."
FOLLOW_UPS = (
    "Hi {who}, you asked us about {subject}. Shall we send you our offer? A yes is enough.",
    "Hi {who}, is {subject} still on your list? We gladly send you our offer: a yes is enough.",
    "Hi {who}, this is our last message about {subject}. If you still want our offer, a yes is enough.",
)
ASK_FOR_ADDRESS = "Hi {who}, thanks for asking about {subject}. To which e-mail address may we send our offer?"
OFFER = "Thank you, {who}! Our offer for {subject}: {price}. Accept and pay here: {link}"
NO_OFFER_YET = "Thank you, {who}! We will send you our offer for {subject}."
AND_CALL = " And we will call you."
LOST = "Thank you for telling us, {who}. We will not ask again."
UNCLEAR = "Thanks, we will get back to you."
THANKS_FOR_PAYING = (
    "Thank you, {who}! Your payment for {subject} has arrived. We will be in touch about the next steps."
)

# -- what is known -------------------------------------------------------------------------------------------------------


def number(given: Any) -> str | None:
    """E.164 however it is written; a text that is no number is as good as none."""
    key = address_key(given) if isinstance(given, str) else ""
    return key if re.fullmatch(r"\+[1-9]\d{6,14}", key) else None


class Lead(BaseModel):
    """Somebody who may buy: who they are, what they want, what it may cost in minor units."""

    model_config = ConfigDict(frozen=True)

    email: str | None = Field(default=None, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")
    first_name: str = ""
    last_name: str = ""
    phone: Annotated[str | None, BeforeValidator(number)] = None
    company: str | None = None
    interest: str | None = None
    amount_cents: int | None = Field(default=None, ge=0)
    source: str | None = None
    source_conversation: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = {key: value for key, value in given.items() if value is not None}
        return known | ({"email": known["email"].lower()} if isinstance(known.get("email"), str) else {})

    @model_validator(mode="after")
    def _can_be_reached(self) -> Lead:
        if not self.email and not self.phone:
            raise ValueError("a lead has an e-mail address or a phone number")
        return self

    @property
    def name(self) -> str:
        full = f"{self.first_name} {self.last_name}".strip()
        return full or (self.email or "").split("@")[0] or str(self.phone)

    @property
    def who(self) -> str:
        return plain(self.first_name, 30) or "there"

    @property
    def entities(self) -> list[str]:
        """All that memory may know them by."""
        return [f"{kind}:{one}" for kind, one in (("person", self.email), ("phone", self.phone)) if one]

    @property
    def entity(self) -> str:
        """What memory knows them by."""
        return f"person:{self.email}" if self.email else f"phone:{self.phone}"


Stage = Literal["addressless", "open", "answered", "offered", "won", "lost", "stopped", "silent"]
Channel = Literal["sms", "mail"]


class Pursuit(BaseModel):
    """How far it is with a lead: kept by the conversation. `unsent` is a text that waits for the end of quiet hours."""

    lead: Lead
    contact: str | None = None
    deal: str | None = None
    subject: str = "your request"
    channel: Channel = "sms"
    stage: Stage = "open"
    step: int = 0  # follow-ups that were sent
    currency: str = "usd"
    price: int | None = None
    link: str | None = None
    unsent: str | None = None
    apart: bool | None = None  # address and number are two to memory, unless it is confirmed that they are one person's

    @property
    def recipient(self) -> str:
        """Whom we write to, as memory knows them."""
        return f"phone:{self.lead.phone}" if self.channel == "sms" and self.lead.phone else self.lead.entity

    @property
    def about(self) -> str:
        """Whom memory is asked about before we write, and told of: whom we write to. The other may be somebody else's."""
        return self.recipient if self.apart else self.lead.entity

    def now(self, **changes: Any) -> Pursuit:
        return self.model_copy(update=changes)


class Paid(BaseModel):
    """A payment, as the event of a checkout or a colleague's task tells it."""

    email: str | None = None
    deal: str | None = None
    subject: str = ""
    amount_cents: int | None = None
    currency: str | None = None
    reference: str = ""


def paid_session(event: dict[str, Any]) -> Paid | None:
    """The payment that a completed checkout session is; None while it is not paid. Its link says whose it is."""
    session = event["data"]["object"]
    if session.get("payment_status") not in ("paid", "no_payment_required"):
        return None
    about, payer = session.get("metadata") or {}, session.get("customer_details") or {}
    return Paid(
        email=lead_paid_for(event) or payer.get("email"),
        deal=about.get("deal"),
        subject=about.get("subject") or "",
        amount_cents=session.get("amount_total"),
        currency=session.get("currency"),
        reference=str(session["id"]),
    )


def lead_paid_for(event: dict[str, Any]) -> str | None:
    """The lead whose payment link was used."""
    metadata = event["data"]["object"].get("metadata") or {}
    return str(metadata["lead"]).lower() if metadata.get("lead") else None


# -- a lead in words -----------------------------------------------------------------------------------------------------


def lead_in_text(text: str) -> Lead | None:
    """A lead described in plain words, when it has at least an e-mail address."""
    email = address_in(text)
    if not email:
        return None
    phone = re.search(r"\+\d[\d ()-]{6,}\d", text)
    name = re.search(r"\b([A-Z][a-zà-ž]+)\s+([A-Z][a-zà-ž]+)\b", text)
    return Lead(
        email=email,
        first_name=name.group(1) if name else "",
        last_name=name.group(2) if name else "",
        phone=phone.group() if phone else None,
        interest=_interest(text),
        amount_cents=amount_in(text),
    )


def new_lead(instruction: str) -> Lead | None:
    """The lead that a task of a person names, where the task is to work on a new one and nothing else."""
    return lead_in_text(instruction) if re.match(r"\W*(a |the )?new lead\b", instruction, re.IGNORECASE) else None


def address_in(text: str) -> str | None:
    found = re.search(r"[\w.+-]+@[\w-]+\.[\w.-]*\w", text)
    return found.group().lower() if found else None


def _interest(text: str) -> str:
    """What follows "wants", "interested in" or the like; the whole text when nothing of the kind is said."""
    said = re.search(
        r"\b(?:wants?|interested in|asks? (?:for|about)|needs?|looking for)\s+(.+?)(?:\s+for\s+[$€\d]|[,.;\n]|$)",
        text,
        re.IGNORECASE,
    )
    return (said.group(1) if said else text).strip()[:500]


# -- is it one for us? ---------------------------------------------------------------------------------------------------

Intent = Literal["buy", "question", "support", "job", "spam", "unclear"]
Fit = Literal["enter", "again", "small", "far", "support", "job", "spam"]


def fit(lead: Lead, intent: Intent, country: str | None, open_deals: int, known: Pursuit | None, terms: Terms) -> Fit:
    """What is done with a lead. A budget or a country that nobody knows is no reason against one."""
    if intent in ("support", "job", "spam"):
        return intent
    if open_deals or (known and known.deal and known.stage not in ("won", "lost")):
        return "again"
    if country and terms.countries and country not in terms.countries:
        return "far"
    if lead.amount_cents is not None and lead.amount_cents < terms.floor:
        return "small"
    return "enter"


def channel_for(lead: Lead, memory: list[dict[str, Any]], *, valid: bool) -> Channel:
    """A text message when there is a number that takes one, else a mail."""
    own = [one for one in memory if one.get("entity") in (None, f"phone:{lead.phone}")]
    refused = any(one.get("name") == "sms_reachable" and one.get("value") is False for one in own)
    return "sms" if lead.phone and ((valid and not refused) or not lead.email) else "mail"


def priority(amount: int | None, terms: Terms) -> str:
    """HubSpot's task priorities."""
    if amount is None:
        return "MEDIUM"
    return "HIGH" if amount >= terms.high else "MEDIUM" if amount >= terms.low else "LOW"


# -- answers -------------------------------------------------------------------------------------------------------------

Meaning = Literal["yes", "no", "later", "question", "stop", "other"]
YES = re.compile(r"\b(yes|yeah|yep|sure|sounds good|call me|please do|interested|ok|okay)\b")
# Whoever says one of these may say yes to something, but not plainly.
NO = re.compile(
    r"\b(no|nope|not|never|none|nothing|cannot|stop|unsubscribe|spam|scam|remove|dont|wont|cant|didnt)\b|n't\b"
)
PLAIN_NO = re.compile(r"no|nope|no,? thanks?( you)?|not interested|no longer interested|never")
LIMITS = re.compile(r"\?|\b(but|if|how|what|when|why|which|who|later|unless|until|before|first|only)\b")


def plain_meaning(text: str, wish: Wish | None = None) -> Meaning | None:
    """What an answer means, where rules can say: whole words, and nothing beside them that limits them. Else None."""
    words = text.lower().replace("’", "'").strip()
    if wish == "stop":
        return "stop"
    if PLAIN_NO.fullmatch(words.strip(" .!")):
        return "no"
    if YES.search(words) and not NO.search(words) and not LIMITS.search(words) and len(words) <= 120:
        return "yes"
    return None


def wants_call(text: str) -> bool:
    return bool(re.search(r"\b(call|phone|ring)\b", text.lower()))


# -- what is written -----------------------------------------------------------------------------------------------------

_TRACES = re.compile(
    r"https?:|www\.|\b[\w-]+\.(com|net|org|io|co|me|ly|info|biz)\b|@|(\d[\s().-]*){7,}|[<>{}\[\]]", re.I
)
LONGEST_TEXT = 320


def plain(text: str, longest: int = 60) -> str:
    """A line of somebody else's words that may stand in our messages; empty where it says how to reach anybody."""
    line = " ".join(text.split())
    if _TRACES.search(line):
        return ""
    return line if len(line) <= longest else line[: longest - 3] + "..."


def sendable(text: str) -> bool:
    """Whether a text that a model composed may go out: no address, no price, no discount, not too long."""
    promises = amount_in(text) is not None or re.search(r"\d\s?%|\bpercent\b|\b(free|guarantee\w*)\b", text.lower())
    return bool(text.strip()) and len(text) <= LONGEST_TEXT and not _TRACES.search(text) and not promises


def first_text(pursuit: Pursuit) -> str:
    return _filled(FIRST, pursuit)


def follow_up_text(pursuit: Pursuit) -> str:
    return _filled(FOLLOW_UPS[min(pursuit.step, len(FOLLOW_UPS) - 1)], pursuit)


def offer_text(pursuit: Pursuit, *, call: bool) -> str:
    """The answer to a yes. `call`: they asked for a call."""
    text = OFFER if pursuit.link and pursuit.price else NO_OFFER_YET
    price = as_written(pursuit.price, pursuit.currency) if pursuit.price else ""
    return _filled(text, pursuit, price=price, link=pursuit.link or "") + AND_CALL * call


def text_of(template: str, pursuit: Pursuit) -> str:
    return _filled(template, pursuit)


def _filled(template: str, pursuit: Pursuit, **more: str) -> str:
    """Names and subjects are other people's words: as values they cannot fill in anything themselves."""
    return template.format(who=pursuit.lead.who, subject=pursuit.subject, **more)


# -- when ----------------------------------------------------------------------------------------------------------------


def working_day(day: datetime, days: int, hour: time) -> datetime:
    """So many days on, or the next working day after them, at this hour. `day` is local time."""
    at = (day + timedelta(days=days)).replace(hour=hour.hour, minute=hour.minute, second=0, microsecond=0)
    while at.weekday() >= 5:
        at += timedelta(days=1)
    return at


def days_to_follow_up(local: datetime, step: int, terms: Terms) -> int | None:
    """Days from today to the follow-up of this number, on a working day; None when there is none any more."""
    if step >= len(terms.cadence):
        return None
    return days_on(local, terms.cadence[step] - (terms.cadence[step - 1] if step else 0))


def days_on(local: datetime, days: int) -> int:
    return (working_day(local, days, time(12)).date() - local.date()).days


def day_of(asked: Any, today: datetime) -> tuple[datetime, datetime]:
    """Begin and end of the local day that a report is asked about: {"day": "2026-12-01"}; else today."""
    try:
        day = datetime.fromisoformat(str(asked["day"] if isinstance(asked, dict) else asked)[:10])
    except (KeyError, ValueError):
        day = today
    start = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=today.tzinfo)
    return start, start + timedelta(days=1, milliseconds=-1)


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


# -- money ---------------------------------------------------------------------------------------------------------------


def price_of(deal: dict[str, Any] | None, lead: Lead | None, currency: str) -> int | None:
    """What an offer costs, in minor units: the deal's amount, which people may have changed, else what the lead named."""
    amount = (deal or {}).get("properties", {}).get("amount")
    try:
        minor = int((Decimal(str(amount)) * 10 ** places(currency)).to_integral_value()) if amount else None
    except InvalidOperation:
        minor = None
    found = minor if minor is not None else lead and lead.amount_cents
    return found if found and found > 0 else None


def paid_in_words(paid: Paid, pursuit: Pursuit) -> str:
    amount = paid.amount_cents if paid.amount_cents is not None else pursuit.price
    said = as_written(amount, paid.currency or pursuit.currency) if amount is not None else "amount not said"
    return f"{said} ({paid.reference})" if paid.reference else said


def day_in_words(found: dict[str, Any]) -> str:
    """The deals of a day, for a colleague's report. Sums are in the account's currency."""
    deals = [one["properties"] for one in found["results"]]
    stages = {name: sum(one.get("dealstage") == name for one in deals) for name in CLOSED}
    worth = sum((Decimal(str(one["amount"])) for one in deals if one.get("amount")), Decimal(0))
    total = found.get("total", len(deals))
    more = f" (the first {len(deals)} of them)" if total > len(deals) else ""
    return (
        f"Closer: {total} deals entered, worth {worth:,.2f}{more}; "
        f"{stages['closedwon']} of them won, {stages['closedlost']} lost."
    )


def workspace_in(text: str) -> str | None:
    """The id of an Airtable workspace in what a person answered."""
    found = re.search(r"\bwsp\w{3,30}\b", text)
    return found.group() if found else None


def client_signed(pursuit: Pursuit, workspace: str, paid: Paid, at: datetime) -> dict[str, Any]:
    """What Operator needs to know of a client who paid: the data of viox.client.signed."""
    lead = pursuit.lead
    amount = paid.amount_cents if paid.amount_cents is not None else pursuit.price or 0
    return {
        "client_id": f"deal-{pursuit.deal or paid.reference}",
        "name": lead.company or lead.name,
        "airtable_workspace_id": workspace,
        "contacts": [{"name": lead.name, "email": lead.email}],
        "packages": [{"name": pursuit.subject, "amount_cents": amount}],
        "signed_at": stamp(at),
    }


# -- what is told ----------------------------------------------------------------------------------------------------------

LOOK_UPS = frozenset(
    ["contact", "contacts", "memory", "number", "account", "deals", "deal", "its contacts", "knowledge", "own facts"]
)
UNTOLD = frozenset({*LOOK_UPS, "follow-up cancelled", "remembered"}) - {"contact", "contacts", "deal"}
MUST = frozenset(
    {"deal entered", "deal won", "handed over to Operator", "passed on"}
)  # without it the work is not done
