"""What a person has to know before other arguments are agreed to, or more calls of one shape: only the gateway has the tools.

Asked for over the gateway's own port (`POST /examine`) by whoever has the operator's token: the console.
"""

from __future__ import annotations

import hmac
from dataclasses import asdict

import orjson
from aiohttp import web

from services.tool_gateway.approvals.standing import shape_of
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.wire.credentials import Secrets
from shared.models.port import sha256_json

PATH = "/examine"
OPERATOR = "VIOX_OPERATOR_TOKEN"


class Examiner:
    """Answers {tool, arguments} with whether they fit, whether they are sensitive, and the shape of such a call."""

    def __init__(self, catalogue: Catalogue, secrets: Secrets) -> None:
        self._catalogue = catalogue
        self._secrets = secrets

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
            }
        )

    def _known(self, header: str) -> bool:
        wanted = (self._secrets.or_none(OPERATOR) or "").strip()
        given = header.removeprefix("Bearer ").strip()
        return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
