"""Stripe's own SDK takes the emulator for the real thing. All vendor requests come from the SDK."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from tests.contract.emulators import Served
from tests.contract.stripe_account import body, sdk, stripe_client, stripe_served
from tests.contract.waiting import eventually

__all__ = ["stripe_client", "stripe_served"]


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
    assert served.operations == ["customers.create", "customers.update", "customers.update", "customers.delete"]


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


def test_search_sees_what_the_index_has(served: Served, client: Any) -> None:
    query = "email:'find@example.com' AND metadata['order']:'17'"
    with served.stopped():
        made = client.customers.create({"email": "Find@example.com", "metadata": {"order": "17"}})
        other = client.customers.create({"email": "other@example.com"})
        assert client.customers.search({"query": query}).data == []
        served.passes(0.4)
        assert [c.id for c in client.customers.search({"query": query}).data] == [made.id]
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
    paid = served.control("pay", payment_link=link.id, email="buyer@example.com")
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
    served.control("pay", session=session.id)
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
    assert served.operations == []


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
    assert served.operations == []


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
    assert served.operations == ["customers.create"]
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
    with ThreadPoolExecutor(1) as pool, served.stopped():
        slow = pool.submit(client.customers.create, {"name": "C"}, key)
        eventually(lambda: served.operations)
        with pytest.raises(stripe.APIError) as clash:
            client.customers.create({"name": "C"}, options=key)
        served.passes(1.0)
        made = slow.result(60)
    assert (clash.value.http_status, body(clash).code) == (409, "idempotency_key_in_use")
    assert client.customers.create({"name": "C"}, options=key).id == made.id
    assert served.operations == ["customers.create"]


@pytest.mark.parametrize(("kind", "effects"), [("wrong_body", 1), ("cut_after", 1), ("cut_before", 0), ("503", 0)])
def test_lost_answers_still_happened_and_a_key_makes_the_retry_safe(
    served: Served, client: Any, kind: str, effects: int
) -> None:
    charge = served.control("charge", amount=5000)
    key: Any = {"idempotency_key": "refund-1"}
    served.fault(kind=kind, path="/v1/refunds")
    with pytest.raises((stripe.APIError, stripe.APIConnectionError)):
        client.refunds.create({"charge": charge["id"], "amount": 100}, options=key)
    assert served.operations[1:] == ["refunds.create"] * effects
    assert client.refunds.create({"charge": charge["id"], "amount": 100}, options=key).amount == 100
    assert served.operations[1:] == ["refunds.create"]


def test_reset_forgets_everything(served: Served, client: Any) -> None:
    key: Any = {"idempotency_key": "r-1"}
    first = client.customers.create({"name": "R"}, options=key)
    served.control("reset")
    assert client.customers.list().data == []
    assert client.customers.create({"name": "other"}, options=key).id != first.id
