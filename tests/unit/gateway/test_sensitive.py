"""What is sensitive by schema or path is found wherever a value may have it, and taken out before anything is kept."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.marks import REDACTED, Marks, joined
from services.tool_gateway.answers.reading import json_value
from services.tool_gateway.answers.redacting import redacted
from services.tool_gateway.call.outcome import of_answer
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.importer import Wish, import_document
from services.tool_gateway.catalogue.sensitive import Sensitive, path_marks
from services.tool_gateway.catalogue.tools import Tool
from shared.errors import BadInput
from shared.telemetry.digest import sha256_bytes

SECRET = {"type": "string", "x-viox-sensitive": True}
SCHEMAS: dict[str, Any] = {
    "Tree": {
        "type": "object",
        "properties": {"key": SECRET, "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    },
    "Card": {"type": "object", "properties": {"number": SECRET, "last4": {"type": "string"}}},
    "Bank": {"type": "object", "properties": {"iban": {"type": "string", "format": "password"}}},
}


def of(schema: dict[str, Any]) -> Marks:
    return Sensitive({"components": {"schemas": SCHEMAS}, "schema": schema}).of_schemas([schema])


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.mark.parametrize(
    ("schema", "value", "hidden"),
    [
        ({"properties": {"a": SECRET}}, {"a": "x", "b": "x"}, {"a": REDACTED, "b": "x"}),
        ({"properties": {"a": SECRET}}, {"a": None}, {"a": None}),
        ({"properties": {"a": SECRET}}, {"a": {"b": [1]}}, {"a": REDACTED}),
        ({"properties": {"a": {"writeOnly": True}}}, {"a": 7}, {"a": REDACTED}),
        (
            {"type": "array", "items": ref("Card")},
            [{"number": "4", "last4": "4"}],
            [{"number": REDACTED, "last4": "4"}],
        ),
        ({"prefixItems": [{}, SECRET]}, ["a", "b"], [REDACTED, REDACTED]),
        (
            {"allOf": [ref("Card"), {"properties": {"cvc": SECRET}}]},
            {"number": "4", "cvc": 1, "last4": "4"},
            {"number": REDACTED, "cvc": REDACTED, "last4": "4"},
        ),
        ({"oneOf": [ref("Card"), ref("Bank")]}, {"iban": "DE1", "number": "4"}, {"iban": REDACTED, "number": REDACTED}),
        (
            {"properties": {"open": {"type": "string"}}, "additionalProperties": SECRET},
            {"open": "x", "other": "x"},
            {"open": "x", "other": REDACTED},
        ),
        ({"patternProperties": {"^s": SECRET}}, {"s1": "x"}, {"s1": REDACTED}),
        (
            ref("Tree"),
            {"key": "x", "children": [{"key": "y", "children": [{"key": "z", "name": "leaf"}]}]},
            {"key": REDACTED, "children": [{"key": REDACTED, "children": [{"key": REDACTED, "name": "leaf"}]}]},
        ),
    ],
)
def test_a_schema_marks_wherever_a_value_may_have_it(schema: dict[str, Any], value: Any, hidden: Any) -> None:
    assert of(schema).redacted(value)[0] == hidden


def test_a_schema_without_marks_marks_nothing() -> None:
    assert not of({"properties": {"a": {"type": "string", "format": "email"}, "b": {"$ref": "#/nowhere"}}})


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("$.card.number", {"card": {"number": REDACTED, "cards": [{"number": 2}]}, "list": [{"number": 3}]}),
        ("$.list[*].number", {"card": {"number": 1, "cards": [{"number": 2}]}, "list": [{"number": REDACTED}]}),
        ("$.list[0]", {"card": {"number": 1, "cards": [{"number": 2}]}, "list": [REDACTED]}),
        ("$.*.number", {"card": {"number": REDACTED, "cards": [{"number": 2}]}, "list": [{"number": 3}]}),
        ("$..number", {"card": {"number": REDACTED, "cards": [{"number": REDACTED}]}, "list": [{"number": REDACTED}]}),
        ("$..cards..number", {"card": {"number": 1, "cards": [{"number": REDACTED}]}, "list": [{"number": 3}]}),
    ],
)
def test_a_path_marks_what_it_leads_to(path: str, hidden: Any) -> None:
    value = {"card": {"number": 1, "cards": [{"number": 2}]}, "list": [{"number": 3}]}
    assert path_marks(path).redacted(value)[0] == hidden
    assert joined(path_marks("$.nowhere"), path_marks(path)).redacted(value)[0] == hidden


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pay", "version": "1", "x-viox": {"vendor": "pay", "base_url_setting": "PAY_BASE_URL"}},
    "servers": [{"url": "https://pay.example.com"}],
    "components": {"schemas": SCHEMAS},
}


def document(own: dict[str, Any], schema: Any = None, **more: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": ref("Card") if schema is None else schema}}
    operation = {
        "operationId": "get",
        "responses": {"200": {"description": "", "content": content}},
        "x-viox": {"tool": "pay_get", "effect": "read"} | own,
    }
    return DOCUMENT | {"paths": {"/card": {"get": operation | more}}}


def tool(own: dict[str, Any] | None = None, schema: Any = None, **more: Any) -> Tool:
    return read_tools(document(own or {}, schema, **more), "pay")[0]


@pytest.mark.parametrize("path", ["$.last4", "$..last4", "$['last4']", "$.*"])
def test_a_path_that_the_schema_describes_is_taken(path: str) -> None:
    assert tool({"redact": [path]}).redact.redacted({"last4": "4242", "id": 1})[0]["last4"] == REDACTED


@pytest.mark.parametrize("path", ["$.lst4", "$..lst4", "$.last4.digits", "$.last4[*]", "last4", "$", "$.a[?@.b]"])
def test_a_path_that_leads_to_nothing_is_an_error(path: str) -> None:
    with pytest.raises(BadInput, match="redact"):
        tool({"redact": [path]})


def test_a_path_into_what_the_schema_leaves_open_is_taken() -> None:
    assert tool({"redact": ["$.anything.below"]}, {"properties": {"anything": {"type": "object"}}}).redact


def test_what_decides_about_success_cannot_be_taken_out() -> None:
    with pytest.raises(BadInput, match="whether a call succeeded"):
        tool({"success": {"path": "number", "one_of": ["1"]}})


def test_an_imported_document_keeps_its_marks_and_only_those_schemas() -> None:
    given = document({}, parameters=[]) | {"info": {"title": "Pay", "version": "1"}}
    del given["paths"]["/card"]["get"]["x-viox"]
    made = import_document(given, "https://pay.example.com/api.json", Wish("pay"))
    again = read_tools(orjson.loads(orjson.dumps(made.document)), "pay")[0]
    assert again.redact.redacted({"number": "4", "last4": "4"})[0] == {"number": REDACTED, "last4": "4"}
    plain = DOCUMENT | {"components": {}, "info": given["info"], "paths": document({}, {"type": "object"})["paths"]}
    (item,) = import_document(plain, "https://pay.example.com/api.json", Wish("pay")).document["paths"].values()
    assert item["get"]["responses"]["200"]["content"] == {"application/json": {}}


def test_schemas_that_branch_without_end_are_given_up_soon() -> None:
    deep: dict[str, Any] = {"properties": {"a": SECRET}}
    for _ in range(4000):
        deep = {"allOf": [deep], "properties": {"p": deep}}
    with pytest.raises(ValueError, match="branches"):
        of(deep)


# -- answers ------------------------------------------------------------------------------------------------------------

JSON = [("Content-Type", "application/json"), ("X-Request-Id", "7")]
PAY = tool()
BODY = b'{ "number": "4242", "last4": "4242", "price": 1.50 }'


def test_an_answer_without_anything_sensitive_stays_byte_for_byte() -> None:
    answer = Answer(200, JSON, b'{ "last4": "4242", "price": 1.50 }')
    assert redacted(answer, PAY.redact, True) is answer


@pytest.mark.parametrize("encoded", [False, True])
def test_what_is_kept_of_an_answer_is_said_to_be_redacted(encoded: bool) -> None:
    body, headers = (gzip.compress(BODY), [*JSON, ("Content-Encoding", "gzip")]) if encoded else (BODY, JSON)
    kept = redacted(Answer(200, headers, body), PAY.redact, True)
    assert orjson.loads(kept.body) == {"number": REDACTED, "last4": "4242", "price": 1.5}
    assert kept.hidden
    assert kept.hidden.as_dict() == {"values": 1, "original_sha256": sha256_bytes(body), "original_bytes": len(body)}
    assert dict(kept.headers) == {"X-Request-Id": "7", "Content-Type": "application/json"}


def test_lines_and_forms_are_redacted_too() -> None:
    lines = Answer(200, [("Content-Type", "application/x-ndjson")], b'{"number":"1"}\n{"number":"2"}\nhalf a li')
    kept = redacted(lines, PAY.redact, False)
    assert kept.body.split(b"\n")[:2] == [b'{"number":"[redacted]"}'] * 2
    form = Answer(200, [("Content-Type", "application/x-www-form-urlencoded")], b"number=42&last4=2")
    assert orjson.loads(redacted(form, PAY.redact, False).body) == {"number": REDACTED, "last4": "2"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, JSON, b'{"number": "4242", '),
        Answer(500, JSON, b'{"number": "4242", '),
        Answer(200, JSON, b"[" * 5000 + b'"4242"' + b"]" * 5000),
        Answer(200, JSON, BODY[:20], cut=True),
        Answer(200, [*JSON, ("Content-Encoding", "gzip")], gzip.compress(BODY)[:30]),
        Answer(200, [("Content-Type", "text/html")], b"<html><body>4242</body></html>"),
    ],
)
def test_where_it_cannot_be_looked_for_nothing_is_kept(answer: Answer) -> None:
    kept = redacted(answer, PAY.redact, True)
    assert (kept.body, kept.hidden and kept.hidden.withheld) == (b"", True)
    with pytest.raises(ValueError, match="withheld"):
        json_value(kept, 10**6)
    before, after = of_answer(PAY, answer, 1), of_answer(PAY, kept, 1)
    assert before.state == after.state, "what a call's state is does not change by that"
    assert "4242" not in str(after)


def test_the_page_of_a_proxy_is_no_answer_of_the_operation() -> None:
    page = Answer(502, [("Content-Type", "text/html")], b"<html><title>Bad Gateway</title></html>")
    assert redacted(page, PAY.redact, True) is page


@pytest.mark.parametrize(
    ("name", "answer", "hidden"),
    [
        ("stripe_get_payment_intent", {"id": "pi_1", "client_secret": "pi_1_secret_x"}, {"client_secret"}),
        ("stripe_list_payment_intents", {"data": [{"client_secret": "x", "id": "pi_1"}]}, {"client_secret"}),
        ("twilio_list_numbers", {"incoming_phone_numbers": [{"auth_token": "x"}]}, {"auth_token"}),
        ("quickbooks_get_customer", {"Customer": {"PrimaryTaxIdentifier": "X", "Id": "1"}}, {"PrimaryTaxIdentifier"}),
        ("elevenlabs_get_agent", {"tools": [{"request_headers": {"Key": "x"}}]}, {"request_headers"}),
    ],
)
def test_our_vendors_documents_mark_what_is_secret(name: str, answer: Any, hidden: set[str]) -> None:
    made, count = catalogue.load().tools[name].redact.redacted(answer)
    assert count == len(hidden)
    assert all(f'"{one}":"[redacted]"' in orjson.dumps(made).decode() for one in hidden)
