"""What only the gateway knows of a tool: whether arguments fit, the shape of such a call, its rates, and its vendor's breaker.

Asked for over the gateway's own port (`POST /examine`) by whoever has the operator's token: the console.
"""

from __future__ import annotations

from dataclasses import asdict

import orjson
from aiohttp import web

from services.tool_gateway.approvals.standing import shape_of
from services.tool_gateway.call.breaker import Breakers
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.operator import is_operator, tokens
from shared.models.port import sha256_json

PATH = "/examine"


class Examiner:
    """Answers {tool, arguments} with whether they fit, whether they are sensitive, the shape of such a call, how many go in a
    second, and in how many seconds one is tried where this gateway leaves the vendor alone (null where it does not)."""

    def __init__(self, catalogue: Catalogue, secrets: Secrets, breakers: Breakers) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._breakers = breakers

    async def serve(self, request: web.Request) -> web.Response:
        if "Origin" in request.headers or not self._known(request.headers.get("Authorization", "")):
            return web.json_response({"error": "the operator's token is needed"}, status=403)
        try:
            given = orjson.loads(await request.read())
            name, arguments = str(given["tool"]), dict(given["arguments"])
        except (KeyError, TypeError, ValueError):
            return web.json_response({"error": "not JSON with tool and arguments"}, status=400)
        tool = self._catalogue.tools.get(name)
        if tool is None:
            return web.json_response({"known": False})
        return web.json_response(
            {
                "known": True,
                "sensitive": tool.redact_arguments.any_in(arguments),
                "problem": tool.problem_with(arguments),
                "shape": asdict(shape_of(tool, arguments, sha256_json(arguments))),
                "rates": [asdict(rate) for rate in (tool.rate, tool.own_rate) if rate],
                "tries_in": self._breakers.tries_in(tool.vendor),
            }
        )

    def _known(self, header: str) -> bool:
        return is_operator(header, tokens(self._secrets))
