"""Stripe's customers and what they can be sold: products, prices, payment links."""

from __future__ import annotations

import re
from typing import Any

from sandbox.vendors.stripe_book import ADDRESS, Book, Row, listing, new_id, now, nulls, shown
from sandbox.vendors.stripe_request import Given, Invalid, Operation, Refused, missing, only

EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
CUSTOMER = (
    "email name phone description business_name individual_name address:map shipping:map metadata:map balance:int "
    "preferred_locales:texts invoice_prefix:set next_invoice_sequence:int tax_exempt:none|exempt|reverse invoice_settings:map "
)
PRODUCT = (
    "description active:bool images:texts metadata:map url unit_label statement_descriptor tax_code shippable:bool "
)
PRICE = "nickname active:bool lookup_key metadata:map tax_behavior:exclusive|inclusive|unspecified "
PRICE_DATA = (
    "currency:currency! unit_amount:amount product product_data:map recurring:map "
    "tax_behavior:exclusive|inclusive|unspecified "
)
LINK = (
    "after_completion:map allow_promotion_codes:bool billing_address_collection:auto|required metadata:map inactive_message "
    "customer_creation:always|if_required submit_type payment_method_types:texts phone_number_collection:map "
)


class Catalogue:
    """Customers, products, prices, payment links."""

    def __init__(self, book: Book) -> None:
        self.book = book
        book.extras["payment_link", "line_items"] = lambda row: self.line_items({}, row["id"])
        book.extras["customer", "subscriptions"] = lambda row: listing(
            f"/v1/customers/{row['id']}/subscriptions",
            [shown(s) for s in book.all("subscriptions", customer=row["id"]) if s["status"] != "canceled"],
        )

    def operations(self) -> list[Operation]:
        book = self.book
        return [
            Operation("POST", "customers", self.create_customer, CUSTOMER + "payment_method", "customers.create"),
            Operation(
                "GET", "customers", lambda g, _: book.page("customers", g), "email created:when", "customers.list"
            ),
            Operation("GET", "customers/search", lambda g, _: book.search("customers", g), "", "customers.search"),
            Operation("GET", "customers/{id}", self.read_customer),
            Operation("POST", "customers/{id}", self.update_customer, CUSTOMER, "customers.update"),
            Operation("DELETE", "customers/{id}", self.delete_customer, "", "customers.delete"),
            Operation(
                "POST", "products", self.create_product, PRODUCT + "id name! default_price_data:map", "products.create"
            ),
            Operation("GET", "products", self.list_products, "active:bool ids:texts url created:when", "products.list"),
            Operation("GET", "products/search", lambda g, _: book.search("products", g), "", "products.search"),
            Operation("GET", "products/{id}", lambda _, key: shown(book.get("products", key))),
            Operation(
                "POST", "products/{id}", self.update_product, PRODUCT + "name:set default_price", "products.update"
            ),
            Operation("DELETE", "products/{id}", self.delete_product, "", "products.delete"),
            Operation("POST", "prices", self.create_price, PRICE_DATA + PRICE, "prices.create"),
            Operation(
                "GET",
                "prices",
                self.list_prices,
                "active:bool currency product type lookup_keys:texts created:when",
                "prices.list",
            ),
            Operation("GET", "prices/search", lambda g, _: book.search("prices", g), "", "prices.search"),
            Operation("GET", "prices/{id}", lambda _, key: shown(book.get("prices", key))),
            Operation("POST", "prices/{id}", self.update_price, PRICE, "prices.update"),
            Operation(
                "POST",
                "payment_links",
                self.create_link,
                LINK + "line_items:list! currency:currency",
                "payment_links.create",
            ),
            Operation(
                "GET", "payment_links", lambda g, _: book.page("payment_links", g), "active:bool", "payment_links.list"
            ),
            Operation("GET", "payment_links/{id}", lambda _, key: shown(book.get("payment_links", key))),
            Operation("POST", "payment_links/{id}", self.update_link, LINK + "active:bool", "payment_links.update"),
            Operation("GET", "payment_links/{id}/line_items", self.line_items, "", "payment_links.line_items.list"),
        ]

    # -- customers ---------------------------------------------------------------------------------------------------

    def create_customer(self, given: Given, _: str) -> Row:
        return shown(self.add_customer(given))

    def add_customer(self, given: Given) -> Row:
        fields = self._customer(given)
        settings = nulls("custom_fields default_payment_method footer rendering_options")
        method = given.get("payment_method")
        base: Row = nulls(
            "address currency default_source description discount email name phone shipping test_clock"
        ) | {
            "balance": 0,
            "customer_account": None,
            "delinquent": False,
            "invoice_prefix": new_id("x")[2:10].upper(),
            "invoice_settings": settings,
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "tax_exempt": "none",
            "_card": method,
        }
        fields["invoice_settings"] = settings | fields.get("invoice_settings", {})
        made = self.book.new("customers", base | fields, given.get("metadata"))
        self.book.announce("customer.created", made)
        return made

    def read_customer(self, _: Given, key: str) -> Row:
        if key in self.book.gone["customers"]:
            return {"id": key, "object": "customer", "deleted": True}
        return shown(self.book.get("customers", key))

    def update_customer(self, given: Given, key: str) -> Row:
        found = self.book.get("customers", key)
        fields = self._customer(given)
        if "invoice_settings" in fields:
            fields["invoice_settings"] = found["invoice_settings"] | fields["invoice_settings"]
        if "metadata" in given:
            fields["metadata"] = given["metadata"]
        return self.book.update(found, fields, "customer.updated")

    def delete_customer(self, _: Given, key: str) -> Row:
        found = self.book.get("customers", key)
        for subscription in self.book.all("subscriptions", customer=key):
            if subscription["status"] != "canceled":
                self.book.change(subscription, {"status": "canceled", "canceled_at": now(), "ended_at": now()})
                self.book.announce("customer.subscription.deleted", subscription)
        self.book.announce("customer.deleted", found)
        return self.book.remove("customers", found)

    def _customer(self, given: Given) -> Row:
        fields = {k: v for k, v in given.items() if k not in ("metadata", "expand", "payment_method")}
        email = fields.get("email")
        if email is not None and not EMAIL.match(email):
            raise Invalid(f"Invalid email address: {email}", "email", "email_invalid")
        if fields.get("address") is not None:
            fields["address"] = nulls(ADDRESS) | only(fields["address"], "address", ADDRESS)
        if fields.get("shipping") is not None:
            shipping = only(fields["shipping"], "shipping", "address:map! name! phone")
            address = nulls(ADDRESS) | only(shipping["address"], "shipping[address]", ADDRESS)
            fields["shipping"] = {"phone": None} | shipping | {"address": address}
        if fields.get("invoice_settings") is not None:
            takes = "default_payment_method footer"
            fields["invoice_settings"] = only(fields["invoice_settings"], "invoice_settings", takes)
        return fields

    # -- products and prices -----------------------------------------------------------------------------------------

    def create_product(self, given: Given, _: str) -> Row:
        if given.get("id") in self.book.rows["products"]:
            raise Refused(f"Product already exists: {given['id']}", code="resource_already_exists", param="id")
        fields = {k: v for k, v in given.items() if k not in ("metadata", "expand", "default_price_data")}
        made = self.add_product(fields, given.get("metadata"))
        data = given.get("default_price_data")
        if data is not None:
            made["default_price"] = self.price(
                only(data, "default_price_data", PRICE_DATA), "default_price_data", made
            )["id"]
        return shown(made)

    def add_product(self, fields: Row, metadata: Any = None) -> Row:
        base: Row = nulls(
            "default_price description package_dimensions shippable statement_descriptor tax_code unit_label url"
        ) | {"active": True, "images": [], "marketing_features": [], "type": "service", "updated": now()}
        made = self.book.new("products", base | fields, metadata)
        self.book.announce("product.created", made)
        return made

    def update_product(self, given: Given, key: str) -> Row:
        found = self.book.get("products", key)
        if given.get("default_price"):
            self.book.named("prices", given["default_price"], "default_price")
        return self.book.update(found, given, "product.updated")

    def delete_product(self, _: Given, key: str) -> Row:
        found = self.book.get("products", key)
        if self.book.all("prices", product=key):
            raise Refused("This product cannot be deleted because it has one or more user-created prices.")
        self.book.announce("product.deleted", found)
        return self.book.remove("products", found)

    def list_products(self, given: Given, _: str) -> Row:
        ids = given.pop("ids", None)
        return self.book.page("products", given, lambda row: ids is None or row["id"] in ids)

    def create_price(self, given: Given, _: str) -> Row:
        return shown(self.price(given, ""))

    def price(self, given: Given, param: str, product: Row | None = None) -> Row:
        """Make a price from its parameters, wherever those were given."""

        def named(name: str) -> str:
            return f"{param}[{name}]" if param else name

        recurring = given.get("recurring")
        if recurring is not None:
            known = only(
                recurring, named("recurring"), "interval:day|week|month|year! interval_count:count usage_type:licensed"
            )
            recurring = {
                "interval_count": 1,
                "meter": None,
                "trial_period_days": None,
                "usage_type": "licensed",
            } | known
        if given.get("unit_amount") is None:
            raise missing(named("unit_amount"))
        unit = given["unit_amount"]
        if product is None and given.get("product"):
            product = self.book.named("products", given["product"], named("product"))
        if product is None:
            data = given.get("product_data")
            if data is None:
                raise missing(named("product"))
            fields = only(data, named("product_data"), PRODUCT + "name!")
            product = self.add_product({k: v for k, v in fields.items() if k != "metadata"}, fields.get("metadata"))
        fields = nulls("lookup_key nickname custom_unit_amount tiers_mode transform_quantity")
        fields |= {k: given[k] for k in ("lookup_key", "nickname", "active", "tax_behavior") if k in given}
        base: Row = {
            "active": True,
            "billing_scheme": "per_unit",
            "currency": given["currency"],
            "product": product["id"],
            "recurring": recurring,
            "tax_behavior": "unspecified",
            "type": "one_time" if recurring is None else "recurring",
            "unit_amount": unit,
            "unit_amount_decimal": str(unit),
        }
        made = self.book.new("prices", base | fields, given.get("metadata"))
        self.book.announce("price.created", made)
        return made

    def update_price(self, given: Given, key: str) -> Row:
        return self.book.update(self.book.get("prices", key), given, "price.updated")

    def list_prices(self, given: Given, _: str) -> Row:
        keys = given.pop("lookup_keys", None)
        return self.book.page("prices", given, lambda row: keys is None or row["lookup_key"] in keys)

    # -- what is in a cart -------------------------------------------------------------------------------------------

    def cart(self, entries: list[Any], param: str = "line_items") -> list[Row]:
        """Line items of a link or a session; prices given as data are made."""
        if not entries:
            raise missing(param)
        takes = "price price_data:map quantity:count adjustable_quantity:map"
        known = [only(entry, f"{param}[{n}]", takes) for n, entry in enumerate(entries)]
        prices = [self.price_of(entry, f"{param}[{n}]") for n, entry in enumerate(known)]
        if len({price["currency"] for price in prices}) > 1:
            raise Refused("All line items must have the same currency.", param=param)
        return [self._line(price, entry.get("quantity") or 1) for price, entry in zip(prices, known, strict=True)]

    def price_of(self, entry: Given, param: str) -> Row:
        """The price an entry names or describes."""
        if entry.get("price_data") is not None:
            return self.price(only(entry["price_data"], f"{param}[price_data]", PRICE_DATA), f"{param}[price_data]")
        if not entry.get("price"):
            raise missing(f"{param}[price]")
        found = self.book.named("prices", entry["price"], f"{param}[price]")
        if not found["active"]:
            raise Refused(f"The price {found['id']} is inactive.", param=f"{param}[price]")
        return found

    def _line(self, price: Row, quantity: int) -> Row:
        total = price["unit_amount"] * quantity
        return {
            "id": new_id("li"),
            "object": "item",
            "amount_discount": 0,
            "amount_subtotal": total,
            "amount_tax": 0,
            "amount_total": total,
            "currency": price["currency"],
            "quantity": quantity,
            "metadata": {},
            "description": self.book.get("products", price["product"])["name"],
            "price": shown(price),
        }

    # -- payment links -----------------------------------------------------------------------------------------------

    def create_link(self, given: Given, _: str) -> Row:
        lines = self.cart(given["line_items"])
        fields = {k: v for k, v in given.items() if k not in ("line_items", "metadata", "expand")}
        base: Row = nulls(
            "application application_fee_amount application_fee_percent consent_collection inactive_message "
            "invoice_creation on_behalf_of payment_intent_data payment_method_types restrictions "
            "shipping_address_collection subscription_data transfer_data"
        ) | {
            "active": True,
            "allow_promotion_codes": False,
            "billing_address_collection": "auto",
            "custom_fields": [],
            "after_completion": {"hosted_confirmation": {"custom_message": None}, "type": "hosted_confirmation"},
            "automatic_tax": {"enabled": False, "liability": None},
            "currency": lines[0]["currency"],
            "custom_text": nulls("after_submit shipping_address submit terms_of_service_acceptance"),
            "customer_creation": "if_required",
            "payment_method_collection": "always",
            "phone_number_collection": {"enabled": False},
            "shipping_options": [],
            "submit_type": "auto",
            "tax_id_collection": {"enabled": False, "required": "never"},
            "_lines": lines,
            "url": f"https://buy.stripe.com/test_{new_id('x')[2:]}",
        }
        made = self.book.new("payment_links", base | fields, given.get("metadata"))
        self.book.announce("payment_link.created", made)
        return shown(made)

    def update_link(self, given: Given, key: str) -> Row:
        return self.book.update(self.book.get("payment_links", key), given, "payment_link.updated")

    def line_items(self, _: Given, key: str) -> Row:
        return listing(f"/v1/payment_links/{key}/line_items", self.book.get("payment_links", key)["_lines"])
