"""Stripe: customers, catalogue, checkout, billing and money, with idempotency keys and signed events.

Control, beside what all emulators have:

    POST /_sandbox/charge    {"amount", "currency"?, "customer"?, "description"?, "payment_method"?}   a card is charged
    POST /_sandbox/pay       {"session" | "payment_link" | "invoice", "email"?, "payment_method"?}     somebody pays
    POST /_sandbox/dispute   {"charge", "reason"?, "amount"?}, or {"dispute", "won"} to decide one
    POST /_sandbox/payout    {"amount"?, "currency"?}, or {"payout", "paid"} to finish one
    POST /_sandbox/renew     {"subscription"}                                                          its period is over

A payment method is one of Stripe's test methods: pm_card_visa pays, pm_card_chargeCustomerFail is declined.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.vendors.common import Emulator, Handler, Window
from sandbox.vendors.stripe_billing import Billing
from sandbox.vendors.stripe_book import VERSION, Book, Row, new_id, nulls, shown
from sandbox.vendors.stripe_catalogue import Catalogue
from sandbox.vendors.stripe_checkout import Checkout
from sandbox.vendors.stripe_money import CARD, Money
from sandbox.vendors.stripe_request import Given, Invalid, Operation, Refused, chargeable, decode
from sandbox.vendors.stripe_subscriptions import Subscriptions
from sandbox.vendors.webhooks import Receiver, Sign, Webhooks

API_KEY = "sk_test_sandbox"
WEBHOOK_SECRET = "whsec_sandbox"
"""Signs for receivers registered through /_sandbox/webhooks; endpoints made through the API have their own."""
KEEP_KEYS = 24 * 3600.0
ENDPOINT = "description metadata:map "
REQUEST_ID = web.RequestKey("request_id", str)
CLASH = web.RequestKey("clash", bool)


@dataclass
class Outcome:
    """What an idempotency key led to."""

    asked: tuple[str, str, list[tuple[str, str]]]
    request_id: str
    status: int
    body: Row
    at: float


class Stripe(Emulator):
    """One Stripe account in test mode."""

    vendor = "stripe"
    lasting = ("effects", "book.rows", "book.gone", "outcomes")

    def __init__(self, *, index_delay: float = 1.0) -> None:
        super().__init__()
        self.webhooks = Webhooks(signed_with(WEBHOOK_SECRET))
        self.book = Book(self._deliver, index_delay, self.clock.now)
        self.catalogue = Catalogue(self.book)
        self.money = Money(self.book)
        self.billing = Billing(self.book, self.catalogue, self.money)
        self.subscriptions = Subscriptions(self.book, self.catalogue, self.billing)
        self.checkout = Checkout(self.book, self.catalogue, self.money, self.subscriptions)
        self.reset()
        self.app.middlewares.insert(0, self._enveloped)
        self.webhooks.add_routes(self.app)
        parts = (self.catalogue, self.money, self.billing, self.subscriptions, self.checkout)
        for operation in [*self._operations(), *(one for part in parts for one in part.operations())]:
            handler = functools.partial(self._serve, operation)
            self.app.router.add_route(operation.method, f"/v1/{operation.path}", handler)
        for name, act in {
            "charge": self._charge,
            "pay": self._pay,
            "dispute": self._dispute,
            "payout": self._payout,
            "renew": self._renew,
        }.items():
            self.app.router.add_post(f"/_sandbox/{name}", functools.partial(self._act, f"sandbox.{name}", act))

    def reset(self) -> None:
        self.book.clear()
        self.webhooks.reset()
        self.outcomes: dict[str, Outcome] = {}
        self.busy: set[str] = set()
        self._windows = {"read": Window(25, 1), "write": Window(25, 1), "search": Window(20, 1)}

    def state(self) -> Any:
        return {kind: [shown(row) for row in rows.values()] for kind, rows in self.book.rows.items()}

    def unauthorized(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        basic = base64.b64encode(f"{API_KEY}:".encode()).decode()
        if given in (f"Bearer {API_KEY}", f"Basic {basic}"):
            return None
        message = "Invalid API Key provided." if given else "You did not provide an API key."
        return self._refusal(Refused(message, status=401))

    def limited(self, request: web.Request) -> web.Response | None:
        reads = "search" if request.path.endswith("/search") else "read"
        window = self._windows[reads if request.method == "GET" else "write"]
        return None if window.allows() else self.error(429, "Too many requests hit the API too quickly.")

    def error(self, status: int, message: str) -> web.Response:
        kind = "api_error" if status >= 500 else "invalid_request_error"
        code = {404: "resource_missing", 429: "rate_limit"}.get(status)
        return self._refusal(Refused(message, status=status, kind=kind, code=code))

    # -- requests ----------------------------------------------------------------------------------------------------

    @web.middleware
    async def _enveloped(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every answer has its request's id; an idempotency key is taken until its answer is out."""
        if request.path.startswith("/_sandbox/"):
            return await handler(request)
        request[REQUEST_ID] = new_id("req")
        key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
        request[CLASH] = key in self.busy
        mine = bool(key) and not request[CLASH]
        if mine:
            self.busy.add(key)
        try:
            answer = await handler(request)
        finally:
            if mine:
                self.busy.discard(key)
        answer.headers["Request-Id"] = request[REQUEST_ID]
        answer.headers["Stripe-Version"] = request.headers.get("Stripe-Version", VERSION)
        if key:
            answer.headers["Idempotency-Key"] = key
        return answer

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await super()._handled(request, handler)
        except web.HTTPMethodNotAllowed:
            return self.error(404, f"Unrecognized request URL ({request.method}: {request.path}).")

    async def _serve(self, operation: Operation, request: web.Request) -> web.Response:
        pairs = list(request.query.items())
        if request.method == "POST":
            pairs += parse_qsl(await request.text(), keep_blank_values=True)
        try:
            if not re.fullmatch(r"\d{4}-\d\d-\d\d(\.[a-z_]+)?", request.headers.get("Stripe-Version", VERSION)):
                raise Invalid(f"Invalid Stripe API version: {request.headers['Stripe-Version']}", "Stripe-Version")
            key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
            asked = (request.method, request.path, sorted(pairs))
            known = self._known(key, asked, request) if key else None
            if known is not None:
                headers = {"Idempotent-Replayed": "true", "Original-Request": known.request_id}
                return web.json_response(known.body, status=known.status, headers=headers)
            given = operation.check(decode(pairs))
            self.book.request = {"id": request[REQUEST_ID], "idempotency_key": key}
            status, body = self._outcome(operation, given, request.match_info.get("id", ""))
        except Refused as refusal:
            return self._refusal(refusal)
        if key:
            self.outcomes[key] = Outcome(asked, request[REQUEST_ID], status, body, time.monotonic())
        return web.json_response(body, status=status)

    def _known(self, key: str, asked: tuple[str, str, list[tuple[str, str]]], request: web.Request) -> Outcome | None:
        """What this key led to before, if it may be asked again."""
        if len(key) > 255:
            raise Invalid("An idempotency key has up to 255 characters.", "Idempotency-Key")
        if request[CLASH]:
            raise Refused(
                f"Another request with the idempotency key {key} is in progress.",
                status=409,
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        known = self.outcomes.get(key)
        if known is None or time.monotonic() - known.at > KEEP_KEYS:
            return None
        if known.asked != asked:
            raise Refused(
                f"The idempotency key {key} was first used with another endpoint or other parameters.",
                kind="idempotency_error",
            )
        return known

    def _outcome(self, operation: Operation, given: Given, key: str) -> tuple[int, Row]:
        """Execute; a refusal that the idempotency key shall remember is an outcome, too."""
        try:
            return 200, self._all_or_nothing(
                operation.name,
                given,
                lambda: self.book.expand(operation.handle(dict(given), key), given.get("expand") or []),
            )
        except Refused as refusal:
            if not refusal.stored:
                raise
            return refusal.status, {"error": refusal.error}

    def _all_or_nothing(self, name: str, given: Given, work: Callable[[], Row]) -> Row:
        """Run one operation and put its effect on record; a refused one leaves no trace, unless a card was tried."""
        self.book.begin()
        try:
            answer = work()
        except Refused as refusal:
            if not refusal.kept:
                self.book.roll_back()
            elif self.book.changes:
                self.book.commit()
                self.effect(name, given=given, refused=refusal.error.get("code"))
            raise
        except BaseException:
            self.book.roll_back()
            raise
        changed = self.book.changes
        self.book.commit()
        if changed:
            self.effect(name, id=answer.get("id"), given=given)
        if name.startswith("webhook_endpoints."):
            self._point()
        return answer

    def _refusal(self, refusal: Refused) -> web.Response:
        headers = {"WWW-Authenticate": 'Bearer realm="Stripe"'} if refusal.status == 401 else None
        return web.json_response({"error": refusal.error}, status=refusal.status, headers=headers)

    # -- events and who hears of them --------------------------------------------------------------------------------

    def _operations(self) -> list[Operation]:
        book, kind = self.book, "webhook_endpoints"
        return [
            Operation("GET", "events", self._list_events, "type types:texts created:when", "events.list"),
            Operation("GET", "events/{id}", lambda _, key: shown(book.get("events", key))),
            Operation(
                "POST",
                kind,
                self._create_endpoint,
                ENDPOINT + "url! enabled_events:texts! api_version connect:bool",
                f"{kind}.create",
            ),
            Operation("GET", kind, lambda g, _: book.page(kind, g), "", f"{kind}.list"),
            Operation("GET", f"{kind}/{{id}}", lambda _, key: shown(book.get(kind, key))),
            Operation(
                "POST",
                f"{kind}/{{id}}",
                self._update_endpoint,
                ENDPOINT + "url:set enabled_events:texts disabled:bool",
                f"{kind}.update",
            ),
            Operation(
                "DELETE", f"{kind}/{{id}}", lambda _, key: book.remove(kind, book.get(kind, key)), "", f"{kind}.delete"
            ),
        ]

    def _list_events(self, given: Given, _: str) -> Row:
        kinds = given.pop("types", None)
        return self.book.page("events", given, lambda row: kinds is None or row["type"] in kinds)

    def _create_endpoint(self, given: Given, _: str) -> Row:
        fields = {k: v for k, v in given.items() if k not in ("metadata", "expand", "connect")}
        secret = new_id("whsec")
        base = nulls("api_version application description") | {"status": "enabled", "_secret": secret}
        made = self.book.new("webhook_endpoints", base | _receiving(fields), given.get("metadata"))
        return shown(made) | {"secret": secret}

    def _update_endpoint(self, given: Given, key: str) -> Row:
        fields = _receiving({k: v for k, v in given.items() if k != "disabled"})
        if "disabled" in given:
            fields["status"] = "disabled" if given["disabled"] else "enabled"
        return self.book.update(self.book.get("webhook_endpoints", key), fields, None)

    def _point(self) -> None:
        """The receivers are those that the endpoints name, beside those of /_sandbox/webhooks."""
        for key in [key for key in self.webhooks.receivers if key.startswith("we_")]:
            self.webhooks.remove(key)
        for row in self.book.all("webhook_endpoints", status="enabled"):
            receiver = Receiver(row["url"], frozenset(row["enabled_events"]), signed_with(row["_secret"]))
            self.webhooks.receivers[row["id"]] = receiver

    def _deliver(self, event: Row) -> None:
        hearers = [r.events for r in self.webhooks.receivers.values()]
        event["pending_webhooks"] = sum(not names or bool(names & {"*", event["type"]}) for names in hearers)
        self.webhooks.send(
            event["type"], json.dumps(shown(event), indent=2).encode(), "application/json; charset=utf-8"
        )

    # -- control -----------------------------------------------------------------------------------------------------

    async def _act(self, name: str, act: Callable[[Given], Row], request: web.Request) -> web.Response:
        given = await request.json()
        self.book.request = {"id": None, "idempotency_key": None}
        try:
            return web.json_response(self._all_or_nothing(name, given, lambda: shown(act(given))))
        except Refused as refusal:
            return self._refusal(refusal)

    def _charge(self, given: Given) -> Row:
        if given.get("customer"):
            self.book.named("customers", given["customer"], "customer")
        method = {"payment_method": given.get("payment_method", CARD)}
        intent = self.money.pay_now(chargeable(given["amount"]), given.get("currency", "usd"), given | method)
        return self.book.get("charges", intent["latest_charge"])

    def _pay(self, given: Given) -> Row:
        method = given.get("payment_method", CARD)
        if "invoice" in given:
            self.billing.pay({"payment_method": method}, given["invoice"])
            return self.book.get("invoices", given["invoice"])
        if "payment_link" in given:
            session = self.checkout.visit(self.book.named("payment_links", given["payment_link"], "payment_link"))
        else:
            session = self.book.named("checkout/sessions", given.get("session"), "session")
        return self.checkout.pay(session, given.get("email"), method)

    def _dispute(self, given: Given) -> Row:
        if "dispute" in given:
            return self.money.decide(self.book.named("disputes", given["dispute"], "dispute"), won=bool(given["won"]))
        charge = self.book.named("charges", given.get("charge"), "charge")
        amount = int(given.get("amount") or charge["amount"])
        return self.money.open_dispute(charge, given.get("reason", "general"), amount)

    def _payout(self, given: Given) -> Row:
        if "payout" in given:
            return self.money.finish_payout(
                self.book.named("payouts", given["payout"], "payout"), paid=bool(given["paid"])
            )
        currency = given.get("currency", "usd")
        amount = given.get("amount") or self.money.available(currency)
        return self.money.finish_payout(self.money.payout(amount, currency, {}, automatic=True), paid=True)

    def _renew(self, given: Given) -> Row:
        return self.subscriptions.renew(self.book.named("subscriptions", given["subscription"], "subscription"))


def _receiving(fields: Row) -> Row:
    if "url" in fields and not re.match(r"https?://[^\s/]+", fields["url"] or ""):
        raise Invalid("Invalid URL: an explicit scheme (such as https) must be provided.", "url", "url_invalid")
    if "enabled_events" in fields and not fields["enabled_events"]:
        raise Invalid("At least one event is needed.", "enabled_events", "parameter_invalid_empty")
    return fields


def signed_with(secret: str) -> Sign:
    """Stripe's proof of origin: the time, and an HMAC over the time and the body."""

    def sign(_: str, body: bytes) -> dict[str, str]:
        at = str(int(time.time()))
        proof = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={at},v1={proof}"}

    return sign
