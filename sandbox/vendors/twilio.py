"""Twilio: messages with their life cycle, lookups. Form bodies, Basic auth, RFC 2822 dates, its error codes."""

from __future__ import annotations

import base64
import re
import time
import uuid
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from sandbox.vendors.common import Emulator, Window

ACCOUNT = "AC" + "5a" * 16
AUTH_TOKEN = "sandbox-auth-token"
NUMBER = "+15005550006"
E164 = re.compile(r"^\+[1-9]\d{6,14}$")
ROOT = "/2010-04-01/Accounts/{account}"


class Twilio(Emulator):
    """One Twilio account with one number."""

    vendor = "twilio"

    def __init__(self) -> None:
        super().__init__()
        self.reset()
        self.app.add_routes(
            [
                web.post(ROOT + "/Messages.json", self.create),
                web.get(ROOT + "/Messages.json", self.list),
                web.get(ROOT + "/Messages/{sid}.json", self.read),
                web.post(ROOT + "/Messages/{sid}.json", self.update),
                web.delete(ROOT + "/Messages/{sid}.json", self.delete),
                web.get(ROOT + ".json", self.account),
                web.get("/v2/PhoneNumbers/{number}", self.lookup),
            ]
        )

    def reset(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.opted_out: set[str] = set()
        self._window = Window(limit=200, seconds=1)

    def state(self) -> Any:
        return {"messages": [self._shown(m) for m in self.messages.values()]}

    def unauthorized(self, request: web.Request) -> web.Response | None:
        wanted = "Basic " + base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != wanted:
            return self.error(401, "Authenticate", 20003)
        return None

    def limited(self, request: web.Request) -> web.Response | None:
        return None if self._window.allows() else self.error(429, "Too Many Requests", 20429)

    def error(self, status: int, message: str, code: int | None = None) -> web.Response:
        number = code or {404: 20404, 429: 20429}.get(status, 20500)
        body = {"code": number, "message": message, "more_info": f"https://www.twilio.com/docs/errors/{number}",
                "status": status}  # fmt: skip
        return web.json_response(body, status=status)

    async def create(self, request: web.Request) -> web.Response:
        if problem := self._wrong_account(request):
            return problem
        form = await request.post()
        to, sender, body = (str(form.get(name, "")) for name in ("To", "From", "Body"))
        if not E164.match(to):
            return self.error(400, f"The 'To' number {to} is not a valid phone number.", 21211)
        if not sender and not form.get("MessagingServiceSid"):
            return self.error(400, "A 'From' phone number is required.", 21603)
        if sender and sender != NUMBER:
            return self.error(400, f"The 'From' number {sender} is not a valid phone number.", 21212)
        if not body and not form.get("MediaUrl"):
            return self.error(400, "Message body is required.", 21602)
        if len(body) > 1600:
            return self.error(400, "The concatenated message body exceeds the 1600 character limit.", 21617)
        if to in self.opted_out:
            return self.error(400, "Attempt to send to unsubscribed recipient", 21610)
        made = self._insert(to, sender, body)
        return web.json_response(self._shown(made), status=201)

    async def list(self, request: web.Request) -> web.Response:
        if problem := self._wrong_account(request):
            return problem
        query = request.query
        rows = [m for m in reversed(self.messages.values()) if self._wanted(m, query)]
        size = min(int(query.get("PageSize", 50)), 1000)
        page = int(query.get("Page", 0))
        part = rows[page * size : (page + 1) * size]
        base = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        more = len(rows) > (page + 1) * size
        kept = {key: value for key, value in query.items() if key not in ("Page", "PageToken")}
        link = (
            urlencode(kept | {"PageSize": size, "Page": page + 1, "PageToken": f"PA{part[-1]['sid']}"}) if more else ""
        )
        body = {"first_page_uri": base, "next_page_uri": f"{base}?{link}" if more else None, "previous_page_uri": None,
                "uri": base, "page": page, "page_size": size, "start": page * size,
                "end": page * size + max(len(part) - 1, 0), "messages": [self._shown(m) for m in part]}  # fmt: skip
        return web.json_response(body)

    async def read(self, request: web.Request) -> web.Response:
        found = self.messages.get(request.match_info["sid"])
        return web.json_response(self._shown(found)) if found else self._missing(request)

    async def update(self, request: web.Request) -> web.Response:
        found = self.messages.get(request.match_info["sid"])
        if found is None:
            return self._missing(request)
        form = await request.post()
        if "Body" in form:
            found["body"] = str(form["Body"])
            self.effect("redact", sid=found["sid"])
        return web.json_response(self._shown(found))

    async def delete(self, request: web.Request) -> web.Response:
        if self.messages.pop(request.match_info["sid"], None) is None:
            return self._missing(request)
        self.effect("delete", sid=request.match_info["sid"])
        return web.Response(status=204)

    async def account(self, request: web.Request) -> web.Response:
        return self._wrong_account(request) or web.json_response({"sid": ACCOUNT, "status": "active", "type": "Full"})

    async def lookup(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        valid = bool(E164.match(number))
        lines = request.query.get("Fields") == "line_type_intelligence"
        body = {"calling_country_code": "1" if number.startswith("+1") else None,
                "country_code": "US" if number.startswith("+1") else None, "phone_number": number,
                "national_format": number, "valid": valid, "validation_errors": [] if valid else ["NOT_A_NUMBER"],
                "line_type_intelligence": {"type": "mobile", "error_code": None} if lines and valid else None,
                "url": f"https://lookups.twilio.com/v2/PhoneNumbers/{quote(number)}"}  # fmt: skip
        return web.json_response(body)

    def _insert(self, to: str, sender: str, body: str) -> dict[str, Any]:
        sid = "SM" + uuid.uuid4().hex
        made = {"sid": sid, "to": to, "from": sender or None, "body": body, "_at": time.monotonic(),
                "date_created": datetime.now(UTC)}  # fmt: skip
        self.messages[sid] = made
        self.effect("send", sid=sid, to=to, body=body)
        return made

    def _wanted(self, message: dict[str, Any], query: Any) -> bool:
        day = message["date_created"].date().isoformat()
        return (
            query.get("To") in (None, message["to"])
            and query.get("From") in (None, message["from"])
            and ("DateSent" not in query or query["DateSent"][:10] == day)
            and ("DateSent>" not in query or day >= query["DateSent>"][:10])
            and ("DateSent<" not in query or day <= query["DateSent<"][:10])
        )

    def _wrong_account(self, request: web.Request) -> web.Response | None:
        return None if request.match_info["account"] == ACCOUNT else self._missing(request)

    def _missing(self, request: web.Request) -> web.Response:
        return self.error(404, f"The requested resource {request.path} was not found")

    def _shown(self, message: dict[str, Any]) -> dict[str, Any]:
        age = time.monotonic() - message["_at"]
        status = "queued" if age < 0.2 else "sent" if age < 1 else "delivered"
        created = format_datetime(message["date_created"])
        uri = f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{message['sid']}.json"
        return {"sid": message["sid"], "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": message["body"],
                "date_created": created, "date_sent": created if status != "queued" else None, "date_updated": created,
                "direction": "outbound-api", "error_code": None, "error_message": None, "from": message["from"],
                "messaging_service_sid": None, "num_media": "0", "num_segments": str(1 + len(message["body"]) // 160),
                "price": None, "price_unit": "USD", "status": status,
                "subresource_uris": {"media": uri.replace(".json", "/Media.json")}, "to": message["to"],
                "uri": uri}  # fmt: skip
