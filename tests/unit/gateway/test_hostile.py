"""What vendors and documents may try: each was a hole once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx2
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from oauthlib.oauth2 import BackendApplicationClient

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.call import outcome
from services.tool_gateway.call.call import CallRow, Ready, Requested
from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.settle import Settler
from services.tool_gateway.catalogue import catalogue, foreign
from services.tool_gateway.catalogue.importer import Wish, import_document
from services.tool_gateway.catalogue.library import Library
from services.tool_gateway.catalogue.tools import Credential, OAuth, Tool
from services.tool_gateway.doctor import Doctor
from services.tool_gateway.wire.credentials import Secrets, again, apply_credentials, redacted
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.oauth import _answered as token_of
from services.tool_gateway.wire.transport import MaybeSent, NotSent, Wire
from shared.errors import BadInput, VioxError
from shared.ids import CallId, call_id, run_id
from shared.redaction import Redactions, Redactor
from tests.unit.gateway.test_importer import SOURCE, bring, document, one

TOOLS = catalogue.load().tools


def keyed(place: str, **operation: Any) -> Tool:
    """A tool that needs the secret SHOP_KEY."""
    given = document(things={"get": {"operationId": "getThing"} | operation})
    scheme = {"type": "apiKey", "in": place, "name": "X-Key"}
    return one(given | {"security": [{"key": []}], "components": {"securitySchemes": {"key": scheme}}}, trusted=True)


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
    sender = Sender(wire, secrets, cast(Tokens, None), {}, Redactor())
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


ECHOES = {
    "status line": "HTTP/9.9 {} \0\r\n\r\n",
    "reason": "HTTP/1.1 500 {}\r\nContent-Length: 2\r\n\r\n{{}}",
    "header line": "HTTP/1.1 200 OK\r\nBad Hea der {}\r\n\r\n",
    "length": "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
    "chunk size": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
    "header": "HTTP/1.1 200 OK\r\nX-Echo: {}\r\nContent-Length: 2\r\n\r\n{{}}",
    "redirect": "HTTP/1.1 302 F\r\nLocation: https://b.example/?k={}\r\nContent-Length: 0\r\n\r\n",
    "error": 'HTTP/1.1 401 No\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{{"message": "bad {}"}}',
    "body": 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{{"k": "{}"}}',
}
ECHO_CODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL": lambda s: quote(s, safe=""),
    "base64": lambda s: base64.b64encode(f"me:{s}".encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "JSON": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
}


@pytest.mark.rule(15)
@pytest.mark.parametrize("coding", ECHO_CODINGS)
@pytest.mark.parametrize("place", ECHOES)
async def test_a_credential_said_back_anywhere_is_in_no_answer_and_no_error(place: str, coding: str) -> None:
    secret = "k3y/Wq+77==RtZ9pLmX"
    said = ECHO_CODINGS[coding](secret)
    tool = keyed("header")
    try:
        answer, read = await sent(tool, secret, ECHOES[place].format(said).encode())
    except (MaybeSent, NotSent) as error:
        told = repr(error.as_dict())
    else:
        assert secret.encode() in read
        told = repr((answer.headers, answer.body, outcome.of_answer(tool, answer, 1)))
    assert said not in told
    assert secret[:10] not in told


@pytest.mark.rule(9)
def test_a_retry_after_that_is_no_number_is_none() -> None:
    for given in ("nan", "-nan", "NaN"):
        meaning = outcome.of_answer(TOOLS["twilio_send_message"], Answer(429, [("Retry-After", given)], b"{}"), 1)
        assert (meaning.state, meaning.wait_seconds) == ("requested", 1.0)


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    "body",
    [
        "[1]",
        "5",
        '{"access_token": {"a": 1}}',
        '{"access_token": "t", "expires_in": 1e999}',
        '{"access_token": 7}',
        '{"access_token": "t", "expires_in": NaN}',
        '{"access_token": "t", "expires_in": 1e300}',
        '{"access_token": "t\\r\\nHost: x"}',
        '{"access_token": "t", "expires_in": {}}',
        '{"access_token": "t", "refresh_token": [1]}',
    ],
)
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
    url, headers = redacted(first)
    assert "s3cret" not in str(headers)
    for made in (first, again(first, url, headers, b"")):
        real = (await apply_credentials(made, secrets, cast(Any, None), Redactions()))[1]
        assert dict(real)["Cookie"] == "lang=de; X-Key=s3cret"
        assert dict(real)["X-Note"] == 'a {"$secret": 1}'


@pytest.mark.parametrize("name", ["X-Key", "account", "limit"])
def test_an_object_in_the_query_does_not_say_what_is_somebody_elses_to_say(name: str) -> None:
    """Each of its keys becomes a name of its own: of another parameter, of a setting, of the credential."""
    fields: list[Any] = [
        {"name": "filter", "in": "query", "schema": {"type": "object"}},
        {"name": "account", "in": "query", "schema": {"type": "string"}, "x-viox-setting": "SHOP_ACCOUNT"},
        {"name": "limit", "in": "query", "schema": {"type": "integer"}},
    ]
    tool, secrets = keyed("query", parameters=fields), Secrets({"SHOP_KEY": "k", "SHOP_ACCOUNT": "7"})
    assert prepare(tool, {"filter": {"sky": "blue"}}, secrets).url.endswith("?sky=blue&account=7")
    with pytest.raises(BadInput) as error:
        prepare(tool, {"filter": {name: "evil"}}, secrets)
    assert error.value.field == "filter"


def test_an_object_in_a_form_does_not_either() -> None:
    fields = {"From": {"type": "string", "x-viox-setting": "SHOP_FROM"}, "extra": {"type": "object"}}
    spread = {"schema": {"type": "object", "properties": fields}, "encoding": {"extra": {"style": "form"}}}
    form = {"application/x-www-form-urlencoded": spread}
    tool = one(document(things={"post": {"requestBody": {"content": form}}}), trusted=True)
    secrets = Secrets({"SHOP_FROM": "+1500"})
    assert prepare(tool, {"extra": {"a": "b"}}, secrets).body == b"From=%2B1500&a=b"
    with pytest.raises(BadInput):
        prepare(tool, {"extra": {"From": "+1666"}}, secrets)


# -- look-ups -----------------------------------------------------------------------------------------------------------


class Notes:
    """A store that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Notes]:
        yield self

    async def fetch(self, *_: object) -> list[Any]:
        return []

    async def taken_items(self, *_: object) -> set[str]:
        return set()

    async def reserve_rate_slots(self, calls: Any) -> dict[str, datetime]:
        return {call: datetime.now(UTC) for call, _, _ in calls}

    def __getattr__(self, name: str) -> Any:
        async def note(*_: object, **__: object) -> None:
            self.told.append(name)

        return note


