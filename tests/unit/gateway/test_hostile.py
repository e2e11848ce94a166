"""What vendors and documents may try: each was a hole once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx2
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from oauthlib.oauth2 import BackendApplicationClient

from services.tool_gateway import catalogue, foreign, outcome
from services.tool_gateway.credentials import Secrets, again, shown, sign
from services.tool_gateway.doctor import Doctor
from services.tool_gateway.encode import prepare
from services.tool_gateway.execute import Sender
from services.tool_gateway.guard import Guard
from services.tool_gateway.importer import Wish, import_document
from services.tool_gateway.intake import Ready, rate_key
from services.tool_gateway.library import Library
from services.tool_gateway.oauth import Tokens
from services.tool_gateway.oauth import _answered as token_of
from services.tool_gateway.outcome import Answer
from services.tool_gateway.settle import Settler
from services.tool_gateway.store import CallRow, Requested
from services.tool_gateway.tools import Credential, OAuth, Rate, Tool
from services.tool_gateway.wire import MaybeSent, Wire
from shared.errors import BadInput, VioxError
from shared.ids import CallId, call_id, run_id
from tests.unit.gateway.test_importer import SOURCE, bring, document, one
from viox.importing import fits

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


# -- documents ----------------------------------------------------------------------------------------------------------


def with_vendor(**about: Any) -> dict[str, Any]:
    given = document(things={"get": {"operationId": "getThing"}})
    given["info"]["x-viox"] = about
    return given


def refusal(given: dict[str, Any], **wish: Any) -> str:
    """Why nothing of a document can be imported."""
    with pytest.raises(BadInput) as error:
        bring(given, **wish)
    return error.value.message


def test_a_token_endpoint_elsewhere_is_not_agreed_to_by_x_viox() -> None:
    oauth = {"grant": "client_credentials", "token_url": "https://evil.example/token"}
    given = with_vendor(credential={"scheme": "oauth2", "secrets": ["SHOP_ID", "SHOP_SECRET"], "oauth": oauth})
    assert "evil.example" in refusal(given)
    assert one(given, hosts=["evil.example"]).credentials


def test_an_imported_document_speaks_http_only() -> None:
    """With `connector: smtp` it would send mail under the business's login, with `postgres` it would ask our tables."""
    assert one(with_vendor(connector="smtp")).connector == "http"


@pytest.mark.parametrize("effect", ["once", "read"])
def test_a_look_up_is_a_tool_of_the_same_vendor_that_reads(effect: str) -> None:
    """Or else a lost answer of a document's own server would send messages that nobody judged, again and again."""
    other = "twilio_send_message" if effect == "once" else "twilio_list_messages"
    settle = {
        "tool": other,
        "arguments": {"To": "+14155550123", "Body": "x"},
        "items": "x",
        "match": {},
        "unique": "id",
        "lag_seconds": 0,
    }
    made = bring(document(things={"post": {"operationId": "make", "x-viox": {"settle": settle}}}))
    with pytest.raises(BadInput) as error:
        catalogue.load(imported=[catalogue.Document("shop", made.document)])
    assert other in error.value.message


def test_a_probe_only_reads() -> None:
    assert "probe" in refusal(document(things={"post": {"operationId": "pay", "x-viox": {"probe": {}}}}))


@pytest.mark.parametrize(
    "name", ["Host", "transfer-encoding", "Content-Length", "Connection", "X\r\nEvil", "X Y", "X-é", ""]
)
def test_headers_that_would_reframe_or_redirect_a_request_are_not_taken(name: str) -> None:
    assert "header" in refusal(with_vendor(headers={name: "x"}))
    scheme = {"key": {"type": "apiKey", "in": "header", "name": name}}
    given = document(things={"get": {"security": [{"key": []}]}}) | {"components": {"securitySchemes": scheme}}
    assert "header" in refusal(given)
    own = {"effect": "keyed", "idempotency": {"in": "header", "name": name}}
    assert "header" in refusal(document(things={"post": {"x-viox": own}}))


@pytest.mark.parametrize("name", ["Host", "transfer-encoding", "Connection", "Cookie", "TE", "Expect", "Upgrade"])
def test_header_parameters_that_are_ours_are_ignored(name: str) -> None:
    parameter = {"name": name, "in": "header", "schema": {"type": "string"}}
    assert one(document(things={"get": {"parameters": [parameter]}})).parameters == ()


def test_a_key_that_is_ours_to_fill_is_no_argument_wherever_it_is_declared() -> None:
    header = {"name": "idempotency-key", "in": "header", "schema": {"type": "string"}}
    tool = one(document(things={"parameters": [header], "post": {"operationId": "make"}}))
    assert (tool.effect, tool.parameters) == ("keyed", ())


