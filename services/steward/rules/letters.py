"""What customers read. Change the wording here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.steward.domain import ANSWER_WITHIN, Ticket, Urgency
from services.steward.rules.answers import Source
from shared.heard import reply_subject
from shared.money import as_written

NO_REPLY = "no reply"


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    text: str


def _letter(ticket: Ticket, business: str, *paragraphs: str) -> Letter:
    reference = f"Your reference: {ticket.ticket_id}\n\n" if ticket.ticket_id else ""
    body = "\n\n".join(one for one in paragraphs if one)
    return Letter(reply_subject(ticket.subject or "your request"), f"Hello,\n\n{body}\n\n{reference}{business}\n")


def answer(ticket: Ticket, business: str, text: str, sources: Sequence[Source]) -> Letter:
    documents = list(dict.fromkeys(one.where for one in sources if one.public))
    more = f"You find this in: {'; '.join(documents)}." if documents else ""
    return _letter(ticket, business, "thank you for writing to us.", text, more, "If this does not help, just answer.")


def acknowledgement(ticket: Ticket, business: str, urgency: Urgency) -> Letter:
    promise = f"thank you for writing to us. We have your request and will answer {ANSWER_WITHIN[urgency]}."
    return _letter(ticket, business, promise, "We do not want to guess, so a colleague is looking at it.")


def refund_asked(ticket: Ticket, business: str) -> Letter:
    return _letter(
        ticket, business, "we have your wish for a refund and are looking at the payment. You will hear from us."
    )


def refunded(ticket: Ticket, business: str, amount: int | None, currency: str) -> Letter:
    what = f"{as_written(amount, currency)} of your payment" if amount else "your payment"
    told = f"we have refunded {what}. Your bank usually needs five to ten days to show it."
    return _letter(ticket, business, told)


def from_person(ticket: Ticket, business: str, text: str) -> Letter:
    return _letter(ticket, business, "thank you for waiting. A colleague has looked at it:", text)


def survey(ticket: Ticket, business: str) -> Letter:
    asked = (
        "did our answer help? Please reply with a number from 1 (not at all) to 5 (completely), or in your own words."
    )
    return _letter(ticket, business, asked)


def sorry(ticket: Ticket, business: str) -> Letter:
    return _letter(
        ticket, business, "we are sorry that it did not help. A colleague is looking at it and will write to you."
    )


def as_text_message(letter: Letter) -> str:
    """Without greeting and blank lines: what a telephone shows."""
    return " ".join(letter.text.removeprefix("Hello,").split())[:1600]


def question(ticket: Ticket, urgency: Urgency, summary: str, doubt: str, within: str) -> str:
    """What a person is asked."""
    who = ticket.customer_email or ticket.phone or "a customer whom we cannot reach"
    who += " (it is not proved that they wrote it)" if ticket.unproved_sender else ""
    head = f"{urgency.capitalize()} urgency, from {who}: {ticket.subject[:150] or 'a request'}. {summary[:500]}"
    wanted = f"Not answered because {doubt[:300]}. What shall the customer be told within {within}? ('{NO_REPLY}' for nothing.)"
    return f"{head}\n{ticket.body[:700]}\n{wanted}"[:2000]


def is_no_reply(text: str) -> bool:
    return text.strip().strip(".'\"").lower() == NO_REPLY
