"""How ElevenLabs reads requests and signs webhooks: validation, cursors, partial updates, dynamic variables."""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import hmac
import json
import re
import time
from typing import Any

from aiohttp import web

WEBHOOK_SECRET = "wsec_" + "5a" * 32
E164 = re.compile(r"^\+[1-9]\d{6,14}$")
Row = dict[str, Any]
ERRORS = {
    400: ("validation_error", "invalid_request"),
    401: ("authentication_error", "invalid_api_key"),
    404: ("not_found", "not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
AGENT_DEFAULTS: Row = {
    "agent": {
        "first_message": "",
        "language": "en",
        "prompt": {"prompt": "", "llm": "gemini-2.0-flash", "tool_ids": [], "knowledge_base": []},
    },
    "tts": {"model_id": "eleven_turbo_v2", "voice_id": "cjVigY5qzO86Huf0OWal"},
    "conversation": {"text_only": False, "max_duration_seconds": 600},
}
ACCESS = {"is_creator": True, "creator_name": "Sandbox", "creator_email": "sandbox@example.com", "role": "admin"}


def sign(url: str, body: bytes) -> dict[str, str]:
    """The header that proves a webhook: HMAC-SHA256 over time and raw body."""
    at = str(int(time.time()))
    digest = hmac.new(WEBHOOK_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"ElevenLabs-Signature": f"t={at},v0={digest}"}


def invalid(place: str, name: str, message: str, kind: str) -> web.HTTPUnprocessableEntity:
    """The answer to a request that its schema refuses."""
    body = {"detail": [{"loc": [place, name], "msg": message, "type": kind}]}
    return web.HTTPUnprocessableEntity(text=json.dumps(body), content_type="application/json")


async def body(request: web.Request, **required: type) -> Row:
    """The JSON body; 422 unless every required field is there and of its type."""
    given: Any = await request.json()
    if not isinstance(given, dict):
        raise invalid("body", "", "Input should be a valid dictionary", "model_attributes_type")
    for name, wanted in required.items():
        if name not in given:
            raise invalid("body", name, "Field required", "missing")
        if not isinstance(given[name], wanted):
            kind = "string" if wanted is str else "dictionary"
            raise invalid("body", name, f"Input should be a valid {kind}", f"{kind}_type")
    return given


def whole(request: web.Request, name: str, usual: int) -> int:
    """A whole number from the query."""
    text = request.query.get(name, str(usual))
    if not text.isdecimal():
        raise invalid("query", name, "Input should be a valid integer", "int_parsing")
    return int(text)


def page(rows: list[Row], request: web.Request) -> tuple[list[Row], Row]:
    """Newest first; the cursor names the last row seen, so that new rows never shift a page."""
    size = whole(request, "page_size", 30)
    if not 1 <= size <= 100:
        raise invalid("query", "page_size", "Input should be between 1 and 100", "value_error")
    try:
        last = int(base64.urlsafe_b64decode(request.query.get("cursor") or base64.urlsafe_b64encode(b"0")))
    except (binascii.Error, ValueError):
        raise invalid("query", "cursor", "Invalid cursor", "value_error") from None
    left = sorted((r for r in rows if not last or r["_n"] < last), key=lambda r: -r["_n"])
    more = len(left) > size
    after = base64.urlsafe_b64encode(str(left[size - 1]["_n"]).encode()).decode() if more else None
    return left[:size], {"next_cursor": after, "has_more": more}


def merged(old: Row, new: Row) -> Row:
    """A copy of `old` with `new` laid over it, dictionaries inside as well; null leaves a section as it is."""
    made = copy.deepcopy(old)
    for key, value in new.items():
        if value is None and isinstance(made.get(key), dict | list):
            continue
        inside = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = merged(made[key], value) if inside else value
    return made


def rendered(text: str, variables: Row) -> str:
    """Text with its `{{variables}}` filled in; unknown ones stay."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda m: str(variables.get(m[1], m[0])), text)
