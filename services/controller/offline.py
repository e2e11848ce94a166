"""Controller without a model: looks at the invoice or dispute itself, writes down what is now true, says what is next."""

from __future__ import annotations

from typing import Any

from shared.models.offline import Seen, call_missing, cannot, say
from shared.models.port import AssistantMessage, ChatRequest
from shared.money import as_written


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "next" not in facts:
        if kind:
            return say(f"[offline] {kind} noted; its rules are for Stripe's events.")
        return cannot(
            "without a model Controller handles Stripe's events, and orders to refund an amount of a charge, such as"
            " 'Refund 12.50 USD of ch_123: returned'."
        )
    if "refund" in facts:
        return _refund(request, seen, facts["refund"])
    thing = data.get("data", {}).get("object", {})
    look = call_missing(request, seen, *_questions(kind, thing))
    if look:
        return look
    found = seen.result("stripe_get_invoice") or seen.result("stripe_get_dispute") or {}
    status = found.get("status")
    written = call_missing(request, seen, ("records_write", _record(kind, thing, status)))
    if written:
        return written
    at_vendor = f" At Stripe it is {status}." if status else ""
    return say(
        f"[offline] {kind}: {thing.get('number') or thing.get('id')}, {facts['amount'] or 'no amount'}. Next: {facts['next']}."
        f"{at_vendor}{seen.trouble()}"
    )


def _refund(request: ChatRequest, seen: Seen, order: dict[str, Any]) -> AssistantMessage:
    """Look at the charge, refund what was asked for, say what became of it."""
    if look := call_missing(request, seen, ("stripe_get_charge", {"charge": order["charge"]})):
        return look
    charge = seen.result("stripe_get_charge")
    if charge is None:
        return say(f"[offline] Nothing was refunded: there is no charge {order['charge']}.{seen.trouble()}")
    if made := call_missing(request, seen, ("stripe_create_refund", order | {"reason": "requested_by_customer"})):
        return made
    amount = as_written(order["amount"], str(charge.get("currency") or "usd"))
    done = seen.result("stripe_create_refund")
    if done is None:
        return say(f"[offline] {amount} of {order['charge']} was not refunded.{seen.trouble()}")
    return say(f"[offline] Refunded {amount} of {order['charge']}: {done.get('id') or done.get('answer') or 'done'}.")


def _questions(kind: str, thing: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What the vendor says today may differ from what its event said."""
    if kind == "com.stripe.charge.dispute.created":
        return [("stripe_get_dispute", {"dispute": str(thing.get("id"))})]
    name = str(thing.get("customer_name") or "").replace("'", "\\'")
    query = f"select * from Customer where DisplayName = '{name}'"  # noqa: S608  # Intuit's language; quotes are escaped
    books = [("quickbooks_query", {"query": query})] if name else []
    return [("stripe_get_invoice", {"invoice": str(thing.get("id"))}), *books]


def _record(kind: str, thing: dict[str, Any], status: str | None) -> dict[str, Any]:
    known = {
        "event": kind,
        "status": status,
        "amount": thing.get("amount_due", thing.get("amount")),
        "currency": thing.get("currency"),
    }
    return {
        "entity": f"stripe:{thing.get('id')}",
        "data": {key: value for key, value in known.items() if value is not None},
    }
