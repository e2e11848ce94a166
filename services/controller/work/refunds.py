"""A refund was ordered: the charge is found and checked by rule; the gateway asks people before money moves."""

from __future__ import annotations

from services.controller.domain import Charge, RefundOrder, ref
from services.controller.rules import refunds as rules
from services.controller.work import views
from shared.money import as_written
from shared.runtime.work import Work

NOT_DONE = "controller.not_refunded"


def find_payment(work: Work) -> None:
    order = _order(work)
    if order.charge:
        _read_charge(work, order.charge)
    elif order.invoice:
        work.call("invoice", "stripe_get_invoice", {"invoice": order.invoice, "expand": ["payments"]})
    if order.customer_email:
        work.call("customers", "stripe_list_customers", {"email": order.customer_email, "limit": 20})


def by_payment(work: Work) -> str:
    return "refund" if _order(work).charge else "list_charges"


def list_charges(work: Work) -> None:
    """The charges of the invoice or, without one, of the customer."""
    if _order(work).invoice:
        paid = [one.get("payment") or {} for one in views.objects((work.value("invoice") or {}).get("payments"))]
        for intent in filter(None, (ref(one.get("payment_intent")) for one in paid)):
            work.call("charges", "stripe_list_charges", {"payment_intent": intent, "limit": 20})
        return
    for customer in _customer_ids(work) or []:
        work.call("charges", "stripe_list_charges", {"customer": customer, "limit": 50})


def by_candidates(work: Work) -> str:
    match len(_candidates(work)):
        case 0:
            return "close_refund"
        case 1:
            return "read_charge"
    return "ask_which_charge"


def ask_which_charge(work: Work) -> None:
    """Several charges fit, and no rule says which: a person does."""
    order, choices = _order(work), [rules.choice(one) for one in _candidates(work)[:10]]
    question = f"Refund {order.said}: which payment is meant? {order.reason}"[:2000]
    work.call("which", "person_ask", {"question": question, "choices": choices, "expires": "2d"})


def by_choice(work: Work) -> str:
    return "read_charge" if work.value("which") else "close_refund"


def read_charge(work: Work) -> None:
    answer = work.value("which")
    _read_charge(work, rules.chosen(answer["answer"]) if answer else _candidates(work)[0].id)


def refund(work: Work) -> None:
    """Exactly what was ordered, of exactly this charge. Nothing when a rule speaks against it."""
    charge = _charge(work)
    if charge is None or _problem(work):
        return
    order = _order(work)
    work.call(
        "refund",
        "stripe_create_refund",
        {
            "charge": charge.id,
            "amount": rules.amount_of(order, charge),
            "reason": "requested_by_customer",
            "metadata": {"order": work.trigger.id[:500], "why": order.reason[:400] or "not said"},
        },
    )


def note_refund(work: Work) -> None:
    charge, done = _charge(work), work.value("refund")
    if charge is None or done is None:
        return
    amount, email = as_written(rules.amount_of(_order(work), charge), charge.currency), _order(work).customer_email
    data = {"refund": done.get("id"), "amount": rules.amount_of(_order(work), charge), "why": _order(work).reason[:400]}
    work.call("record", "records_write", {"entity": f"refund:{done.get('id')}", "data": data | {"charge": charge.id}})
    if email := email or charge.billing_details.email:
        fact = {"text": f"{amount} of payment {charge.id} was refunded ({done.get('id')})"}
        work.call("remember", "memory_remember", {"entity": f"person:{email}", "facts": [fact]})


def close_refund(work: Work) -> None:
    order, charge, made = _order(work), _charge(work), work.result("refund")
    if made is not None and made.ok:
        amount = as_written(rules.amount_of(order, charge), charge.currency) if charge else order.said
        state = "" if (made.value or {}).get("status") in (None, "succeeded") else f" It is {made.value['status']}."
        said = (made.value or {}).get("id") or "done"
        return work.conclude(f"Refunded {amount} of {charge.id if charge else order.charge}: {said}.{state}")
    if made is not None:
        why = {"denied": "it was refused", "rejected": "a person refused it", "expired": "nobody agreed in time"}.get(
            made.state
        )
        told = f"{why}: {made.why}" if why else made.why
    else:
        told = _problem(work) or "nothing was found to refund"
    text = f"{order.said} was not refunded: {told}."
    if made is not None and made.state in ("denied", "rejected") and "refund" not in work.trigger.context:
        return work.conclude(text)  # that is the answer to who ordered it in words; a colleague is told by the failure
    return work.fail(NOT_DONE, text, "Order it again once that is settled.")


# -- parts -----------------------------------------------------------------------------------------------------------------


def _order(work: Work) -> RefundOrder:
    return views.order(work, RefundOrder)


def _read_charge(work: Work, charge: str) -> None:
    work.call("charge", "stripe_get_charge", {"charge": charge})
    work.call("refunds", "stripe_list_refunds", {"charge": charge, "limit": 100})


def _charge(work: Work) -> Charge | None:
    found = work.value("charge")
    return Charge.model_validate(found) if found else None


def _candidates(work: Work) -> list[Charge]:
    charges = [Charge.model_validate(row) for one in work.results("charges") for row in views.objects(one.value)]
    return rules.candidates(_order(work), charges)


def _customer_ids(work: Work) -> list[str] | None:
    """Those whom Stripe has under the order's address; None when it names no address."""
    found = work.result("customers")
    return [str(one["id"]) for one in views.objects(found.value)] if found else None


def _problem(work: Work) -> str | None:
    """Why nothing is refunded. What could not be looked up speaks against it, too."""
    looked = [
        one for name in ("charge", "refunds", "customers", "invoice", "charges", "which") for one in work.results(name)
    ]
    if missing := views.failed(*looked):
        return missing
    if work.result("charge") is None:
        return None
    return rules.problem(_order(work), _charge(work), views.objects(work.value("refunds")), _customer_ids(work))
