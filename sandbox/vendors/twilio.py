"""Twilio: messages both ways with their life cycle and callbacks, lookups; calls are in `twilio_calls`.

Form bodies, Basic auth, RFC 2822 dates, its error codes. Control beyond the common:

    POST /_sandbox/inbound    {"from": ..., "body": ..., "media"?: [urls]}   somebody texts the number
    POST /_sandbox/unreachable {"number": ...}                       its messages are not delivered from now on
    POST /_sandbox/account    {"type": "Trial" | "Full"}             texts of a trial account get a line before them
    POST /_sandbox/webhooks   {"url": ..., "events"?: [...]}   events: inbound, message_status, call_status, voice
"""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sandbox.vendors.common import Emulator, Window
from sandbox.vendors.twilio_calls import Calls
from sandbox.vendors.twilio_common import (
    ACCOUNT,
    AUTH_TOKEN,
    BASE,
    E164,
    NUMBER,
    ROOT,
    VERSION,
    Callbacks,
    Refused,
    error,
    missing,
    page,
    within,
)

__all__ = ["ACCOUNT", "AUTH_TOKEN", "NUMBER", "UNREACHABLE", "Twilio"]
UNREACHABLE = "+15005550009"
"""Messages to this number end undelivered with error 30003."""
SENT, DELIVERED = 0.2, 1.0
TRIAL = "Sent from your Twilio trial account - "
STOP = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"}
START = {"START", "YES", "UNSTOP"}
LINE = {
    "type": "mobile",
    "carrier_name": "Sandbox Mobile",
    "mobile_country_code": "310",
    "mobile_network_code": "456",
    "error_code": None,
}
EXTRAS = (
    "caller_name",
    "sim_swap",
    "call_forwarding",
    "line_status",
    "identity_match",
    "reassigned_number",
    "sms_pumping_risk",
    "phone_number_quality_score",
    "pre_fill",
)


