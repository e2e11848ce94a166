"""Invoices, subscriptions, refunds, disputes, payouts and their events, seen through Stripe's own SDK."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from sandbox.vendors.stripe import WEBHOOK_SECRET
from tests.contract.emulators import Served
from tests.contract.receiver import Receiver
from tests.contract.stripe_account import Events, body, monthly, stripe_client, stripe_served
from tests.contract.waiting import eventually

__all__ = ["stripe_client", "stripe_served"]


# -- billing ---------------------------------------------------------------------------------------------------------


def test_invoice_from_draft_to_paid(served: Served, client: Any) -> None:
    customer = client.customers.create({"email": "i@example.com", "name": "Inge"})
    client.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "eur", "description": "pending"})
    given = {"customer": customer.id, "collection_method": "send_invoice", "days_until_due": 14}
    draft = client.invoices.create(given | {"pending_invoice_items_behavior": "include"})
    client.invoice_items.create({"customer": customer.id, "invoice": draft.id, "amount": 300, "currency": "eur"})
    draft = client.invoices.retrieve(draft.id)
    assert (draft.status, draft.number, draft.amount_due, len(draft.lines.data)) == ("draft", None, 1000, 2)
    opened = client.invoices.finalize_invoice(draft.id)
    assert (opened.status, opened.currency) == ("open", "eur")
    assert opened.number.endswith("-0001")
    assert client.invoices.send_invoice(draft.id).hosted_invoice_url
    served.control("pay", invoice=draft.id)
    paid = client.invoices.retrieve(draft.id, {"expand": ["payments", "customer"]})
    assert (paid.status, paid.amount_paid, paid.amount_remaining, paid.customer.name) == ("paid", 1000, 0, "Inge")
    intent = client.payment_intents.retrieve(paid.payments.data[0].payment.payment_intent)
    assert (intent.status, intent.amount_received) == ("succeeded", 1000)
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        client.invoices.pay(draft.id)
    assert [i.id for i in client.invoices.list({"customer": customer.id, "status": "paid"}).data] == [draft.id]


def test_invoice_is_voided_and_is_no_longer_editable(client: Any) -> None:
    customer = client.customers.create({"name": "V"})
    invoice = client.invoices.create({"customer": customer.id})
    item = client.invoice_items.create(
        {"customer": customer.id, "invoice": invoice.id, "amount": 500, "currency": "usd"}
    )
    assert client.invoice_items.update(item.id, {"amount": 600}).amount == 600
    assert client.invoices.finalize_invoice(invoice.id).amount_due == 600
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.invoice_items.delete(item.id)
    assert error.value.code == "invoice_not_editable"
    assert client.invoices.void_invoice(invoice.id).status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        client.invoices.pay(invoice.id)


def test_declined_invoice_counts_the_attempt_once_for_its_key(served: Served, client: Any) -> None:
    customer = client.customers.create({"payment_method": "pm_card_chargeCustomerFail"})
    invoice = client.invoices.create({"customer": customer.id})
    client.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 4200, "currency": "usd"})
    client.invoices.finalize_invoice(invoice.id)
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            client.invoices.pay(invoice.id, options={"idempotency_key": "pay-1"})
        assert (declined.value.http_status, declined.value.code) == (402, "card_declined")
        assert body(declined).decline_code == "generic_decline"
    assert client.invoices.retrieve(invoice.id).attempt_count == 1
    assert len(client.events.list({"type": "invoice.payment_failed"}).data) == 1
    assert served.operations.count("invoices.pay") == 1
    assert client.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).status == "paid"


def test_subscription_lives_and_ends(served: Served, client: Any) -> None:
    price = monthly(client)
    customer = client.customers.create({"name": "S", "payment_method": "pm_card_visa"})
    given = {"customer": customer.id, "items": [{"price": price.id, "quantity": 2}]}
    made = client.subscriptions.create(given | {"expand": ["latest_invoice"]})
    assert (made.status, made.latest_invoice.status, made.latest_invoice.amount_paid) == ("active", "paid", 3000)
    item = made["items"].data[0]
    assert 28 * 86400 <= item.current_period_end - item.current_period_start <= 31 * 86400
    changed = client.subscriptions.update(
        made.id, {"items": [{"id": item.id, "quantity": 5}], "metadata": {"seat": "5"}}
    )
    assert (changed["items"].data[0].quantity, changed.metadata.seat) == (5, "5")
    customer_card = {"invoice_settings": {"default_payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds"}}
    client.customers.update(customer.id, customer_card)
    assert served.control("renew", subscription=made.id)["status"] == "past_due"
    last = client.subscriptions.retrieve(made.id).latest_invoice
    invoice = client.invoices.retrieve(last)
    assert (invoice.amount_due, invoice.status, invoice.billing_reason) == (7500, "open", "subscription_cycle")
    assert invoice.parent.subscription_details.subscription == made.id
    client.invoices.pay(last, {"payment_method": "pm_card_visa"})
    assert client.subscriptions.retrieve(made.id).status == "active"
    ended = client.subscriptions.cancel(made.id, {"cancellation_details": {"comment": "moved"}})
    assert (ended.status, ended.cancellation_details.comment) == ("canceled", "moved")
    assert client.subscriptions.list({"customer": customer.id}).data == []
    assert client.subscriptions.list({"customer": customer.id, "status": "all"}).data[0].id == made.id
    with pytest.raises(stripe.InvalidRequestError) as again:
        client.subscriptions.cancel(made.id)
    assert again.value.http_status == 404


def test_subscription_needs_a_card_unless_told_otherwise(served: Served, client: Any) -> None:
    price, customer = monthly(client), client.customers.create({"name": "N"})
    given = {"customer": customer.id, "items": [{"price": price.id}]}
    before = served.operations
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.subscriptions.create(given)
    assert error.value.code == "resource_missing"
    assert client.subscriptions.list({"status": "all"}).data == []
    assert served.operations == before
    assert client.subscriptions.create(given | {"payment_behavior": "default_incomplete"}).status == "incomplete"
    assert client.subscriptions.create(given | {"trial_period_days": 7}).status == "trialing"
    ending = client.subscriptions.create(given | {"collection_method": "send_invoice", "days_until_due": 10})
    assert client.invoices.retrieve(ending.latest_invoice).status == "draft"
    assert client.subscriptions.update(ending.id, {"cancel_at_period_end": True}).cancel_at
    assert served.control("renew", subscription=ending.id)["status"] == "canceled"


# -- money -----------------------------------------------------------------------------------------------------------


def test_refunds_take_back_no_more_than_was_paid(served: Served, client: Any) -> None:
    charge = served.control("charge", amount=5000)
    part = client.refunds.create({"charge": charge["id"], "amount": 2000, "reason": "requested_by_customer"})
    assert (part.amount, part.status, part.payment_intent) == (2000, "succeeded", charge["payment_intent"])
    with pytest.raises(stripe.InvalidRequestError) as more:
        client.refunds.create({"charge": charge["id"], "amount": 3001})
    assert more.value.param == "amount"
    assert client.refunds.create({"payment_intent": charge["payment_intent"]}).amount == 3000
    with pytest.raises(stripe.InvalidRequestError) as again:
        client.refunds.create({"charge": charge["id"]})
    assert again.value.code == "charge_already_refunded"
    seen = client.charges.retrieve(charge["id"], {"expand": ["refunds"]})
    assert (seen.refunded, seen.amount_refunded, len(seen.refunds.data)) == (True, 5000, 2)
    assert [r.amount for r in client.refunds.list({"charge": charge["id"]}).auto_paging_iter()] == [3000, 2000]
    assert client.refunds.retrieve(part.id).reason == "requested_by_customer"
    assert served.operations == ["sandbox.charge", "refunds.create", "refunds.create"]


def test_dispute_is_answered_and_won(served: Served, client: Any) -> None:
    charge = served.control("charge", amount=8000)
    served.control("dispute", charge=charge["id"], reason="fraudulent")
    found = client.disputes.list({"charge": charge["id"]}).data[0]
    assert (found.status, found.reason, found.evidence_details.has_evidence) == ("needs_response", "fraudulent", False)
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.refunds.create({"charge": charge["id"]})
    assert error.value.code == "charge_disputed"
    draft = client.disputes.update(found.id, {"evidence": {"customer_name": "Ann"}, "submit": False})
    assert (draft.status, draft.evidence.customer_name) == ("needs_response", "Ann")
    assert client.disputes.update(found.id, {"submit": True}).status == "under_review"
    served.control("dispute", dispute=found.id, won=True)
    assert client.disputes.retrieve(found.id).status == "won"
    with pytest.raises(stripe.InvalidRequestError):
        client.disputes.close(found.id)


def test_balance_and_payouts(served: Served, client: Any) -> None:
    served.control("charge", amount=10000, currency="eur")
    assert client.balance.retrieve().available[0].amount == 9680
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.payouts.create({"amount": 9681, "currency": "eur"})
    assert error.value.code == "balance_insufficient"
    made = client.payouts.create({"amount": 1000, "currency": "eur"})
    assert (made.status, made.automatic) == ("pending", False)
    served.control("payout", payout=made.id, paid=False)
    assert client.payouts.retrieve(made.id).failure_code == "account_closed"
    swept = served.control("payout", currency="eur")
    assert (swept["amount"], swept["status"]) == (9680, "paid")
    assert client.balance.retrieve().available[0].amount == 0
    rows = client.balance_transactions.list({"payout": swept["id"], "type": "charge"}).data
    assert [(row.amount, row.fee) for row in rows] == [(10000, 320)]
    assert client.balance_transactions.retrieve(rows[0].id).net == 9680
    assert [p.id for p in client.payouts.list({"status": "paid"}).data] == [swept["id"]]
    query = {"query": "amount>9999 AND currency:'eur'"}
    assert eventually(lambda: client.charges.search(query).data)[0].amount == 10000


def test_payment_intent_is_captured_or_declined(client: Any) -> None:
    given = {"amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    held = client.payment_intents.create(given | {"capture_method": "manual"})
    assert (held.status, held.amount_capturable) == ("requires_capture", 2000)
    assert client.payment_intents.capture(held.id, {"amount_to_capture": 1500}).amount_received == 1500
    with pytest.raises(stripe.CardError) as declined:
        client.payment_intents.create(given | {"payment_method": "pm_card_chargeDeclinedExpiredCard"})
    assert declined.value.code == "expired_card"
    failed = client.payment_intents.retrieve(body(declined).payment_intent.id)
    assert (failed.status, failed.last_payment_error.code) == ("requires_payment_method", "expired_card")
    assert client.payment_intents.confirm(failed.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    waiting = client.payment_intents.create({"amount": 2000, "currency": "usd"})
    assert client.payment_intents.cancel(waiting.id).status == "canceled"


# -- events ----------------------------------------------------------------------------------------------------------


def test_endpoint_hears_signed_events(served: Served, client: Any, receiver: Receiver) -> None:
    wanted = ["checkout.session.completed", "charge.dispute.created", "payout.paid"]
    endpoint = client.webhook_endpoints.create({"url": receiver.url, "enabled_events": wanted})
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in client.webhook_endpoints.retrieve(endpoint.id)
    receiver.refusals = 1
    price = client.products.create({"name": "P", "default_price_data": {"currency": "usd", "unit_amount": 5000}})
    given = {"mode": "payment", "line_items": [{"price": price.default_price, "quantity": 1}]}
    session = client.checkout.sessions.create(given | {"success_url": "https://example.com"})
    served.control("pay", session=session.id)
    charge = client.charges.list().data[0]
    served.control("payout")
    served.control("dispute", charge=charge.id)
    heard = Events(receiver, endpoint.secret)
    completed = heard.event("checkout.session.completed")
    assert (completed.data.object.id, completed.api_version) == (session.id, stripe.api_version)
    assert heard.event("payout.paid").data.object.amount == charge.amount - 175
    assert heard.event("charge.dispute.created").data.object.charge == charge.id
    assert {event.type for event in heard.events()} == set(wanted)
    with pytest.raises(stripe.SignatureVerificationError):
        Events(receiver, "whsec_other").events()
    assert client.webhook_endpoints.delete(endpoint.id).deleted
    assert client.webhook_endpoints.list().data == []
    assert client.events.retrieve(completed.id).type == "checkout.session.completed"


def test_registered_receiver_hears_of_billing(served: Served, client: Any, receiver: Receiver) -> None:
    served.control("webhooks", url=receiver.url)
    heard = Events(receiver, WEBHOOK_SECRET)
    customer = client.customers.create(
        {"name": "W", "payment_method": "pm_card_visa"}, options={"idempotency_key": "w-1"}
    )
    created = heard.event("customer.created")
    assert (created.data.object.id, created.request.idempotency_key) == (customer.id, "w-1")
    client.customers.create({"name": "W", "payment_method": "pm_card_visa"}, options={"idempotency_key": "w-1"})
    client.customers.update(customer.id, {"name": "X"})
    assert heard.event("customer.updated").data.previous_attributes.name == "W"
    made = client.subscriptions.create({"customer": customer.id, "items": [{"price": monthly(client).id}]})
    assert heard.event("invoice.paid").data.object.id == made.latest_invoice
    client.customers.update(customer.id, {"invoice_settings": {"default_payment_method": "pm_card_chargeCustomerFail"}})
    served.control("renew", subscription=made.id)
    assert heard.event("invoice.payment_failed").data.object.attempt_count == 1
    client.subscriptions.cancel(made.id)
    assert heard.event("customer.subscription.deleted").data.object.status == "canceled"
    kinds = [event.type for event in heard.events()]
    assert kinds.count("customer.created") == 1
