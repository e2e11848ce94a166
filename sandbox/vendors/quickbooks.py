"""QuickBooks Online: one company behind OAuth2, its entities, queries, reports and webhooks. Faults as Intuit words them.

Besides the controls all emulators have: those of `oauth` and `webhooks`. A fault of kind "failed_200" is a Fault that arrives
with status 200 while nothing was done.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from sandbox.vendors.common import Emulator, Handler, Window
from sandbox.vendors.oauth import IntuitOAuth
from sandbox.vendors.quickbooks_books import ENTITIES, Books
from sandbox.vendors.quickbooks_query import Parser
from sandbox.vendors.quickbooks_reports import report
from sandbox.vendors.quickbooks_rules import MESSAGES, Refused, Row, moment
from sandbox.vendors.webhooks import Webhooks

CLIENT_ID = "ABsandboxQuickBooksClient"
CLIENT_SECRET = "sandbox-quickbooks-secret"
REALM_ID = "4620816365000000001"
REFRESH_TOKEN = "AB11sandboxFirstRefreshToken"
WEBHOOK_VERIFIER = "sandbox-quickbooks-verifier"
ROOT = "/v3/company/{realm}"
AT_ONCE = 10
"""Requests an app may have running for one company."""
Act = Callable[[web.Request, str], Row]


class QuickBooks(Emulator):
    """One company and one app connected to it."""

    vendor = "quickbooks"
    lasting = (
        *("effects", "answers", "books.rows", "books._next", "books._number", "books.accounts"),
        *("oauth.codes", "oauth.refresh", "oauth.consents", "oauth.grants"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.oauth = IntuitOAuth(CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN)
        self.webhooks = Webhooks(signature)
        self.reset()
        self.oauth.add_routes(self.app)
        self.webhooks.add_routes(self.app)
        self.app.add_routes(
            [
                web.get(ROOT + "/query", self._serves(self.query)),
                web.post(ROOT + "/query", self._serves(self.query)),
                web.get(ROOT + "/reports/{name}", self._serves(self.report)),
                web.get(ROOT + "/companyinfo/{id}", self._serves(self.company)),
                web.post(ROOT + "/invoice/{id}/send", self._serves(self.send, writes=True)),
                web.get(ROOT + "/{entity}/{id}", self._serves(self.read)),
                web.post(ROOT + "/{entity}", self._serves(self.write, writes=True)),
            ]
        )
        self.app.on_response_prepare.append(_stamp)

    def reset(self) -> None:
        self.books = Books()
        self.answers: dict[str, tuple[int, Row]] = {}
        self.oauth.reset()
        self.webhooks.reset()
        self._window = Window(limit=500, seconds=60)

    def state(self) -> Any:
        rows = {
            entity: [self.books.shown(entity, row) for row in self.books.rows[entity].values()] for entity in ENTITIES
        }
        return _plain(rows)

    def unauthorized(self, request: web.Request) -> web.Response | None:
        if self.oauth.owns(request):
            return None
        access = self.oauth.bearer(request)
        if access is None:
            return _gate(401, "AuthenticationFailed", "3200", "AUTHENTICATION", "Token revoked or unknown")
        if access.left <= 0:
            return _gate(401, "AuthenticationFailed", "3200", "AUTHENTICATION", "Token expired")
        if request.match_info.get("realm", REALM_ID) != REALM_ID:
            return _gate(403, "ApplicationAuthorizationFailed", "3100", "AUTHENTICATION", "no access to this company")
        return None

    def limited(self, request: web.Request) -> web.Response | None:
        if self.oauth.owns(request) or (self.running < AT_ONCE and self._window.allows()):
            return None
        return self.error(429, "The request limit was reached. Try again later")

    def error(self, status: int, message: str) -> web.Response:
        if status == 401:
            return _gate(401, "AuthenticationFailed", "3200", "AUTHENTICATION", message)
        if status == 429:
            body = fault("3001", message, "SERVICE", "message=ThrottleExceeded; errorCode=003001; statusCode=429")
        elif status < 500:
            body = fault("610" if status == 404 else "2010", message, "ValidationFault")
        else:
            text = "An application error has occurred while processing your request"
            body = fault("10000", f"System Failure Error: {message}", "SystemFault", text)
        return web.json_response(body, status=status)

    def failed_answer(self, request: web.Request) -> web.Response:
        return web.json_response(fault("6000", "Business Validation Error: injected fault", "ValidationFault"))

    # -- operations --------------------------------------------------------------------------------------------------

    def write(self, request: web.Request, text: str) -> Row:
        """Create, update, void and delete share one path."""
        entity, given, asked = _entity(request), json.loads(text), request.query.get("operation")
        if not isinstance(given, dict):
            raise Refused("2010", "Property Name:Can not deserialize instance of the object out of the given token")
        again = "allowduplicatedocnum" in request.query.get("include", "")
        if asked == "delete":
            done = self.books.delete(entity, given)
            self._changed("deleted", entity, done["Id"])
            return {entity: done}
        if asked == "void" or "void" in request.query.get("include", ""):
            operation, row = "voided", self.books.void(entity, given)
        elif given.get("Id") not in (None, ""):
            operation, row = "updated", self.books.update(entity, given, again=again)
        else:
            operation, row = "created", self.books.create(entity, given, again=again)
        self._changed(operation, entity, row["Id"])
        return {entity: self.books.shown(entity, row)}

    def read(self, request: web.Request, text: str) -> Row:
        entity = _entity(request)
        return {entity: self.books.shown(entity, self.books.find(entity, request.match_info["id"]))}

    def send(self, request: web.Request, text: str) -> Row:
        row = self.books.send(request.match_info["id"], request.query.get("sendTo"))
        self._changed("emailed", "Invoice", row["Id"], to=row["BillEmail"]["Address"])
        return {"Invoice": self.books.shown("Invoice", row)}

    def query(self, request: web.Request, text: str) -> Row:
        statement = request.query.get("query", "") if request.method == "GET" else text
        query = Parser(statement).read()
        rows = [_company()] if query.entity == "CompanyInfo" else self.books.rows[query.entity].values()
        shown = [row if query.entity == "CompanyInfo" else self.books.shown(query.entity, row) for row in rows]
        found = query.matching(shown)
        if query.counts:
            return {"QueryResponse": {"totalCount": len(found)}}
        page = query.page(found)
        if not page:
            return {"QueryResponse": {}}
        return {"QueryResponse": {query.entity: page, "startPosition": query.start, "maxResults": len(page)}}

    def report(self, request: web.Request, text: str) -> Row:
        return report(request.match_info["name"], self.books, request.query)

    def company(self, request: web.Request, text: str) -> Row:
        if request.match_info["id"] not in (REALM_ID, "1"):
            raise Refused("610", "Object Not Found : there is no such company")
        return {"CompanyInfo": _company()}

    # -- machinery ---------------------------------------------------------------------------------------------------

    def _serves(self, act: Act, *, writes: bool = False) -> Handler:
        """A write with a `requestid` seen before gets the first answer again and does nothing."""

        async def serve(request: web.Request) -> web.StreamResponse:
            text = await request.text()
            key = request.query.get("requestid") if writes else None
            if key in self.answers:
                return _answer(request, *self.answers[key])
            try:
                if key is not None and not 0 < len(key) <= 50:
                    raise Refused("2050", "requestid must have from 1 to 50 characters", "requestid")
                if not request.query.get("minorversion", "75").isdigit():
                    raise Refused("2010", "minorversion must be a number", "minorversion")
                status, body = 200, act(request, text)
            except Refused as refused:
                status, body = 400, fault(refused.code, refused.detail, "ValidationFault", element=refused.element)
            body = _plain(body)
            if "Header" not in body:
                body["time"] = moment()
            if key is not None:
                self.answers[key] = (status, body)
            return _answer(request, status, body)

        return serve

    def _changed(self, operation: str, entity: str, key: str, **more: str) -> None:
        self.effect(operation, entity=entity, id=key, **more)
        name = f"qbo.{entity.lower()}.{operation}.v1"
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "intuit.sandbox",
            "type": name,
            "datacontenttype": "application/json",
            "time": moment(),
            "intuitentityid": key,
            "intuitaccountid": REALM_ID,
            "data": {},
        }
        self.webhooks.send(name, json.dumps([event]).encode())


def signature(url: str, body: bytes) -> dict[str, str]:
    """Intuit's proof of a webhook: base64(HMAC-SHA256(verifier token, body)), with no time in it."""
    digest = hmac.new(WEBHOOK_VERIFIER.encode(), body, hashlib.sha256).digest()
    return {"intuit-signature": base64.b64encode(digest).decode()}


