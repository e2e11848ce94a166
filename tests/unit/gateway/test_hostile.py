"""What vendors and documents may try: each was a hole once."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import httpx2
import orjson
import pytest
from oauthlib.oauth2 import BackendApplicationClient

from services.tool_gateway import catalogue, outcome
from services.tool_gateway.credentials import Secrets
from services.tool_gateway.encode import prepare
from services.tool_gateway.execute import Sender
from services.tool_gateway.guard import Guard
from services.tool_gateway.intake import Ready
from services.tool_gateway.oauth import Tokens
from services.tool_gateway.oauth import _answered as token_of
from services.tool_gateway.outcome import Answer
from services.tool_gateway.store import Requested
from services.tool_gateway.tools import Credential, OAuth, Tool
from services.tool_gateway.wire import MaybeSent, Wire
from shared.errors import VioxError
from shared.ids import CallId
from tests.unit.gateway.test_importer import document, one

TOOLS = catalogue.load().tools


def keyed(place: str, **operation: Any) -> Tool:
    """A tool that needs the secret SHOP_KEY."""
    given = document(things={"get": {"operationId": "getThing"} | operation})
    scheme = {"type": "apiKey", "in": place, "name": "X-Key"}
    return one(given | {"security": [{"key": []}], "components": {"securitySchemes": {"key": scheme}}})


async def sent(tool: Tool, secret: str, answer: bytes, arguments: dict[str, Any] | None = None) -> tuple[Answer, bytes]:
    """One exchange with a server that says `answer`: what came of it, and the bytes that the server read."""
    read = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    secrets, wire = Secrets({"SHOP_KEY": secret, "SHOP_BASE_URL": base}), Wire(Guard(loopback=True))
    sender = Sender(wire, secrets, cast(Tokens, None), {})
    call = Requested(CallId("c"), cast(Any, None), 0, 0, "closer", cast(Any, None), "", tool.name, {}, None)
    prepared, now = prepare(tool, arguments or {}, secrets), time.monotonic()
    try:
        return (await sender.send(Ready(call, tool, prepared, 1, now + 5, now))), read.result()
    finally:
        server.close()
        await wire.aclose()


# -- answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.rule(15)
async def test_a_malformed_answer_does_not_show_the_key_in_the_query() -> None:
    with pytest.raises(MaybeSent) as error:
        await sent(keyed("query"), "s3cret", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n")
    assert "s3cret" not in str(error.value)


@pytest.mark.rule(15)
async def test_a_secret_that_is_not_ascii_goes_out_and_is_in_no_error() -> None:
    """A key that was copied with a byte order mark."""
    answer, read = await sent(keyed("header"), "\ufeffs3cret", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    assert answer.status == 401
    assert "X-Key: \ufeffs3cret\r\n".encode() in read


@pytest.mark.rule(9)
def test_a_retry_after_that_is_no_number_is_none() -> None:
    for given in ("nan", "-nan", "NaN"):
        meaning = outcome.of_answer(TOOLS["twilio_send_message"], Answer(429, [("Retry-After", given)], b"{}"), 1)
        assert (meaning.state, meaning.wait_seconds) == ("requested", 1.0)


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    "body",
    ["[1]", "5", '{"access_token": {"a": 1}}', '{"access_token": "t", "expires_in": 1e999}', '{"access_token": 7}',
     '{"access_token": "t", "expires_in": NaN}', '{"access_token": "t", "expires_in": 1e300}',
     '{"access_token": "t\\r\\nHost: x"}', '{"access_token": "t", "expires_in": {}}', '{"access_token": "t", "refresh_token": [1]}'],
)  # fmt: skip
def test_an_odd_answer_of_a_token_endpoint_is_no_token(body: str) -> None:
    """An error of another kind would leave the call unknown, which was never sent."""
    credential = Credential("oauth2", ("A", "B"), oauth=OAuth("client_credentials", "https://shop.example/t"))
    answer = httpx2.Response(200, extensions={"viox.body": body.encode()})
    with pytest.raises(VioxError) as error:
        token_of(BackendApplicationClient("a"), credential, answer, None, "seed")
    assert error.value.code == "credential.unavailable"


def test_a_refusal_as_long_as_a_book_is_cut() -> None:
    credential = Credential("oauth2", ("A", "B"), oauth=OAuth("client_credentials", "https://shop.example/t"))
    body = orjson.dumps({"error": "invalid_client", "error_description": "x" * 2_000_000})
    with pytest.raises(VioxError) as error:
        token_of(
            BackendApplicationClient("a"), credential, httpx2.Response(400, extensions={"viox.body": body}), None, ""
        )
    assert len(error.value.message) < 1000