class Twilio(Emulator):
    """One Twilio account with one number."""

    vendor = "twilio"
    lasting = ("effects", "messages", "opted_out", "voice.calls", "voice.settings")

    def __init__(self) -> None:
        super().__init__()
        self.callbacks = Callbacks(self.clock)
        self.callbacks.webhooks.add_routes(self.app)
        self.voice = Calls(self.app, self.callbacks, self.effect, self._guarded, self.clock)
        self.reset()
        for method, path, handler in (
            ("POST", ROOT + "/Messages.json", self.create),
            ("GET", ROOT + "/Messages.json", self.list),
            ("GET", ROOT + "/Messages/{sid}.json", self.read),
            ("POST", ROOT + "/Messages/{sid}.json", self.update),
            ("DELETE", ROOT + "/Messages/{sid}.json", self.delete),
            ("GET", ROOT + ".json", self.account),
            ("GET", "/v2/PhoneNumbers/{number}", self.lookup),
            ("POST", "/_sandbox/inbound", self._receive),
            ("POST", "/_sandbox/account", self._become),
            ("POST", "/_sandbox/unreachable", self._lose),
        ):
            self.app.router.add_route(method, path, self._guarded(handler))

    def reset(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.opted_out: set[str] = set()
        self.unreachable = {UNREACHABLE}
        self.trial = False
        self._window = Window(limit=200, seconds=1)
        self.voice.reset()
        self.callbacks.reset()

    def state(self) -> Any:
        return {
            "messages": [_shown(m) for m in self.messages.values()],
            "calls": self.voice.state(),
            "opted_out": sorted(self.opted_out),
        }

    def unauthorized(self, request: web.Request) -> web.Response | None:
        wanted = "Basic " + base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        return None if request.headers.get("Authorization") == wanted else error(401, "Authenticate", 20003)

    def limited(self, request: web.Request) -> web.Response | None:
        return None if self._window.allows() else error(429, "Too Many Requests", 20429)

    def error(self, status: int, message: str) -> web.Response:
        return error(status, message)

    def _guarded(self, handler: Any) -> Any:
        async def run(request: web.Request) -> web.StreamResponse:
            try:
                if request.match_info.get("account", ACCOUNT) != ACCOUNT:
                    raise missing(request)
                answer: web.StreamResponse = await handler(request)
            except Refused as refusal:
                return error(refusal.status, refusal.message, refusal.code)
            return answer

        return run

    # -- messages ----------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        form = await request.post()
        to, sender, body = (str(form.get(name, "")) for name in ("To", "From", "Body"))
        service = str(form.get("MessagingServiceSid", ""))
        if not E164.match(to):
            raise Refused(400, f"The 'To' number {to} is not a valid phone number.", 21211)
        if not sender and not service:
            raise Refused(400, "A 'From' phone number is required.", 21603)
        if sender and sender != NUMBER:
            raise Refused(400, f"The 'From' number {sender} is not a valid phone number.", 21212)
        media = [str(url) for url in form.getall("MediaUrl", [])]
        if not body and not media:
            raise Refused(400, "Message body is required.", 21602)
        if len(body) > 1600:
            raise Refused(400, "The concatenated message body exceeds the 1600 character limit.", 21617)
        if to in self.opted_out:
            raise Refused(400, "Attempt to send to unsubscribed recipient", 21610)
        scheduled = form.get("ScheduleType") == "fixed"
        if scheduled and not (service and form.get("SendAt")):
            raise Refused(400, "SendAt and MessagingServiceSid are required to schedule a message.", 35111)
        kept = TRIAL + body if self.trial else body
        made = self._insert(
            to=to, sender=sender or None, body=kept, media=media, _service=service or None, _scheduled=scheduled
        )
        self.effect("send", sid=made["sid"], to=to, body=body)
        if not scheduled:
            told = partial(self._tell, made, str(form.get("StatusCallback", "")))
            self.callbacks.later(((SENT + 0.02, told), (DELIVERED + 0.02, told)))
        return web.json_response(_shown(made), status=201)

    async def list(self, request: web.Request) -> web.Response:
        query = request.query
        rows = [
            _shown(m)
            for m in reversed(self.messages.values())
            if query.get("To") in (None, m["to"])
            and query.get("From") in (None, m["sender"])
            and within(query, "DateSent", m["date_created"])
        ]
        return page(request, "messages", rows)

    async def read(self, request: web.Request) -> web.Response:
        return web.json_response(_shown(self._message(request)))

    async def update(self, request: web.Request) -> web.Response:
        found, form = self._message(request), await request.post()
        if form.get("Status") == "canceled":
            if _status(found) != "scheduled":
                raise Refused(400, "Cannot cancel message: it is not scheduled.", 30409)
            found["_fixed"] = "canceled"
            self.effect("cancel", sid=found["sid"])
        if "Body" in form:
            if form["Body"]:
                raise Refused(400, "Body can only be emptied.", 20001)
            found["body"] = ""
            self.effect("redact", sid=found["sid"])
        return web.json_response(_shown(found))

    async def delete(self, request: web.Request) -> web.Response:
        del self.messages[self._message(request)["sid"]]
        self.effect("delete", sid=request.match_info["sid"])
        return web.Response(status=204)

    def _insert(self, **what: Any) -> dict[str, Any]:
        sid = ("MM" if what["media"] else "SM") + uuid.uuid4().hex
        now = {"_at": self.clock.now(), "_clock": self.clock, "date_created": datetime.now(UTC), "_fixed": None}
        self.messages[sid] = {"sid": sid, "_lost": what["to"] in self.unreachable} | now | what
        return self.messages[sid]

    def _message(self, request: web.Request) -> dict[str, Any]:
        found = self.messages.get(request.match_info["sid"])
        if found is None:
            raise missing(request)
        return found

    def _tell(self, message: dict[str, Any], url: str) -> None:
        status = _status(message)
        form = {
            "MessageSid": message["sid"],
            "SmsSid": message["sid"],
            "MessageStatus": status,
            "SmsStatus": status,
            "To": message["to"],
            "From": message["sender"] or NUMBER,
            "AccountSid": ACCOUNT,
            "ApiVersion": VERSION,
        }
        more = {"ErrorCode": "30003"} if status == "undelivered" else {}
        self.callbacks.send("message_status", form | more, url)

    # -- from outside ------------------------------------------------------------------------------------------------

    async def _receive(self, request: web.Request) -> web.Response:
        given = await request.json()
        sender, body, media = given["from"], given.get("body", ""), given.get("media", [])
        made = self._insert(to=NUMBER, sender=sender, body=body, media=media, _service=None, _scheduled=False)
        made["_fixed"] = "received"
        self.effect("receive", sid=made["sid"], sender=sender, body=body)
        word = body.strip().upper()
        if word in STOP:
            self.opted_out.add(sender)
        if word in START:
            self.opted_out.discard(sender)
        form = {
            "MessageSid": made["sid"],
            "SmsSid": made["sid"],
            "SmsMessageSid": made["sid"],
            "AccountSid": ACCOUNT,
            "From": sender,
            "To": NUMBER,
            "Body": body,
            "NumMedia": str(len(media)),
            "NumSegments": "1",
            "SmsStatus": "received",
            "ApiVersion": VERSION,
            "FromCity": "",
            "FromState": "",
            "FromZip": "",
            "FromCountry": "US",
            "ToCity": "",
            "ToState": "",
            "ToZip": "",
            "ToCountry": "US",
        }
        for number, url in enumerate(media):
            form |= {f"MediaUrl{number}": url, f"MediaContentType{number}": "image/jpeg"}
        self.callbacks.send("inbound", form, self.voice.settings["SmsUrl"])
        return web.json_response({"sid": made["sid"]})

    async def _lose(self, request: web.Request) -> web.Response:
        self.unreachable.add(str((await request.json())["number"]))
        return web.json_response({"unreachable": sorted(self.unreachable)})

    async def _become(self, request: web.Request) -> web.Response:
        self.trial = (await request.json())["type"] == "Trial"
        return web.json_response({"type": "Trial" if self.trial else "Full"})

    # -- the rest ----------------------------------------------------------------------------------------------------

    async def account(self, request: web.Request) -> web.Response:
        return web.json_response({"sid": ACCOUNT, "status": "active", "type": "Trial" if self.trial else "Full"})

    async def lookup(self, request: web.Request) -> web.Response:
        number, country = request.match_info["number"], request.query.get("CountryCode")
        digits = "".join(c for c in number if c.isdigit())
        if not number.startswith("+") and country == "US" and len(digits) == 10:
            number = f"+1{digits}"
        valid = bool(E164.match(number))
        american = valid and number.startswith("+1") and len(number) == 12
        problems = [] if valid else ["TOO_SHORT" if digits and len(digits) < 7 else "NOT_A_NUMBER"]
        fields = request.query.get("Fields", "").split(",")
        national = f"({number[2:5]}) {number[5:8]}-{number[8:]}" if american else number
        body = dict.fromkeys(EXTRAS) | {
            "calling_country_code": "1" if american else None,
            "country_code": "US" if american else None,
            "phone_number": number,
            "national_format": national,
            "valid": valid,
            "validation_errors": problems,
            "line_type_intelligence": LINE if valid and "line_type_intelligence" in fields else None,
            "url": f"https://lookups.twilio.com/v2/PhoneNumbers/{quote(number)}",
        }
        return web.json_response(body)


def _status(message: dict[str, Any]) -> str:
    if message["_fixed"] or message["_scheduled"]:
        return str(message["_fixed"] or "scheduled")
    age = message["_clock"].now() - message["_at"]
    if age < DELIVERED:
        return "queued" if age < SENT else "sent"
    return "undelivered" if message.get("_lost") else "delivered"


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    status, created = _status(message), format_datetime(message["date_created"])
    sent = created if status not in ("queued", "scheduled", "canceled") else None
    uri = f"{BASE}/Messages/{message['sid']}.json"
    return {
        "sid": message["sid"],
        "account_sid": ACCOUNT,
        "api_version": VERSION,
        "body": message["body"],
        "date_created": created,
        "date_sent": sent,
        "date_updated": created,
        "direction": "inbound" if status == "received" else "outbound-api",
        "error_code": 30003 if status == "undelivered" else None,
        "error_message": None,
        "from": message["sender"],
        "messaging_service_sid": message["_service"],
        "num_media": str(len(message["media"])),
        "num_segments": str(1 + len(message["body"]) // 160),
        "price": None,
        "price_unit": "USD",
        "status": status,
        "subresource_uris": {"media": uri.replace(".json", "/Media.json")},
        "to": message["to"],
        "uri": uri,
    }
