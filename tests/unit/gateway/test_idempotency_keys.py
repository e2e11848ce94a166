"""Idempotency keys: where an operation takes one, and in which form."""

from __future__ import annotations

import re
import uuid
from typing import Any

import orjson
import pytest

from services.tool_gateway.catalogue.idempotency import is_key_name
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire import keys
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from tests.unit.gateway.test_importer import bring, document, one

CALL = "0b1d3f62-64f8-5a7e-8c55-0d8a6f3c2b11.7.0"
OTHER = "0b1d3f62-64f8-5a7e-8c55-0d8a6f3c2b11.7.1"
KEY = "Idempotency-Key"


def header(schema: Any, name: str = KEY, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": schema} | more


def pay(parameter: dict[str, Any], method: str = "post", **wish: Any) -> Tool:
    return one(document(things={method: {"operationId": "pay", "parameters": [parameter]}}), **wish)


def sent(tool: Tool, call: str = CALL, name: str = KEY) -> str:
    (found,) = [v for n, v in prepare(tool, {}, Secrets({}), key=call).headers if n == name]
    return found


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ({"type": "string"}, re.escape(CALL)),
        ({"type": "string", "maxLength": 255}, re.escape(CALL)),
        ({"type": "string", "format": "uuid"}, None),
        ({"type": "string", "format": "GUID"}, None),
        ({"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}, None),
        ({"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"}, None),
        ({"type": "string", "pattern": "^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$"}, None),
        ({"type": "string", "minLength": 36, "maxLength": 36}, None),
        ({"type": "string", "maxLength": 40, "pattern": "^[a-zA-Z0-9-]+$"}, r"[a-zA-Z0-9-]{1,40}"),
        ({"type": "string", "maxLength": 45}, r".{1,45}"),
        ({"type": "string", "maxLength": 32}, r".{16,32}"),
        ({"type": "string", "maxLength": 20}, r".{11,20}"),
        ({"type": "string", "pattern": "^[A-Za-z0-9]{16,30}$"}, r"[A-Za-z0-9]{16,30}"),
        ({"type": "string", "pattern": "^[0-9a-f]{64}$"}, r"[0-9a-f]{64}"),
        ({"type": "string", "pattern": "^[A-Z0-9]{24}$"}, r"[A-Z0-9]{24}"),
        ({"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}, r"[0-7][0-9A-HJKMNP-TV-Z]{25}"),
        ({"type": "string", "pattern": "^[0-9]{1,30}$"}, r"\d{18,30}"),
        ({"type": "string", "pattern": "^idem_[a-z0-9]{20,40}$"}, r"idem_[a-z0-9]{20,40}"),
        ({"type": "integer", "format": "int64"}, r"\d{18}"),
        ({"allOf": [{"type": "string"}, {"maxLength": 36}]}, r".{1,36}"),
    ],
)
def test_the_key_has_the_shape_that_the_document_asks_for(schema: Any, pattern: str | None) -> None:
    tool = pay(header(schema))
    one_call, again, another = sent(tool), sent(tool), sent(tool, OTHER)
    assert one_call == again
    assert one_call != another
    if pattern is None:
        assert str(uuid.UUID(one_call)) == one_call.lower()
    else:
        assert re.fullmatch(pattern, one_call)
    assert (tool.effect, tool.input_schema["properties"]) == ("keyed", {})


@pytest.mark.parametrize(
    "parameter",
    [
        header({"type": "string"}, description="A UUID that is new for each payment."),
        header({"type": "string", "example": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}),
        header({"type": "string"}, example="f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
    ],
)
def test_a_uuid_in_prose_or_example_is_heard(parameter: dict[str, Any]) -> None:
    assert uuid.UUID(sent(pay(parameter))).version == 4


def test_a_key_that_cannot_be_made_is_told_with_a_remedy() -> None:
    given = document(
        good={"get": {}},
        bad={"post": {"operationId": "pay", "parameters": [header({"type": "string", "maxLength": 6})]}},
    )
    (skipped,) = bring(given).skipped
    assert "idempotency key Idempotency-Key" in skipped.reason
    assert "overlay" in skipped.reason


def test_an_optional_key_that_cannot_be_made_is_not_sent() -> None:
    parameter = header({"type": "string", "enum": ["a"]}, required=False)
    made = bring(document(things={"post": {"operationId": "pay", "parameters": [parameter]}}))
    (tool,) = made.tools
    assert (tool.effect, tool.input_schema["properties"]) == ("once", {})
    assert any(KEY in remark and places == ["POST /things"] for remark, places in made.remarks.items())


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("Idempotency-Key", True),
        ("X-Idempotency-Key", True),
        ("Shop-Idempotency-Key", True),
        ("idempotencyKey", True),
        ("idempotency_token", True),
        ("X-Payout-Idempotency", True),
        ("X-idempotence-uuid", True),
        ("Idempotent-Request-Id", True),
        ("PayPal-Request-Id", True),
        ("X-Request-Id", False),
        ("is_idempotent", False),
        ("idempotency_expires_at", False),
        ("key", False),
    ],
)
def test_a_key_is_known_by_its_name(name: str, is_one: bool) -> None:
    assert is_key_name(name) is is_one


def body(*required: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"content": {"application/json": {"schema": schema}}}


def test_a_key_in_the_body_makes_a_post_keyed_and_is_ours_to_fill() -> None:
    keyed = {"type": "string", "maxLength": 45, "minLength": 1}
    request = body("amount", "idempotency_key", amount={"type": "integer"}, idempotency_key=keyed)
    tool = one(document(things={"post": {"operationId": "pay", "requestBody": request}}))
    assert tool.effect == "keyed"
    assert list(tool.input_schema["required"]) == ["amount"]
    assert tool.problem_with({"amount": 5, "idempotency_key": "made-up"})
    made = orjson.loads(prepare(tool, {"amount": 5}, Secrets({}), key=CALL).body)
    assert made["amount"] == 5
    assert 0 < len(made["idempotency_key"]) <= 45
    assert made == orjson.loads(prepare(tool, {"amount": 5}, Secrets({}), key=CALL).body)


def test_a_key_alone_makes_a_body() -> None:
    request = body("idempotencyKey", idempotencyKey={"type": "integer"})
    tool = one(document(things={"patch": {"operationId": "pay", "requestBody": request}}))
    assert tool.effect == "keyed"
    assert isinstance(orjson.loads(prepare(tool, {}, Secrets({}), key=CALL).body)["idempotencyKey"], int)


def test_a_key_in_the_query_is_filled_too() -> None:
    tool = pay({"name": "idempotency_key", "in": "query", "schema": {"type": "string"}})
    assert prepare(tool, {}, Secrets({}), key="a-call").url.endswith("?idempotency_key=a-call")


@pytest.mark.parametrize(("method", "effect"), [("put", "idempotent"), ("delete", "idempotent"), ("patch", "keyed")])
def test_other_methods_send_the_key_as_well(method: str, effect: str) -> None:
    tool = pay(header({"type": "string"}), method)
    assert (tool.effect, tool.input_schema["properties"], sent(tool)) == (effect, {}, CALL)


def test_an_overlay_names_a_key_and_its_form_follows_from_the_document() -> None:
    parameter = header({"type": "string", "format": "uuid"}, "X-Request-Id")
    said = {"effect": "keyed", "idempotency": {"in": "header", "name": "X-Request-Id"}}
    overlay = {"overlay": "1.0.0", "actions": [{"target": "$.paths['/things'].post", "update": {"x-viox": said}}]}
    tool = pay(parameter, overlay=overlay)
    assert uuid.UUID(sent(tool, name="X-Request-Id"))
    assert tool.input_schema["properties"] == {}


def test_a_key_that_only_prose_calls_so_is_told_and_not_taken_for_one() -> None:
    parameter = header({"type": "string"}, "X-Request-Id", description="Makes the request idempotent.", required=False)
    made = bring(document(things={"post": {"operationId": "pay", "parameters": [parameter]}}))
    assert made.tools[0].effect == "once"
    assert any("X-Request-Id" in remark and "idempotency" in remark for remark in made.remarks)


@pytest.mark.parametrize("form", ["hex", "hex:4", "words:9", "uuid:4", "hex:1000", "digits:17"])
def test_a_form_that_is_none_or_too_short_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="idempotency key"):
        keys.check_form(form)
