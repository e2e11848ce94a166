"""Tools in the keywords that each provider takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.tool_gateway.catalogue import catalogue
from shared.models.port import ChatRequest, Toolbox, ToolSpec, UserMessage
from shared.models.schemas import WireTools, for_provider, property_names

TAKEN = {"type", "format", "description", "nullable", "enum", "properties", "required", "items", "anyOf"}
TAKEN |= {"minimum", "maximum", "minItems", "maxItems"}
TYPES = {"string", "number", "integer", "boolean", "array", "object"}


def refused(node: dict[str, Any], path: str = "$") -> Iterator[str]:
    """What Gemini would refuse in a schema."""
    if strange := node.keys() - TAKEN:
        yield f"{path}: {sorted(strange)}"
    if "anyOf" in node:
        if node.keys() != {"anyOf"}:
            yield f"{path}: anyOf with other fields"
        for n, one in enumerate(node["anyOf"]):
            yield from refused(one, f"{path}|{n}")
        return
    if node.get("type") not in TYPES:
        yield f"{path}: type {node.get('type')!r}"
    values = node.get("enum", ["x"])
    if not values or not all(isinstance(v, str) and v for v in values) or ("enum" in node and node["type"] != "string"):
        yield f"{path}: enum {values}"
    if node.get("type") == "array":
        yield from refused(node["items"], f"{path}[]") if "items" in node else [f"{path}: no items"]
    if missing := set(node.get("required", [])) - set(node.get("properties", {})):
        yield f"{path}: required {missing}"
    for name, inner in node.get("properties", {}).items():
        yield from refused(inner, f"{path}.{name}")


def gemini(schema: Any) -> Any:
    """A property's schema as Gemini gets it."""
    whole = for_provider({"type": "object", "properties": {"p": schema}}, "gemini")
    assert list(refused(whole)) == []
    return whole["properties"]["p"]


def test_gemini_takes_every_tool_of_our_catalogue() -> None:
    tools = catalogue.load().tools.values()
    assert tools
    assert [(t.name, found) for t in tools for found in refused(for_provider(t.model_schema, "gemini"))] == []


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"type": "integer", "enum": [4, 5]}, {"type": "integer", "description": "One of 4, 5."}),
        ({"enum": [True, False]}, {"type": "boolean", "description": "One of true, false."}),
        ({"enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"type": "string", "enum": ["", "a"]}, {"type": "string", "description": 'One of "", "a".'}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 7}, {"type": "integer", "description": "Always 7."}),
        (
            {"type": "boolean", "const": False, "description": "Off"},
            {"type": "boolean", "description": "Off. Always false."},
        ),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (
            {"type": ["integer", "null"], "enum": [1, None]},
            {"type": "integer", "description": "Always 1.", "nullable": True},
        ),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "string"}]}, {"type": "string"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"type": "array", "items": {}}, {"type": "array", "items": {"type": "string"}}),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "maxItems": 2},
        ),
        ({"type": "object", "required": ["gone"], "propertyNames": {"pattern": "a"}}, {"type": "object"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "string", "format": "uuid"}, {"type": "string", "description": "Format: uuid."}),
        ({}, {"type": "string"}),
        (True, {"type": "string"}),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            {"type": "object", "properties": {"a": {"type": "string"}}},
        ),
    ],
)
def test_gemini_gets_its_own_keywords_and_the_rest_in_words(given: Any, made: Any) -> None:
    assert gemini(given) == made


def test_references_and_combined_parts_are_taken_in_and_recursion_ends() -> None:
    schema = {
        "type": "object",
        "properties": {
            "tree": {"$ref": "#/$defs/Tree"},
            "both": {"allOf": [{"$ref": "#/$defs/A"}, {"required": ["b"]}]},
        },
        "$defs": {
            "Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}, "n": {"type": "integer"}}},
            "A": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"const": 1}}, "required": ["a"]},
        },
    }
    made = for_provider(schema, "gemini")
    assert list(refused(made)) == []
    assert made["properties"]["tree"]["properties"]["left"]["properties"]["n"] == {"type": "integer"}
    assert sorted(made["properties"]["both"]["required"]) == ["a", "b"]


