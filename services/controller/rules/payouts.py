"""What a payout, a month or a day is made of: movements of Stripe's balance, summed by kind and currency in whole minor units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from pydantic import BaseModel

from services.controller.domain import Shown
from shared.money import as_written

PAGE, MOST_PAGES = 100, 60
_NUMBER = re.compile(r"\d[\d.,-]*\d|\d")
PAYOUT_TYPES = ("payout", "payout_failure", "payout_cancel", "transfer")
CHARGES = ("charge", "payment")
KINDS = {
    "charge": "charges",
    "payment": "charges",
    "refund": "refunds",
    "payment_refund": "refunds",
    "adjustment": "disputes and adjustments",
    "stripe_fee": "fees billed by Stripe",
}
TIMER_DAY, TIMER_MONTH = "reconcile", "month-end"


class Movement(Shown):
    """A line of Stripe's balance."""

    id: str
    type: str = "charge"
    amount: int = 0
    fee: int = 0
    net: int = 0
    currency: str = "usd"
    source: str | None = None
    description: str | None = None
    created: int | None = None


class Payout(Shown):
    id: str
    amount: int = 0
    currency: str = "usd"
    status: str | None = None
    automatic: bool = True
    arrival_date: int | None = None
    failure_message: str | None = None


class Reconciled(BaseModel):
    """Kept: the payout that was reconciled last."""

    payout: str


@dataclass
class Sums:
    """Of one currency: what came and went, by kind, and the fees taken from it."""

    currency: str
    by_kind: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    fees: int = 0
    paid_out: int = 0

    @property
    def net(self) -> int:
        return sum(self.by_kind.values()) - self.fees

    def lines(self) -> list[str]:
        made = [
            f"{kind}: {as_written(amount, self.currency)} ({self.counts[kind]})"
            for kind, amount in sorted(self.by_kind.items())
        ]
        made += [f"fees: {as_written(-self.fees, self.currency)}"] if self.fees else []
        made.append(f"net: {as_written(self.net, self.currency)}")
        return made + ([f"paid out: {as_written(self.paid_out, self.currency)}"] if self.paid_out else [])


def sums_of(movements: Iterable[Movement]) -> dict[str, Sums]:
    """By currency. Money on its way to the bank is no income and no cost: it is counted apart."""
    found: dict[str, Sums] = {}
    for one in movements:
        sums = found.setdefault(one.currency, Sums(one.currency))
        if one.type in PAYOUT_TYPES:
            sums.paid_out -= one.amount
            continue
        kind = KINDS.get(one.type, one.type.replace("_", " "))
        sums.by_kind[kind] += one.amount
        sums.counts[kind] += 1
        sums.fees += one.fee
    return dict(sorted(found.items()))


def unseen(payouts: Sequence[Payout], seen: str | None) -> list[Payout]:
    """The payouts that came after the one reconciled last, oldest first; the newest alone when none was. Given newest first."""
    ids = [one.id for one in payouts]
    if seen is None or seen not in ids:
        return list(payouts[:1])
    return list(reversed(payouts[: ids.index(seen)]))


def open_by_currency(invoices: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Currency → (how many are open, what they owe together)."""
    found: dict[str, tuple[int, int]] = {}
    for one in invoices:
        count, owed = found.get(str(one.get("currency")), (0, 0))
        found[str(one.get("currency"))] = (count + 1, owed + int(one.get("amount_remaining") or 0))
    return dict(sorted(found.items()))


def invents(words: str, known: Iterable[str]) -> bool:
    """Whether prose has a number that what it was written from does not have."""
    numbers = {part for text in known for one in _NUMBER.findall(text) for part in (one, *one.split("-"))}
    return any(one not in numbers for one in _NUMBER.findall(words))


def explained(
    payout: Payout, movements: Iterable[Movement], booked: Mapping[str, Mapping[str, Any] | None]
) -> tuple[int, list[str]]:
    """(difference to the cent, what explains it line by line). `booked`: charge → what our books have of it, None: nothing."""
    found = [one for one in movements if one.type not in PAYOUT_TYPES]
    lines = [line for one in found for line in _about(one, payout, booked)]
    net = sum(one.net for one in found if one.currency == payout.currency)
    return payout.amount - net, lines


def _about(one: Movement, payout: Payout, booked: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    """What a person has to know of a movement; nothing of a charge that is right and in the books."""
    amount, fee, net = (as_written(part, one.currency) for part in (one.amount, one.fee, one.net))
    if one.amount - one.fee != one.net:
        yield f"{one.id}: {amount} less a fee of {fee} is not its net of {net}"
    if one.currency != payout.currency:
        yield f"{one.id}: in {one.currency.upper()}, the payout in {payout.currency.upper()}"
    if one.type not in CHARGES:
        yield f"{one.id}: {one.type} of {net} ({one.source or 'no source'})"
    elif one.source and one.source in booked:
        record = booked[one.source] or {}
        books = (record.get("data") or record).get("amount")
        if books is None:
            yield f"{one.source}: {amount} is not in the books"
        elif int(books) != one.amount:
            yield f"{one.source}: {as_written(int(books), one.currency)} in the books, {amount} at Stripe"


def record_of(charge: str) -> str:
    """The record that says how a charge stands in the books."""
    return f"stripe-charge:{charge}"


def charges_in(movements: Iterable[Movement]) -> list[str]:
    return sorted({one.source for one in movements if one.type in CHARGES and one.source})


# -- spans of time ---------------------------------------------------------------------------------------------------------


def month_before(now: datetime, zone: tzinfo) -> str:
    first = now.astimezone(zone).date().replace(day=1)
    return f"{first - timedelta(days=1):%Y-%m}"


def seconds_of_month(month: str, zone: tzinfo) -> dict[str, int]:
    """A month of the business as Stripe takes spans: Unix seconds."""
    first = date.fromisoformat(f"{month}-01")
    return _span(first, last_day(month) + timedelta(days=1), zone)


def last_day(month: str) -> date:
    return (date.fromisoformat(f"{month}-01") + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def seconds_of_day(day: date, zone: tzinfo) -> dict[str, int]:
    return _span(day, day + timedelta(days=1), zone)


def _span(first: date, end: date, zone: tzinfo) -> dict[str, int]:
    starts, ends = (int(datetime.combine(day, time(), zone).timestamp()) for day in (first, end))
    return {"gte": starts, "lt": ends}


def tomorrow(now: datetime, zone: tzinfo) -> datetime:
    return datetime.combine(now.astimezone(zone).date() + timedelta(days=1), time(8), zone)


def next_month(now: datetime, zone: tzinfo) -> datetime:
    first = (now.astimezone(zone).date().replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime.combine(first, time(8), zone)


def profit_in(report: Any) -> str | None:
    """Net income as QuickBooks's report has it, as written there."""
    for row in ((report or {}).get("Rows") or {}).get("Row") or []:
        cells = ((row.get("Summary") or {}).get("ColData")) or []
        if row.get("group") == "NetIncome" and len(cells) > 1:
            return str(cells[-1].get("value") or "0")
    return None
