"""Twilio's voice: calls that ring, talk and end by themselves, their recordings, and the account's numbers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

from aiohttp import web

from sandbox.vendors import twilio_common as twilio
from sandbox.vendors.clock import Clock
from sandbox.vendors.twilio_common import E164, NUMBER, Callbacks, Refused, missing, page, within

OUTCOMES = {"+15005550011": "busy", "+15005550012": "no-answer", "+15005550013": "failed"}
"""Numbers that never answer, and how a call to them ends."""
RINGS, ANSWERS, ENDS = 0.1, 0.3, 1.3
OVER = {"completed", "busy", "failed", "no-answer", "canceled"}
EVENTS = {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"}
NUMBER_SID = "PN" + "5b" * 16
Effect = Callable[..., None]


class Calls:
    """Outgoing calls of the account. A call's state is a function of its age until somebody ends it."""

    def __init__(self, app: web.Application, callbacks: Callbacks, effect: Effect, guarded: Any, clock: Clock) -> None:
        self._callbacks, self._effect, self._clock = callbacks, effect, clock
        self.reset()
        for method, path, handler in (
            ("POST", "/Calls.json", self.create),
            ("GET", "/Calls.json", self.list),
            ("GET", "/Calls/{sid}.json", self.read),
            ("POST", "/Calls/{sid}.json", self.update),
            ("GET", "/Calls/{sid}/Recordings.json", self.recordings),
            ("GET", "/Recordings.json", self.recordings),
            ("GET", "/IncomingPhoneNumbers.json", self.numbers),
            ("GET", "/IncomingPhoneNumbers/{sid}.json", self.number),
            ("POST", "/IncomingPhoneNumbers/{sid}.json", self.change_number),
        ):
            app.router.add_route(method, twilio.ROOT + path, guarded(handler))

    def reset(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, str] = {"FriendlyName": "Sandbox number", "SmsUrl": "", "VoiceUrl": ""}

    def state(self) -> list[dict[str, Any]]:
        return [_shown(call) for call in self.calls.values()]

    async def create(self, request: web.Request) -> web.Response:
        form = await request.post()
        to, sender, url, twiml = (str(form.get(name, "")) for name in ("To", "From", "Url", "Twiml"))
        if not to:
            raise Refused(400, "No 'To' number is specified", 21201)
        if not E164.match(to):
            raise Refused(400, f"The phone number you are attempting to call, {to}, is not valid.", 21211)
        if sender != NUMBER:
            raise Refused(400, f"The source phone number provided, {sender}, is not yet verified.", 21210)
        if not url and not twiml and not form.get("ApplicationSid"):
            raise Refused(400, "Url parameter is required.", 21205)
        events = {str(event) for event in form.getall("StatusCallbackEvent", ["completed"])}
        sid = "CA" + uuid.uuid4().hex
        call = {
            "sid": sid,
            "to": to,
            "from": sender,
            "_at": self._clock.now(),
            "_clock": self._clock,
            "date_created": datetime.now(UTC),
            "_url": url,
            "_twiml": twiml,
            "_events": events,
            "_callback": str(form.get("StatusCallback", "")),
            "_record": str(form.get("Record", "")).lower() == "true",
            "_end": None,
            "_sequence": 0,
        }
        self.calls[sid] = call
        self._effect("call", sid=sid, to=to, url=url, twiml=twiml)
        self._tell(call, "initiated")
        self._callbacks.later(
            (seconds, partial(self._step, call)) for seconds in (RINGS + 0.02, ANSWERS + 0.02, ENDS + 0.02)
        )
        return web.json_response(_shown(call), status=201)

    async def list(self, request: web.Request) -> web.Response:
        query = request.query
        rows = [
            _shown(call)
            for call in reversed(self.calls.values())
            if query.get("To") in (None, call["to"])
            and query.get("From") in (None, call["from"])
            and query.get("Status") in (None, _status(call))
            and within(query, "StartTime", call["date_created"])
            and "ParentCallSid" not in query
        ]
        return page(request, "calls", rows)

    async def read(self, request: web.Request) -> web.Response:
        return web.json_response(_shown(self._call(request)))

    async def update(self, request: web.Request) -> web.Response:
        call, form = self._call(request), await request.post()
        now, wanted = _status(call), str(form.get("Status", ""))
        if now in OVER:
            raise Refused(400, "Call is not in-progress. Cannot redirect.", 21220)
        match wanted:
            case "completed":
                call["_end"] = ("completed" if now == "in-progress" else "canceled", self._clock.now())
            case "canceled" if now in ("queued", "ringing"):
                call["_end"] = ("canceled", self._clock.now())
            case "canceled" | "":
                if wanted or not (form.get("Url") or form.get("Twiml")):
                    raise Refused(400, "Invalid call state for this update.", 21220)
                call |= {"_url": str(form.get("Url", "")), "_twiml": str(form.get("Twiml", ""))}
                self._effect("redirect_call", sid=call["sid"], url=call["_url"], twiml=call["_twiml"])
                if call["_url"] and now == "in-progress":
                    self._ask(call)
            case _:
                raise Refused(400, f"Status {wanted} is invalid", 20001)
        if call["_end"]:
            self._effect("end_call", sid=call["sid"], status=call["_end"][0])
            self._step(call)
        return web.json_response(_shown(call))

    async def recordings(self, request: web.Request) -> web.Response:
        wanted = request.match_info.get("sid") or request.query.get("CallSid")
        if request.match_info.get("sid"):
            self._call(request)
        rows = [
            _recording(c)
            for c in reversed(self.calls.values())
            if wanted in (None, c["sid"]) and c["_record"] and _status(c) == "completed"
        ]
        return page(request, "recordings", rows)

    async def numbers(self, request: web.Request) -> web.Response:
        same = request.query.get("PhoneNumber", NUMBER) in NUMBER
        named = request.query.get("FriendlyName") in (None, self.settings["FriendlyName"])
        return page(request, "incoming_phone_numbers", [self._number()] if same and named else [])

    async def number(self, request: web.Request) -> web.Response:
        if request.match_info["sid"] != NUMBER_SID:
            raise missing(request)
        return web.json_response(self._number())

    async def change_number(self, request: web.Request) -> web.Response:
        if request.match_info["sid"] != NUMBER_SID:
            raise missing(request)
        form = await request.post()
        self.settings |= {name: str(form[name]) for name in self.settings if name in form}
        self._effect("change_number", sid=NUMBER_SID, **self.settings)
        return web.json_response(self._number())

    # -- what the caller's servers hear ------------------------------------------------------------------------------

    def _step(self, call: dict[str, Any]) -> None:
        """Tell what became of the call, unless that was told before."""
        status = _status(call)
        if status == call.get("_told"):
            return
        self._tell(call, status)
        if status == "in-progress" and call["_url"]:
            self._ask(call)

    def _tell(self, call: dict[str, Any], status: str) -> None:
        call["_told"] = status
        event = EVENTS.get(status, "completed")
        if event not in call["_events"]:
            return
        ended = {"CallDuration": str(_seconds(call)), "Duration": "1"} if status == "completed" else {}
        form = (
            _form(call, status)
            | ended
            | {
                "Timestamp": format_datetime(datetime.now(UTC)),
                "CallbackSource": "call-progress-events",
                "SequenceNumber": str(call["_sequence"]),
            }
        )
        call["_sequence"] += 1
        self._callbacks.send("call_status", form, call["_callback"])

    def _ask(self, call: dict[str, Any]) -> None:
        """An answered call asks its URL what to say."""
        self._callbacks.send("voice", _form(call, "in-progress"), call["_url"])

    def _call(self, request: web.Request) -> dict[str, Any]:
        found = self.calls.get(request.match_info["sid"])
        if found is None:
            raise missing(request)
        return found

    def _number(self) -> dict[str, Any]:
        abilities = {"voice": True, "sms": True, "mms": True, "fax": False}
        return {
            "sid": NUMBER_SID,
            "account_sid": twilio.ACCOUNT,
            "phone_number": NUMBER,
            "capabilities": abilities,
            "friendly_name": self.settings["FriendlyName"],
            "sms_url": self.settings["SmsUrl"],
            "sms_method": "POST",
            "voice_url": self.settings["VoiceUrl"],
            "voice_method": "POST",
            "api_version": twilio.VERSION,
            "status": "in-use",
            "beta": False,
            "origin": "twilio",
            "uri": f"{twilio.BASE}/IncomingPhoneNumbers/{NUMBER_SID}.json",
        }


