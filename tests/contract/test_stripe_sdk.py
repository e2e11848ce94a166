"""Stripe's own SDK takes the emulator for the real thing. All vendor requests come from the SDK."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe
from aiohttp import web

from sandbox.vendors.stripe import API_KEY, WEBHOOK_SECRET, Stripe
from tests.contract.emulators import Served


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(Stripe(index_delay=0.3))
    made.emulator.unlimited = True
    yield made
    made.close()


@pytest.fixture
def client(served: Served) -> Any:
    return sdk(served)


def sdk(served: Served, key: str = API_KEY) -> Any:
    made = stripe.StripeClient(key, base_addresses={"api": served.url}, max_network_retries=0)
    return made.v1


def act(served: Served, name: str, **what: Any) -> Any:
    """What customers, banks and time do."""
    request = urllib.request.Request(
        f"{served.url}/_sandbox/{name}", json.dumps(what).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def body(error: pytest.ExceptionInfo[stripe.StripeError]) -> Any:
    """The error object of a refusal."""
    return error.value.error


def operations(served: Served) -> list[str]:
    return [effect["operation"] for effect in served.emulator.effects]


def eventually(holds: Callable[[], Any]) -> Any:
    """What `holds` answers as soon as it is true."""
    deadline = time.monotonic() + 5
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


def monthly(client: Any, amount: int = 1500) -> Any:
    product = client.products.create({"name": "Plan"})
    recurring = {"interval": "month"}
    given = {"product": product.id, "currency": "eur", "unit_amount": amount, "recurring": recurring}
    return client.prices.create(given)


# -- objects ---------------------------------------------------------------------------------------------------------


def test_customer_create_read_update_delete(served: Served, client: Any) -> None:
    address = {"line1": "1 Main & Co", "city": "Zürich"}
    made = client.customers.create(
        {"email": "a@example.com", "name": "Ann", "address": address, "metadata": {"k": "1"}}
    )
    assert made.id.startswith("cus_")
    assert (made.address.city, made.address.state) == ("Zürich", None)
    changed = client.customers.update(made.id, {"name": "", "metadata": {"k": "", "1": "one"}})
    assert (changed.name, changed.email, changed.metadata.to_dict()) == (None, "a@example.com", {"1": "one"})
    assert client.customers.update(made.id, {"metadata": ""}).metadata.to_dict() == {}
    assert client.customers.retrieve(made.id).email == "a@example.com"
    assert client.customers.delete(made.id).deleted
    assert client.customers.retrieve(made.id).deleted
    assert operations(served) == ["customers.create", "customers.update", "customers.update", "customers.delete"]


def test_lists_page_both_ways_and_filter(client: Any) -> None:
    made = [client.customers.create({"email": f"{n % 2}@example.com"}).id for n in range(7)]
    first = client.customers.list({"limit": 3})
    assert ([c.id for c in first.data], first.has_more) == (made[:3:-1], True)
    assert [c.id for c in client.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]
    back = client.customers.list({"limit": 2, "ending_before": made[2]})
    assert ([c.id for c in back.data], back.has_more) == ([made[4], made[3]], True)
    assert [c.id for c in client.customers.list({"email": "1@example.com"}).data] == made[5::-2]
    assert client.customers.list({"created": {"gt": int(time.time()) + 60}}).data == []
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.customers.list({"limit": 101})
    assert error.value.param == "limit"


def test_search_sees_what_the_index_has(client: Any) -> None:
    made = client.customers.create({"email": "Find@example.com", "metadata": {"order": "17"}})
    other = client.customers.create({"email": "other@example.com"})
    query = "email:'find@example.com' AND metadata['order']:'17'"
    assert client.customers.search({"query": query}).data == []
    found = eventually(lambda: client.customers.search({"query": query}).data)
    assert [c.id for c in found] == [made.id]
    either = client.customers.search({"query": 'email~"find" OR email~"other"', "limit": 1})
    assert [c.id for c in either.auto_paging_iter()] == [other.id, made.id]
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.customers.search({"query": "email = x"})
    assert error.value.param == "query"


def test_prices_and_payment_links(served: Served, client: Any) -> None:
    product = client.products.create({"name": "Audit", "default_price_data": {"currency": "EUR", "unit_amount": 25000}})
    price = client.prices.retrieve(product.default_price, {"expand": ["product"]})
    assert (price.unit_amount, price.currency, price.type, price.product.name) == (25000, "eur", "one_time", "Audit")
    given = {"line_items": [{"price": price.id, "quantity": 2}], "metadata": {"deal": "9"}}
    link = client.payment_links.create(given | {"expand": ["line_items"]})
    assert (link.active, link.line_items.data[0].amount_total) == (True, 50000)
    assert link.url.startswith("https://buy.stripe.com/")
    paid = act(served, "pay", payment_link=link.id, email="buyer@example.com")
    session = client.checkout.sessions.list({"payment_link": link.id}).data[0]
    assert (session.id, session.payment_status, session.metadata.deal) == (paid["id"], "paid", "9")
    assert not client.payment_links.update(link.id, {"active": False}).active
    assert client.prices.list({"product": product.id, "active": True}).data[0].id == price.id


def test_checkout_session_is_paid_or_expires(served: Served, client: Any) -> None:
    item = {"price_data": {"currency": "usd", "unit_amount": 999, "product_data": {"name": "Mug"}}, "quantity": 3}
    given = {"mode": "payment", "line_items": [item], "success_url": "https://example.com/ok"}
    session = client.checkout.sessions.create(given | {"customer_email": "m@example.com", "client_reference_id": "c-1"})
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 2997)
    assert client.checkout.sessions.line_items.list(session.id).data[0].description == "Mug"
    act(served, "pay", session=session.id)
    path = {"expand": ["payment_intent.latest_charge.balance_transaction"]}
    done = client.checkout.sessions.retrieve(session.id, path)
    assert (done.status, done.payment_status, done.customer_details.email) == ("complete", "paid", "m@example.com")
    entry = done.payment_intent.latest_charge.balance_transaction
    assert (entry.amount, entry.fee, entry.net) == (2997, 117, 2880)
    other = client.checkout.sessions.create(given)
    assert client.checkout.sessions.expire(other.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        client.checkout.sessions.expire(other.id)
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.checkout.sessions.create({"mode": "payment", "line_items": [item]})
    assert (missing.value.code, missing.value.param) == ("parameter_missing", "success_url")


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
    act(served, "pay", invoice=draft.id)
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
    assert operations(served).count("invoices.pay") == 1
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
    assert act(served, "renew", subscription=made.id)["status"] == "past_due"
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
    before = operations(served)
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.subscriptions.create(given)
    assert error.value.code == "resource_missing"
    assert client.subscriptions.list({"status": "all"}).data == []
    assert operations(served) == before
    assert client.subscriptions.create(given | {"payment_behavior": "default_incomplete"}).status == "incomplete"
    assert client.subscriptions.create(given | {"trial_period_days": 7}).status == "trialing"
    ending = client.subscriptions.create(given | {"collection_method": "send_invoice", "days_until_due": 10})
    assert client.invoices.retrieve(ending.latest_invoice).status == "draft"
    assert client.subscriptions.update(ending.id, {"cancel_at_period_end": True}).cancel_at
    assert act(served, "renew", subscription=ending.id)["status"] == "canceled"


# -- money -----------------------------------------------------------------------------------------------------------


def test_refunds_take_back_no_more_than_was_paid(served: Served, client: Any) -> None:
    charge = act(served, "charge", amount=5000)
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
    assert operations(served) == ["sandbox.charge", "refunds.create", "refunds.create"]


def test_dispute_is_answered_and_won(served: Served, client: Any) -> None:
    charge = act(served, "charge", amount=8000)
    act(served, "dispute", charge=charge["id"], reason="fraudulent")
    found = client.disputes.list({"charge": charge["id"]}).data[0]
    assert (found.status, found.reason, found.evidence_details.has_evidence) == ("needs_response", "fraudulent", False)
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.refunds.create({"charge": charge["id"]})
    assert error.value.code == "charge_disputed"
    draft = client.disputes.update(found.id, {"evidence": {"customer_name": "Ann"}, "submit": False})
    assert (draft.status, draft.evidence.customer_name) == ("needs_response", "Ann")
    assert client.disputes.update(found.id, {"submit": True}).status == "under_review"
    act(served, "dispute", dispute=found.id, won=True)
    assert client.disputes.retrieve(found.id).status == "won"
    with pytest.raises(stripe.InvalidRequestError):
        client.disputes.close(found.id)


def test_balance_and_payouts(served: Served, client: Any) -> None:
    act(served, "charge", amount=10000, currency="eur")
    assert client.balance.retrieve().available[0].amount == 9680
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.payouts.create({"amount": 9681, "currency": "eur"})
    assert error.value.code == "balance_insufficient"
    made = client.payouts.create({"amount": 1000, "currency": "eur"})
    assert (made.status, made.automatic) == ("pending", False)
    act(served, "payout", payout=made.id, paid=False)
    assert client.payouts.retrieve(made.id).failure_code == "account_closed"
    swept = act(served, "payout", currency="eur")
    assert (swept["amount"], swept["status"]) == (9680, "paid")
    assert client.balance.retrieve().available[0].amount == 0
    rows = client.balance_transactions.list({"payout": swept["id"], "type": "charge"}).data
    assert [(row.amount, row.fee) for row in rows] == [(10000, 320)]
    assert client.balance_transactions.retrieve(rows[0].id).net == 9680
    assert [p.id for p in client.payouts.list({"status": "paid"}).data] == [swept["id"]]


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


# -- errors, limits, idempotency -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "code", "param"),
    [
        (lambda c: c.products.create({}), "parameter_missing", "name"),
        (lambda c: c.products.create({"name": ""}), "parameter_invalid_empty", "name"),
        (lambda c: c.customers.create({"colour": "red"}), "parameter_unknown", "colour"),
        (lambda c: c.customers.create({"address": {"street": "x"}}), "parameter_unknown", "address[street]"),
        (lambda c: c.customers.create({"email": "nobody"}), "email_invalid", "email"),
        (
            lambda c: c.payment_intents.create({"amount": "1.5", "currency": "usd"}),
            "parameter_invalid_integer",
            "amount",
        ),
        (lambda c: c.payment_intents.create({"amount": 49, "currency": "usd"}), "amount_too_small", "amount"),
        (lambda c: c.payment_intents.create({"amount": 900, "currency": "euro"}), None, "currency"),
        (lambda c: c.refunds.create({"charge": "ch_none"}), "resource_missing", "charge"),
        (lambda c: c.refunds.create({}), "parameter_missing", "charge"),
        (lambda c: c.invoices.create({"customer": "cus_none"}), "resource_missing", "customer"),
        (lambda c: c.customers.list({"starting_after": "cus_none"}), "resource_missing", "starting_after"),
        (lambda c: c.balance.retrieve({"expand": ["nothing"]}), None, "expand[0]"),
        (lambda c: c.webhook_endpoints.create({"url": "nowhere", "enabled_events": ["*"]}), "url_invalid", "url"),
    ],
)
def test_errors_are_the_vendors(served: Served, call: Callable[[Any], Any], code: str | None, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as error:
        call(sdk(served))
    assert (error.value.http_status, error.value.code, error.value.param) == (400, code, param)
    assert str(error.value.request_id).startswith("req_")
    assert operations(served) == []


def test_missing_wrong_key_and_throttled(served: Served, client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.customers.retrieve("cus_none")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.AuthenticationError) as refused:
        sdk(served, "sk_test_wrong").customers.create({})
    assert refused.value.http_status == 401
    served.fault(kind="429", retry_after=1)
    with pytest.raises(stripe.RateLimitError) as throttled:
        client.customers.create({})
    assert body(throttled).code == "rate_limit"
    served.emulator.unlimited = False
    with pytest.raises(stripe.RateLimitError):
        _ = [client.customers.list() for _ in range(60)]
    assert operations(served) == []


def test_answers_name_their_request_and_version(client: Any) -> None:
    response = client.customers.create({}, options={"idempotency_key": "k-1"}).last_response
    assert response.headers["Stripe-Version"] == stripe.api_version
    assert response.headers["Request-Id"].startswith("req_")
    event = client.events.list({"type": "customer.created"}).data[0]
    assert (event.request.id, event.request.idempotency_key) == (response.request_id, "k-1")
    old = client.customers.list({}, options={"stripe_version": "2023-08-16"})
    assert old.last_response.headers["Stripe-Version"] == "2023-08-16"


def test_a_key_gives_its_first_answer_again(served: Served, client: Any) -> None:
    key: Any = {"idempotency_key": "order-1"}
    first = client.customers.create({"name": "A", "metadata": {"x": "1", "y": "2"}}, options=key)
    again = client.customers.create({"metadata": {"y": "2", "x": "1"}, "name": "A"}, options=key)
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert again.last_response.request_id != first.last_response.request_id
    assert operations(served) == ["customers.create"]
    for service, name in ((client.customers, "B"), (client.products, "A")):
        with pytest.raises(stripe.IdempotencyError) as other:
            service.create({"name": name}, options=key)
        assert (other.value.http_status, body(other).type) == (400, "idempotency_error")
    assert len(client.customers.list().data) == 1


def test_a_key_stays_free_when_nothing_began(client: Any) -> None:
    key: Any = {"idempotency_key": "order-2"}
    with pytest.raises(stripe.InvalidRequestError):
        client.products.create({"colour": "red"}, options=key)
    assert client.products.create({"name": "P"}, options=key).name == "P"
    spent: Any = {"idempotency_key": "order-3"}
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.refunds.create({"charge": "ch_none"}, options=spent)
    assert (refused.value.headers or {})["Idempotent-Replayed"] == "true"


def test_a_key_in_use_is_a_conflict(served: Served, client: Any) -> None:
    key: Any = {"idempotency_key": "order-4"}
    served.fault(kind="slow", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.customers.create, {"name": "C"}, key)
        eventually(lambda: operations(served))
        with pytest.raises(stripe.APIError) as clash:
            client.customers.create({"name": "C"}, options=key)
        made = slow.result(5)
    assert (clash.value.http_status, body(clash).code) == (409, "idempotency_key_in_use")
    assert client.customers.create({"name": "C"}, options=key).id == made.id
    assert operations(served) == ["customers.create"]


@pytest.mark.parametrize(("kind", "effects"), [("wrong_body", 1), ("cut_after", 1), ("cut_before", 0), ("503", 0)])
def test_lost_answers_still_happened_and_a_key_makes_the_retry_safe(
    served: Served, client: Any, kind: str, effects: int
) -> None:
    charge = act(served, "charge", amount=5000)
    key: Any = {"idempotency_key": "refund-1"}
    served.fault(kind=kind, path="/v1/refunds")
    with pytest.raises((stripe.APIError, stripe.APIConnectionError)):
        client.refunds.create({"charge": charge["id"], "amount": 100}, options=key)
    assert operations(served)[1:] == ["refunds.create"] * effects
    assert client.refunds.create({"charge": charge["id"], "amount": 100}, options=key).amount == 100
    assert operations(served)[1:] == ["refunds.create"]


# -- events ----------------------------------------------------------------------------------------------------------


class Hook:
    """A receiver of webhooks on a thread of its own."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, str]] = []
        self.refusals = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(5)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def _take(self, request: web.Request) -> web.Response:
        if self.refusals > 0:
            self.refusals -= 1
            return web.Response(status=500)
        self.received.append((await request.read(), request.headers["Stripe-Signature"]))
        return web.Response()

    def event(self, kind: str, secret: str) -> Any:
        """The event of that type once it came, its signature verified by the SDK."""
        return eventually(lambda: next((e for e in self.events(secret) if e.type == kind), None))

    def events(self, secret: str) -> list[Any]:
        return [stripe.Webhook.construct_event(raw, proof, secret) for raw, proof in list(self.received)]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


