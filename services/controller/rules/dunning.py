"""What happens about an invoice whose payment failed: which reminder is next, in which tone, by which channel, and when.

The ladder is the whole policy. Change it here: a rung is a reminder, and after the last one a person is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from services.controller.domain import Invoice
from shared.money import as_written

Tone = Literal["friendly", "plain", "firm"]
Meaning = Literal["nothing", "paid", "promises", "needs_answer"]
Next = Literal["remind", "hold", "ask_person", "settled", "left_to_person"]


@dataclass(frozen=True, slots=True)
class Rung:
    tone: Tone
    wait_days: int
    channels: tuple[str, ...]


LADDER = (Rung("friendly", 3, ("mail",)), Rung("plain", 5, ("mail",)), Rung("firm", 7, ("mail", "sms")))
GAP = timedelta(days=2)  # between two reminders, whatever Stripe tries meanwhile
AT = time(10)  # of the business's day
ASK_AGAIN_DAYS, LONGER_DAYS = 2, 14
TIMER = "dunning"
REMIND, WAIT, TAKE_OVER = "Remind once more", "Wait two weeks", "I take care of it"
CHOICES = [REMIND, WAIT, TAKE_OVER]


class Dunning(BaseModel):
    """Kept of an invoice: how far its reminders went."""

    invoice: str | None = None
    step: int = 0
    sent_at: AwareDatetime | None = None
    left_to: str | None = None  # the person who takes care of it
    over: bool = False


class Heard(BaseModel):
    """What a customer who was written to about an invoice answers."""

    meaning: Meaning


class Letter(BaseModel):
    subject: str = Field(min_length=1, max_length=150)
    text: str = Field(min_length=1, max_length=3000)


_THANKS = re.compile(r"\W*(thanks?|thank you|ok(ay)?|great|perfect|received|noted)\b[^?]{0,60}")
_PAID = re.compile(r"\b(i|we)('ve| have)? (just |already )?(paid|transferred|sent the (money|payment))\b")
_PROMISES = re.compile(r"\b(will|'ll|going to|shall) (be )?(pay|paid|transfer|send the (money|payment))")
_BUT = re.compile(r"\?|\b(but|refund|wrong|never|not|cancel|dispute|why)\b")


def meaning_by_words(text: str) -> Meaning | None:
    """What an answer means where its words leave no doubt; None where a model has to read it."""
    words = " ".join(text.lower().replace("’", "'").split())
    if _BUT.search(words) or len(words) > 200:
        return None
    if _PAID.search(words):
        return "paid"
    if _PROMISES.search(words):
        return "promises"
    return "nothing" if _THANKS.fullmatch(words) else None


def next_of(invoice: Invoice, kept: Dunning, now: datetime) -> Next:
    if invoice.status in ("paid", "void", "uncollectible", "draft") or (invoice.status and invoice.owed <= 0):
        return "settled"
    if kept.left_to:
        return "left_to_person"
    if not reachable(invoice) or step_of(invoice, kept) > len(LADDER):
        return "ask_person"
    return "hold" if kept.sent_at and now - kept.sent_at < GAP else "remind"


def step_of(invoice: Invoice, kept: Dunning) -> int:
    """The reminder that is next: after our last one, and not behind what Stripe has tried. Stripe's tries alone skip none to
    the end: the firm one is always written before a person is asked."""
    return max(kept.step + 1, min(invoice.attempt_count, len(LADDER)))


def rung(step: int) -> Rung:
    return LADDER[min(step, len(LADDER)) - 1]


def reachable(invoice: Invoice) -> bool:
    return bool(invoice.customer_email or invoice.customer_phone)


def channels(invoice: Invoice, step: int) -> list[str]:
    """Those of the rung that the customer has; the other one where there is none of them."""
    has = {"mail": bool(invoice.customer_email), "sms": is_phone(invoice.customer_phone)}
    return [one for one in rung(step).channels if has[one]] or [one for one in has if has[one]]


def is_phone(number: str | None) -> bool:
    return bool(number and re.fullmatch(r"\+[1-9]\d{6,14}", number))


def look_again(now: datetime, days: int, zone: tzinfo, stripe_tries: int | None = None) -> datetime:
    """The moment of the next step: so many days on in the morning, a day after Stripe's own next try if that is later, and
    never on a weekend."""
    at = datetime.combine(now.astimezone(zone).date() + timedelta(days=days), AT, zone)
    if stripe_tries is not None:
        tries = datetime.fromtimestamp(stripe_tries, UTC).astimezone(zone).date()
        at = max(at, datetime.combine(tries + timedelta(days=1), AT, zone))
    return at + timedelta(days={5: 2, 6: 1}.get(at.weekday(), 0))


_OPENING: dict[Tone, str] = {
    "friendly": "the payment of invoice {number} over {amount} did not go through. This happens, often because a card was replaced.",
    "plain": "invoice {number} over {amount} is still open; the payment failed again.",
    "firm": "invoice {number} over {amount} is still unpaid after our earlier reminders.",
}
_REQUEST: dict[Tone, str] = {
    "friendly": "You can pay it here when it suits you",
    "plain": "Please pay it here within the next days",
    "firm": "Please pay it now, or write to us today if something is wrong with it",
}
_SUBJECT: dict[Tone, str] = {
    "friendly": "Your payment for invoice {number}",
    "plain": "Reminder: invoice {number} is open",
    "firm": "Last reminder: invoice {number}",
}


def template(invoice: Invoice, tone: Tone, business: str) -> Letter:
    """The reminder as it goes out when nobody phrases it."""
    known = {"number": invoice.called, "amount": as_written(invoice.owed, invoice.currency)}
    where = f":\n{invoice.hosted_invoice_url}" if invoice.hosted_invoice_url else "."
    text = (
        f"Hello {invoice.customer_name or ''}".strip() + ",\n\n"
        f"{_OPENING[tone].format(**known)}\n{_REQUEST[tone]}{where}\n\n"
        f"If you have paid already, please take no notice.\n\n{business}\n"
    )
    return Letter(subject=_SUBJECT[tone].format(**known)[:150], text=text)


def is_faithful(letter: Letter, invoice: Invoice) -> bool:
    """Whether a phrased reminder says what the template says: the amount, the place to pay, and no other of either."""
    amount = as_written(invoice.owed, invoice.currency)
    links = {link.rstrip(".,") for link in re.findall(r"https?://\S+", letter.text)}
    bare = re.sub(r"https?://\S+", " ", letter.text).replace(invoice.called, " ")
    sums = {one.rstrip(".,") for one in re.findall(r"\d[\d.,]*", bare) if re.search(r"[.,]\d", one)}
    wanted = {invoice.hosted_invoice_url} if invoice.hosted_invoice_url else set()
    return amount in letter.text and links == wanted and sums <= {amount.split()[0]}


def text_message(invoice: Invoice, business: str) -> str:
    link = f" {invoice.hosted_invoice_url}" if invoice.hosted_invoice_url else ""
    amount = as_written(invoice.owed, invoice.currency)
    return f"{business}: invoice {invoice.called} over {amount} is unpaid. Please pay or write to us.{link}"[:1600]


def thanks(invoice: Invoice, business: str) -> Letter:
    amount = as_written(invoice.amount_paid or invoice.worth, invoice.currency)
    text = (
        f"Hello {invoice.customer_name or ''}".strip() + ",\n\n"
        f"thank you: {amount} for invoice {invoice.called} has arrived. Nothing is open any more.\n\n{business}\n"
    )
    return Letter(subject=f"Thank you: invoice {invoice.called} is paid"[:150], text=text)


def question(invoice: Invoice, kept: Dunning, lost: str = "") -> str:
    """What a person is asked at the end of the ladder, or where our mail did not arrive."""
    who = invoice.customer_name or invoice.customer_email or invoice.customer or "the customer"
    said = (
        f"{kept.step} reminders were sent" if kept.step else "nobody could be reminded: neither mail nor phone is known"
    )
    amount = as_written(invoice.owed, invoice.currency)
    told = f"Invoice {invoice.called} of {who} over {amount} is unpaid. Stripe tried {invoice.attempt_count} times; {said}."
    return " ".join([told, *([f"{lost}."] if lost else []), "What now?"])[:2000]
