"""What Twilio's products share: the account, errors, pages, and callbacks signed with the account's token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

from aiohttp import web

from sandbox.vendors.clock import Clock, Timer
from sandbox.vendors.webhooks import Receiver, Sign, Webhooks

ACCOUNT = "AC" + "5a" * 16
AUTH_TOKEN = "sandbox-auth-token"
NUMBER = "+15005550006"
VERSION = "2010-04-01"
BASE = f"/{VERSION}/Accounts/{ACCOUNT}"
ROOT = f"/{VERSION}/Accounts/{{account}}"
E164 = re.compile(r"^\+[1-9]\d{6,14}$")


class Refused(Exception):
    """A request Twilio would answer with an error."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def missing(request: web.Request) -> Refused:
    return Refused(404, f"The requested resource {request.path} was not found")


def error(status: int, message: str, code: int | None = None) -> web.Response:
    number = code or {404: 20404, 429: 20429}.get(status, 20500)
    body = {
        "code": number,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{number}",
        "status": status,
    }
    return web.json_response(body, status=status)


def page(request: web.Request, name: str, rows: list[dict[str, Any]]) -> web.Response:
    """One page of a list; the next one's address is relative, as Twilio's is."""
    query = request.query
    size, number = min(int(query.get("PageSize", 50)), 1000), int(query.get("Page", 0))
    part = rows[number * size : (number + 1) * size]
    kept = {key: value for key, value in query.items() if key not in ("Page", "PageToken")}
    token = {"PageSize": size, "Page": number + 1, "PageToken": f"PA{part[-1]['sid']}"} if part else {}
    more = len(rows) > (number + 1) * size
    body = {
        "first_page_uri": request.path,
        "previous_page_uri": None,
        "uri": request.path,
        "page": number,
        "next_page_uri": f"{request.path}?{urlencode(kept | token)}" if more else None,
        "page_size": size,
        "start": number * size,
        "end": number * size + max(len(part) - 1, 0),
        name: part,
    }
    return web.json_response(body)


def within(query: Mapping[str, str], name: str, moment: datetime) -> bool:
    """Does a moment pass the filters `Name`, `Name>` and `Name<`? Dates compare by day, times exactly."""
    for suffix, passes in (("", (0,)), (">", (0, 1)), ("<", (0, -1))):
        if not (wanted := query.get(name + suffix)):
            continue
        asked = datetime.fromisoformat(wanted)
        asked = asked if asked.tzinfo else asked.replace(tzinfo=UTC)
        by_day = not suffix or "T" not in wanted
        difference = (moment.date() - asked.date()).days if by_day else (moment - asked).total_seconds()
        if (difference > 0) - (difference < 0) not in passes:
            return False
    return True


def signature(url: str, body: bytes) -> str:
    """Base64 of HMAC-SHA1 over the URL without its fragment and every parameter in order, each name with its values."""
    text = url.split("#")[0]
    for name, values in sorted(parse_qs(body.decode(), keep_blank_values=True).items()):
        text += "".join(name + value for value in sorted(set(values)))
    return base64.b64encode(hmac.new(AUTH_TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


def signed(token: str) -> Sign:
    """Headers of one webhook; every attempt at it carries the same idempotency token."""
    return lambda url, body: {"X-Twilio-Signature": signature(url, body), "I-Twilio-Idempotency-Token": token}


class Callbacks:
    """Webhooks of the account: to the address an API call named and to registered receivers, now or later."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.webhooks = Webhooks(signed("unused"), content_type="application/x-www-form-urlencoded")
        self._timers: list[Timer] = []

    def send(self, event: str, form: Mapping[str, str], url: str = "") -> None:
        """One form, each receiver with a token of its own. Receivers of the same address get it once."""
        urls = {url: None} if url else {}
        for receiver in self.webhooks.receivers.values():
            if not receiver.events or event in receiver.events:
                urls[receiver.url] = None
        for to in urls:
            sign = signed(str(uuid.uuid4()))
            self.webhooks.send_to(Receiver(to, frozenset(), sign), event, urlencode(form).encode())

    def later(self, steps: Iterable[tuple[float, Callable[[], None]]]) -> None:
        """Do something after so many seconds, unless everything is forgotten before."""
        self._timers = [timer for timer in self._timers if not timer.over]
        self._timers += [self._clock.later(seconds, step) for seconds, step in steps]

    def reset(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.webhooks.reset()
