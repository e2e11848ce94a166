"""Model servers on one port: the wire of each provider before one player of roles, with faults on demand.

    /anthropic/v1/messages   /openai/v1/chat/completions   /gemini/v1beta/openai/chat/completions   /mistral/v1/chat/completions

Control, for tests and scenarios (never part of a provider's API):

    GET  /_sandbox/requests   each request: agent, provider, model, status, how the turn ended, which fault it met
    GET  /_sandbox/problems   requests that were refused because they broke a rule of the provider, and players' errors
    GET  /_sandbox/faults     what is to go wrong, and how often it did
    POST /_sandbox/faults     a fault or a list of them (faults.py)
    POST /_sandbox/reset      forget requests, problems and faults
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from aiohttp import web

from sandbox.models.addresses import KEYS, ROOTS
from sandbox.models.anthropic import AnthropicWire
from sandbox.models.chat import ChatWire
from sandbox.models.compatible import GeminiWire, MistralWire
from sandbox.models.faults import STATUSES, BadFault, Fault, Faults, cut_to, spoiled
from sandbox.models.ids import Ids
from sandbox.models.turns import Player, Question, Refused, Turn

PATHS = {"anthropic": "/v1/messages"}
CHAT_PATH = "/chat/completions"
LARGEST_REQUEST = 32_000_000
KEPT = 10_000
PAGE = "<!doctype html><html><body>Bad gateway</body></html>"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Wire(Protocol):
    """A provider's side of one HTTP exchange."""

    provider: str

    def admit(self, headers: Mapping[str, str]) -> None: ...

    def read(self, body: Any) -> Question: ...

    def answer(self, body: dict[str, Any], question: Question, turn: Turn) -> dict[str, Any]: ...

    def headers(self) -> dict[str, str]: ...

    def error(self, refused: Refused) -> web.Response: ...

    def fault(self, status: int) -> Refused: ...


@dataclass
class Exchange:
    """What is known of one request."""

    provider: str
    agent: str = ""
    model: str = ""
    status: int = 0
    stop: str = ""
    fault: str | None = None
    problem: str | None = None


