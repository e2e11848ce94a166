"""What Controller works on: Stripe's objects as far as it reads them, and the orders that tasks bring. Pure: no I/O, no clock.

The rules of each piece of work are in rules/. Amounts are whole numbers of minor units everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.money import amount_in, as_written, currency_in


class Shown(BaseModel):
    """What a vendor shows. What it leaves empty is as if it were not there; what is not read is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, Mapping) else given


def ref(given: Any) -> Any:
    """An id, also where the vendor gives the whole object in its place."""
    return given.get("id") if isinstance(given, Mapping) else given


def _items(given: Any) -> Any:
    return given.get("data", []) if isinstance(given, Mapping) else given


Ref = Annotated[str | None, BeforeValidator(ref)]


class Line(Shown):
    description: str = ""
    amount: int = 0


class Invoice(Shown):
    """A Stripe invoice."""

    id: str
    number: str | None = None
    status: str | None = None
    currency: str = "usd"
    customer: Ref = None
    customer_email: str | None = None
    customer_name: str | None = None
    customer_phone: str | None = None
    amount_due: int = 0
    amount_paid: int = 0
    amount_remaining: int | None = None
    total: int | None = None
    attempt_count: int = 0
    next_payment_attempt: int | None = None
    hosted_invoice_url: str | None = None
    created: int | None = None
    due_date: int | None = None
    lines: Annotated[list[Line], BeforeValidator(_items)] = Field(default_factory=list)
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def called(self) -> str:
        return self.number or self.id

    @property
    def owed(self) -> int:
        return self.amount_due - self.amount_paid if self.amount_remaining is None else self.amount_remaining

    @property
    def worth(self) -> int:
        return self.amount_due if self.total is None else self.total

    @property
    def deal(self) -> str | None:
        """The deal that hangs on it, as whoever wrote the invoice noted."""
        return self.metadata.get("deal") or self.metadata.get("deal_id")

    @property
    def lead(self) -> str | None:
        """Whom it was sold to, by mail address."""
        return self.metadata.get("lead") or self.customer_email


class _Billing(Shown):
    email: str | None = None
    name: str | None = None


class Charge(Shown):
    """A Stripe charge."""

    id: str
    status: str | None = None
    amount: int = 0
    amount_captured: int | None = None
    amount_refunded: int = 0
    currency: str = "usd"
    customer: Ref = None
    payment_intent: Ref = None
    disputed: bool = False
    description: str | None = None
    created: int | None = None
    billing_details: _Billing = Field(default_factory=_Billing)

    @property
    def refundable(self) -> int:
        """What is left to refund; nothing of a charge that failed or that the bank took back."""
        if self.disputed or self.status not in (None, "succeeded"):
            return 0
        captured = self.amount if self.amount_captured is None else self.amount_captured
        return captured - self.amount_refunded


class _Due(Shown):
    due_by: int | None = None
    submission_count: int = 0
    past_due: bool = False


class Dispute(Shown):
    """A Stripe dispute."""

    id: str
    status: str | None = None
    reason: str = "general"
    amount: int = 0
    currency: str = "usd"
    charge: Ref = None
    evidence_details: _Due = Field(default_factory=_Due)

    @property
    def is_open(self) -> bool:
        return self.status in (None, "needs_response", "warning_needs_response")


def event_object(data: Mapping[str, Any]) -> dict[str, Any]:
    """The object that a Stripe event is about."""
    return dict((data.get("data") or {}).get("object") or {})


def newest(event: Mapping[str, Any], today: Any) -> dict[str, Any]:
    """An object as it is today; where that does not say something, as the event had it."""
    now = today if isinstance(today, Mapping) else {}
    return {**event, **{k: v for k, v in now.items() if v is not None}}


# -- orders: what the context of a task asks for -------------------------------------------------------------------------