def _status(call: dict[str, Any]) -> str:
    if call["_end"]:
        return str(call["_end"][0])
    age = call["_clock"].now() - call["_at"]
    if age < ANSWERS:
        return "queued" if age < RINGS else "ringing"
    if call["to"] in OUTCOMES:
        return OUTCOMES[call["to"]]
    return "in-progress" if age < ENDS else "completed"


def _seconds(call: dict[str, Any]) -> int:
    """How long people talked: whole seconds, at least one."""
    end = call["_end"][1] if call["_end"] else call["_at"] + ENDS
    return max(1, round(float(end - call["_at"]) - ANSWERS))


def _form(call: dict[str, Any], status: str) -> dict[str, str]:
    return {
        "CallSid": call["sid"],
        "AccountSid": twilio.ACCOUNT,
        "From": call["from"],
        "To": call["to"],
        "Called": call["to"],
        "Caller": call["from"],
        "CallStatus": status,
        "Direction": "outbound-api",
        "ApiVersion": twilio.VERSION,
    }


def _shown(call: dict[str, Any]) -> dict[str, Any]:
    status, created = _status(call), call["date_created"]
    talked, over = status in ("in-progress", "completed"), status in OVER
    length = _seconds(call) if status == "completed" else 0
    uri = f"{twilio.BASE}/Calls/{call['sid']}"
    return {
        "sid": call["sid"],
        "account_sid": twilio.ACCOUNT,
        "api_version": twilio.VERSION,
        "to": call["to"],
        "from": call["from"],
        "to_formatted": call["to"],
        "from_formatted": call["from"],
        "phone_number_sid": NUMBER_SID,
        "parent_call_sid": None,
        "status": status,
        "direction": "outbound-api",
        "answered_by": None,
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": "0",
        "trunk_sid": None,
        "date_created": format_datetime(created),
        "date_updated": format_datetime(created),
        "start_time": format_datetime(created) if talked else None,
        "end_time": format_datetime(created + timedelta(seconds=length)) if over else None,
        "duration": str(length) if over else None,
        "price": None,
        "price_unit": "USD",
        "annotation": None,
        "subresource_uris": {"recordings": f"{uri}/Recordings.json"},
        "uri": f"{uri}.json",
    }


def _recording(call: dict[str, Any]) -> dict[str, Any]:
    sid = "RE" + call["sid"][2:]
    made = format_datetime(call["date_created"])
    return {
        "sid": sid,
        "account_sid": twilio.ACCOUNT,
        "api_version": twilio.VERSION,
        "call_sid": call["sid"],
        "status": "completed",
        "conference_sid": None,
        "date_created": made,
        "date_updated": made,
        "start_time": made,
        "channels": 1,
        "duration": str(_seconds(call)),
        "source": "OutboundAPI",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "uri": f"{twilio.BASE}/Recordings/{sid}.json",
    }