class Vendor:
    def __init__(self, body: Any) -> None:
        self.answer = Answer(200, [], orjson.dumps(body))

    async def send(self, ready: Ready) -> Answer:
        return self.answer

    def without_secrets(self, tool: Tool, value: Any) -> Any:
        return value


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
    made = bring(document(things={"get": listing, "post": make}), trusted=True)
    store, long_ago = Notes(), datetime.now(UTC) - timedelta(hours=1)
    tools = catalogue.Catalogue(made.tools, {})
    settler = Settler(
        tools, Secrets({}), cast(Any, store), cast(Any, None), cast(Any, Vendor(body)), InFlightLimiter(1)
    )
    run = run_id("closer", "/t", "1")
    row = CallRow(
        call_id(run, 1, 0),
        run,
        1,
        0,
        "closer",
        cast(Any, run),
        "",
        "shop_make",
        arguments,
        None,
        vendor="shop",
        effect="once",
        state="unknown",
        attempt=1,
        look_ups=1,
        lease_until=long_ago,
        unknown_since=long_ago,
    )
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


OPERATOR = {"Authorization": "Bearer ours"}


async def asked(settings: dict[str, str], headers: dict[str, str], data: bytes | None = None) -> tuple[int, Any]:
    """Status and document of the gateway's /doctor, with an empty catalogue."""
    doctor = Doctor(
        catalogue.Catalogue([], {}), Secrets(settings), cast(Any, Notes()), cast(Any, None), cast(Any, None)
    )
    app = web.Application()
    app.router.add_post("/doctor", doctor.serve)
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/doctor", data=data, headers=headers)
        return answer.status, await answer.json()


async def test_a_probe_that_fails_unforeseen_hides_no_other_finding() -> None:
    class Sender:
        async def send(self, ready: Any) -> Answer:
            if ready.tool.vendor == "records":
                raise RuntimeError("a bug of ours")
            return Answer(200, [("content-type", "application/json")], b"{}")

        def discreet(self, tool: Tool, result: Any) -> Any:
            return result

    tools = [tool for tool in TOOLS.values() if tool.vendor in ("records", "hubspot")]
    secrets = Secrets({"HUBSPOT_ACCESS_TOKEN": "t", "HUBSPOT_BASE_URL": "https://api.hubapi.com"})
    doctor = Doctor(catalogue.Catalogue(tools, {}), secrets, cast(Any, Notes()), cast(Any, Sender()), cast(Any, None))
    found = {one["vendor"]: one for one in await doctor.examine()}
    assert found.keys() == {"records", "hubspot"}
    assert found["records"]["state"] == "failed"
    assert "RuntimeError" in found["records"]["message"]
    assert "bug" not in found["records"]["message"], "what an exception says may have secrets in it"
    assert found["hubspot"]["tool"] is not None


