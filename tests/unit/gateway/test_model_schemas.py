"""What models are shown: a tree that every provider takes, cut by recursion and size alone; and that holds of any schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.tool_gateway.catalogue.schema import MODEL_SCHEMA_BYTES, for_models
from services.tool_gateway.catalogue.tools import Tool
from tests.unit.gateway.test_importer import bring, document
from tests.unit.gateway.test_schemas import TEXT, ref, shape, tool_for

KEYWORDS = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")


def subschemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema of a tree, itself first."""
    if not isinstance(node, dict):
        return
    yield node
    inner: list[Any] = [node.get(key) for key in KEYWORDS]
    for key in ("allOf", "anyOf", "oneOf", "prefixItems"):
        inner += node.get(key) or []
    for key in ("properties", "patternProperties", "dependentSchemas"):
        inner += (node.get(key) or {}).values()
    for one in inner:
        yield from subschemas(one)


def assert_takeable(shown: dict[str, Any]) -> None:
    """What every provider takes: no references, arrays with items, objects and no truth values where schemas stand."""
    assert len(orjson.dumps(shown)) <= MODEL_SCHEMA_BYTES
    for node in subschemas(shown):
        kinds = node.get("type")
        if kinds == "array" or (isinstance(kinds, list) and "array" in kinds):
            assert isinstance(node.get("items"), dict), node
        assert not {"$ref", "$defs", "prefixItems", "discriminator", "unevaluatedProperties"} & node.keys()
        assert all(isinstance(inner, dict) for inner in node.get("properties", {}).values())


def test_arrays_without_items_and_tuples_have_items() -> None:
    pair = {"type": "array", "prefixItems": [TEXT, {"type": "integer"}], "items": False}
    tool = tool_for(shape(any={"type": "array"}, either={"type": ["array", "null"]}, pair=pair, none={"items": True}))
    assert_takeable(tool.model_schema)
    shown = tool.model_schema["properties"]["v"]["properties"]
    assert shown["any"] == {"type": "array", "items": {}}
    assert shown["pair"] == {"type": "array", "items": {"anyOf": [TEXT, {"type": "integer"}]}, "maxItems": 2}
    given = {"any": [1], "either": None, "none": 1}
    assert tool.problem_with({"v": given | {"pair": ["a", 1]}}) is None
    assert tool.problem_with({"v": given | {"pair": [1, "a"]}}), "checked as it is written"


def test_where_recursion_is_cut_the_stub_has_its_type_and_items() -> None:
    tool = tool_for(ref("Node"), Node=shape(kids=ref("Nodes")), Nodes={"type": "array", "items": ref("Node")})
    assert_takeable(tool.model_schema)
    assert {"type": "array", "items": {}} in list(subschemas(tool.model_schema))
    assert tool.problem_with({"v": {"kids": [{"kids": [{"kids": [{"kids": "x"}]}]}]}})


def test_what_is_neither_recursive_nor_large_is_shown_whole() -> None:
    links = {f"L{n}": shape(**{f"p{n}": ref(f"L{n + 1}")}) for n in range(12)}
    tool = tool_for(ref("L0"), "3.1.0", **links, L12=shape(end={"type": "string", "enum": ["here"]}))
    assert '"here"' in json.dumps(tool.model_schema)


def test_what_must_be_given_is_shown_before_what_may() -> None:
    optional = {f"o{n}": {"type": "string", "description": "d" * 300} for n in range(60)}
    deep = {"type": "object", "required": ["must"], "properties": {"must": {"type": "string"}, **optional}}
    parts = {f"p{n}": ref("Part") for n in range(10)}
    tool = tool_for(shape(**parts), Part=shape(deep=ref("Deep")), Deep=deep)
    assert_takeable(tool.model_schema)
    part = tool.model_schema["properties"]["v"]["properties"]["p3"]
    assert part["properties"]["deep"]["required"] == ["must"]
    assert "must" in part["properties"]["deep"]["properties"]


def test_boolean_schemas_and_inline_flags_are_not_shown() -> None:
    tool = tool_for({"properties": {"a": True, "b": False, "c": {"type": "string", "pattern": "/^x$/i"}}})
    assert_takeable(tool.model_schema)
    assert tool.model_schema["properties"]["v"]["properties"] == {"a": {}, "c": {"type": "string"}}


# -- whatever is read -----------------------------------------------------------------------------------------------------------

JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "true", "1e9", "{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$ref", "type", "items"]), inner),
    max_leaves=4,
)
TYPES = st.sampled_from(["string", "Integer", "int64", "array", "object", "number", "any", "Date", None, "null", 5])
REFS = st.sampled_from(["#/components/schemas/A", "#/components/schemas/B", "#/$defs/X", "#", "A", "#/nowhere"])
PATTERNS = st.sampled_from(["/^a$/i", "^(?!a)b", r"(a)\1", "(", r"^[\w-.]+$", "", "a{,2}", r"\p{L}", "[^]"])


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    maps = st.dictionaries(st.sampled_from(["a", "b", "type", "a b"]), inner, max_size=3) | JUNK
    lists = st.lists(inner, max_size=3) | JUNK
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, max_size=3),
        "$ref": REFS,
        "pattern": PATTERNS | JUNK,
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2) | JUNK,
        "required": st.lists(st.sampled_from(["a", "b", "c"])) | JUNK,
        "discriminator": st.just({"propertyName": "a", "mapping": {"x": "#/components/schemas/A"}}) | JUNK,
        **dict.fromkeys(("properties", "dependentSchemas", "$defs"), maps),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), lists),
        **dict.fromkeys((*KEYWORDS, "unevaluatedProperties", "unevaluatedItems", "contentSchema"), inner | JUNK),
        **dict.fromkeys(
            [
                "enum",
                "const",
                "default",
                "example",
                "examples",
                "nullable",
                "readOnly",
                "minimum",
                "maximum",
                "exclusiveMinimum",
                "exclusiveMaximum",
                "multipleOf",
                "minLength",
                "maxLength",
                "minItems",
                "maxItems",
                "uniqueItems",
                "format",
                "description",
                "dependentRequired",
                "additionalItems",
                "x-a",
                "minContains",
                "minProperties",
                "$anchor",
                "$id",
                "title",
                "contentMediaType",
            ],
            JUNK,
        ),
    }
    return st.fixed_dictionaries({}, optional=keywords)


SCHEMAS: st.SearchStrategy[Any] = st.recursive(JUNK, _objects, max_leaves=6)


@given(SCHEMAS, SCHEMAS, SCHEMAS, st.sampled_from(["3.0.3", "3.1.0"]))
def test_whatever_schema_is_read_it_can_be_checked_and_shown(one: Any, other: Any, body: Any, version: str) -> None:
    given = document(
        first={"get": {"operationId": "first", "parameters": [{"name": "p", "in": "query", "schema": one}]}},
        second={"post": {"operationId": "second", "requestBody": {"content": {"application/json": {"schema": body}}}}},
        plain={"get": {"operationId": "plain"}},
    )
    made = bring(given | {"openapi": version, "components": {"schemas": {"A": one, "B": other}}})
    for skipped in made.skipped:  # only what leads nowhere, and says so
        assert any(word in skipped.reason for word in ("$ref", "nested", "unfolds")), skipped
    for tool in made.tools:
        assert_takeable(tool.model_schema)
        tool.problem_with({"p": [{"a": 1}], "body": "x"})
        again = for_models(tool.input_schema)
        assert again == tool.model_schema


LEAVES: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string"}, "x"),
    ({"type": "String", "maxLength": "5"}, "abc"),
    ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 2),
    ({"type": "int32"}, 10.0),
    ({"type": "string", "enum": [True, 1.5]}, "1.5"),
    ({"type": "string", "nullable": True, "enum": ["a"]}, None),
    ({"type": "string", "pattern": "/^[a-z]+$/i"}, "Ab"),
    ({"type": "string", "format": "date"}, "2026-03-02"),
    ({"type": "array"}, [1, "a"]),
    ({"type": "array", "items": {"type": "bool"}}, [True]),
    ({"type": "number", "multipleOf": 0.01}, 19.99),
]


def _joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects, closed and open ones, put together in the ways of documents, each with a value that is meant to fit."""
    fields = st.dictionaries(st.sampled_from(["one", "two", "three", "four"]), inner, min_size=1)

    @st.composite
    def built(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
        parts = [draw(fields) for _ in range(draw(st.integers(1, 3)))]
        schemas: list[dict[str, Any]] = []
        value: dict[str, Any] = {}
        for part in parts:
            new = {name: pair for name, pair in part.items() if name not in value}
            value |= {name: pair[1] for name, pair in new.items()}
            schema = {"type": "object", "properties": {name: pair[0] for name, pair in new.items()}}
            schema |= draw(st.sampled_from([{}, {"additionalProperties": False}, {"required": list(new) * 2}]))
            schemas.append(schema)
        if len(schemas) == 1:
            return schemas[0], value
        return schemas[0] | {"allOf": schemas[1:]}, value

    return built()


@given(st.recursive(st.sampled_from(LEAVES), _joined, max_leaves=8))
def test_values_that_are_clearly_meant_to_fit_do(pair: tuple[dict[str, Any], Any]) -> None:
    schema, value = pair
    tool: Tool = tool_for(schema, "3.0.3")
    assert tool.problem_with({"v": value}) is None
    assert_takeable(tool.model_schema)
