"""What all emulators share: faults on demand, a log of effects that outlives its callers, rate limits.

Control, for tests and scenarios (never part of a vendor's API):

    GET  /_sandbox/effects    every state change that happened, in order
    GET  /_sandbox/state      the emulator's whole state
    GET  /_sandbox/requests   how many requests came, by method and path
    GET  /_sandbox/faults     how many requests met a fault, by kind; what is still to come
    POST /_sandbox/faults     {"kind": ..., "method"?, "path"?: prefix, "count"?, "seconds"?, "retry_after"?, "skip"?}
    POST /_sandbox/clock      stop time, let it pass, let it run again: see clock.py
    POST /_sandbox/reset      forget everything
"""

from __future__ import annotations

import abc
import collections
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sandbox.vendors.clock import Clock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
KINDS = ("429", "500", "502", "503", "504", "slow", "cut_before", "cut_after", "wrong_body", "failed_200")


@dataclass
class Fault:
    """Something that will go wrong for the next `count` matching requests, after `skip` that go well."""

    kind: str
    method: str | None = None
    path: str = ""
    count: int = 1
    seconds: float = 1.0
    retry_after: float | None = None
    skip: int = 0

    @property
    def name(self) -> str:
        """The kind; of two that callers treat apart, which."""
        return self.kind if self.retry_after is None else f"{self.kind} with Retry-After"

    def takes(self, request: web.Request) -> bool:
        return self.matches(request.method, request.path)

    def matches(self, method: str, path: str) -> bool:
        """Is it this one's turn? Counts it."""
        if self.count <= 0 or (self.method and self.method != method) or self.path not in path:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.count -= 1
        return True


@dataclass
class Window:
    """At most `limit` requests in `seconds`; afterwards nothing for `lock_out` seconds (0: until the window moves on)."""

    limit: int
    seconds: float
    lock_out: float = 0.0
    times: collections.deque[float] = field(default_factory=collections.deque)
    locked_until: float = 0.0
    now: Callable[[], float] = time.monotonic

    def allows(self) -> bool:
        now = self.now()
        if now < self.locked_until:
            return False
        while self.times and now - self.times[0] >= self.seconds:
            self.times.popleft()
        if len(self.times) >= self.limit:
            self.locked_until = now + self.lock_out
            return False
        self.times.append(now)
        return True


class Emulator(abc.ABC):
    """Base of a vendor emulator. Subclasses add routes and say how their errors look."""

    vendor = "vendor"
    lasting: tuple[str, ...] = ("effects",)
    """What outlives the process, as dotted paths from here: see keeping.py."""
    kinds: tuple[str, ...] = KINDS

    def __init__(self) -> None:
        self.clock = Clock()
        self.faults: list[Fault] = []
        self.met: collections.Counter[str] = collections.Counter()
        self.effects: list[dict[str, Any]] = []
        self.requests: collections.Counter[str] = collections.Counter()
        self.unlimited = False
        self.running = 0
        self.touched = 0  # counts what may have changed something
        self.app = web.Application(middlewares=[self._middleware], client_max_size=20_000_000)
        self.app.add_routes(
            [
                web.get("/_sandbox/effects", self._show_effects),
                web.get("/_sandbox/state", self._show_state),
                web.get("/_sandbox/requests", self._show_requests),
                web.get("/_sandbox/faults", self._show_faults),
                web.post("/_sandbox/faults", self._add_fault),
                web.post("/_sandbox/limits", self._set_limits),
                web.post("/_sandbox/clock", self.clock.told),
                web.post("/_sandbox/reset", self._reset),
            ]
        )

    # -- for subclasses ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def error(self, status: int, message: str) -> web.Response:
        """An error in the vendor's own shape, for faults."""

    @abc.abstractmethod
    def unauthorized(self, request: web.Request) -> web.Response | None:
        """None when the request proves who it is."""

    def limited(self, request: web.Request) -> web.Response | None:
        """None while the request is within the vendor's limits."""
        return None

    @abc.abstractmethod
    def state(self) -> Any:
        """Everything the vendor knows, as JSON."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Forget everything."""

    def failed_answer(self, request: web.Request) -> web.Response:
        """A refusal sent with status 200, for the fault `failed_200`; vendors that know such answers say how they look."""
        return self.error(200, "injected fault")

    def effect(self, operation: str, **what: Any) -> None:
        """Record a state change that really happened."""
        self.touched += 1
        self.effects.append({"at": time.time(), "vendor": self.vendor, "operation": operation, **what})

    # -- machinery ---------------------------------------------------------------------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await self._dispatched(request, handler)
        finally:
            self.touched += request.method not in ("GET", "HEAD")

    async def _dispatched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sandbox/"):
            return _foreign(request) or await handler(request)
        self.requests[f"{request.method} {request.path}"] += 1
        refused = self.unauthorized(request)
        if refused is None and not self.unlimited:
            refused = self.limited(request)
        if refused is not None:
            return refused
        fault = next((f for f in self.faults if f.takes(request)), None)
        self.running += 1
        try:
            if fault is None:
                return await self._handled(request, handler)
            self.met[fault.name] += 1
            return await self._faulty(fault, request, handler)
        finally:
            self.running -= 1

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return self.error(404, "not found")
        except json.JSONDecodeError:
            return self.error(400, "invalid JSON")

    async def _faulty(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        match fault.kind:
            case "cut_before":
                return self._cut(request)
            case "cut_after":
                await self._handled(request, handler)
                return self._cut(request)
            case "slow":
                answer = await self._handled(request, handler)
                await self.clock.sleep(fault.seconds)
                return answer
            case "wrong_body":
                await self._handled(request, handler)
                return web.Response(text="<html>gateway</html>", content_type="text/html")
            case "failed_200":
                return self.failed_answer(request)
            case _:
                answer = self.error(int(fault.kind), "injected fault")
                if fault.retry_after is not None:
                    answer.headers["Retry-After"] = str(fault.retry_after)
                return answer

    @staticmethod
    def _cut(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _show_effects(self, request: web.Request) -> web.Response:
        return web.json_response(self.effects)

    async def _show_state(self, request: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _show_requests(self, request: web.Request) -> web.Response:
        return web.json_response(dict(self.requests))

    async def _show_faults(self, request: web.Request) -> web.Response:
        waiting = [fault.name for fault in self.faults if fault.count > 0]
        return web.json_response({"met": dict(self.met), "waiting": waiting})

    async def _add_fault(self, request: web.Request) -> web.Response:
        given = await request.json()
        if given.get("kind") not in self.kinds:
            return web.json_response({"error": f"kind must be one of {self.kinds}"}, status=400)
        self.faults.append(Fault(**given))
        return web.json_response({"faults": len(self.faults)})

    async def _set_limits(self, request: web.Request) -> web.Response:
        self.unlimited = not (await request.json())["enforced"]
        return web.json_response({"enforced": not self.unlimited})

    async def _reset(self, request: web.Request) -> web.Response:
        self.faults.clear()
        self.met.clear()
        self.effects.clear()
        self.requests.clear()
        self.reset()
        return web.json_response({})


def _foreign(request: web.Request) -> web.Response | None:
    """A refusal of what a page in somebody's browser sends, also under a name that was made to lead here; else None."""
    if "Origin" not in request.headers and request.url.host in LOOPBACK:
        return None
    said = "the sandbox is controlled by programs of this machine only: no Origin, and a loopback Host."
    return web.json_response({"error": said}, status=403)