@pytest.mark.parametrize(
    "about",
    [{"timeout_seconds": 1e12}, {"timeout_seconds": 0}, {"timeout_seconds": float("nan")},
     {"rate": {"key": "hubspot", "per_second": 10, "burst": 1}}, {"rate": {"per_second": 0}}, {"rate": {"burst": 0}},
     {"rate": {"per_second": float("nan")}}],
)  # fmt: skip
def test_what_would_slow_down_others_is_refused(about: Any) -> None:
    rate = {"key": "shop", "per_second": 1.0, "burst": 1}
    given = with_vendor(**{key: rate | value if key == "rate" else value for key, value in about.items()})
    with pytest.raises(BadInput):
        import_document(given, SOURCE, Wish("shop"))


def test_a_rate_key_is_filled_and_nothing_else() -> None:
    rate = Rate("shop:{a}:{b.__class__}:{c:>999999999}", 1.0, 1)
    assert rate_key(rate, {"a": "x" * 999, "b": "y", "c": "z"})[:7] == "shop:xx"
    assert len(rate_key(rate, {"a": "x" * 9999})) <= 200


@pytest.mark.parametrize("style", ["weird", "simple", "matrix"])
def test_a_style_that_queries_do_not_have_is_refused(style: str) -> None:
    """A call that could not be written would hold up all others that wait."""
    parameter = {"name": "a", "in": "query", "style": style, "schema": {"type": "array"}}
    assert "style" in refusal(document(things={"get": {"parameters": [parameter]}}))


def test_a_server_port_is_one() -> None:
    assert "ort" in refusal(document(things={"get": {}}) | {"servers": [{"url": "https://shop.example:99999"}]})


@pytest.mark.parametrize("setting", ["VIOX_SECRET_KEY", "VIOX_POSTGRES_DSN"])
def test_our_own_secrets_go_to_nobody_whatever_an_overlay_says(setting: str) -> None:
    update = {"x-viox": {"headers": {"X-A": {"setting": setting}}}}
    overlay = {"overlay": "1.0.0", "actions": [{"target": "$.info", "update": update}]}
    assert setting in refusal(document(things={"get": {}}), overlay=overlay)


