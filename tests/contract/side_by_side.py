"""The same operation asked for twice, by our gateway and by the vendor's own SDK: what each puts on the wire, compared.

Compared are method, path, query, body as it means, and the headers that mean something to the vendor. What only names
the client (User-Agent and the like) or differs by nature (idempotency keys) is not.
"""

from __future__ import annotations

import asyncio
import email.parser
import email.policy
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from aiohttp import StreamReader, web

from sandbox.vendors.common import Emulator, Handler
from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.paths import filled
from services.tool_gateway.call import look_up, outcome
from services.tool_gateway.call.outcome import AttemptResult
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.tools import Credential, Tool
from services.tool_gateway.wire.credentials import Secrets, apply_credentials
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.transport import MaybeSent, Wire
from shared.ids import CallId
from shared.redaction import Redactions
from tests.contract.emulators import Served

TOOLS = catalogue.load().tools
HEADERS = ("authorization", "content-type", "accept")


@dataclass(frozen=True)
class Seen:
    """A request as a vendor sees it. Query and form bodies are sorted pairs, JSON bodies values, multipart parts by name."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: Any

    def without(self, *names: str) -> Seen:
        """The same without some query parameters or headers."""
        query = tuple(pair for pair in self.query if pair[0] not in names)
        headers = {k: v for k, v in self.headers.items() if k not in names}
        return Seen(self.method, self.path, query, headers, self.body)


class SideBySide(Served):
    """An emulator that keeps what it is asked. `settings` are the gateway's secrets and base URLs (`{url}` is filled)."""

    tools: Mapping[str, Tool] = TOOLS

    def __init__(self, emulator: Emulator, settings: Mapping[str, str], headers: Iterable[str] = HEADERS) -> None:
        self.seen: list[Seen] = []
        self._wanted = tuple(headers)
        emulator.app.middlewares.insert(0, self._keep)
        super().__init__(emulator)
        self.secrets = Secrets({name: value.replace("{url}", self.url) for name, value in settings.items()})

    def ours(self, tool: str, /, key: str = "", **arguments: Any) -> Seen:
        """What our gateway sends for a call; the vendor must have understood it."""
        meaning = self.call(tool, key=key, **arguments)
        assert meaning.state == "succeeded", (tool, meaning)
        return self.seen[-1]

    def call(self, tool: str, /, key: str = "", **arguments: Any) -> AttemptResult:
        """Carry out a call as the gateway would, without its tables."""
        found = self.tools[tool]
        problem = found.problem_with(arguments)
        assert problem is None, problem
        try:
            answer = asyncio.run(self._send(tool, key, arguments))
        except MaybeSent as error:
            return outcome.of_maybe_sent(found, 1, error)
        return outcome.of_answer(found, answer, 1)

    def look_up(self, tool: str, /, intended_at: datetime | None = None, **arguments: Any) -> list[dict[str, Any]]:
        """What the tool's look-up finds for a call with these arguments, each as the call would have answered."""
        found = self.tools[tool].settle
        assert found is not None, tool
        asked = filled(found.arguments, arguments)
        assert self.tools[found.tool].problem_with(asked) is None, asked
        answer = asyncio.run(self._send(found.tool, "", asked))
        assert answer.status == 200, answer
        items = look_up.matching(found, json.loads(answer.plain()), arguments, intended_at)
        return [outcome.projected(self.tools[tool], look_up.as_answered(found, item)) for item in items]

    def effects(self, operation: str) -> list[dict[str, Any]]:
        """What really happened at the vendor."""
        return [effect for effect in self.emulator.effects if effect["operation"] == operation]

    def theirs(self) -> Seen:
        """What was asked last."""
        return self.seen[-1]

    async def _send(self, tool: str, key: str, arguments: Mapping[str, Any]) -> Answer:
        import httpx2

        prepared = prepare(self.tools[tool], arguments, self.secrets, key=CallId(key))
        url, headers = await apply_credentials(prepared, self.secrets, self._token, Redactions())
        wire = Wire(Guard(loopback=True))
        try:
            request = httpx2.Request(prepared.method, url, headers=headers, stream=httpx2.ByteStream(prepared.body))
            response = await wire.handle_async_request(request)
        finally:
            await wire.aclose()
        raw = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers.raw]
        return Answer(response.status_code, raw, response.extensions["viox.body"])

    async def _token(self, credential: Credential) -> str:
        """OAuth credentials: the token a test put among the settings under ACCESS_TOKEN."""
        return self.secrets.get("ACCESS_TOKEN")

    @web.middleware
    async def _keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/_sandbox/"):
            kind = request.headers.get("Content-Type", "")
            raw = await request.read()
            if raw:  # parts and `can_read_body` look at the stream, which is used up now
                stream = StreamReader(request.protocol, 2**16)
                stream.feed_data(raw)
                stream.feed_eof()
                request._payload = stream
            wanted = [n for n in self._wanted if n in request.headers and (raw or n != "content-type")]
            plain = {name: _header(request.headers[name]) for name in wanted}
            path = "/".join(quote(unquote(part), safe="") for part in request.raw_path.partition("?")[0].split("/"))
            query = tuple(sorted(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)))
            self.seen.append(Seen(request.method, path, query, plain, _meaning(kind, raw)))
        return await handler(request)


def _header(value: str) -> str:
    return value.split(";")[0].strip()


def _meaning(kind: str, raw: bytes) -> Any:
    if not raw:
        return None
    if "json" in kind:
        return json.loads(raw)
    if kind.startswith("application/x-www-form-urlencoded"):
        return sorted(parse_qsl(raw.decode(), keep_blank_values=True))
    if kind.startswith("multipart/form-data"):
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
            f"Content-Type: {kind}\r\n\r\n".encode() + raw
        )
        return sorted(
            (str(p.get_param("name", header="content-disposition")), str(p.get_filename()), p.get_payload(decode=True))
            for p in message.iter_parts()
        )
    return raw


def call_id() -> str:
    """A key as the gateway would use it."""
    return f"00000000-0000-5000-8000-{time.time_ns() % 10**12:012d}.1.0"