def fault(code: str, detail: str, kind: str, message: str | None = None, element: str = "") -> Row:
    error = {"Message": message or MESSAGES[code], "Detail": detail, "code": code, "element": element}
    return {"Fault": {"Error": [error], "type": kind}, "time": moment()}


def _gate(status: int, name: str, code: str, kind: str, detail: str) -> web.Response:
    """What the gateway before QuickBooks says about tokens; its shape differs from a Fault."""
    message = f"message={name}; errorCode=00{code}; statusCode={status}"
    error = {"message": message, "detail": detail, "code": code, "element": None}
    body: Row = {
        "warnings": None,
        "intuitObject": None,
        "fault": {"error": [error], "type": kind},
        "report": None,
        "queryResponse": None,
        "batchItemResponse": [],
        "attachableResponse": [],
        "syncErrorResponse": None,
        "requestId": None,
        "time": moment(),
        "status": None,
        "cdcresponse": [],
    }
    return web.json_response(body, status=status)


def _answer(request: web.Request, status: int, body: Row) -> web.Response:
    """JSON for those who ask for it, XML for all others."""
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response(body, status=status)
    text = f'<IntuitResponse xmlns="http://schema.intuit.com/finance/v3">{_xml(body)}</IntuitResponse>'
    return web.Response(text=text, status=status, content_type="application/xml")