@pytest.mark.parametrize("provider", ["anthropic", "openai", "gemini", "mistral"])
def test_no_alternatives_stand_at_the_top(provider: str) -> None:
    either = [{"properties": {k: {"type": "string"}}, "required": [k, "id"]} for k in ("mail", "phone")]
    schema = {"anyOf": either, "properties": {"id": {"type": "string"}}, "required": ["id"]}
    made = for_provider(schema, provider)
    assert made["type"] == "object"
    assert set(made["properties"]) == {"id", "mail", "phone"}
    assert made["required"] == ["id"]
    assert not made.keys() & {"anyOf", "oneOf", "allOf"}


def test_a_schema_that_providers_take_is_sent_as_it_is() -> None:
    schema = {"type": "object", "properties": {"n": {"type": ["integer", "null"], "enum": [1, None]}}}
    assert for_provider(schema, "anthropic") is schema
    assert for_provider(schema, "openai") is schema


def test_arrays_get_items() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array"}, "enum": {"type": "string"}}}
    assert for_provider(schema, "openai")["properties"]["a"] == {"type": "array", "items": {}}


FILTERS = {
    "type": "object",
    "properties": {
        "filter[status]": {"type": "string"},
        "filter(status)": {"type": "string"},
        "$top": {"type": "integer"},
        "rows": {"type": "array", "items": {"type": "object", "properties": {"größe": {"type": "string"}}}},
    },
    "required": ["$top"],
}


@pytest.mark.parametrize("provider", ["anthropic", "openai", "gemini", "mistral"])
def test_property_names_that_are_refused_go_under_others_and_come_back(provider: str) -> None:
    tools = WireTools(provider)
    (wire,) = tools.take(ChatRequest("m", "", (UserMessage("hi"),), Toolbox((ToolSpec("list", "", FILTERS),))))
    names = list(property_names(wire.schema))
    assert all(n.replace("_", "").replace(".", "").replace("-", "").isalnum() and n.isascii() for n in names)
    assert len(set(names)) == 5
    assert set(wire.schema["required"]) <= set(names)
    given = {n: 1 for n in wire.schema["properties"] if n != "rows"} | {"rows": [{names[-1]: "a"}]}
    own = tools.own_arguments("list", given)
    assert own == {"filter[status]": 1, "filter(status)": 1, "$top": 1, "rows": [{"größe": "a"}]}


def test_the_form_is_made_once_per_tool_list() -> None:
    tools, box = WireTools("gemini"), Toolbox((ToolSpec("9lives", "x" * 2000, {"type": "object"}),))
    first = tools.take(ChatRequest("m", "", (), box))
    assert tools.take(ChatRequest("m", "other", (), box)) is first
    assert first[0].name == "_9lives"
    assert tools.own_name("_9lives") == "9lives"
    assert tools.take(ChatRequest("m", "", (), Toolbox())) == []


@pytest.mark.parametrize("provider", ["anthropic", "openai", "gemini", "mistral"])
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("list", "list"),
        ("functions.list", "list"),
        ("default_api:list", "list"),
        ("list<|channel|>commentary", "list"),
        (" list\n", "list"),
        ("tools.list<|end|>", "list"),
        ("functions.functions.list", "functions.functions.list"),
        ("multi_tool_use.parallel", "multi_tool_use.parallel"),
        ("my.list", "my.list"),
        ("List", "List"),
        ("", ""),
    ],
)
def test_a_name_is_known_within_what_templates_put_around_it(provider: str, said: str, meant: str) -> None:
    tools = WireTools(provider)
    tools.take(ChatRequest("m", "", (), Toolbox((ToolSpec("list", "", FILTERS),))))
    assert tools.own_name(said) == meant
    renamed = next(iter(tools.tools[0].renamed))
    own = tools.own_arguments(said, {renamed: "x"})
    assert (own != {renamed: "x"}) == (meant == "list")