@pytest.mark.parametrize(("named", "state"), [({}, "warning"), ({"MAIL_AUTHSERV_ID": "mx.biz.example"}, "ok")])
async def test_a_mailbox_whose_senders_nothing_proves_is_warned_of(named: dict[str, str], state: str) -> None:
    class Sender:
        async def send(self, ready: Any) -> Answer:
            return Answer(200, [("content-type", "application/json")], b'{"messages": []}')

        def discreet(self, tool: Tool, result: Any) -> Any:
            return result

    tools = [TOOLS["mailbox_list_messages"]]
    secrets = Secrets({"IMAP_HOST": "imap.biz.example", "IMAP_USERNAME": "u", "IMAP_PASSWORD": "p"} | named)
    doctor = Doctor(catalogue.Catalogue(tools, {}), secrets, cast(Any, Notes()), cast(Any, Sender()), cast(Any, None))
    (found,) = await doctor.examine()
    assert found["state"] == state
    assert found["field"] == (None if named else "MAIL_AUTHSERV_ID")


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        ({"Origin": "https://evil.example"}, b'{"tool": "x"}', 403),
        ({"Origin": "null"}, None, 403),
        ({}, b'{"tool": "x"}', 400),
        ({}, b"{", 400),
        ({}, b"[]", 400),
        ({}, b'{"tool": "x", "arguments": [1]}', 400),
    ],
)
async def test_a_page_in_a_browser_cannot_have_calls_made(
    headers: dict[str, str], data: bytes | None, status: int
) -> None:
    """A form or a script of any site reaches this machine's ports, and after DNS rebinding reads what they answer."""
    found, document = await asked({"VIOX_OPERATOR_TOKEN": "ours"}, OPERATOR | headers, data)
    assert found == status
    assert "error" in document


@pytest.mark.parametrize(
    "authorization", [None, "", "ours", "Bearer our", "bearer ours", "Bearer öurs", "Basic b3Vycw=="]
)
@pytest.mark.parametrize("data", [None, b'{"tool": "records_query"}'])
async def test_only_whoever_shows_the_operators_token_is_answered(
    authorization: str | None, data: bytes | None
) -> None:
    """Whoever reaches the port of the metrics could otherwise ask every vendor and our tables, and read what they say."""
    headers = {} if authorization is None else {"Authorization": authorization}
    status, document = await asked({"VIOX_OPERATOR_TOKEN": "ours"}, headers, data)
    assert (status, document["error"]["code"], document["error"]["field"]) == (
        403,
        "doctor.wrong_token",
        "VIOX_OPERATOR_TOKEN",
    )
    assert document["error"]["remedy"]
    assert "ours" not in str(document)


async def test_a_gateway_without_an_operators_token_answers_nobody(tmp_path: Path) -> None:
    status, document = await asked({}, {"Authorization": "Bearer "})
    assert (status, document["error"]["code"]) == (403, "doctor.no_token")
    status, document = await asked({"VIOX_OPERATOR_TOKEN_FILE": str(tmp_path / "none")}, OPERATOR)
    assert (status, document["error"]["field"]) == (403, "VIOX_OPERATOR_TOKEN_FILE")
    (tmp_path / "token").write_text("ours\n")
    status, document = await asked({"VIOX_OPERATOR_TOKEN_FILE": str(tmp_path / "token")}, OPERATOR)
    assert (status, document["vendors"]) == (200, [])


# -- a catalogue in use -------------------------------------------------------------------------------------------------


async def test_reading_a_catalogue_does_not_hold_up_the_calls_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Documents:
        async def documents_stamp(self) -> str:
            return "1"

        async def documents(self) -> list[tuple[str, Any]]:
            return []

    calls_went_on, load = threading.Event(), catalogue.load

    def long_load(*given: Any, **more: Any) -> catalogue.Catalogue:
        assert calls_went_on.wait(60), "the loop stood still while the catalogue was read"
        return load(*given, **more)

    monkeypatch.setattr(catalogue, "load", long_load)
    reading = asyncio.create_task(Library(cast(Any, Documents()), [], {}).read())
    await asyncio.sleep(0)  # now the reading has begun
    calls_went_on.set()
    assert (await reading).tools


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