class ModelServers:
    """All of them. `player` answers; `seed` decides ids and chances."""

    def __init__(self, player: Player, *, seed: int = 0) -> None:
        self._player = player
        self._seed = seed
        ids = Ids(seed)
        self.wires: dict[str, Wire] = {
            "anthropic": AnthropicWire(KEYS["anthropic"], ids),
            "openai": ChatWire(KEYS["openai"], ids),
            "gemini": GeminiWire(KEYS["gemini"], ids),
            "mistral": MistralWire(KEYS["mistral"], ids),
        }
        self.faults = Faults(seed)
        self.exchanges: deque[Exchange] = deque(maxlen=KEPT)
        self.bodies: deque[dict[str, Any]] = deque(maxlen=100)
        self.app = web.Application(client_max_size=LARGEST_REQUEST, middlewares=[_ours_only])
        self.app.add_routes(
            [
                *(web.post(ROOTS[name] + PATHS.get(name, CHAT_PATH), self._endpoint(name)) for name in self.wires),
                web.get("/readyz", self._ready),
                web.get("/_sandbox/requests", self._show_requests),
                web.get("/_sandbox/problems", self._show_problems),
                web.get("/_sandbox/faults", self._show_faults),
                web.post("/_sandbox/faults", self._add_faults),
                web.post("/_sandbox/reset", self._reset),
            ]
        )

    @property
    def problems(self) -> list[str]:
        """What callers, or players, did wrong."""
        return [exchange.problem for exchange in self.exchanges if exchange.problem]

    # -- models ----------------------------------------------------------------------------------------------------------

    def _endpoint(self, provider: str) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            exchange = Exchange(provider)
            self.exchanges.append(exchange)
            answer = await self._served(self.wires[provider], request, exchange)
            exchange.status = answer.status
            return answer

        return serve

    async def _served(self, wire: Wire, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        try:
            wire.admit(request.headers)
        except Refused as refused:
            return wire.error(refused)
        try:
            body = await request.json()
        except ValueError:
            exchange.problem = "the body is no JSON"
            return wire.error(Refused(400, "invalid_request_error", "The request body is not valid JSON"))
        self.bodies.append(body)
        try:
            question = wire.read(body)
        except Refused as refused:
            exchange.problem = f"{wire.provider}: {refused.message}" + (f" ({refused.param})" if refused.param else "")
            return wire.error(refused)
        exchange.agent, exchange.model = self._player.agent(question.system), question.model
        names = {exchange.agent, self._player.aliases.get(exchange.agent, "")} - {""}
        fault = self.faults.next(names, wire.provider, question.model)
        exchange.fault = fault.kind if fault else None
        return await self._answered(wire, request, body, question, fault, exchange)

    async def _answered(
        self,
        wire: Wire,
        request: web.Request,
        body: dict[str, Any],
        question: Question,
        fault: Fault | None,
        exchange: Exchange,
    ) -> web.StreamResponse:
        if fault and fault.kind in STATUSES:
            return _status(wire, fault)
        if fault and fault.kind == "cut":
            return _hung_up(request)
        if fault and fault.kind == "no_json":
            return web.Response(text=PAGE, content_type="text/html")
        try:
            turn = self._turn(question, fault)
        except Exception:  # noqa: BLE001  # a player's fault is told in the provider's way, and on record
            exchange.problem = f"the player of {exchange.agent or 'nobody'} failed: {traceback.format_exc()}"
            return wire.error(wire.fault(500))
        document = wire.answer(body, question, turn)
        exchange.stop = turn.stop or ("calls" if turn.calls else "end")
        if question.must_call and not turn.calls and not turn.stop and not fault:
            exchange.problem = f"the player of {exchange.agent or 'nobody'} called no tool where it had to"
        if fault and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault and fault.kind == "cut_after":
            return await _cut_in_the_middle(request, document)
        return web.json_response(document, headers=wire.headers())

    def _turn(self, question: Question, fault: Fault | None) -> Turn:
        turn = self._player.play(question)
        if fault:
            turn = spoiled(turn, fault, question)
        return cut_to(turn, question.max_tokens)

    async def _ready(self, request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    # -- control ---------------------------------------------------------------------------------------------------------

    async def _show_requests(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(exchange) for exchange in self.exchanges])

    async def _show_problems(self, request: web.Request) -> web.Response:
        return web.json_response(self.problems)

    async def _show_faults(self, request: web.Request) -> web.Response:
        return web.json_response([fault.document() for fault in self.faults.all])

    async def _add_faults(self, request: web.Request) -> web.Response:
        try:
            self.faults.add(await request.json())
        except (BadFault, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"faults": len(self.faults.all)})

    async def _reset(self, request: web.Request) -> web.Response:
        self.faults = Faults(self._seed)
        self.exchanges.clear()
        self.bodies.clear()
        return web.json_response({})


def _status(wire: Wire, fault: Fault) -> web.Response:
    answer = wire.error(wire.fault(int(fault.kind)))
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = f"{fault.retry_after:g}"
    return answer


def _hung_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


async def _cut_in_the_middle(request: web.Request, document: Mapping[str, Any]) -> web.StreamResponse:
    """Send the head and half of the body, then hang up."""
    whole = json.dumps(document).encode()
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(whole))})
    await answer.prepare(request)
    await answer.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.abort()
    return answer


@web.middleware
async def _ours_only(request: web.Request, handler: Any) -> web.StreamResponse:
    """Control is for programs of this machine: not for a page in somebody's browser, whatever name led it here."""
    if request.path.startswith("/_sandbox/") and ("Origin" in request.headers or request.url.host not in LOOPBACK):
        told = "the sandbox is controlled by programs of this machine only: no Origin, and a loopback Host."
        return web.json_response({"error": told}, status=403)
    answer: web.StreamResponse = await handler(request)
    return answer
