"""HTTP out, with one extra answer: did any byte of the request leave?

The API is httpx2's transport interface; underneath is aiohttp, whose client costs a tenth of the CPU. aiohttp's exception
names cannot tell sent from not sent (a server that hangs up after reading looks like one that never answered), so the
bytes handed to the socket are counted, and writing is barred once an attempt is over. Count zero: nothing left, for
certain. Count above zero: it may have.

Private names of aiohttp are used (`_factory`, `_retry_connection`, `_skip_auto_headers`, `_should_close`, `_payload`);
the version is pinned, and `tests/integration/gateway/test_wire.py` runs the whole failure table against raw sockets.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from multidict import CIMultiDict
from yarl import URL

from services.tool_gateway.catalogue.tools import MAX_RESPONSE_BYTES
from services.tool_gateway.wire.guard import Guard, Refused
from shared.errors import VioxError

Gate = Callable[[], Awaitable[None]]


class NotSent(VioxError):
    """Nothing of the request took effect. Trying again cannot do anything twice, though it may be of no use (`final`).

    `wait_seconds`: the server asks to come back later, and this is how long to wait the first time. `throttled`: it means
    everything from us, not just this request.
    """

    final = False
    wait_seconds: float | None = None
    throttled = False


class MaybeSent(VioxError):
    """The request may have reached the server; there is no usable answer."""


@dataclass(slots=True)
class Attempt:
    """One try at one request. `gate` runs right before the first byte and may refuse by raising NotSent."""

    headers: list[tuple[str, str]]
    gate: Gate | None = None
    written: int = 0
    refused: str | None = None
    passed: bool = False
    over: bool = False


_current: ContextVar[Attempt] = ContextVar("attempt")


class _Tap:
    """Stands in for a connection's transport: counts what is written and refuses writes that belong to no attempt."""

    __slots__ = (
        "abort",
        "attempt",
        "close",
        "get_extra_info",
        "get_write_buffer_size",
        "is_closing",
        "pause_reading",
        "resume_reading",
        "transport",
    )

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.attempt: Attempt | None = None
        for name in (
            "abort",
            "close",
            "get_extra_info",
            "get_write_buffer_size",
            "is_closing",
            "pause_reading",
            "resume_reading",
        ):
            setattr(self, name, getattr(transport, name))

    def write(self, data: bytes) -> None:
        attempt = self.attempt
        if attempt is None or attempt.over:
            raise NotSent("http.barred", "a write outside its attempt was refused.")
        attempt.written += len(data)
        self.transport.write(data)

    def writelines(self, chunks: list[bytes]) -> None:
        self.write(b"".join(chunks))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class _Handler(ResponseHandler):
    """Connection protocol. Bytes that arrive while no attempt is open would be taken for the next answer: hang up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = _Tap(transport)  # type: ignore[assignment]

    def data_received(self, data: bytes, *rest: Any) -> None:
        tap: Any = self.transport
        if data and tap is not None and (tap.attempt is None or tap.attempt.over):
            self._should_close = True
            tap.abort()
            return
        super().data_received(data, *rest)

    def set_exception(self, exc: Any, *rest: Any) -> None:
        """A parse error after the headers must also end the reading of the body, which would otherwise hang."""
        payload = self._payload
        super().set_exception(exc, *rest)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            set_exception(
                payload, exc if isinstance(exc, aiohttp.ClientError) else aiohttp.ClientPayloadError(str(exc))
            )


class _Connector(aiohttp.TCPConnector):
    """Connects only where the guard agrees, and remembers in the attempt when it did not."""

    def __init__(self, guard: Guard, **given: Any) -> None:
        def guarded(info: Any) -> socket.socket:
            try:
                return guard.open(info)
            except Refused as error:
                _current.get().refused = str(error)
                raise

        super().__init__(socket_factory=guarded, **given)
        self._factory = functools.partial(_Handler, loop=self._loop)  # type: ignore[assignment]


class _Request(aiohttp.ClientRequest):
    """Sends exactly the headers it is given, once, after its gate agreed."""

    DEFAULT_HEADERS = {}  # noqa: RUF012  # overrides a class attribute of aiohttp

    def update_headers(self, headers: Any) -> None:
        self.headers = CIMultiDict(_current.get().headers)

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        self._skip_auto_headers = CIMultiDict({"Content-Type": None})

    async def send(self, conn: Any) -> Any:
        attempt, protocol = _current.get(), conn.protocol
        if attempt.passed or attempt.over:
            raise NotSent("http.barred", "a second sending of the same attempt was refused.")
        _check_usable(protocol)
        protocol.transport.attempt = attempt
        if attempt.gate is not None:
            await attempt.gate()
            _check_usable(protocol)
        attempt.passed = True
        return await super().send(conn)


def _check_usable(protocol: Any) -> None:
    if protocol.transport is None or protocol.should_close or len(protocol):
        raise NotSent("http.connection_lost", "the pooled connection had died.")


class Wire(httpx2.AsyncBaseTransport):
    """Outgoing HTTP. No retries, redirects, cookies, proxies or decompression: what is recorded is what happened.

    Request extensions: `timeout` {"connect", "read"} in seconds; `viox.gate`, awaited right before the first byte;
    `viox.cut`, to have the beginning of an answer that is too large (the response's extension `viox.cut` says so).
    Raises NotSent (nothing left) or MaybeSent (something may have).
    """

    def __init__(self, guard: Guard, *, max_response_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self._guard = guard
        self._max_bytes = max_response_bytes
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    self._guard,
                    limit=0,  # how many calls a vendor may have on their way is decided before they get here
                    keepalive_timeout=4,  # below what servers commonly keep, so a reused connection is rarely dying
                    use_dns_cache=False,
                    happy_eyeballs_delay=None,
                ),
                request_class=_Request,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=64 * 1024,
            )
            self._session._retry_connection = False
        return self._session

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        limits = request.extensions.get("timeout", {})
        headers = [(name.decode("ascii"), value.decode("utf-8")) for name, value in request.headers.raw]
        attempt = Attempt(headers, request.extensions.get("viox.gate"))
        body = await request.aread()
        token = _current.set(attempt)
        try:
            return await self._exchange(request, attempt, body, limits)
        except NotSent:
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise _explained(attempt, error) from error
        finally:
            attempt.over = True
            _current.reset(token)

    async def _exchange(
        self, request: httpx2.Request, attempt: Attempt, body: bytes, limits: dict[str, float]
    ) -> httpx2.Response:
        url = URL(str(request.url), encoded=True)
        if str(url) != str(request.url):
            raise NotSent("http.url_rewritten", f"{request.url.path} would be sent as {url.raw_path}; refused.")
        timeout = aiohttp.ClientTimeout(total=limits.get("read", 20.0), sock_connect=limits.get("connect", 5.0))
        async with self._open().request(
            request.method, url, data=body or None, allow_redirects=False, timeout=timeout
        ) as answer:
            if attempt.written == 0:
                raise NotSent("http.stray_answer", "an answer came to a request that was never written.")
            raw, cut = await self._read(answer, may_cut=request.extensions.get("viox.cut", False))
            return httpx2.Response(
                answer.status,
                headers=list(answer.raw_headers),
                stream=httpx2.ByteStream(raw),
                extensions={"viox.body": raw, "viox.cut": cut, "reason_phrase": (answer.reason or "").encode()},
            )

    async def _read(self, answer: aiohttp.ClientResponse, *, may_cut: bool) -> tuple[bytes, bool]:
        """The body, and whether it was cut off at the limit."""
        parts: list[bytes] = []
        size = 0
        async for part in answer.content.iter_any():
            size += len(part)
            parts.append(part)
            if size > self._max_bytes:
                answer.close()
                if may_cut:
                    return b"".join(parts)[: self._max_bytes], True
                raise MaybeSent("http.response_too_large", f"the answer is larger than {self._max_bytes:,} bytes.")
        return b"".join(parts), False

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _explained(attempt: Attempt, error: BaseException) -> VioxError:
    attempt.over = True
    # Not the text of a ClientResponseError: it ends with the URL, and so with the keys in its query.
    what = (error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)) or type(error).__name__
    if attempt.refused is not None and attempt.written == 0:
        refusal = NotSent("outbound.refused", f"{attempt.refused}.", remedy="See docs/tools.md on the outbound guard.")
        refusal.final = True
        return refusal
    if attempt.written == 0:
        return NotSent("http.not_sent", f"no byte left: {what}.")
    if isinstance(error, TimeoutError):
        return MaybeSent("http.timeout", "sent, but no answer came in time.")
    return MaybeSent("http.no_answer", f"sent, but no usable answer came: {what}.")
