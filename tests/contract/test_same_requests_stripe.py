"""Stripe: our requests equal the SDK's, for every tool of the document.

An idempotency key differs by nature: ours is the call's id, the SDK's a random one. That both send one, or neither, is
compared; `Accept` is not, the SDK sends its HTTP client's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sandbox.vendors.stripe import API_KEY, Stripe
from services.tool_gateway.wire.credentials import Secrets
from tests.contract.side_by_side import TOOLS, Seen, SideBySide, call_id
from tests.contract.stripe_account import sdk

HEADERS = ("authorization", "content-type", "stripe-version", "idempotency-key")
MINE = {name for name, tool in TOOLS.items() if tool.vendor == "stripe"}
ID = re.compile(r"\b([a-z]+_(?:test_)?)[0-9a-f]{24}\b")


@pytest.fixture
def both() -> Iterator[SideBySide]:
    emulator = Stripe(index_delay=0)
    made = SideBySide(emulator, {"STRIPE_API_KEY": API_KEY, "STRIPE_BASE_URL": "{url}"}, HEADERS)
    emulator.unlimited = True
    yield made
    made.close()


class Account:
    """An account with something of everything, made anew for each of the two who ask."""

    def __init__(self, both: SideBySide, client: Any) -> None:
        self.both, self.client = both, client

    def customer(self, **more: Any) -> str:
        return str(
            self.client.customers.create({"email": "ana@example.com", "payment_method": "pm_card_visa"} | more).id
        )

    def price(self, recurring: bool = False) -> str:
        product = self.client.products.create({"name": "Plan"}).id
        given = {"product": product, "currency": "eur", "unit_amount": 1500}
        return str(self.client.prices.create(given | ({"recurring": {"interval": "month"}} if recurring else {})).id)

    def charge(self) -> Any:
        return self.both.control("charge", amount=5000, currency="eur")

    def draft(self) -> str:
        customer = self.customer()
        made = self.client.invoices.create(
            {"customer": customer, "collection_method": "send_invoice", "days_until_due": 9}
        )
        item = {"customer": customer, "invoice": made.id, "amount": 700, "currency": "eur"}
        self.client.invoice_items.create(item)
        return str(made.id)

    def open(self) -> str:
        return str(self.client.invoices.finalize_invoice(self.draft()).id)

    def subscription(self) -> Any:
        given = {"customer": self.customer(), "items": [{"price": self.price(recurring=True)}]}
        return self.client.subscriptions.create(given)

    def session(self) -> str:
        given = {
            "mode": "payment",
            "line_items": [{"price": self.price(), "quantity": 1}],
            "success_url": "https://a.example",
        }
        return str(self.client.checkout.sessions.create(given).id)

    def dispute(self) -> str:
        return str(self.both.control("dispute", charge=self.charge()["id"])["id"])

    def payout(self) -> str:
        self.charge()
        return str(self.client.payouts.create({"amount": 100, "currency": "eur"}).id)


@dataclass(frozen=True)
class Case:
    """One tool's call: what it is about (made before), our arguments, and the SDK's call.

    `named` is the argument that holds the id of what it is about, with `+` when the SDK takes it among the others.
    """

    tool: str
    arguments: dict[str, Any]
    theirs: Callable[[Any, str, dict[str, Any]], Any]
    about: Callable[[Account], Any] | None = None
    named: str = ""


def created(service: str) -> Callable[[Any, str, dict[str, Any]], Any]:
    return lambda c, _, given: _service(c, service).create(given)


def listed(service: str) -> Callable[[Any, str, dict[str, Any]], Any]:
    return lambda c, _, given: _service(c, service).list(given)


def retrieved(service: str) -> Callable[[Any, str, dict[str, Any]], Any]:
    return lambda c, key, given: _service(c, service).retrieve(key, given)


def _service(client: Any, path: str) -> Any:
    for part in path.split("."):
        client = getattr(client, part)
    return client


ADDRESS = {"line1": "Calle 1 & 2", "city": "León", "country": "ES"}
SINCE = {"created": {"gte": 1, "lt": 9_999_999_999}}
CUSTOMERS = [
    Case(
        "stripe_create_customer",
        {
            "email": "a+b@example.com",
            "name": "Ana & Söhne",
            "address": ADDRESS,
            "preferred_locales": ["es", "de"],
            "metadata": {"order": "17"},
        },
        created("customers"),
    ),
    Case("stripe_get_customer", {}, retrieved("customers"), Account.customer, "customer"),
    Case(
        "stripe_update_customer",
        {
            "name": "",
            "metadata": {"order": ""},
            "tax_exempt": "none",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        },
        lambda c, key, given: c.customers.update(key, given),
        Account.customer,
        "customer",
    ),
    Case("stripe_list_customers", {"email": "a+b@example.com", "limit": 5} | SINCE, listed("customers")),
    Case(
        "stripe_search_customers",
        {"query": "email:'a+b@example.com' AND metadata['order']:'17'", "limit": 3},
        lambda c, _, given: c.customers.search(given),
    ),
]
CATALOGUE = [
    Case(
        "stripe_create_product",
        {
            "name": "Audit",
            "active": True,
            "default_price_data": {
                "currency": "eur",
                "unit_amount": 25000,
                "recurring": {"interval": "month", "interval_count": 3},
            },
        },
        created("products"),
    ),
    Case("stripe_list_products", {"active": True, "ids": ["prod_1", "prod_2"], "limit": 2}, listed("products")),
    Case(
        "stripe_create_price",
        {"currency": "eur", "unit_amount": 0, "recurring": {"interval": "year"}, "lookup_key": "basic"},
        created("prices"),
        lambda a: a.client.products.create({"name": "P"}).id,
        "+product",
    ),
    Case(
        "stripe_list_prices",
        {"active": False, "type": "recurring", "lookup_keys": ["a", "b"], "expand": ["data.product"]},
        listed("prices"),
    ),
    Case(
        "stripe_create_payment_link",
        {"allow_promotion_codes": True, "metadata": {"deal": "9"}},
        created("payment_links"),
        Account.price,
        "+line_items",
    ),
    Case("stripe_list_payment_links", {"active": True, "limit": 100}, listed("payment_links")),
    Case(
        "stripe_create_checkout_session",
        {
            "mode": "payment",
            "success_url": "https://a.example/?s={CHECKOUT_SESSION_ID}",
            "customer_email": "m@example.com",
            "line_items": [
                {"quantity": 3, "price_data": {"currency": "usd", "unit_amount": 999, "product_data": {"name": "Mug"}}}
            ],
        },
        created("checkout.sessions"),
    ),
    Case(
        "stripe_get_checkout_session",
        {"expand": ["line_items", "customer"]},
        retrieved("checkout.sessions"),
        Account.session,
        "session",
    ),
]
INVOICES = [
    Case(
        "stripe_create_invoice",
        {
            "collection_method": "send_invoice",
            "days_until_due": 14,
            "auto_advance": False,
            "pending_invoice_items_behavior": "include",
        },
        created("invoices"),
        Account.customer,
        "+customer",
    ),
    Case("stripe_get_invoice", {"expand": ["customer", "payments"]}, retrieved("invoices"), Account.open, "invoice"),
    Case(
        "stripe_list_invoices",
        {"status": "open", "collection_method": "send_invoice", "due_date": {"lt": 9_999_999_999}},
        listed("invoices"),
        Account.customer,
        "+customer",
    ),
    Case("stripe_finalize_invoice", {}, lambda c, key, _: c.invoices.finalize_invoice(key), Account.draft, "invoice"),
    Case("stripe_send_invoice", {}, lambda c, key, _: c.invoices.send_invoice(key), Account.open, "invoice"),
    Case(
        "stripe_pay_invoice",
        {"payment_method": "pm_card_visa"},
        lambda c, key, given: c.invoices.pay(key, given),
        Account.open,
        "invoice",
    ),
    Case("stripe_void_invoice", {}, lambda c, key, _: c.invoices.void_invoice(key), Account.open, "invoice"),
    Case(
        "stripe_create_invoice_item",
        {
            "amount": -250,
            "currency": "eur",
            "description": "50 % off",
            "period": {"start": 1_700_000_000, "end": 1_700_086_400},
        },
        created("invoice_items"),
        Account.customer,
        "+customer",
    ),
]
SUBSCRIPTIONS = [
    Case(
        "stripe_create_subscription",
        {"trial_period_days": 7, "cancel_at_period_end": False, "expand": ["latest_invoice"]},
        created("subscriptions"),
        lambda a: {"customer": a.customer(), "items": [{"price": a.price(True), "quantity": 2}]},
    ),
    Case(
        "stripe_get_subscription",
        {"expand": ["latest_invoice"]},
        retrieved("subscriptions"),
        lambda a: a.subscription().id,
        "subscription",
    ),
    Case(
        "stripe_list_subscriptions",
        {"status": "all", "limit": 1},
        listed("subscriptions"),
        Account.customer,
        "+customer",
    ),
    Case(
        "stripe_update_subscription",
        {"cancel_at_period_end": True, "proration_behavior": "none", "metadata": {"a": "b"}},
        lambda c, key, given: c.subscriptions.update(key, given),
        lambda a: a.subscription().id,
        "subscription",
    ),
    Case(
        "stripe_cancel_subscription",
        {"prorate": True, "cancellation_details": {"comment": "moved & gone"}},
        lambda c, key, given: c.subscriptions.cancel(key, given),
        lambda a: a.subscription().id,
        "subscription",
    ),
]
MONEY = [
    Case(
        "stripe_create_refund",
        {"amount": 100, "reason": "requested_by_customer", "metadata": {"why": "late"}},
        created("refunds"),
        lambda a: a.charge()["id"],
        "+charge",
    ),
    Case(
        "stripe_get_refund",
        {},
        retrieved("refunds"),
        lambda a: a.client.refunds.create({"charge": a.charge()["id"]}).id,
        "refund",
    ),
    Case(
        "stripe_list_refunds",
        {"limit": 3},
        listed("refunds"),
        lambda a: a.charge()["payment_intent"],
        "+payment_intent",
    ),
    Case("stripe_get_dispute", {"expand": ["charge"]}, retrieved("disputes"), Account.dispute, "dispute"),
    Case("stripe_list_disputes", SINCE, listed("disputes"), lambda a: a.charge()["id"], "+charge"),
    Case(
        "stripe_update_dispute",
        {"evidence": {"customer_name": "Ann", "service_date": "1 May"}, "submit": False},
        lambda c, key, given: c.disputes.update(key, given),
        Account.dispute,
        "dispute",
    ),
    Case(
        "stripe_create_payout",
        {"amount": 100, "currency": "eur", "description": "May"},
        created("payouts"),
        lambda a: a.charge() and {},
    ),
    Case("stripe_get_payout", {}, retrieved("payouts"), Account.payout, "payout"),
    Case("stripe_list_payouts", {"status": "paid"} | SINCE, listed("payouts")),
    Case("stripe_get_balance", {}, lambda c, _, __: c.balance.retrieve()),
    Case("stripe_list_balance_transactions", {"type": "charge", "currency": "eur"}, listed("balance_transactions")),
    Case(
        "stripe_get_balance_transaction",
        {},
        retrieved("balance_transactions"),
        lambda a: a.charge()["balance_transaction"],
        "id",
    ),
    Case("stripe_list_charges", {"limit": 2} | SINCE, listed("charges"), Account.customer, "+customer"),
    Case(
        "stripe_get_charge",
        {"expand": ["refunds", "balance_transaction"]},
        retrieved("charges"),
        lambda a: a.charge()["id"],
        "charge",
    ),
    Case("stripe_list_payment_intents", {"limit": 2}, listed("payment_intents"), Account.customer, "+customer"),
    Case(
        "stripe_get_payment_intent",
        {"expand": ["latest_charge"]},
        retrieved("payment_intents"),
        lambda a: a.charge()["payment_intent"],
        "payment_intent",
    ),
    Case(
        "stripe_list_events",
        {"type": "charge.succeeded", "limit": 100} | SINCE,
        listed("events"),
        lambda a: a.charge() and {},
    ),
]
CASES = [*CUSTOMERS, *CATALOGUE, *INVOICES, *SUBSCRIPTIONS, *MONEY]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.tool)
def test_our_request_is_the_sdks(both: SideBySide, case: Case) -> None:
    client = sdk(both)
    account = Account(both, client)
    _ours(both, case, *_given(case, account))
    ours = both.seen[-1]
    case.theirs(client, *_given(case, account))
    theirs = both.theirs()
    posts = ours.method == "POST"
    assert ("idempotency-key" in ours.headers, "idempotency-key" in theirs.headers) == (posts, posts)
    assert _neutral(ours) == _neutral(theirs)


def test_every_tool_is_compared() -> None:
    assert {case.tool for case in CASES} == MINE
    assert len(CASES) == len(MINE)


def test_the_version_is_the_deployments(both: SideBySide) -> None:
    pinned = both.ours("stripe_get_balance").headers["stripe-version"]
    sdk(both).balance.retrieve()
    assert both.theirs().headers["stripe-version"] == pinned
    both.secrets = Secrets(
        {"STRIPE_API_KEY": API_KEY, "STRIPE_BASE_URL": both.url} | {"STRIPE_API_VERSION": "2025-01-27.acacia"}
    )
    assert both.ours("stripe_get_balance").headers["stripe-version"] == "2025-01-27.acacia"


def test_an_error_is_short_exact_and_repairable(both: SideBySide) -> None:
    customer = both.call("stripe_create_customer", key=call_id(), name="B").result["id"]
    meaning = both.call("stripe_create_invoice", key=call_id(), customer=customer, collection_method="send_invoice")
    assert (meaning.state, meaning.error) == (
        "failed",
        {
            "code": "http.400",
            "status": 400,
            "message": "Missing required param: days_until_due. · parameter_missing · days_until_due",
        },
    )
    declined = sdk(both).customers.create({"payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds"}).id
    invoice = both.call("stripe_create_invoice", key=call_id(), customer=declined).result["id"]
    both.ours(
        "stripe_create_invoice_item", key=call_id(), customer=declined, invoice=invoice, amount=900, currency="usd"
    )
    meaning = both.call("stripe_pay_invoice", key=call_id(), invoice=invoice)
    assert meaning.error == {
        "code": "http.402",
        "status": 402,
        "message": "Your card was declined. · card_declined · insufficient_funds",
    }
    none = both.call("stripe_get_refund", refund="re_none")
    assert (none.state, none.result) == ("succeeded", None)


def _given(case: Case, account: Account) -> tuple[str, dict[str, Any]]:
    """The id of what a call is about, made for it, and the call's other arguments."""
    made = case.about(account) if case.about else {}
    if isinstance(made, dict):
        return "", made | case.arguments
    if not case.named.startswith("+"):
        return made, dict(case.arguments)
    name = case.named[1:]
    return "", {name: [{"price": made, "quantity": 2}] if name == "line_items" else made} | case.arguments


def _ours(both: SideBySide, case: Case, key: str, given: dict[str, Any]) -> None:
    effect = TOOLS[case.tool].effect
    both.ours(case.tool, key=call_id() if effect == "keyed" else "", **({case.named: key} if key else {}), **given)


def _neutral(seen: Seen) -> Seen:
    """Without the idempotency key's value, and with their kind in the place of ids, which differ as each made their own."""
    plain = seen.without("idempotency-key")
    body = [(name, ID.sub(r"\1", value)) for name, value in plain.body] if plain.body else plain.body
    query = tuple((name, ID.sub(r"\1", value)) for name, value in plain.query)
    return replace(plain, path=ID.sub(r"\1", plain.path), query=query, body=body)
