"""Stripe's invoices: their items, their way from draft to paid, and the payments made for them.

Nothing happens by itself: a draft stays a draft until somebody finalizes it, an open invoice open until somebody pays.
"""

from __future__ import annotations

from typing import Any

from sandbox.vendors.stripe_book import Book, Row, listing, new_id, now, nulls, shown
from sandbox.vendors.stripe_catalogue import Catalogue
from sandbox.vendors.stripe_money import Money
from sandbox.vendors.stripe_request import Given, Invalid, Operation, Refused, missing, only

INVOICE = (
    "auto_advance:bool collection_method:charge_automatically|send_invoice days_until_due:int due_date:int description "
    "metadata:map footer default_payment_method statement_descriptor number "
)
ITEM = "amount:int description metadata:map quantity:count discountable:bool period:map pricing:map price_data:map "
DAY = 86400


class Billing:
    """Invoices and invoice items."""

    def __init__(self, book: Book, catalogue: Catalogue, money: Money) -> None:
        self.book, self.catalogue, self.money = book, catalogue, money
        book.extras["invoice", "payments"] = lambda row: listing(
            "/v1/invoice_payments", [shown(p) for p in book.all("invoice_payments", invoice=row["id"])]
        )

    def operations(self) -> list[Operation]:
        book = self.book
        filters = "customer subscription status:draft|open|paid|uncollectible|void collection_method created:when due_date:when"
        pay = "payment_method paid_out_of_band:bool off_session:bool"
        return [
            Operation(
                "POST",
                "invoices",
                self.create,
                INVOICE + "customer! currency:currency pending_invoice_items_behavior:include|exclude",
                "invoices.create",
            ),
            Operation("GET", "invoices", lambda g, _: book.page("invoices", g), filters, "invoices.list"),
            Operation("GET", "invoices/search", lambda g, _: book.search("invoices", g), "", "invoices.search"),
            Operation("GET", "invoices/{id}", lambda _, key: shown(book.get("invoices", key))),
            Operation("POST", "invoices/{id}", self.update, INVOICE, "invoices.update"),
            Operation("DELETE", "invoices/{id}", self.delete, "", "invoices.delete"),
            Operation("POST", "invoices/{id}/finalize", self.finalize, "auto_advance:bool", "invoices.finalize"),
            Operation("POST", "invoices/{id}/pay", self.pay, pay, "invoices.pay"),
            Operation("POST", "invoices/{id}/send", self.send, "", "invoices.send"),
            Operation("POST", "invoices/{id}/void", self.void, "", "invoices.void"),
            Operation("POST", "invoices/{id}/mark_uncollectible", self.give_up, "", "invoices.mark_uncollectible"),
            Operation(
                "GET",
                "invoices/{id}/lines",
                lambda _, key: shown(book.get("invoices", key))["lines"],
                "",
                "invoices.lines.list",
            ),
            Operation(
                "POST",
                "invoiceitems",
                self.create_item,
                ITEM + "customer currency:currency invoice",
                "invoiceitems.create",
            ),
            Operation(
                "GET",
                "invoiceitems",
                self.list_items,
                "customer invoice pending:bool created:when",
                "invoiceitems.list",
            ),
            Operation("GET", "invoiceitems/{id}", lambda _, key: shown(book.get("invoiceitems", key))),
            Operation(
                "POST",
                "invoiceitems/{id}",
                self.update_item,
                "amount:int description metadata:map",
                "invoiceitems.update",
            ),
            Operation("DELETE", "invoiceitems/{id}", self.delete_item, "", "invoiceitems.delete"),
            Operation(
                "GET",
                "invoice_payments",
                lambda g, _: book.page("invoice_payments", g),
                "invoice status",
                "invoice_payments.list",
            ),
            Operation("GET", "invoice_payments/{id}", lambda _, key: shown(book.get("invoice_payments", key))),
        ]

    # -- drafts ------------------------------------------------------------------------------------------------------

    def create(self, given: Given, _: str) -> Row:
        customer = self.book.named("customers", given["customer"], "customer")
        pending = self.book.all("invoiceitems", customer=customer["id"], invoice=None)
        include = given.get("pending_invoice_items_behavior") == "include"
        fields = {k: v for k, v in given.items() if k not in ("metadata", "expand", "pending_invoice_items_behavior")}
        made = self.draft(customer, fields, given.get("metadata"))
        for item in reversed(pending if include else []):
            self._attach(item, made)
        return shown(made)

    def draft(self, customer: Row, fields: Row, metadata: Any = None) -> Row:
        """A new invoice without lines."""
        sent = fields.get("collection_method") == "send_invoice"
        due = self._due(fields) if sent else None
        key = new_id("in")
        base: Row = nulls(
            "account_name account_tax_ids application automatically_finalizes_at custom_fields customer_account "
            "customer_shipping default_payment_method default_source description effective_at ending_balance "
            "footer from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision "
            "next_payment_attempt number on_behalf_of parent receipt_number shipping_cost shipping_details "
            "statement_descriptor test_clock webhooks_delivered_at"
        ) | {
            "id": key,
            "account_country": "US",
            "amount_due": 0,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_remaining": 0,
            "amount_shipping": 0,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": False,
            "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
            "billing_reason": "manual",
            "collection_method": "charge_automatically",
            "currency": customer["currency"] or "usd",
            "customer": customer["id"],
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_tax_rates": [],
            "discounts": [],
            "due_date": due,
            "issuer": {"type": "self"},
            "lines": listing(f"/v1/invoices/{key}/lines", []),
            "period_end": now(),
            "period_start": now(),
            "payment_settings": nulls("default_mandate payment_method_options payment_method_types"),
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "rendering": {"amount_tax_display": None, "pdf": None},
            "starting_balance": 0,
            "status": "draft",
            "status_transitions": nulls("finalized_at marked_uncollectible_at paid_at voided_at"),
            "subtotal": 0,
            "subtotal_excluding_tax": 0,
            "total": 0,
            "total_discount_amounts": [],
            "total_excluding_tax": 0,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
        }
        shape = {k: v for k, v in fields.items() if k not in ("days_until_due", "due_date")}
        made = self.book.new("invoices", base | shape, metadata)
        self.book.announce("invoice.created", made)
        return made

    def _due(self, fields: Row) -> int:
        if fields.get("due_date"):
            return int(fields["due_date"])
        if fields.get("days_until_due") is None:
            raise missing("days_until_due")
        return now() + int(fields["days_until_due"]) * DAY

    def update(self, given: Given, key: str) -> Row:
        found = self.book.get("invoices", key)
        if found["status"] != "draft" and set(given) - {"metadata", "expand", "auto_advance", "default_payment_method"}:
            raise Refused("Finalized invoices can't be updated in this way", code="invoice_not_editable")
        fields = {k: v for k, v in given.items() if k != "days_until_due"}
        if given.get("days_until_due") is not None:
            fields["due_date"] = self._due(given)
        return self.book.update(found, fields, "invoice.updated")

    def delete(self, _: Given, key: str) -> Row:
        found = self._in(key, ("draft",), "You can only delete draft invoices.")
        for item in self.book.all("invoiceitems", invoice=key):
            self.book.change(item, {"invoice": None})
        self.book.announce("invoice.deleted", found)
        return self.book.remove("invoices", found)

    def add_line(self, invoice: Row, amount: int, more: Row) -> None:
        """One more line, and the totals that follow from all of them."""
        base: Row = {
            "id": new_id("il"),
            "object": "line_item",
            "amount": amount,
            "currency": invoice["currency"],
            "description": None,
            "discount_amounts": [],
            "discountable": True,
            "discounts": [],
            "invoice": invoice["id"],
            "livemode": False,
            "metadata": {},
            "parent": None,
            "period": {"start": now(), "end": now()},
            "pretax_credit_amounts": [],
            "pricing": None,
            "quantity": 1,
            "subscription": None,
            "subtotal": amount,
            "taxes": [],
        }
        self._set_lines(invoice, [*invoice["lines"]["data"], base | more])

    def _set_lines(self, invoice: Row, lines: list[Row]) -> None:
        total = sum(line["amount"] for line in lines)
        due = max(total, 0)
        self.book.change(
            invoice,
            {
                "lines": listing(f"/v1/invoices/{invoice['id']}/lines", lines),
                "subtotal": total,
                "total": total,
                "subtotal_excluding_tax": total,
                "total_excluding_tax": total,
                "amount_due": due,
                "amount_remaining": due,
            },
        )

    # -- items -------------------------------------------------------------------------------------------------------

    def create_item(self, given: Given, _: str) -> Row:
        invoice = self._editable(given["invoice"]) if given.get("invoice") else None
        key = given.get("customer") or (invoice or {}).get("customer")
        if key is None:
            raise missing("customer")
        customer = self.book.named("customers", key, "customer")
        amount, currency, pricing = self._worth(given)
        if invoice and invoice["customer"] != customer["id"]:
            raise Refused("The invoice belongs to another customer.", param="invoice")
        if invoice and invoice["lines"]["data"] and invoice["currency"] != currency:
            raise Refused(f"The invoice's currency is {invoice['currency']}.", param="currency")
        quantity = given.get("quantity") or 1
        period = only(given["period"], "period", "start:int! end:int!") if given.get("period") else None
        fields: Row = {
            "amount": amount,
            "currency": currency,
            "customer": customer["id"],
            "customer_account": None,
            "date": now(),
            "description": given.get("description"),
            "discountable": given.get("discountable", True),
            "discounts": [],
            "invoice": None,
            "net_amount": amount,
            "parent": None,
            "period": period or {"start": now(), "end": now()},
            "pricing": pricing,
            "proration": False,
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "tax_rates": [],
            "test_clock": None,
        }
        made = self.book.new("invoiceitems", fields, given.get("metadata"))
        if invoice:
            self._attach(made, invoice)
        self.book.announce("invoiceitem.created", made)
        return shown(made)

    def _worth(self, given: Given) -> tuple[int, str, Row | None]:
        """(amount, currency, pricing) of an item, which names an amount or a price."""
        if given.get("pricing") is None and given.get("price_data") is None:
            for required in ("amount", "currency"):
                if given.get(required) is None:
                    raise missing(required)
            return given["amount"], given["currency"], None
        if given.get("amount") is not None:
            raise Invalid("amount and a price exclude each other", "amount", "parameters_exclusive")
        entry = (
            only(given["pricing"], "pricing", "price!") if given.get("pricing") else {"price_data": given["price_data"]}
        )
        price = self.catalogue.price_of(entry, "pricing" if "price" in entry else "")
        if price["type"] != "one_time":
            raise Refused("The price must have type=one_time.", param="pricing[price]")
        return price["unit_amount"] * (given.get("quantity") or 1), price["currency"], pricing(price)

    def _attach(self, item: Row, invoice: Row) -> None:
        if not invoice["lines"]["data"]:
            self.book.change(invoice, {"currency": item["currency"]})
        parent = {
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": None,
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
        self.add_line(
            invoice,
            item["amount"],
            {
                "description": item["description"],
                "metadata": item["metadata"],
                "parent": parent,
                "period": item["period"],
                "pricing": item["pricing"],
                "quantity": item["quantity"],
            },
        )
        self.book.change(item, {"invoice": invoice["id"]})

    def list_items(self, given: Given, _: str) -> Row:
        pending = given.pop("pending", None)
        return self.book.page("invoiceitems", given, lambda row: pending in (None, row["invoice"] is None))

    def update_item(self, given: Given, key: str) -> Row:
        found = self.book.get("invoiceitems", key)
        invoice = self._editable(found["invoice"]) if found["invoice"] else None
        self.book.update(found, given, None)
        self.book.change(found, {"net_amount": found["amount"]})
        if invoice:
            change = {"amount": found["amount"], "subtotal": found["amount"], "description": found["description"]}
            lines = [line | change if _item_of(line) == key else line for line in invoice["lines"]["data"]]
            self._set_lines(invoice, lines)
        return shown(found)

    def delete_item(self, _: Given, key: str) -> Row:
        found = self.book.get("invoiceitems", key)
        if found["invoice"]:
            invoice = self._editable(found["invoice"])
            self._set_lines(invoice, [line for line in invoice["lines"]["data"] if _item_of(line) != key])
        self.book.announce("invoiceitem.deleted", found)
        return self.book.remove("invoiceitems", found)

    def _editable(self, key: str) -> Row:
        found = self.book.named("invoices", key, "invoice")
        if found["status"] != "draft":
            raise Refused("This invoice is no longer editable.", code="invoice_not_editable", param="invoice")
        return found

    # -- from draft to paid ------------------------------------------------------------------------------------------

    def finalize(self, given: Given, key: str) -> Row:
        found = self._in(key, ("draft",), "This invoice is already finalized, you can't re-finalize it.")
        if "auto_advance" in given:
            self.book.change(found, {"auto_advance": given["auto_advance"]})
        self.finish(found)
        return shown(found)

    def finish(self, invoice: Row) -> None:
        """Draft to open; an invoice over nothing is paid at once."""
        customer = self.book.get("customers", invoice["customer"])
        sequence = customer["next_invoice_sequence"]
        self.book.change(customer, {"next_invoice_sequence": sequence + 1, "currency": invoice["currency"]})
        url = f"https://invoice.stripe.com/i/acct_sandbox/test_{invoice['id'][3:]}"
        self._move(
            invoice,
            "open",
            "finalized_at",
            {
                "number": invoice["number"] or f"{customer['invoice_prefix']}-{sequence:04}",
                "effective_at": now(),
                "hosted_invoice_url": url,
                "invoice_pdf": f"{url}/pdf",
            },
        )
        self.book.announce("invoice.finalized", invoice)
        if invoice["amount_due"] == 0:
            self._paid(invoice)

    def pay(self, given: Given, key: str) -> Row:
        message = f"Invoice is already {self.book.get('invoices', key)['status']}"
        found = self._in(key, ("draft", "open", "uncollectible"), message)
        if found["status"] == "draft":
            self.finish(found)
        if found["status"] == "paid":
            return shown(found)
        if given.get("paid_out_of_band"):
            self._paid(found)
        else:
            self.collect(found, given.get("payment_method"))
        return shown(found)

    def collect(self, invoice: Row, method: str | None = None) -> None:
        """Charge the customer's card; a decline is announced, counted and raised."""
        method = method or self.method(invoice)
        if method is None:
            raise Refused(
                "This customer has no attached payment source or default payment method.", code="resource_missing"
            )
        given = {
            "customer": invoice["customer"],
            "payment_method": method,
            "description": f"Payment for Invoice {invoice['number']}",
        }
        attempt = {"attempt_count": invoice["attempt_count"] + 1, "attempted": True}
        try:
            intent = self.money.pay_now(invoice["amount_remaining"], invoice["currency"], given)
        except Refused as refusal:
            if refusal.status == 402:
                self.book.change(invoice, attempt | {"next_payment_attempt": now() + 3 * DAY})
                self.book.announce("invoice.payment_failed", invoice)
                self._follow(invoice, "past_due")
            raise
        self.book.change(invoice, attempt)
        amount = invoice["amount_remaining"]
        fields = {
            "amount_paid": amount,
            "amount_requested": amount,
            "currency": invoice["currency"],
            "is_default": True,
            "invoice": invoice["id"],
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": now()},
        }
        self.book.new("invoice_payments", fields)
        self._paid(invoice)

    def method(self, invoice: Row) -> str | None:
        """How an invoice would be paid: by its own, its subscription's or its customer's payment method."""
        customer = self.book.get("customers", invoice["customer"])
        subscription = self.book.rows["subscriptions"].get(invoice.get("_subscription") or "", {})
        settings = customer["invoice_settings"]["default_payment_method"]
        choices = (
            invoice["default_payment_method"],
            subscription.get("default_payment_method"),
            settings,
            customer["_card"],
        )
        return next((choice for choice in choices if choice), None)

    def _paid(self, invoice: Row) -> None:
        self._move(
            invoice,
            "paid",
            "paid_at",
            {
                "amount_paid": invoice["amount_due"],
                "amount_remaining": 0,
                "attempted": True,
                "next_payment_attempt": None,
            },
        )
        self.book.announce("invoice.paid", invoice)
        self.book.announce("invoice.payment_succeeded", invoice)
        self._follow(invoice, "active")

    def _follow(self, invoice: Row, status: str) -> None:
        """A subscription goes on, or waits, with its invoice."""
        subscription = self.book.rows["subscriptions"].get(invoice.get("_subscription") or "")
        waiting = {"active": ("incomplete", "past_due"), "past_due": ("active",)}[status]
        if subscription and subscription["status"] in waiting:
            before = self.book.change(subscription, {"status": status})
            self.book.announce("customer.subscription.updated", subscription, before)

    def send(self, _: Given, key: str) -> Row:
        found = self._in(key, ("draft", "open"), "You can only send draft and open invoices.")
        if found["collection_method"] != "send_invoice":
            raise Refused("You can only manually send an invoice if its collection method is 'send_invoice'.")
        if found["status"] == "draft":
            self.finish(found)
        self.book.change(found, {"_sent": found.get("_sent", 0) + 1})
        self.book.announce("invoice.sent", found)
        return shown(found)

    def void(self, _: Given, key: str) -> Row:
        found = self._in(key, ("open", "uncollectible"), "You can only void open or uncollectible invoices.")
        self._move(found, "void", "voided_at", {})
        self.book.announce("invoice.voided", found)
        return shown(found)

    def give_up(self, _: Given, key: str) -> Row:
        found = self._in(key, ("open",), "You can only mark open invoices as uncollectible.")
        self._move(found, "uncollectible", "marked_uncollectible_at", {})
        self.book.announce("invoice.marked_uncollectible", found)
        return shown(found)

    def _move(self, invoice: Row, status: str, at: str, more: Row) -> None:
        self.book.change(
            invoice, more | {"status": status, "status_transitions": invoice["status_transitions"] | {at: now()}}
        )

    def _in(self, key: str, states: tuple[str, ...], otherwise: str) -> Row:
        found = self.book.get("invoices", key)
        if found["status"] not in states:
            raise Refused(otherwise)
        return found


def pricing(price: Row) -> Row:
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def _item_of(line: Row) -> str | None:
    details = (line["parent"] or {}).get("invoice_item_details")
    return details["invoice_item"] if details else None
