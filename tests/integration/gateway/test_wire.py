"""Did the request leave? The whole failure table, against raw sockets, on fresh and on kept connections (rule 9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from sandbox.net import free_ports
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.transport import MaybeSent, NotSent, Wire

pytestmark = pytest.mark.rule(9)
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A raw server that misbehaves as told, and remembers every byte it read."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = list(behaviours)
        self.read = b""
        self.requests = 0
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/x"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            while self._behaviours:
                await self._behaviours.pop(0)(self._counting(reader), writer)
                if writer.is_closing():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _counting(self, reader: asyncio.StreamReader) -> Any:
        server = self

        class Counting:
            async def request(self) -> None:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
                )
                server.read += head + await reader.readexactly(length)
                server.requests += 1

            async def end(self) -> None:
                await reader.read()

        return Counting()


async def answers(reader: Any, writer: asyncio.StreamWriter) -> None:
    await reader.request()
    writer.write(OK)
    await writer.drain()


async def closes_before_reading(reader: Any, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def reads_then_closes(reader: Any, writer: asyncio.StreamWriter) -> None:
    await reader.request()
    writer.close()


async def reads_then_resets(reader: Any, writer: asyncio.StreamWriter) -> None:
    await reader.request()
    writer.transport.abort()


async def never_answers(reader: Any, writer: asyncio.StreamWriter) -> None:
    await reader.request()
    await reader.end()  # the client waits no longer
    writer.close()


def replies(raw: bytes) -> Behaviour:
    async def behave(reader: Any, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(raw)
        await writer.drain()
        writer.close()

    return behave


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire(Guard(loopback=True), max_response_bytes=100_000)
    yield made
    await made.aclose()


async def post(
    wire: Wire, url: str, *, gate: Any = None, method: str = "POST", connect: float = 60, timeout: float = 60
) -> httpx2.Response:
    body = b'{"a":1}'
    request = httpx2.Request(
        method,
        url,
        headers=[("Host", "h"), ("X-Own", "Kept"), ("Content-Length", str(len(body)))],
        stream=httpx2.ByteStream(body),
        extensions={"timeout": {"connect": connect, "read": timeout}, "viox.gate": gate},
    )
    return await wire.handle_async_request(request)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "http://no-such-host.invalid/", "https://127.0.0.1:{port}/"]
)
async def test_no_connection_means_nothing_left(wire: Wire, url: str) -> None:
    with pytest.raises(NotSent):
        await post(wire, url.format(port=free_ports(1)[0]), connect=2)


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "behaviour",
    [
        reads_then_closes,
        reads_then_resets,
        never_answers,
        replies(b"HTTP/1.1 200 OK\r\nContent-Le"),
        replies(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        replies(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx"),
        replies(b"garbage\r\n\r\n"),
        replies(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n"),
        replies(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"z" * 200_000),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
async def test_what_the_server_read_is_never_called_unsent_and_never_sent_twice(
    wire: Wire, behaviour: Behaviour, method: str, kept: bool
) -> None:
    async with Server(*([answers] if kept else []), behaviour, answers) as server:
        if kept:
            await post(wire, server.url)
        with pytest.raises(MaybeSent):
            await post(wire, server.url, method=method, timeout=0.3 if behaviour is never_answers else 60)
    assert server.requests == 1 + kept, "our transport must not try again by itself"


async def test_a_server_that_hangs_up_at_once_is_at_worst_uncertain(wire: Wire) -> None:
    async with Server(closes_before_reading) as server:
        with pytest.raises((NotSent, MaybeSent)):
            await post(wire, server.url)
        assert server.read == b""


async def test_exactly_our_bytes_go_out(wire: Wire) -> None:
    async with Server(answers) as server:
        response = await post(wire, server.url)
        assert response.extensions["viox.body"] == b"ok"
        assert server.read == b'POST /x HTTP/1.1\r\nHost: h\r\nX-Own: Kept\r\nContent-Length: 7\r\n\r\n{"a":1}'


async def test_a_gate_that_refuses_stops_the_first_byte(wire: Wire) -> None:
    async def refuse() -> None:
        raise NotSent("lease.lost", "too late")

    async with Server(answers, answers) as server:
        with pytest.raises(NotSent, match="too late"):
            await post(wire, server.url, gate=refuse)
        await post(wire, server.url)
        assert server.requests == 1


async def test_a_stray_answer_on_a_kept_connection_is_not_taken_for_ours(wire: Wire) -> None:
    answered, strayed = asyncio.Event(), asyncio.Event()

    async def answers_and_later_408(reader: Any, writer: asyncio.StreamWriter) -> None:
        await answers(reader, writer)
        await answered.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        strayed.set()

    async with Server(answers_and_later_408, answers) as server:
        await post(wire, server.url)
        answered.set()
        await strayed.wait()
        await asyncio.sleep(0.05)  # the loop has read what lies there
        assert (await post(wire, server.url)).status_code == 200


async def test_redirects_are_answers_not_orders(wire: Wire) -> None:
    async with Server(
        replies(b"HTTP/1.1 307 Temporary\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"), answers
    ) as server:
        assert (await post(wire, server.url)).status_code == 307
        assert server.requests == 1


async def test_the_guard_looks_at_the_address_not_at_the_name() -> None:
    """`localhost` and literals alike: nothing is connected to, and trying again is of no use."""
    async with Server(answers) as server:
        guarded = Wire(Guard())
        for host in ("localhost", "127.0.0.1", "[::ffff:127.0.0.1]"):
            with pytest.raises(NotSent) as error:
                await post(guarded, server.url.replace("127.0.0.1", host))
            assert (error.value.code, error.value.final) == ("outbound.refused", True), host
        assert server.read == b""
        await guarded.aclose()
