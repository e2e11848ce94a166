"""A document of 600 operations with everything that documents in the wild have, and hostile ones of great size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import yaml

from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.importer import Import, Wish, import_document
from services.tool_gateway.catalogue.schema import MODEL_SCHEMA_BYTES
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare

OPERATIONS = 600
SCHEMAS = 400
KEY = re.compile(r"^[a-zA-Z0-9_.-]{1,64}$")
WORDS = ["größe", "价格", "имя", "naïve name", "a/b", "x.y", "filter[since]", "Ünïcode-Ω"]


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def nest(depth: int, n: int) -> dict[str, Any]:
    """allOf in oneOf in anyOf …, `depth` levels down to a reference."""
    if depth == 0:
        return ref(f"Thing{n % SCHEMAS}")
    kind = ("allOf", "oneOf", "anyOf")[depth % 3]
    extra = {"type": "object", "properties": {f"level{depth}": {"type": ["string", "null"], "maxLength": depth}}}
    return {kind: [nest(depth - 1, n), extra], "x-depth": depth, "description": f"level {depth} " * 60}


def thing(n: int) -> dict[str, Any]:
    """A schema that knows its neighbours, so that every one of ten leads to every other."""
    first = n - n % 10
    after, before = first + (n + 1) % 10, first + (n - 1) % 10
    properties: dict[str, Any] = {
        "id": {"type": "string", "readOnly": True},
        "kind": {"const": f"thing{n}"},
        "self": ref(f"Thing{n}"),
        "next": ref(f"Thing{after}"),
        "before": {"type": "array", "items": ref(f"Thing{before}")},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": ["number", "null"]}], "items": False},
        "old_pair": {"type": "array", "items": [{"type": "integer"}, ref(f"Thing{n}")]},
        "extra": {
            "type": "object",
            "patternProperties": {"^x-": {"type": "string"}},
            "additionalProperties": ref(f"Thing{n}"),
        },
        "inner": ref(f"Thing{n}/$defs/Inner"),
        "$ref": {"type": "string"},
        "x-height": {"type": "integer", "x-unit": "mm"},
        WORDS[n % len(WORDS)]: {"type": "string", "description": "Beschreibung " * 300},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["id", "kind"],
        "x-internal": {"owner": "team"},
        "discriminator": {"propertyName": "kind", "mapping": {"other": f"#/components/schemas/Thing{after}"}},
        "$defs": {"Inner": {"type": "object", "properties": {"up": ref(f"Thing{n}"), "flag": {"const": True}}}},
        "examples": [{"$ref": "#/nothing"}],
    }


def body(n: int) -> dict[str, Any]:
    match n % 6:
        case 0:
            return ref(f"Thing{n % SCHEMAS}")
        case 1:
            return nest(n % 12, n)
        case 2:
            return {
                "oneOf": [ref(f"Thing{n % SCHEMAS}"), ref(f"Thing{(n + 7) % SCHEMAS}")],
                "discriminator": {"propertyName": "kind"},
            }
        case 3:
            return {
                "allOf": [
                    {"type": "object", "properties": {"note": {"type": "string"}, "near": nest(6, n)}},
                    {"required": ["note"]},
                ]
            }
        case 4:
            return {"type": ["object", "null"], "properties": {"id": {"type": "integer"}}}
    # what another operation takes, found by its path
    return {"$ref": f"#/paths/~1v{n - 1}~1items~1%7Bid%7D/post/requestBody/content/application~1json/schema"}


def operation(n: int) -> dict[str, Any]:
    names = [{"name": word, "in": "query", "schema": {"type": ["string", "null"]}} for word in WORDS[: n % len(WORDS)]]
    fields = {
        "name": "fields",
        "in": "query",
        "explode": False,
        "schema": {"type": "array", "items": {"type": "string"}},
    }
    override = {"name": "trace", "in": "query", "required": True, "schema": {"type": "integer", "minimum": n}}
    borrowed = {"$ref": f"#/paths/~1v{n}~1items~1%7Bid%7D/parameters/0"}
    return {
        "operationId": (
            "create",
            f"{WORDS[n % len(WORDS)]} {n}",
            f"an operation with a name that goes on and on and on, number {n}",
            None,
        )[n % 4],
        "summary": f"Operation {n}",
        "description": "Long. " * 1000,
        "x-codeSamples": ["curl"],
        "tags": ["all"],
        "parameters": [override, borrowed, fields, *names],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body(n)}}},
        "responses": {
            200: {"description": "ok", "content": {"application/json": {"schema": ref(f"Thing{n % SCHEMAS}")}}},
            404: {"description": "no"},
        },
    }


def document() -> dict[str, Any]:
    paths = {}
    for n in range(OPERATIONS):
        shared = [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "description": f"id {n}"},
            {"name": "trace", "in": "query", "schema": {"type": "string"}},
        ]
        made = {key: value for key, value in operation(n).items() if value is not None}
        paths[f"/v{n}/items/{{id}}"] = {"parameters": shared, "post": made, "x-team": "red"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Große Sammlung", "version": "1", "description": "x" * 50_000},
        "servers": [{"url": "https://big.example/api"}],
        "paths": paths,
        "components": {"schemas": {f"Thing{n}": thing(n) for n in range(SCHEMAS)}},
        "webhooks": {"made": {"post": {"responses": {200: {"description": "ok"}}}}},
    }


@pytest.fixture(scope="module")
def made() -> Import:
    raw = yaml.dump(document(), Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    return import_document(foreign.parse(raw.encode()), "https://big.example/openapi.yaml", Wish("big"))


def nodes(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def test_every_operation_becomes_a_tool_of_its_own(made: Import) -> None:
    assert made.skipped == []
    assert len(made.tools) == OPERATIONS
    names = {tool.name for tool in made.tools}
    assert len(names) == OPERATIONS
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)


def test_what_models_are_shown_is_a_tree_that_every_provider_takes(made: Import) -> None:
    for tool in made.tools:
        shown = tool.model_schema
        assert len(orjson.dumps(shown)) < MODEL_SCHEMA_BYTES, tool.name
        assert shown["type"] == "object"
        assert not {"anyOf", "oneOf", "allOf", "not", "enum", "$defs", "$ref"} & shown.keys()
        assert all(KEY.match(name) for name in shown["properties"]), tool.name
        assert set(shown["required"]) <= shown["properties"].keys()
        for node in nodes(shown):
            assert not (isinstance(node, dict) and isinstance(node.get("$ref"), str)), tool.name
            assert not (isinstance(node, dict) and "discriminator" in node), tool.name
        assert len(tool.description) <= 1000


def test_an_operations_parameter_replaces_its_paths(made: Import) -> None:
    for n, tool in enumerate(made.tools):
        assert tool.input_schema["properties"]["trace"] == {"type": "integer", "minimum": n}
        assert [p.name for p in tool.parameters].count("id") == 1
        assert {"id", "trace"} <= set(tool.input_schema["required"])


def by_path(made: Import, n: int) -> Tool:
    return next(tool for tool in made.tools if tool.path == f"/v{n}/items/{{id}}")


def test_arguments_are_checked_by_the_whole_schema(made: Import) -> None:
    tool = by_path(made, 3)
    call = {"id": "1", "trace": 5, "note": "n"}
    assert tool.problem_with(call) is None
    assert tool.problem_with({key: value for key, value in call.items() if key != "note"})
    assert tool.problem_with(call | {"trace": 2})
    tool = by_path(made, 12)
    thing12 = {"kind": "thing12", "next": {"kind": "thing13", "pair": [1, None]}, "$ref": "x", "x-height": 3}
    assert tool.problem_with({"id": "1", "trace": 12, "body": thing12}) is None
    for wrong in (
        {"kind": "thing13"},
        {"kind": "thing12", "pair": [1, 2, 3]},
        {"kind": "thing12", "inner": {"flag": 1}},
        {"kind": "thing12", "next": {"kind": "thing12"}},
        {"kind": "thing12", "old_pair": ["x"]},
        {"kind": "thing12", "extra": {"x-a": 1}},
    ):
        assert tool.problem_with({"id": "1", "trace": 12, "body": wrong}), wrong


def test_bodies_and_names_are_sent_as_the_document_has_them(made: Import) -> None:
    tool = by_path(made, 7)
    arguments = {p.name: p.argument for p in tool.parameters}
    values = {
        "id": "a/b",
        "trace": 7,
        arguments["größe"]: "ü",
        arguments["价格"]: "1",
        arguments["filter[since]"]: "2026",
    }
    prepared = prepare(tool, values | {"fields": ["a", "b"], "body": {"level1": None}}, Secrets({}))
    assert prepared.url == (
        "https://big.example/api/v7/items/a%2Fb?trace=7&fields=a%2Cb&gr%C3%B6%C3%9Fe=%C3%BC"
        "&%E4%BB%B7%E6%A0%BC=1&filter%5Bsince%5D=2026"
    )
    assert json.loads(prepared.body) == {"level1": None}


def test_what_was_imported_stands_alone(made: Import) -> None:
    again = read_tools(orjson.loads(orjson.dumps(made.document)), "big")
    assert {tool.name: tool for tool in again} == {tool.name: tool for tool in made.tools}


def one(schema: Any, **schemas: Any) -> Import:
    content = {"content": {"application/json": {"schema": schema}}}
    given = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "components": {"schemas": schemas},
        "paths": {"/x": {"post": {"operationId": "make", "requestBody": content}}},
    }
    return import_document(foreign.parse(json.dumps(given).encode()), "https://big.example/x", Wish("big"))


def test_chains_of_references_are_longer_than_a_stack_is_deep() -> None:
    links = {f"S{n}": {"type": "object", "properties": {"next": ref(f"S{n + 1}")}} for n in range(5000)}
    made = one(ref("S0"), **links, S5000={"type": "object", "properties": {"end": {"const": 1}}})
    assert made.skipped == []
    assert len(made.tools[0].input_schema["$defs"]) == 5000


@pytest.mark.usefixtures("no_hang")  # 64 million objects, were they written out
def test_references_that_multiply_do_not_hold_us_up() -> None:
    fan = {
        f"F{n}": {"type": "object", "properties": {f"p{m}": ref(f"F{(n + m) % 400}") for m in range(400)}}
        for n in range(400)
    }
    made = one({"type": "object", "properties": {"root": ref("F0")}}, **fan)
    assert made.skipped == []
    assert len(orjson.dumps(made.tools[0].model_schema)) < MODEL_SCHEMA_BYTES


def test_what_is_written_out_in_full_is_cut_for_models_and_still_checked() -> None:
    def grown(depth: int) -> dict[str, Any]:
        inner = {"type": "string", "description": "d" * 50} if depth == 0 else grown(depth - 1)
        return {"type": "object", "properties": {f"p{n}": inner for n in range(6)}}

    (tool,) = one(grown(5)).tools
    assert len(orjson.dumps(tool.model_schema)) < MODEL_SCHEMA_BYTES
    assert tool.model_schema["properties"].keys() == {f"p{n}" for n in range(6)}
    deep: Any = 1
    for _ in range(6):
        deep = {"p1": deep}
    assert tool.problem_with(deep)