def test_endpoint_hears_signed_events(served: Served, client: Any, hook: Hook) -> None:
    wanted = ["checkout.session.completed", "charge.dispute.created", "payout.paid"]
    endpoint = client.webhook_endpoints.create({"url": hook.url, "enabled_events": wanted})
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in client.webhook_endpoints.retrieve(endpoint.id)
    hook.refusals = 1
    price = client.products.create({"name": "P", "default_price_data": {"currency": "usd", "unit_amount": 5000}})
    given = {"mode": "payment", "line_items": [{"price": price.default_price, "quantity": 1}]}
    session = client.checkout.sessions.create(given | {"success_url": "https://example.com"})
    act(served, "pay", session=session.id)
    charge = client.charges.list().data[0]
    act(served, "payout")
    act(served, "dispute", charge=charge.id)
    completed = hook.event("checkout.session.completed", endpoint.secret)
    assert (completed.data.object.id, completed.api_version) == (session.id, stripe.api_version)
    assert hook.event("payout.paid", endpoint.secret).data.object.amount == charge.amount - 175
    assert hook.event("charge.dispute.created", endpoint.secret).data.object.charge == charge.id
    assert {event.type for event in hook.events(endpoint.secret)} == set(wanted)
    with pytest.raises(stripe.SignatureVerificationError):
        hook.events("whsec_other")
    assert client.webhook_endpoints.delete(endpoint.id).deleted
    assert client.webhook_endpoints.list().data == []
    assert client.events.retrieve(completed.id).type == "checkout.session.completed"


