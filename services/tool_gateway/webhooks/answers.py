"""What senders are answered: each vendor what it expects, and errors as RFC 9457 has them."""

from __future__ import annotations

import math
from typing import Any

from aiohttp import web

from services.tool_gateway.webhooks.accept import Accepted
from services.tool_gateway.webhooks.messages import Opened
from services.tool_gateway.webhooks.sources import Source
from shared.errors import VioxError
from shared.store.pool import dumps

TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
PROBLEM = "application/problem+json"


def success(source: Source, accepted: Accepted, read: Opened, error: VioxError | None) -> web.Response:
    """Twilio gets instructions for nothing, Airtable an empty body, everybody else what became of the delivery."""
    if source.name == "twilio":
        return web.Response(text=TWIML, content_type="text/xml")
    if source.name == "airtable":
        return web.Response()
    document: dict[str, Any] = {
        "accepted": len(accepted.fresh),
        "repeated": len(accepted.repeated),
        "ignored": sorted(set(read.ignored)),
        "set_aside": error.as_dict() if error else None,
    }
    return web.json_response(document, dumps=dumps)


def problem(status: int, error: VioxError, retry_after: float | None = None) -> web.Response:
    """A refusal. `retry_after` are seconds."""
    headers = {"Retry-After": str(math.ceil(retry_after))} if retry_after else {}
    document = {"type": "about:blank", "title": error.message, "status": status, **error.as_dict()}
    return web.Response(text=dumps(document), status=status, content_type=PROBLEM, headers=headers)
