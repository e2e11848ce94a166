"""What is refused before any page is asked: bodies of no said length, of no number, and too large ones."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Scope

from services.console.guard import MOST_BYTES, Guard

READ: list[bytes] = []


async def enter(request: Request) -> PlainTextResponse:
    READ.append(await request.body())
    return PlainTextResponse("in")


APP = Starlette(routes=[Route("/sign-in", enter, methods=["POST"])], middleware=[Middleware(Guard)])


async def status(*headers: tuple[bytes, bytes]) -> int:
    scope: Scope = {
        "type": "http", "method": "POST", "path": "/sign-in", "raw_path": b"/sign-in", "query_string": b"",
        "headers": [(b"sec-fetch-site", b"same-origin"), *headers], "scheme": "http", "server": ("x", 1), "app": APP,
    }  # fmt: skip
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"a=b", "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    await APP(scope, receive, send)
    return int(said[0]["status"])


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (((b"content-length", b"3"),), 200),
        (((b"content-length", str(MOST_BYTES + 1).encode()),), 413),
        (((b"content-length", b"many"),), 400),
        (((b"content-length", b"-1"),), 400),
        (((b"transfer-encoding", b"chunked"),), 411),
    ],
)
async def test_a_body_is_read_only_when_its_length_is_known_and_small(
    headers: tuple[tuple[bytes, bytes], ...], answer: int
) -> None:
    READ.clear()
    assert await status(*headers) == answer
    assert bool(READ) == (answer == 200)
