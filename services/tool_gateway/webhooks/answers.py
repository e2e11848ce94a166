"""What senders of deliveries that were taken are answered: each vendor what it expects."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from services.tool_gateway.webhooks.accept import Accepted
from services.tool_gateway.webhooks.messages import Opened
from services.tool_gateway.webhooks.sources import Source
from shared.errors import VioxError
from shared.store.pool import dumps

TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


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
