"""What may be refunded: a charge of the customer, not more than is left of it, and not twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.controller.domain import Charge, RefundOrder
from shared.money import as_written

LIVE = ("succeeded", "pending", "requires_action")


def candidates(order: RefundOrder, charges: Iterable[Charge]) -> list[Charge]:
    """The charges that an order can mean: enough is left of them; those of exactly the amount before all others."""
    wanted = order.amount_cents
    able = [one for one in charges if one.refundable > 0 and (wanted is None or one.refundable >= wanted)]
    exact = [one for one in able if one.amount == wanted]
    return exact or able


def choice(charge: Charge) -> str:
    """A charge as a person is asked about it; its id comes last."""
    return f"{as_written(charge.amount, charge.currency)} {charge.description or ''}"[:60].strip() + f" {charge.id}"


def chosen(answer: str) -> str:
    return answer.rsplit(" ", 1)[-1]


def amount_of(order: RefundOrder, charge: Charge) -> int:
    return charge.refundable if order.amount_cents is None else order.amount_cents


def problem(
    order: RefundOrder, charge: Charge | None, refunds: Sequence[Mapping[str, Any]], customers: Sequence[str] | None
) -> str | None:
    """Why an order is not carried out, in a sentence without its full stop; None when nothing speaks against it.

    `customers`: the ids that Stripe has under the order's mail address; None when the order names none.
    """
    if charge is None:
        return "there is no such charge"
    if customers is not None and not _is_theirs(order, charge, customers):
        return f"{charge.id} is no charge of {order.customer_email}"
    if charge.disputed:
        return f"{charge.id} is disputed: the bank has taken the money back already"
    if charge.status not in (None, "succeeded"):
        return f"{charge.id} did not succeed ({charge.status})"
    if order.currency and order.currency != charge.currency:
        return f"the order says {order.currency.upper()}, and {charge.id} is in {charge.currency.upper()}"
    if charge.refundable <= 0:
        return f"all of {charge.id} is refunded already"
    wanted = amount_of(order, charge)
    before = [one for one in refunds if one.get("status") in LIVE and one.get("amount") == wanted]
    if before and not order.again:
        done = f"{as_written(wanted, charge.currency)} of it was refunded already ({before[0].get('id')})"
        return f"{done}; to refund as much once more, say so in the order"
    if wanted > charge.refundable:
        left = as_written(charge.refundable, charge.currency)
        return f"only {left} is left of {charge.id}, and {as_written(wanted, charge.currency)} was ordered"
    return None


def _is_theirs(order: RefundOrder, charge: Charge, customers: Sequence[str]) -> bool:
    email = (charge.billing_details.email or "").lower()
    return charge.customer in customers or email == (order.customer_email or "").lower()
