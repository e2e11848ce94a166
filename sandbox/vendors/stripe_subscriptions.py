"""Stripe's subscriptions: made, changed, renewed, cancelled. A change of items takes effect without proration."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.vendors.stripe_billing import Billing, pricing
from sandbox.vendors.stripe_book import Book, Row, listing, new_id, now, nulls, shown
from sandbox.vendors.stripe_catalogue import Catalogue
from sandbox.vendors.stripe_request import Given, Operation, Refused, missing, only

SHARED = (
    "items:list description metadata:map default_payment_method days_until_due:int cancel_at_period_end:bool "
    "collection_method:charge_automatically|send_invoice off_session:bool proration_behavior:none "
    "payment_behavior:allow_incomplete|default_incomplete|error_if_incomplete "
)
ACTIONS = ("items", "metadata", "expand", "off_session", "proration_behavior", "payment_behavior", "trial_period_days")
DAY = 86400


class Subscriptions:
    """Subscriptions and their periods."""

    def __init__(self, book: Book, catalogue: Catalogue, billing: Billing) -> None:
        self.book, self.catalogue, self.billing = book, catalogue, billing

    def operations(self) -> list[Operation]:
        book, kind = self.book, "subscriptions"
        states = "active|all|canceled|ended|incomplete|incomplete_expired|past_due|paused|trialing|unpaid"
        return [
            Operation(
                "POST",
                kind,
                self.create,
                SHARED + "customer! currency:currency trial_period_days:int",
                "subscriptions.create",
            ),
            Operation(
                "GET",
                kind,
                self.list_some,
                f"customer price status:{states} collection_method created:when",
                "subscriptions.list",
            ),
            Operation("GET", f"{kind}/search", lambda g, _: book.search(kind, g), "", "subscriptions.search"),
            Operation("GET", f"{kind}/{{id}}", lambda _, key: shown(book.get(kind, key))),
            Operation(
                "POST",
                f"{kind}/{{id}}",
                self.update,
                SHARED + "pause_collection:map cancellation_details:map",
                "subscriptions.update",
            ),
            Operation(
                "DELETE",
                f"{kind}/{{id}}",
                self.cancel,
                "cancellation_details:map invoice_now:bool prorate:bool",
                "subscriptions.cancel",
            ),
        ]

    def create(self, given: Given, _: str) -> Row:
        if not given.get("items"):
            raise missing("items")
        return shown(self.subscribe(given, given["items"]))

    def subscribe(self, given: Given, entries: list[Any]) -> Row:
        """Make a subscription with its first invoice, paid where the customer's card is charged."""
        customer = self.book.named("customers", given["customer"], "customer")
        key, start, trial = new_id("sub"), now(), given.get("trial_period_days") or 0
        takes = "price price_data:map quantity:count metadata:map"
        known = [only(entry, f"items[{n}]", takes) for n, entry in enumerate(entries)]
        prices = [self._price(entry, f"items[{n}]") for n, entry in enumerate(known)]
        end = start + trial * DAY if trial else later(start, prices[0]["recurring"])
        items = [self._item(key, p, e, start, end) for p, e in zip(prices, known, strict=True)]
        sent = given.get("collection_method") == "send_invoice"
        fields = {k: v for k, v in given.items() if k not in ACTIONS}
        base: Row = nulls(
            "application application_fee_percent billing_cycle_anchor_config billing_schedules "
            "billing_thresholds cancel_at canceled_at customer_account days_until_due default_payment_method "
            "default_source description ended_at latest_invoice next_pending_invoice_item_invoice on_behalf_of "
            "pause_collection pending_invoice_item_interval pending_setup_intent pending_update schedule "
            "test_clock transfer_data"
        ) | {
            "id": key,
            "automatic_tax": {"enabled": False, "liability": None, "disabled_reason": None},
            "billing_cycle_anchor": end if trial else start,
            "billing_mode": {"type": "flexible", "flexible": {}},
            "cancel_at_period_end": False,
            "cancellation_details": nulls("comment feedback reason"),
            "collection_method": "charge_automatically",
            "currency": prices[0]["currency"],
            "default_tax_rates": [],
            "discounts": [],
            "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
            "items": listing(f"/v1/subscription_items?subscription={key}", items),
            "start_date": start,
            "payment_settings": nulls("payment_method_options payment_method_types save_default_payment_method"),
            "status": "trialing" if trial else "active" if sent else "incomplete",
            "trial_end": end if trial else None,
            "trial_start": start if trial else None,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        }
        made = self.book.new("subscriptions", base | fields, given.get("metadata"))
        self.book.announce("customer.subscription.created", made)
        self._bill(customer, made, "subscription_create", given.get("payment_behavior") or "allow_incomplete")
        return made

    def _price(self, entry: Given, param: str) -> Row:
        price = self.catalogue.price_of(entry, param)
        if price["type"] != "recurring":
            raise Refused(
                f"The price {price['id']} has type=one_time but this field only accepts recurring prices.",
                param=f"{param}[price]",
            )
        return price

    def _item(self, key: str, price: Row, entry: Given, start: int, end: int) -> Row:
        rhythm = price["recurring"]
        plan = {
            "id": price["id"],
            "object": "plan",
            "active": price["active"],
            "amount": price["unit_amount"],
            "amount_decimal": price["unit_amount_decimal"],
            "billing_scheme": "per_unit",
            "created": price["created"],
            "currency": price["currency"],
            "interval": rhythm["interval"],
            "livemode": False,
            "metadata": {},
            "interval_count": rhythm["interval_count"],
            "meter": None,
            "nickname": price["nickname"],
            "product": price["product"],
            "tiers_mode": None,
            "transform_usage": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        }
        return {
            "id": new_id("si"),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": now(),
            "current_period_start": start,
            "current_period_end": end,
            "discounts": [],
            "metadata": entry.get("metadata") or {},
            "plan": plan,
            "price": shown(price),
            "quantity": entry.get("quantity") or 1,
            "subscription": key,
            "tax_rates": [],
        }

    def _bill(self, customer: Row, subscription: Row, reason: str, behavior: str) -> None:
        """One period's invoice. Who pays by hand gets a draft."""
        method = {
            "collection_method": subscription["collection_method"],
            "days_until_due": subscription["days_until_due"],
        }
        details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
        parent = {"quote_details": None, "subscription_details": details, "type": "subscription_details"}
        invoice = self.billing.draft(
            customer,
            {
                "billing_reason": reason,
                "currency": subscription["currency"],
                "parent": parent,
                "_subscription": subscription["id"],
                **method,
            },
        )
        for item in subscription["items"]["data"]:
            self._bill_item(invoice, subscription, item)
        self.book.change(subscription, {"latest_invoice": invoice["id"]})
        if subscription["collection_method"] == "send_invoice":
            return
        self.billing.finish(invoice)
        if invoice["status"] == "paid" or behavior == "default_incomplete":
            return
        try:
            self.billing.collect(invoice)
        except Refused as refusal:
            if refusal.status != 402 or behavior == "error_if_incomplete":
                refusal.kept = False
                raise

    def _bill_item(self, invoice: Row, subscription: Row, item: Row) -> None:
        free = subscription["status"] == "trialing"
        amount = 0 if free else item["price"]["unit_amount"] * item["quantity"]
        name = self.book.get("products", item["price"]["product"])["name"]
        details = {
            "invoice_item": None,
            "proration": False,
            "proration_details": None,
            "subscription": subscription["id"],
            "subscription_item": item["id"],
        }
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        }
        period = {"start": item["current_period_start"], "end": item["current_period_end"]}
        self.billing.add_line(
            invoice,
            amount,
            {
                "description": f"{item['quantity']} × {name}",
                "parent": parent,
                "period": period,
                "pricing": pricing(item["price"]),
                "quantity": item["quantity"],
                "subscription": subscription["id"],
            },
        )

    def list_some(self, given: Given, _: str) -> Row:
        status, price = given.pop("status", None), given.pop("price", None)
        ended = ("canceled", "incomplete_expired")

        def wants(row: Row) -> bool:
            if price and all(item["price"]["id"] != price for item in row["items"]["data"]):
                return False
            if status in ("all", "ended", None):
                return status == "all" or bool((row["status"] in ended) == (status == "ended"))
            return bool(row["status"] == status)

        return self.book.page("subscriptions", given, wants)

    def update(self, given: Given, key: str) -> Row:
        found = self._alive(key)
        fields = {k: v for k, v in given.items() if k not in ACTIONS}
        if "metadata" in given:
            fields["metadata"] = given["metadata"]
        if fields.get("pause_collection") is not None:
            takes = "behavior:keep_as_draft|mark_uncollectible|void! resumes_at:int"
            fields["pause_collection"] = {"resumes_at": None} | only(
                fields["pause_collection"], "pause_collection", takes
            )
        if fields.get("cancellation_details") is not None:
            fields["cancellation_details"] = self._why(found, fields["cancellation_details"])
        if given.get("items"):
            fields["items"] = self._changed(found, given["items"])
        if "cancel_at_period_end" in given:
            end = found["items"]["data"][0]["current_period_end"]
            stops = given["cancel_at_period_end"]
            fields |= {"cancel_at": end if stops else None, "canceled_at": now() if stops else None}
        return self.book.update(found, fields, "customer.subscription.updated")

    def _changed(self, subscription: Row, entries: list[Any]) -> Row:
        """The items after an update: by id changed or deleted, without an id added."""
        items = {item["id"]: item for item in subscription["items"]["data"]}
        first = subscription["items"]["data"][0]
        period = first["current_period_start"], first["current_period_end"]
        for number, given in enumerate(entries):
            param = f"items[{number}]"
            entry = only(given, param, "id price price_data:map quantity:count deleted:bool metadata:map")
            key = entry.get("id")
            if key and key not in items:
                raise Refused(f"No such subscription item: '{key}'", code="resource_missing", param=f"{param}[id]")
            if key and entry.get("deleted"):
                del items[key]
            elif key:
                old = items[key]
                price = self._price(entry, param) if entry.get("price") or entry.get("price_data") else old["price"]
                kept = {
                    "quantity": entry.get("quantity") or old["quantity"],
                    "metadata": entry.get("metadata", old["metadata"]),
                }
                items[key] = self._item(subscription["id"], price, kept, *period) | {
                    "id": key,
                    "created": old["created"],
                }
            else:
                made = self._item(subscription["id"], self._price(entry, param), entry, *period)
                items[made["id"]] = made
        if not items:
            raise Refused("A subscription must have at least one active item.", param="items")
        return dict(subscription["items"], data=list(items.values()), total_count=len(items))

    def cancel(self, given: Given, key: str) -> Row:
        found = self._alive(key)
        return shown(self.end(found, given.get("cancellation_details")))

    def end(self, subscription: Row, details: Any = None) -> Row:
        """The subscription is over from now on."""
        why = self._why(subscription, details or {}) | {"reason": "cancellation_requested"}
        canceled = subscription["canceled_at"] or now()
        self.book.change(
            subscription,
            {"status": "canceled", "canceled_at": canceled, "ended_at": now(), "cancellation_details": why},
        )
        self.book.announce("customer.subscription.deleted", subscription)
        return subscription

    def _why(self, subscription: Row, details: Given) -> Row:
        known = only(details, "cancellation_details", "comment feedback")
        return dict(subscription["cancellation_details"]) | known

    def renew(self, subscription: Row) -> Row:
        """The period is over: the next one begins with its invoice, or the subscription ends as it was told to."""
        self._alive(subscription["id"])
        if subscription["cancel_at_period_end"]:
            return self.end(subscription)
        start = subscription["items"]["data"][0]["current_period_end"]
        end = later(start, subscription["items"]["data"][0]["price"]["recurring"])
        period = {"current_period_start": start, "current_period_end": end}
        rows = [item | period for item in subscription["items"]["data"]]
        status = "active" if subscription["status"] == "trialing" else subscription["status"]
        before = self.book.change(subscription, {"items": subscription["items"] | {"data": rows}, "status": status})
        self.book.announce("customer.subscription.updated", subscription, before)
        customer = self.book.get("customers", subscription["customer"])
        self._bill(customer, subscription, "subscription_cycle", "allow_incomplete")
        return subscription

    def _alive(self, key: str) -> Row:
        found = self.book.get("subscriptions", key)
        if found["status"] == "canceled":
            raise Refused(f"No such subscription: '{key}'", status=404, code="resource_missing", param="id")
        return found


def later(start: int, rhythm: Row) -> int:
    """The end of a period; a month that is too short ends on its last day."""
    count, at = rhythm["interval_count"], datetime.fromtimestamp(start, UTC)
    if rhythm["interval"] in ("day", "week"):
        return int((at + timedelta(days=count * (7 if rhythm["interval"] == "week" else 1))).timestamp())
    months = at.month - 1 + count * (12 if rhythm["interval"] == "year" else 1)
    year, month = at.year + months // 12, months % 12 + 1
    day = min(at.day, calendar.monthrange(year, month)[1])
    return int(at.replace(year=year, month=month, day=day).timestamp())