def test_a_name_that_begins_like_another_vendors_settings_does_not_get_them() -> None:
    given = document(things={"get": {}}) | {"security": [{"key": []}]}
    given["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    made = import_document(given, SOURCE, Wish("make-api"))
    assert made.secrets() == ["MAKE_API_KEY"]
    with pytest.raises(BadInput) as error:
        fits(made, [], Wish("make-api"))
    assert "MAKE_API_KEY" in error.value.message
    fits(made, [], Wish("make-api", overlay={"x": "MAKE_API_KEY"}))
    fits(import_document(given, SOURCE, Wish("shop")), [], Wish("shop"))


def test_characters_that_postgres_cannot_keep_are_refused() -> None:
    """The gateway could neither publish such a document nor start again."""
    assert "0x00" in refusal(document(things={"get": {"description": "a\0b"}}))


# -- requests -----------------------------------------------------------------------------------------------------------


def test_a_cookie_ends_where_its_value_does() -> None:
    parameter = {"name": "lang", "in": "cookie", "schema": {"type": "string"}}
    made = prepare(
        one(document(things={"get": {"parameters": [parameter]}})), {"lang": 'de; admin="1", é%=='}, Secrets({})
    )
    assert dict(made.headers)["Cookie"] == "lang=de%3B%20admin=%221%22%2C%20%C3%A9%25=="


@pytest.mark.rule(15)
def test_a_password_in_a_base_url_is_refused_and_not_shown() -> None:
    with pytest.raises(BadInput) as error:
        prepare(one(document(things={"get": {}})), {}, Secrets({"SHOP_BASE_URL": "https://ana:s3cret@shop.example"}))
    assert error.value.field == "SHOP_BASE_URL"
    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None


def test_arguments_that_cannot_be_written_are_an_error_of_that_call_alone() -> None:
    part = {"multipart/form-data": {"schema": {"type": "object", "properties": {"a": {"type": "object"}}}}}
    tool = one(document(things={"post": {"requestBody": {"content": part}}}))
    with pytest.raises(BadInput):
        prepare(tool, {"a": {"filename": 1, "text": 2}}, Secrets({}))


@pytest.mark.rule(9)
async def test_a_repeat_has_its_cookies_and_headers_again() -> None:
    """What a call says is not taken for the place of a secret, and the place of a secret goes out as the secret."""
    parameters = [
        {"name": "lang", "in": "cookie", "schema": {"type": "string"}},
        {"name": "X-Note", "in": "header", "schema": {}},
    ]
    tool = keyed("cookie", parameters=parameters)
    secrets = Secrets({"SHOP_KEY": "s3cret"})
    first = prepare(tool, {"lang": "de", "X-Note": 'a {"$secret": 1}'}, secrets)
    url, headers = shown(first)
    assert "s3cret" not in str(headers)
    for made in (first, again(first, url, headers, b"")):
        _, real = await sign(made, secrets, cast(Any, None))
        assert dict(real)["Cookie"] == "lang=de; X-Key=s3cret"
        assert dict(real)["X-Note"] == 'a {"$secret": 1}'


# -- look-ups -----------------------------------------------------------------------------------------------------------


class Notes:
    """A store that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Notes]:
        yield self

    async def taken_items(self, *_: object) -> set[str]:
        return set()

    def __getattr__(self, name: str) -> Any:
        async def note(*_: object, **__: object) -> None:
            self.told.append(name)

        return note


class Vendor:
    def __init__(self, body: Any) -> None:
        self.answer = Answer(200, [], orjson.dumps(body))

    async def send(self, ready: Ready) -> Answer:
        return self.answer


async def looked(body: Any, arguments: dict[str, Any], **settle: Any) -> list[str]:
    """What the look-up of an unknown call led to, when the vendor answers so; all delays are over."""
    look = {
        "tool": "shop_list",
        "arguments": {},
        "items": "things",
        "match": {"name": "$.name"},
        "unique": "id",
        "lag_seconds": 0,
    }
    make = {"operationId": "make", "x-viox": {"settle": look | settle}, "requestBody": body_with_name()}
    listing = {"operationId": "list", "x-viox": {"success": {"path": "fault", "absent": True}}}
    made = bring(document(things={"get": listing, "post": make}))
    store, long_ago = Notes(), datetime.now(UTC) - timedelta(hours=1)
    tools = catalogue.Catalogue(made.tools, {})
    settler = Settler(tools, Secrets({}), cast(Any, store), cast(Any, None), cast(Any, Vendor(body)))
    run = run_id("closer", "/t", "1")
    row = CallRow(call_id(run, 1, 0), run, 1, 0, "closer", cast(Any, run), "", "shop_make", "once", "unknown", arguments, 1, 1,
                  long_ago, long_ago, None)  # fmt: skip
    settler._found = store.found  # type: ignore[method-assign]
    settler._absent = store.absent  # type: ignore[method-assign]
    await settler._look(row)
    return store.told


def body_with_name() -> Any:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    return {"content": {"application/json": {"schema": schema}}}


@pytest.mark.rule(9)
async def test_a_refusal_with_status_200_is_no_proof_of_absence() -> None:
    assert "absent" in await looked({"things": []}, {"name": "a"})
    assert "found" in await looked({"things": [{"id": 1, "name": "a"}]}, {"name": "a"})
    assert "absent" not in await looked({"things": [], "fault": "try later"}, {"name": "a"})
    assert "absent" not in await looked({"message": "maintenance"}, {"name": "a"})


@pytest.mark.rule(9)
async def test_a_call_that_names_nothing_is_not_found_in_what_has_no_name() -> None:
    told = await looked({"things": [{"id": 1}]}, {})
    assert "found" not in told
    assert "absent" not in told


# -- doctor -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [({"Origin": "https://evil.example"}, b'{"tool": "x"}', 403), ({"Origin": "null"}, None, 403), ({}, b'{"tool": "x"}', 400),
     ({}, b"{", 400), ({}, b"[]", 400), ({}, b'{"tool": "x", "arguments": [1]}', 400)],
)  # fmt: skip
async def test_a_page_in_a_browser_cannot_have_calls_made(
    headers: dict[str, str], data: bytes | None, status: int
) -> None:
    """A form or a script of any site reaches this machine's ports, and after DNS rebinding reads what they answer."""
    doctor = Doctor(catalogue.Catalogue([], {}), Secrets({}), cast(Any, None), cast(Any, None), cast(Any, None))
    app = web.Application()
    app.router.add_post("/doctor", doctor.serve)
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/doctor", data=data, headers=headers)
        assert answer.status == status
        assert "error" in await answer.json()


# -- a catalogue in use -------------------------------------------------------------------------------------------------


async def test_a_large_document_does_not_hold_up_the_calls_under_way() -> None:
    large = bring(document(**{f"things{n}": {"get": {"operationId": f"get{n}"}} for n in range(4_000)}))

    class Documents:
        async def documents_stamp(self) -> str:
            return "1"

        async def documents(self) -> list[tuple[str, Any]]:
            return [("shop", large.document)]

    reading = asyncio.create_task(Library(cast(Any, Documents()), [], {}).read())
    longest, before = 0.0, (began := time.monotonic())
    while not reading.done():
        await asyncio.sleep(0.01)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    assert len((await reading).tools) > 4_000
    assert longest < (before - began) / 2


# -- where documents come from ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["http://[::1", "http://127.0.0.1:99999/", "http://a b/", "file:///etc/passwd", "http://169.254.169.254/"]
)
async def test_a_redirect_to_nowhere_is_refused_by_name(place: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + place.encode() + b"\r\n\r\n")
        writer.close()

    server, wire = await asyncio.start_server(serve, "127.0.0.1", 0), Wire(Guard(loopback=True))
    try:
        with pytest.raises(BadInput) as error:
            await foreign.fetch(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", wire)
        assert error.value.code == "document.unreachable"
    finally:
        server.close()
        await wire.aclose()


@pytest.mark.rule(15)
def test_a_token_in_a_documents_address_is_not_kept() -> None:
    made = import_document(document(things={"get": {}}), SOURCE + "?token=s3cret", Wish("shop"))
    assert "s3cret" not in str(made.document)
