"""Request bodies as people describe them: the media type, files, forms of any shape, bodies that may be left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest

from services.tool_gateway.catalogue import media
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import BadInput
from tests.unit.gateway.test_importer import bring, document, one

FORM, MULTIPART, JSON = "application/x-www-form-urlencoded", "multipart/form-data", "application/json"
TEXT = {"type": "string"}
UPLOAD = {"type": "string", "format": "binary"}
HELLO = {"filename": "a.txt", "text": "hello"}


def tool(content: Mapping[str, Any], version: str = "3.0.3", **request: Any) -> Tool:
    body = {"content": content} | request
    return one(document(things={"post": {"operationId": "send", "requestBody": body}}) | {"openapi": version})


def takes(media_type: str, schema: Any, *, encoding: Any = None, version: str = "3.0.3", **request: Any) -> Tool:
    described = {"schema": schema} | ({"encoding": encoding} if encoding else {})
    return tool({media_type: described}, version, **request)


def sent(made: Tool, arguments: dict[str, Any]) -> Prepared:
    assert made.problem_with(arguments) is None, made.problem_with(arguments)
    return prepare(made, arguments, Secrets({}))


def header(made: Prepared, name: str) -> str | None:
    found = [value for key, value in made.headers if key.lower() == name]
    assert len(found) < 2
    return found[0] if found else None


def obj(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


# -- which media type ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["application/merge-patch+json", JSON], JSON),
        (["application/json-patch+json", "text/json", "application/*+json", JSON], JSON),
        (["application/json; charset=utf-8", JSON], JSON),
        (["application/vnd.shop.v2+json", "text/json"], "text/json"),
        (["application/merge-patch+json", "application/vnd.api+json"], "application/vnd.api+json"),
        (["application/merge-patch+json", FORM], FORM),
        (["application/xml", "Application/JSON"], "Application/JSON"),
        (["application/xml", MULTIPART, FORM], FORM),
        (["application/x-ndjson", "text/plain"], "text/plain"),
        (["application/merge-patch+json"], "application/merge-patch+json"),
        (["application/xml\r\nX-Evil: 1", "*/*"], "*/*"),
    ],
)
def test_the_plainest_of_the_offered_media_types_is_sent(offered: list[str], chosen: str) -> None:
    assert media.for_body({kind: {} for kind in offered})[0] == chosen


def test_a_wildcard_is_sent_as_json() -> None:
    made = sent(takes("*/*", obj(name=TEXT)), {"name": "Ana"})
    assert (header(made, "content-type"), made.body) == (JSON, b'{"name":"Ana"}')


def test_a_body_in_no_writable_media_type_is_left_out_by_name() -> None:
    content: dict[str, Any] = {"application/xml": {}, "application/x-ndjson": {}}
    given = {"post": {"requestBody": {"content": content}}}
    with pytest.raises(BadInput, match=r"application/xml, application/x-ndjson"):
        bring(document(things=given))


@pytest.mark.parametrize(
    ("responses", "accept", "answer"),
    [
        ({"200": ["text/plain", JSON, "text/json"]}, JSON, "any"),
        ({"200": ["application/hal+json", JSON]}, JSON, "json"),
        ({"200": ["text/csv"], "default": ["application/problem+json"]}, "text/csv", "any"),
        ({"200": ["application/pdf", "application/problem+json"]}, "application/pdf", "any"),
        ({"200": ["application/x-ndjson"]}, "application/x-ndjson", "any"),
        ({"200": ["application/json-seq", JSON]}, JSON, "any"),
        ({"2XX": ["application/vnd.api+json"]}, "application/vnd.api+json", "json"),
        ({"default": [JSON]}, JSON, "json"),
        ({"200": ["*/*"]}, "application/json, */*;q=0.5", "any"),
        ({"404": ["text/html"]}, JSON, "any"),
        ({}, JSON, "any"),
    ],
)
def test_answers_are_asked_for_as_json_where_a_success_has_it(
    responses: dict[str, list[str]], accept: str, answer: str
) -> None:
    described = {s: {"description": "", "content": {k: {} for k in kinds}} for s, kinds in responses.items()}
    made = one(document(things={"get": {"operationId": "look", "responses": described}}))
    assert (made.accept, made.answer) == (accept, answer)


@pytest.mark.parametrize(
    "response",
    [
        {"$ref": "shared/errors.yaml#/components/responses/Lost"},
        {"$ref": "#/components/responses/Nowhere"},
        "nonsense",
        None,
        {"content": ["application/json"]},
        {"content": {JSON: {"schema": {"$ref": "other.yaml#/Thing"}}}, "headers": {"X": {"$ref": "other.yaml#/X"}}},
    ],
)
def test_a_response_that_cannot_be_read_costs_nothing(response: Any) -> None:
    responses = {"200": {"description": "", "content": {JSON: {}}}, "401": response, "default": response}
    made = one(document(things={"post": {"operationId": "send", "responses": responses}}))
    assert made.accept == JSON


def test_a_request_that_leads_out_of_the_document_is_told_to_be_bundled() -> None:
    given = document(good={"get": {}}, bad={"post": {"parameters": [{"$ref": "shared.yaml#/Page"}]}})
    (skipped,) = bring(given).skipped
    assert "shared.yaml" in skipped.reason
    assert "Bundle" in skipped.reason


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [UPLOAD, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, UPLOAD]},
        {"type": ["string", "null"], "format": "binary"},
        {"type": ["null", "string"], "contentMediaType": "image/png"},
        {"allOf": [UPLOAD], "description": "A picture."},
        {"anyOf": [UPLOAD, TEXT]},
        {"$ref": "#/components/schemas/Upload"},
        {"$ref": "#/components/schemas/Optional"},
    ],
)
def test_an_optional_upload_is_a_file(schema: Any) -> None:
    content = {MULTIPART: {"schema": obj(["note"], note=TEXT, file=schema)}}
    body = {"content": content, "required": True}
    schemas = {"Upload": UPLOAD, "Optional": {"anyOf": [{"$ref": "#/components/schemas/Upload"}, {"type": "null"}]}}
    made = one(
        document(things={"post": {"operationId": "send", "requestBody": body}})
        | {"openapi": "3.1.0", "components": {"schemas": schemas}}
    )
    assert b'name="file"; filename="a.txt"' in sent(made, {"note": "n", "file": HELLO}).body
    assert b'name="file"' not in sent(made, {"note": "n"}).body


def test_null_for_an_optional_upload_is_no_part() -> None:
    made = takes(MULTIPART, obj(note=TEXT, file=UPLOAD | {"nullable": True}))
    assert b'name="file"' not in sent(made, {"note": "n", "file": None}).body


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": UPLOAD},
        {"anyOf": [{"type": "array", "items": UPLOAD}, {"type": "null"}]},
        {"type": ["array", "null"], "items": UPLOAD},
        {"type": "array", "items": {"anyOf": [UPLOAD, {"type": "null"}]}},
    ],
)
def test_many_uploads_are_many_parts(schema: Any) -> None:
    made = takes(MULTIPART, obj(files=schema), version="3.1.0")
    body = sent(made, {"files": [HELLO, {"filename": "b.bin", "base64": "aGk="}]}).body
    assert body.count(b'name="files"; filename=') == 2
    assert b"\r\n\r\nhi\r\n" in body


def test_what_an_encoding_calls_an_image_is_a_file_of_that_type() -> None:
    made = takes(MULTIPART, obj(icon={}, note=TEXT), encoding={"icon": {"contentType": "image/png, image/jpeg"}})
    body = sent(made, {"icon": {"filename": "i.png", "base64": "aGk="}, "note": "n"}).body
    assert b'name="icon"; filename="i.png"\r\nContent-Type: image/png\r\n' in body


def test_text_that_somebody_has_encoded_stays_text() -> None:
    made = takes(MULTIPART, obj(data={"type": "string", "contentEncoding": "base64"}), version="3.1.0")
    assert b"\r\n\r\naGk=\r\n" in sent(made, {"data": "aGk="}).body


# -- forms of any shape -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [FORM, MULTIPART])
@pytest.mark.parametrize(
    "schema",
    [
        obj(["plan"], plan=TEXT) | {"additionalProperties": True},
        obj(["plan"], plan=TEXT) | {"additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object"},
        {},
        {"oneOf": [obj(["plan"], plan=TEXT, colour=TEXT), obj(["other"], other=TEXT)]},
        {"anyOf": [obj(["plan"], plan=TEXT), obj(["other"], other=TEXT)]},
        {"allOf": [obj(["plan"], plan=TEXT), {"type": "object", "additionalProperties": True}]},
        {"type": "object", "patternProperties": {"^c": TEXT}, "properties": {"plan": TEXT}},
    ],
)
def test_an_open_or_composed_form_is_one_argument(media_type: str, schema: Any) -> None:
    made = takes(media_type, schema, version="3.1.0")
    assert made.body is not None
    given = {"plan": "small", "colour": "red"}
    body = sent(made, {"body": given} if made.body.argument else given).body
    if media_type == FORM:
        assert parse_qsl(body.decode()) == [("plan", "small"), ("colour", "red")]
    else:
        assert b'name="plan"\r\n\r\nsmall' in body
        assert b'name="colour"\r\n\r\nred' in body


def test_an_open_form_is_checked_where_it_is_described() -> None:
    made = takes(
        FORM, obj(["plan"], plan=TEXT, seats={"type": "integer", "minimum": 1}) | {"additionalProperties": True}
    )
    assert made.problem_with({"body": {"seats": 2}})
    assert made.problem_with({"body": {"plan": "small", "seats": 0}})
    assert made.problem_with({"body": "plan=small"})


def test_files_are_found_in_open_and_composed_forms() -> None:
    schema = {"allOf": [obj(["scan"], scan=UPLOAD), {"additionalProperties": True, "properties": {"note": TEXT}}]}
    body = sent(takes(MULTIPART, schema), {"body": {"scan": HELLO, "note": "n", "extra": "e"}}).body
    assert b'name="scan"; filename="a.txt"' in body
    assert b'name="extra"\r\n\r\ne' in body


@pytest.mark.parametrize("schema", [obj(), {"type": "object", "additionalProperties": False}])
def test_a_form_that_has_no_fields_is_no_body(schema: Any) -> None:
    made = takes(FORM, schema)
    assert made.body is None
    assert made.input_schema["properties"] == {}


@pytest.mark.parametrize("schema", [{"type": "array", "items": TEXT}, TEXT])
def test_a_form_without_names_is_left_out_with_the_reason(schema: Any) -> None:
    with pytest.raises(BadInput, match="fields need names"):
        takes(FORM, schema)


# -- values in forms -----------------------------------------------------------------------------------------------------

BANK = {"code": "057", "account": "1"}


def fields(made: Tool, arguments: dict[str, Any]) -> list[tuple[str, str]]:
    return parse_qsl(sent(made, arguments).body.decode(), keep_blank_values=True)


def test_an_object_in_a_form_is_json_under_its_own_name() -> None:
    made = takes(FORM, obj(code=TEXT, bank={"type": "object"}, split={"type": "array", "items": {"type": "object"}}))
    found = fields(made, {"code": "x", "bank": BANK, "split": [{"share": 1}, {"share": 2}]})
    assert [name for name, _ in found] == ["code", "bank", "split", "split"]
    assert json.loads(found[1][1]) == BANK
    assert [json.loads(value) for _, value in found[2:]] == [{"share": 1}, {"share": 2}]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ({"style": "deepObject", "explode": True}, [("bank[code]", "057"), ("bank[account]", "1")]),
        ({"style": "form"}, [("code", "057"), ("account", "1")]),
        ({"explode": False}, [("bank", "code,057,account,1")]),
        ({"allowReserved": True}, [("code", "057"), ("account", "1")]),
        ({"contentType": "application/json"}, [("bank", '{"code":"057","account":"1"}')]),
        ({"headers": {}}, [("bank", '{"code":"057","account":"1"}')]),
    ],
)
def test_an_encoding_says_how_an_object_is_written(encoding: Any, expected: list[tuple[str, str]]) -> None:
    made = takes(FORM, obj(bank={"type": "object"}), encoding={"bank": encoding})
    assert fields(made, {"bank": BANK}) == expected


def test_a_list_of_the_media_type_json_is_one_field() -> None:
    made = takes(
        FORM, obj(ids={"type": "array", "items": {"type": "integer"}}), encoding={"ids": {"contentType": JSON}}
    )
    assert fields(made, {"ids": [1, 2]}) == [("ids", "[1,2]")]


def test_a_list_of_texts_repeats_its_name() -> None:
    assert fields(takes(FORM, obj(tag={"type": "array", "items": TEXT})), {"tag": ["a", "b"]}) == [
        ("tag", "a"),
        ("tag", "b"),
    ]


def test_an_object_that_is_spread_does_not_take_the_place_of_another_field() -> None:
    made = takes(FORM, obj(code=TEXT, bank={"type": "object"}), encoding={"bank": {"style": "form"}})
    with pytest.raises(BadInput, match="another field"):
        prepare(made, {"code": "x", "bank": BANK}, Secrets({}))


def test_multipart_writes_objects_as_its_encoding_says() -> None:
    schema = obj(bank={"type": "object"}, meta={"type": "object"}, ids={"type": "array", "items": {"type": "integer"}})
    encoding = {
        "bank": {"style": "deepObject"},
        "meta": {"contentType": "application/vnd.shop+json"},
        "ids": {"contentType": JSON},
    }
    body = sent(takes(MULTIPART, schema, encoding=encoding), {"bank": BANK, "meta": {"a": 1}, "ids": [1, 2]}).body
    assert b'name="bank[code]"\r\n\r\n057' in body
    assert b'name="meta"\r\nContent-Type: application/vnd.shop+json\r\n\r\n{"a":1}' in body
    assert b'name="ids"\r\nContent-Type: application/json\r\n\r\n[1,2]' in body


# -- bodies that may be left out ----------------------------------------------------------------------------------------


def test_an_optional_body_is_whole_or_not_there() -> None:
    made = takes(JSON, obj(["reason"], reason=TEXT, note=TEXT), required=False)
    nothing = sent(made, {})
    assert (nothing.body, header(nothing, "content-type"), header(nothing, "content-length")) == (b"", None, "0")
    assert sent(made, {"reason": "late"}).body == b'{"reason":"late"}'
    assert made.problem_with({"note": "x"})


def test_a_required_body_is_sent_though_nothing_is_in_it() -> None:
    made = sent(takes(JSON, obj(note=TEXT), required=True), {})
    assert (made.body, header(made, "content-type")) == (b"{}", JSON)
    assert takes(JSON, obj(["reason"], reason=TEXT), required=True).problem_with({})


def test_where_nothing_is_said_properties_that_are_required_are() -> None:
    assert takes(JSON, obj(["reason"], reason=TEXT)).problem_with({})
    assert sent(takes(JSON, obj(note=TEXT)), {}).body == b""


@pytest.mark.parametrize("media_type", [FORM, MULTIPART])
def test_an_optional_form_is_not_sent_empty(media_type: str) -> None:
    made = sent(takes(media_type, obj(note=TEXT), required=False), {})
    assert (made.body, header(made, "content-type")) == (b"", None)


@pytest.mark.parametrize(("method", "length"), [("get", None), ("delete", "0"), ("put", "0"), ("post", "0")])
def test_the_length_of_no_body_is_in_the_request_as_it_is_sent(method: str, length: str | None) -> None:
    made = one(document(things={method: {"operationId": "do"}}))
    assert header(prepare(made, {}, Secrets({})), "content-length") == length