class Order(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RefundOrder(Order):
    """Give money back. `amount_cents`: minor units of the charge; all that is left without it."""

    charge: str | None = None
    invoice: str | None = None
    customer_email: str | None = None
    amount_cents: int | None = Field(default=None, ge=1)
    currency: str | None = None
    reason: str = ""
    again: bool = False

    @model_validator(mode="after")
    def _names_something(self) -> RefundOrder:
        if not (self.charge or self.invoice or self.customer_email):
            raise ValueError("it names no charge, invoice or customer_email")
        return self

    @property
    def said(self) -> str:
        amount = "what is left" if self.amount_cents is None else as_written(self.amount_cents, self.currency or "usd")
        return f"{amount} of {self.charge or self.invoice or self.customer_email}"


class PayoutOrder(Order):
    """Reconcile a payout; the newest one without an id. `repeat`: every day from now on."""

    id: str | None = None
    repeat: bool = False


class MonthOrder(Order):
    """Sum up a month; the one before this one without a name. `repeat`: every month from now on."""

    month: str | None = Field(default=None, pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    repeat: bool = False


class PaymentQuestion(Order):
    customer_email: str | None = None
    phone: str | None = Field(default=None, pattern=r"^\+[1-9]\d{6,14}$")
    question: str = ""

    @model_validator(mode="after")
    def _names_somebody(self) -> PaymentQuestion:
        if not (self.customer_email or self.phone):
            raise ValueError("it names neither customer_email nor phone")
        return self

    @property
    def who(self) -> str:
        return str(self.customer_email or self.phone)


class ReportOrder(Order):
    day: date


class DebtOrder(Order):
    """Look after an unpaid invoice: what a timer of ours brings back."""

    invoice: str = Field(min_length=1)


class DisputeOrder(Order):
    dispute: str = Field(min_length=1)


ORDERS: dict[str, type[Order]] = {
    "refund": RefundOrder,
    "payout": PayoutOrder,
    "month": MonthOrder,
    "payment_question": PaymentQuestion,
    "report": ReportOrder,
    "dunning": DebtOrder,
    "dispute": DisputeOrder,
}

_REFUND = re.compile(r"\brefund\b", re.IGNORECASE)
_CHARGE = re.compile(r"\b(?:ch|py)_\w+")
_PAYOUT = re.compile(r"\breconcile\b.*\bpayouts?\b", re.IGNORECASE)
_PAYOUT_ID = re.compile(r"\bpo_\w+")
_MONTH = re.compile(r"\b(?:month[- ]end|sum up (?:the |last )?month)\b", re.IGNORECASE)
_MONTH_ID = re.compile(r"\b\d{4}-(?:0[1-9]|1[0-2])\b")
_REPEAT = re.compile(r"\b(?:every|each|daily|monthly)\b", re.IGNORECASE)
_AGAIN = re.compile(r"\b(?:again|once more|another|a second time)\b", re.IGNORECASE)


def kind_of(context: Mapping[str, Any], instruction: str) -> str | None:
    """Which order a task brings: by its context, or by words that leave no doubt. None: nobody foresaw it."""
    for kind in ORDERS:
        if kind in context:
            return kind
    if refund_in(instruction):
        return "refund"
    if _PAYOUT.search(instruction):
        return "payout"
    return "month" if _MONTH.search(instruction) else None


def order_of(context: Mapping[str, Any], instruction: str) -> Order:
    """The order of a task that has one. Raises pydantic's ValidationError for a context that does not say enough."""
    kind = kind_of(context, instruction)
    assert kind is not None  # noqa: S101  # the graph asks only then
    if kind in context:
        return ORDERS[kind].model_validate(context[kind])
    if kind == "refund" and (order := refund_in(instruction)):
        return order
    repeat = bool(_REPEAT.search(instruction))
    if kind == "payout":
        found = _PAYOUT_ID.search(instruction)
        return PayoutOrder(id=found.group() if found else None, repeat=repeat)
    month = _MONTH_ID.search(instruction)
    return MonthOrder(month=month.group() if month else None, repeat=repeat)


def refund_in(instruction: str) -> RefundOrder | None:
    """An order to refund an amount of a charge, in words: both are named, and one currency. None when it is no such order."""
    charges, amount = set(_CHARGE.findall(instruction)), amount_in(instruction)
    currency = currency_in(instruction)
    if not _REFUND.search(instruction) or len(charges) != 1 or amount is None or amount < 1 or currency is None:
        return None
    why = instruction.partition(":")[2].strip()
    return RefundOrder(
        charge=charges.pop(),
        amount_cents=amount,
        currency=currency,
        reason=why[:400],
        again=bool(_AGAIN.search(instruction)),
    )
