"""Steward's rules: what a ticket is, how urgent it is, what a customer wishes, what is kept of it. Pure: no I/O, no clock.

Answers and their sources are in rules/answers.py, what customers read in rules/letters.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from shared.money import amount_in, currency_in

Urgency = Literal["normal", "raised", "high"]
Wish = Literal["question", "refund", "complaint"]
ORDER: tuple[Urgency, ...] = ("normal", "raised", "high")

# Whole words: a download is not down, and neither is a down payment.
URGENT = re.compile(
    r"\b(urgent(ly)?|urgency|asap|down(?! payment)|outages?|lawyers?|data loss|locked out|double charged|charged twice)\b"
)
UPSET = re.compile(r"\b(angry|unacceptable|disappoint(ed|ing)|terrible|worst|complaints?)\b")
REFUND = re.compile(r"\b(refund(ed|s)?|money back|reimburse(d|ment)?)\b")
ASKS_ABOUT = re.compile(r"\b(policy|policies|terms|how long|when|what|how|do you|can i|is there)\b[^.!]*\brefunds?\b")
CHARGE, INVOICE = re.compile(r"\b(?:ch|py)_\w+"), re.compile(r"\bin_\w+")
ANSWER_WITHIN = {"high": "within the hour", "raised": "today", "normal": "within one working day"}
PERSON_WITHIN = {"high": "4h", "raised": "24h", "normal": "2d"}
PRIORITY = {"high": "URGENT", "raised": "HIGH", "normal": "MEDIUM"}
FOLLOW_UP_DAYS = 3
SURVEY_ANSWERS = timedelta(days=14)
LONGEST_QUESTION = 900


class Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, Mapping) else given


class Ticket(Given):
    """What a customer wrote, and how to reach them."""

    ticket_id: str | None = None
    subject: str = ""
    body: str = ""
    customer_email: str | None = None
    phone: str | None = None
    message_id: str | None = None  # of the mail that it came by
    unproved_sender: bool = False  # anybody may have written that mail

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.body}".strip()

    @property
    def question(self) -> str:
        """It as one asks a colleague; never empty."""
        return " ".join(self.text.split())[:LONGEST_QUESTION] or "a customer's request"

    @property
    def entity(self) -> str | None:
        """Whom memory knows it by."""
        if self.customer_email:
            return f"person:{self.customer_email.lower()}"
        return f"phone:{self.phone}" if self.phone else None


class ReportOrder(Given):
    day: date


class Case(BaseModel):
    """Kept of a ticket: who and what it is, and how far it went."""

    ticket: Ticket
    status: Literal["open", "answered", "escalated", "closed"] = "open"
    urgency: Urgency = "normal"
    hubspot_ticket: str | None = None
    surveyed_at: AwareDatetime | None = None
    rated: str | None = None
    summary: str = ""
    doubt: str = ""  # why a person is asked


class Triage(BaseModel):
    """What the model makes of a ticket."""

    urgency: Urgency
    wish: Wish = Field(description="refund only where the customer wants money back, not where they ask about refunds")
    summary: str = Field(
        min_length=1, max_length=400, description="for a colleague: what the customer needs, in one or two sentences"
    )


class Verdict(BaseModel):
    """What the model makes of an answer to "did it help?"."""

    verdict: Literal["happy", "unhappy", "new_request"]


def urgency_by_words(text: str) -> Urgency:
    """high within the hour, normal within the day, upset customers before others."""
    words = " ".join(text.lower().split())
    if URGENT.search(words):
        return "high"
    return "raised" if UPSET.search(words) else "normal"


def urgency(text: str, judged: Triage | None) -> Urgency:
    """The higher of what the words and the model say: neither may talk the other down."""
    by_words = urgency_by_words(text)
    return max(by_words, judged.urgency if judged else by_words, key=ORDER.index)


def wish_by_words(text: str) -> Wish:
    words = " ".join(text.lower().split())
    if REFUND.search(words) and not ASKS_ABOUT.search(words):
        return "refund"
    return "complaint" if UPSET.search(words) else "question"


def refund_order(ticket: Ticket) -> dict[str, Any]:
    """What Controller is asked for: amount, charge and invoice only where the customer named one and no other."""
    charges, invoices = set(CHARGE.findall(ticket.text)), set(INVOICE.findall(ticket.text))
    proved = " by mail, whose sender is not proved" if ticket.unproved_sender else ""
    order: dict[str, Any] = {"reason": f"asked for by the customer{proved}: {ticket.subject or ticket.body}"[:400]}
    if ticket.customer_email:
        order["customer_email"] = ticket.customer_email
    if len(charges) == 1:
        order["charge"] = charges.pop()
    elif len(invoices) == 1:
        order["invoice"] = invoices.pop()
    if (amount := amount_in(ticket.text)) and (currency := currency_in(ticket.text)):
        order |= {"amount_cents": amount, "currency": currency}
    return order


def can_be_refunded(ticket: Ticket) -> bool:
    """Whether it says whose payment is meant. Whoever writes from a telephone has to be asked by a person."""
    return bool(ticket.customer_email)


def is_sms_number(phone: str | None) -> bool:
    return bool(phone and re.fullmatch(r"\+[1-9]\d{6,14}", phone))


# -- satisfaction ----------------------------------------------------------------------------------------------------------

_RATED = re.compile(r"^\W*([1-5])(?:\s*(?:/|of|out of)\s*5)?\s*(?:$|[-–.,!;:)](?!\d))")
_HAPPY = re.compile(r"^\W*(yes|yep|yeah|thanks?|thank you|great|perfect|solved|all good|works( now)?)\b[^?]*$")
_UNHAPPY = re.compile(r"^\W*(no|nope|not really|not solved|still (not|the same|broken)|it did(n't| not))\b")


def verdict_by_words(text: str) -> str | None:
    """happy or unhappy where an answer leaves no doubt; None where a model has to read it."""
    words = " ".join(text.lower().split())
    if rated := _RATED.match(words):
        return "happy" if int(rated.group(1)) >= 4 else "unhappy"
    if _UNHAPPY.match(words):
        return "unhappy"
    return "happy" if _HAPPY.match(words) and len(words) <= 120 else None