def _xml(value: Any) -> str:
    if not isinstance(value, dict):
        return escape(str(value))
    return "".join(
        f"<{name}>{_xml(part)}</{name}>"
        for name, inner in value.items()
        for part in (inner if isinstance(inner, list) else [inner])
    )


def _entity(request: web.Request) -> str:
    given = request.match_info["entity"]
    entity = next((name for name in ENTITIES if name.lower() == given.lower()), None)
    if entity is None:
        raise Refused("500", f"Operation {given} is not supported.")
    return entity


def _company() -> Row:
    address = {
        "Id": "1",
        "Line1": "1 Sandbox Street",
        "City": "Mountain View",
        "CountrySubDivisionCode": "CA",
        "PostalCode": "94043",
        "Country": "US",
    }
    times = {"CreateTime": "2026-01-02T03:04:05.678+00:00", "LastUpdatedTime": "2026-01-02T03:04:05.678+00:00"}
    return {
        "Id": "1",
        "SyncToken": "0",
        "domain": "QBO",
        "sparse": False,
        "CompanyName": "Sandbox Company_US_1",
        "LegalName": "Sandbox Company_US_1",
        "CompanyAddr": address,
        "LegalAddr": address,
        "Country": "US",
        "CompanyStartDate": "2026-01-01",
        "FiscalYearStartMonth": "January",
        "SupportedLanguages": "en",
        "Email": {"Address": "owner@example.com"},
        "PrimaryPhone": {"FreeFormNumber": "+14155550100"},
        "NameValue": [],
        "MetaData": times,
    }


def _plain(value: Any) -> Any:
    """A copy whose amounts are JSON numbers."""
    return json.loads(json.dumps(value, default=float))


async def _stamp(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["intuit_tid"] = f"1-{uuid.uuid4().hex[:8]}-{uuid.uuid4().hex[:24]}"