def test_registered_receiver_hears_of_billing(served: Served, client: Any, hook: Hook) -> None:
    act(served, "webhooks", url=hook.url)
    customer = client.customers.create(
        {"name": "W", "payment_method": "pm_card_visa"}, options={"idempotency_key": "w-1"}
    )
    created = hook.event("customer.created", WEBHOOK_SECRET)
    assert (created.data.object.id, created.request.idempotency_key) == (customer.id, "w-1")
    client.customers.create({"name": "W", "payment_method": "pm_card_visa"}, options={"idempotency_key": "w-1"})
    client.customers.update(customer.id, {"name": "X"})
    assert hook.event("customer.updated", WEBHOOK_SECRET).data.previous_attributes.name == "W"
    made = client.subscriptions.create({"customer": customer.id, "items": [{"price": monthly(client).id}]})
    assert hook.event("invoice.paid", WEBHOOK_SECRET).data.object.id == made.latest_invoice
    client.customers.update(customer.id, {"invoice_settings": {"default_payment_method": "pm_card_chargeCustomerFail"}})
    act(served, "renew", subscription=made.id)
    assert hook.event("invoice.payment_failed", WEBHOOK_SECRET).data.object.attempt_count == 1
    client.subscriptions.cancel(made.id)
    assert hook.event("customer.subscription.deleted", WEBHOOK_SECRET).data.object.status == "canceled"
    kinds = [event.type for event in hook.events(WEBHOOK_SECRET)]
    assert kinds.count("customer.created") == 1


def test_reset_forgets_everything(served: Served, client: Any) -> None:
    key: Any = {"idempotency_key": "r-1"}
    first = client.customers.create({"name": "R"}, options=key)
    act(served, "reset")
    assert client.customers.list().data == []
    assert client.customers.create({"name": "other"}, options=key).id != first.id
