"""Stripe's checkout sessions, and the visitor who pays them."""

from __future__ import annotations

from typing import Any

from sandbox.vendors.stripe_book import ADDRESS, Book, Row, listing, new_id, now, nulls, shown
from sandbox.vendors.stripe_catalogue import Catalogue
from sandbox.vendors.stripe_money import CARD, Money
from sandbox.vendors.stripe_request import Given, Invalid, Operation, Refused, chargeable, missing, only
from sandbox.vendors.stripe_subscriptions import Subscriptions

SESSION = (
    "mode:payment|subscription! line_items:list success_url cancel_url customer customer_email metadata:map "
    "customer_creation:always|if_required client_reference_id currency:currency expires_at:int allow_promotion_codes:bool "
    "billing_address_collection:auto|required payment_method_types:texts locale submit_type payment_intent_data:map "
    "subscription_data:map phone_number_collection:map ui_mode:hosted_page"
)
DAY = 86400


class Checkout:
    """Sessions of Stripe's hosted payment page."""

    def __init__(self, book: Book, catalogue: Catalogue, money: Money, subscriptions: Subscriptions) -> None:
        self.book, self.catalogue, self.money, self.subscriptions = book, catalogue, money, subscriptions
        book.extras["checkout.session", "line_items"] = lambda row: self.line_items({}, row["id"])

    def operations(self) -> list[Operation]:
        book, kind = self.book, "checkout/sessions"
        filters = "customer payment_intent payment_link subscription status:open|complete|expired created:when"
        return [
            Operation("POST", kind, self.create, SESSION, "checkout.sessions.create"),
            Operation("GET", kind, lambda g, _: book.page(kind, g), filters, "checkout.sessions.list"),
            Operation("GET", f"{kind}/{{id}}", lambda _, key: shown(book.get(kind, key))),
            Operation(
                "POST",
                f"{kind}/{{id}}",
                lambda g, key: book.update(book.get(kind, key), g, None),
                "metadata:map",
                "checkout.sessions.update",
            ),
            Operation("POST", f"{kind}/{{id}}/expire", self.expire, "", "checkout.sessions.expire"),
            Operation("GET", f"{kind}/{{id}}/line_items", self.line_items, "", "checkout.sessions.line_items.list"),
        ]

    def create(self, given: Given, _: str) -> Row:
        for required in ("line_items", "success_url"):
            if not given.get(required):
                raise missing(required)
        if given.get("customer") and given.get("customer_email"):
            raise Invalid("customer and customer_email exclude each other", "customer_email", "parameters_exclusive")
        if given.get("customer"):
            self.book.named("customers", given["customer"], "customer")
        expires = given.get("expires_at") or now() + DAY
        if not now() + 1790 <= expires <= now() + DAY + 10:
            raise Invalid("expires_at is between 30 minutes and 24 hours from now", "expires_at")
        for name, takes in (
            ("payment_intent_data", "metadata:map description"),
            ("subscription_data", "metadata:map description"),
        ):
            if given.get(name) is not None:
                given[f"_{name}"] = only(given.pop(name), name, takes)
        return shown(self.open(given, self.catalogue.cart(given["line_items"])))

    def open(self, given: Given, lines: list[Row], link: str | None = None) -> Row:
        """Make a session that waits for its visitor."""
        recurring = any(line["price"]["type"] == "recurring" for line in lines)
        if recurring != (given["mode"] == "subscription"):
            raise Refused(
                f"The prices do not fit `{given['mode']}` mode, which takes "
                f"{'only one-time' if recurring else 'at least one recurring'} prices.",
                param="line_items",
            )
        total = sum(line["amount_total"] for line in lines)
        if not recurring:
            chargeable(total, "line_items")
        key = f"cs_test_{new_id('x')[2:]}"
        fields: Row = {k: v for k, v in given.items() if k not in ("line_items", "metadata", "expand")}
        base: Row = nulls(
            "after_expiration allow_promotion_codes billing_address_collection cancel_url client_reference_id "
            "client_secret collected_information consent consent_collection currency_conversion customer "
            "customer_account customer_email discounts invoice invoice_creation locale origin_context payment_intent "
            "payment_method_configuration_details recovered_from saved_payment_method_options setup_intent "
            "shipping_address_collection shipping_cost submit_type subscription"
        ) | {
            "id": key,
            "amount_subtotal": total,
            "amount_total": total,
            "currency": lines[0]["currency"],
            "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
            "custom_fields": [],
            "custom_text": nulls("after_submit shipping_address submit terms_of_service_acceptance"),
            "customer_creation": "always" if recurring else "if_required",
            "expires_at": now() + DAY,
            "customer_details": self._details(given),
            "payment_link": link,
            "payment_method_collection": "always",
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "payment_status": "unpaid",
            "phone_number_collection": {"enabled": False},
            "shipping_options": [],
            "status": "open",
            "_lines": lines,
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": f"https://checkout.stripe.com/c/pay/{key}",
        }
        return self.book.new("checkout/sessions", base | fields, given.get("metadata"))

    def _details(self, given: Given) -> Row | None:
        customer = self.book.rows["customers"].get(given.get("customer") or "", {})
        email = customer.get("email") or given.get("customer_email")
        if email is None:
            return None
        return {
            "address": nulls(ADDRESS),
            "email": email,
            "name": customer.get("name"),
            "phone": customer.get("phone"),
            "tax_exempt": "none",
            "tax_ids": [],
        }

    def expire(self, _: Given, key: str) -> Row:
        found = self._open(self.book.get("checkout/sessions", key))
        self.book.change(found, {"status": "expired", "url": None})
        self.book.announce("checkout.session.expired", found)
        return shown(found)

    def line_items(self, _: Given, key: str) -> Row:
        return listing(f"/v1/checkout/sessions/{key}/line_items", self.book.get("checkout/sessions", key)["_lines"])

    # -- the visitor -------------------------------------------------------------------------------------------------

    def visit(self, link: Row) -> Row:
        """Somebody opens a payment link."""
        if not link["active"]:
            raise Refused("This payment link is inactive.")
        recurring = any(line["price"]["type"] == "recurring" for line in link["_lines"])
        given: dict[str, Any] = {
            "mode": "subscription" if recurring else "payment",
            "metadata": link["metadata"],
            "customer_creation": link["customer_creation"],
        }
        return self.open(given, link["_lines"], link["id"])

    def pay(self, session: Row, email: str | None = None, method: str = CARD) -> Row:
        """The visitor pays; a session whose card is declined stays open."""
        self._open(session)
        given = {"customer_email": email or "visitor@example.com"}
        details: Row = session["customer_details"] or self._details(given) or {}
        customer = session["customer"]
        if customer is None and session["customer_creation"] == "always":
            customer = self.catalogue.add_customer({"email": details["email"], "name": details["name"]})["id"]
        done: Row = {
            "customer": customer,
            "customer_details": details,
            "status": "complete",
            "payment_status": "paid",
            "url": None,
        }
        if session["mode"] == "subscription":
            items = [{"price": line["price"]["id"], "quantity": str(line["quantity"])} for line in session["_lines"]]
            more = session.get("_subscription_data") or {}
            given = {"customer": customer, "default_payment_method": method, "payment_behavior": "error_if_incomplete"}
            made = self.subscriptions.subscribe(given | more, items)
            done |= {"subscription": made["id"], "invoice": made["latest_invoice"]}
        else:
            more = session.get("_payment_intent_data") or {}
            given = {"customer": customer, "payment_method": method} | more
            intent = self.money.pay_now(session["amount_total"], session["currency"], given)
            done["payment_intent"] = intent["id"]
        self.book.change(session, done)
        self.book.announce("checkout.session.completed", session)
        return session

    def _open(self, session: Row) -> Row:
        if session["status"] != "open":
            raise Refused(f"This Session is not open: its status is {session['status']}.")
        return session
