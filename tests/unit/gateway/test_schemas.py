"""Schemas as people write them: read as they were meant, checked where that is clear, and said where it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.catalogue.schema import patterns
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from tests.unit.gateway.test_importer import body_of, document, one

OLD, NEW = "3.0.3", "3.1.0"


def tool_for(schema: Any, version: str = NEW, **schemas: Any) -> Tool:
    """A tool whose one argument `v` has the schema."""
    closed = {"type": "object", "properties": {"v": schema}, "additionalProperties": False}
    return one(body_of(closed, openapi=version, components={"schemas": schemas}))


def accepts(tool: Tool, value: Any) -> bool:
    return tool.problem_with({"v": value}) is None


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


ANY: tuple[Any, ...] = ("", 1, 1.5, True, None, {}, [])


@pytest.mark.parametrize(
    ("schema", "fitting", "wrong"),
    [
        # types by other names, in lists, blank
        ({"type": "String"}, ["a"], [1]),
        ({"type": "Int64"}, [1], ["1", 1.5]),
        ({"type": "bool"}, [True], ["true"]),
        ({"type": "dict"}, [{}], [[]]),
        ({"type": "date"}, ["2026-03-02"], ["2 March", 5]),
        ({"type": "Colour"}, ANY, []),
        ({"type": ["string", "string", None]}, ["a", None], [1]),
        ({"anyOf": [{"type": "integer"}, {"type": None}]}, [1, None], ["a"]),
        ("string", ["a"], [1]),
        (None, ANY, []),
        (["junk"], ANY, []),
        (True, ANY, []),
        # what is no list, no number, no schema
        ({"type": "object", "required": "a"}, [{"a": 1}], [{}]),
        ({"type": "object", "required": ["a", "a"]}, [{"a": 1}], [{}]),
        (
            {"type": "object", "properties": {"a": {"required": True}, "b": {"required": "true"}}},
            [{"a": 1, "b": 2}],
            [{}],
        ),
        ({"type": "object", "properties": {"a": {"required": False}}}, [{}], []),
        ({"type": "object", "properties": None, "required": None}, [{}], [1]),
        ({"type": "object", "properties": {"a": None, "b": "integer"}}, [{"a": 1, "b": 2}], [{"b": "x"}]),
        ({"allOf": {"type": "string"}}, ["a"], [1]),
        ({"allOf": [], "anyOf": None, "oneOf": []}, ANY, []),
        ({"type": "object", "additionalProperties": "false"}, [{}], [{"a": 1}]),
        ({"type": "string", "minLength": "2", "maxLength": 3.0}, ["ab"], ["a", "abcd"]),
        ({"type": "string", "minLength": -1, "maxLength": "lots"}, ["ab"], [1]),
        ({"type": "string", "minLength": 9, "maxLength": 3}, ["ab"], [1]),
        ({"type": "number", "minimum": "1e1", "maximum": "Infinity"}, [10], [9]),
        ({"type": "number", "exclusiveMinimum": True, "minimum": 5}, [5.1], [5]),
        ({"type": "number", "exclusiveMinimum": False, "minimum": 5}, [5], [4]),
        ({"type": "number", "exclusiveMaximum": True}, [5], ["a"]),
        ({"type": "number", "exclusiveMaximum": 5}, [4], [5]),
        ({"type": "number", "multipleOf": 0.1}, [0.3, 19.9], [0.35]),
        ({"type": "number", "multipleOf": 0}, [0.3], []),
        ({"type": "array", "uniqueItems": "true"}, [[1, 2]], [[1, 1]]),
        ({"type": "array", "items": None}, [[1, "a"]], [1]),
        ({"type": "array", "items": []}, [[1, "a"]], [1]),
        ({"items": [{"type": "string"}], "additionalItems": False}, [["a"]], [[1], ["a", 1]]),
        ({"const": "a", "title": 5, "description": 7, "format": 3}, ["a"], ["b"]),
        # values of another type
        ({"type": "string", "enum": [True, 4.5, 3]}, ["true", "4.5", "3"], [True, 3, "4"]),
        ({"type": "integer", "enum": ["10", "20"]}, [10], ["10", 30]),
        ({"type": "boolean", "enum": ["yes", "no"]}, [True, False], ["yes"]),
        ({"type": "number", "enum": ["low", "high"]}, ["low"], [1]),
        ({"type": "string", "const": 5}, ["5"], [5]),
        ({"type": "array", "enum": ["a", "b"], "items": {"type": "string"}}, [["a"]], [["c"], "a"]),
        ({"type": "string", "enum": ["a", None]}, ["a", None], ["b"]),
        ({"type": "string", "enum": "a"}, ["a"], ["b"]),
        ({"type": "string", "enum": []}, ["a"], [1]),
        ({"enum": ["a", "a", 1, True]}, ["a", 1, True], ["b"]),
        # formats
        ({"type": "string", "format": "time"}, ["10:30", "10:30:15Z"], ["25:00", "noon"]),
        ({"type": "string", "format": "uuid"}, ["6f1c2d8e0b7a5c3e9a411d2e3f405162"], ["6f1c"]),
        ({"type": "string", "format": "date"}, ["2026-02-28"], ["2026-02-30"]),
        ({"type": "string", "format": "date-time", "example": "2026-03-02 10:00"}, ["2026-03-02 11:00"], [1]),
        ({"type": "string", "format": "date-time"}, ["2026-03-02T10:00:00Z"], ["2026-03-02 10:00"]),
        ({"type": "string", "format": "int64"}, ["a"], [1]),
    ],
)
def test_a_schema_is_read_as_it_was_meant(schema: Any, fitting: Any, wrong: Any) -> None:
    for version in (OLD, NEW):
        tool = tool_for(schema, version)
        assert [value for value in fitting if not accepts(tool, value)] == []
        assert [value for value in wrong if accepts(tool, value)] == []


@pytest.mark.parametrize(
    ("schema", "more"),
    [
        ({"type": "string", "nullable": True}, ["a"]),
        ({"type": "string", "nullable": True, "enum": ["a"]}, ["a"]),
        ({"nullable": True, "enum": ["a"]}, ["a"]),
        ({"type": ["string", "integer"], "nullable": "true"}, ["a", 1]),
        ({"type": "string", "x-nullable": True}, ["a"]),
        ({"type": "string", "nullable": True, "const": "a"}, ["a"]),
        ({"type": "string", "nullable": True, "allOf": [{"type": "string"}]}, ["a"]),
        ({"nullable": True, "oneOf": [{"type": "string"}]}, ["a"]),
        ({"$ref": "#/components/schemas/Name", "nullable": True}, ["a"]),
        ({"type": "string", "nullable": True, "pattern": "^(?!b)"}, ["a"]),
    ],
)
def test_nullable_is_null_besides(schema: Any, more: list[Any]) -> None:
    tool = tool_for(schema, OLD, Name={"type": "string"})
    assert accepts(tool, None)
    assert all(accepts(tool, value) for value in more)
    assert not accepts(tool, "b" if "pattern" in schema else {})


# -- references -------------------------------------------------------------------------------------------------------------


def test_what_stands_beside_a_reference_counts_in_3_1_only() -> None:
    schema = {"$ref": "#/components/schemas/Size", "maximum": 9, "description": "Small ones."}
    new, old = (tool_for(schema, version, Size={"type": "integer", "description": "Any."}) for version in (NEW, OLD))
    assert (accepts(new, 9), accepts(new, 10), accepts(new, "9")) == (True, False, False)
    assert (accepts(old, 10), accepts(old, "9")) == (True, False)
    assert new.model_schema["properties"]["v"] == {"type": "integer", "maximum": 9, "description": "Small ones."}


def test_a_body_may_be_a_reference_with_more_beside() -> None:
    base = {"type": "object", "properties": {"a": {"type": "string"}}}
    schema = {**ref("Base"), "required": ["a"], "properties": {"b": {"type": "integer"}}}
    tool = one(body_of(schema, openapi=NEW, components={"schemas": {"Base": base}}))
    assert set(tool.input_schema["properties"]) == {"a", "b"}
    assert tool.problem_with({"b": 1})


@pytest.mark.parametrize(
    "reference", ["#/$defs/Part", "#part", "https://x.example/part", "part", "#/components/schemas/Whole/$defs/Part"]
)
def test_definitions_within_a_schema_are_found(reference: str) -> None:
    part = {"$id": "https://x.example/part", "$anchor": "part", "type": "integer"}
    whole = {
        "$id": "https://x.example/whole",
        "type": "object",
        "properties": {"p": {"type": "array", "items": {"$ref": reference}}, "again": {"$ref": "#"}},
        "$defs": {"Part": part},
    }
    tool = tool_for(ref("Whole"), Whole=whole)
    assert accepts(tool, {"p": [1], "again": {"p": [2]}})
    assert not accepts(tool, {"p": ["a"]})
    assert not accepts(tool, {"again": {"p": ["a"]}})


def test_definitions_of_a_body_are_found_and_bare_names_too() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/definitions/Named"}, "c": {"$ref": "Named"}},
        "$defs": {"A": {"type": "integer"}},
    }
    tool = one(body_of(schema, openapi=NEW, components={"schemas": {"Named": {"type": "boolean"}}}))
    assert tool.problem_with({"a": 1, "b": True, "c": False}) is None
    assert all(tool.problem_with({name: "x"}) for name in "abc")


# -- objects in parts ---------------------------------------------------------------------------------------------------------


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "fitting", "wrong"),
    [
        ({"allOf": [closed(a=TEXT), closed(b=TEXT)]}, [{"a": "x", "b": "y"}], [{"c": 1}, {"a": 1}]),
        ({"allOf": [closed(a=TEXT), {"properties": {"b": TEXT}}]}, [{"a": "x", "b": "y"}], [{"c": 1}]),
        (closed(a=TEXT) | {"allOf": [{"allOf": [closed(b=TEXT)]}]}, [{"a": "x", "b": "y"}], [{"c": 1}, {"b": 1}]),
        (closed(a=TEXT) | {"oneOf": [closed(b=TEXT), closed(c=TEXT)]}, [{"a": "x", "b": "y"}], [{"d": 1}, {"b": 1}]),
        (
            {"properties": {"a": TEXT}, "anyOf": [closed(b=TEXT), closed(c=TEXT)]},
            [{"a": "x", "b": "y"}],
            [{"a": "x", "d": 1}, {"a": 1}],
        ),
        (
            {"allOf": [{"properties": {"a": TEXT}}, {"type": "object", "additionalProperties": {"type": "integer"}}]},
            [{"a": "x", "n": 1}],
            [{"n": "x"}],
        ),
        ({"allOf": [ref("Closed"), {"properties": {"b": TEXT}}]}, [{"k": 1, "b": "y"}], [{"z": 1}]),
        (ref("Closed"), [{"k": 1}], [{"k": 1, "b": "y"}]),
        (ref("Closed") | {"properties": {"b": TEXT}}, [{"k": 1, "b": "y"}], [{"z": 1}]),
    ],
)
def test_parts_of_an_object_do_not_forbid_one_another(schema: Any, fitting: Any, wrong: Any) -> None:
    tool = tool_for(schema, Closed=closed(k={"type": "integer"}))
    assert [value for value in fitting if not accepts(tool, value)] == []
    assert [value for value in wrong if accepts(tool, value)] == []


def test_what_only_answers_have_is_demanded_by_no_part() -> None:
    base = {"type": "object", "properties": {"id": {"type": "string", "readOnly": True}, "name": TEXT}}
    stamped = {"allOf": [ref("Base"), {"required": ["id", "name"]}]}
    kept = {"allOf": [{"type": "string"}, {"readOnly": True}]}
    tool = tool_for(
        {"allOf": [ref("Stamped"), {"required": ["id"], "properties": {"at": ref("Kept")}}]},
        Base=base,
        Stamped=stamped,
        Kept=kept,
    )
    assert accepts(tool, {"name": "x"})
    assert not accepts(tool, {})
    assert "id" not in json.dumps(tool.model_schema["properties"])
    assert '"at"' not in json.dumps(tool.model_schema["properties"])


def test_a_required_property_that_is_not_described_is_demanded_and_shown() -> None:
    tool = tool_for(
        {"type": "object", "required": ["a", "b"], "properties": {"a": TEXT}, "additionalProperties": False}
    )
    assert accepts(tool, {"a": "x", "b": [1]})
    assert not accepts(tool, {"a": "x"})
    assert set(tool.model_schema["properties"]["v"]["properties"]) == {"a", "b"}
    assert any("b is required and not described" in note for note in tool.notes)
    top = one(body_of({"type": "object", "required": ["z"], "properties": {"a": TEXT}}))
    assert top.problem_with({"a": "x"})
    assert prepare(top, {"z": 1}, Secrets({})).body == b'{"z":1}'


# -- alternatives -------------------------------------------------------------------------------------------------------------


def shape(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def test_a_discriminator_names_the_alternative() -> None:
    mapping = {"bank": "#/components/schemas/Bank", "card": "Card"}
    schema = {"oneOf": [ref("Bank"), ref("Card")], "discriminator": {"propertyName": "kind", "mapping": mapping}}
    parts = {"Bank": shape(kind=TEXT, number=TEXT), "Card": shape(kind=TEXT, number=TEXT, code={"type": "integer"})}
    tool = tool_for(schema, NEW, **parts)
    assert accepts(tool, {"kind": "bank", "number": "1"})
    assert accepts(tool, {"kind": "card", "number": "1", "code": 5})
    assert not accepts(tool, {"kind": "card", "number": "1"})
    assert not accepts(tool, {"kind": "cash", "number": "1"})
    problem = tool.problem_with({"v": {"kind": "card", "number": "1", "code": "x"}})
    assert problem is not None
    assert problem["field"] == "v.code"
    assert {"bank", "card"} <= set(json.dumps(tool.model_schema).split('"'))


def test_without_a_mapping_the_names_of_the_schemas_count_unless_they_say_otherwise() -> None:
    schema = {"oneOf": [ref("Cat"), ref("Dog")], "discriminator": {"propertyName": "pet"}}
    tool = tool_for(schema, Cat=shape(pet=TEXT), Dog=shape(pet=TEXT))
    assert [accepts(tool, {"pet": name}) for name in ("Cat", "Dog", "Cow")] == [True, True, False]
    said = {"type": "string", "enum": ["feline"]}, {"type": "string", "enum": ["canine"]}
    tool = tool_for(schema, Cat=shape(pet=said[0]), Dog=shape(pet=said[1]))
    assert [accepts(tool, {"pet": name}) for name in ("feline", "canine", "Cat")] == [True, True, False]


def test_a_base_that_lists_its_kinds_does_not_go_round_in_a_circle() -> None:
    base = {"oneOf": [ref("Sub")], "discriminator": {"propertyName": "t", "mapping": {"s": "Sub"}}, **shape(t=TEXT)}
    tool = tool_for(ref("Base"), Base=base, Sub={"allOf": [ref("Base"), shape(n={"type": "integer"})]})
    assert accepts(tool, {"t": "s", "n": 1})
    assert not accepts(tool, {"t": "s", "n": "x"})


@pytest.mark.parametrize(
    ("branches", "value", "fits"),
    [
        ([{"type": "integer"}, {"type": "number"}], 3, True),
        ([TEXT, {"type": "string", "format": "date"}], "2026-01-01", True),
        ([shape(a=TEXT), shape(a=TEXT)], {"a": "x"}, True),
        ([shape(a=TEXT), shape(a=TEXT, b=TEXT)], {"a": "x", "b": "y"}, True),
        ([{"required": ["id"]}, {"required": ["mail"]}], {"id": 1, "mail": 2}, False),
        ([shape(a=TEXT), shape(b=TEXT)], {"a": "x", "b": "y"}, False),
        ([shape(a={"const": 1}), shape(a={"const": 2}, b=TEXT)], {"a": 3, "b": "y"}, False),
    ],
)
def test_alternatives_that_cannot_be_told_apart_are_no_reason_to_refuse(branches: Any, value: Any, fits: bool) -> None:
    assert accepts(tool_for({"oneOf": branches}), value) == fits


# -- patterns -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "fitting", "wrong"),
    [
        ("/^[a-c]{2}$/", "ab", "abc"),
        ("/^[a-c]+$/i", "AB", "d"),
        ("#^v/[0-9]$#", "v/1", "v1"),
        ("/v1/things/", "/v1/things/", "things"),
        (r"\Aab\Z", "ab", "abc"),
        (r"^[\w-.]+$", "a-.b", "a b"),
        ("^{id}$", "{id}", "id"),
        (r"^a{,2}$", "aa", "aaa"),
        (r"^(?!\s*$).+", "a", "  "),
        (r"^(?=.*[A-Z])(?=.*\d).{3,}$", "aB1", "ab1"),
        (r"^(?!(foo|bar)$)[a-z]+$", "fo", "foo"),
        (r"^\h[^]\Qa.b\E$", " xa.b", " xaab"),
        ("^(?>ab|a)(?#c)c$", "abc", "b"),
        ("^[[:alpha:]]+$", "abc", "1"),
        (r"^[\ud83d\ude00]$", "\U0001f600", "a"),
        (r"^\p{L}+$", "é", "1"),
    ],
)
def test_patterns_of_other_dialects_are_checked(pattern: str, fitting: str, wrong: str) -> None:
    tool = tool_for({"type": "string", "pattern": pattern})
    assert (accepts(tool, fitting), accepts(tool, wrong), tool.notes) == (True, False, ())


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?<=a)b", "^(?!a)b|c$", "(", "[z-a]"])
def test_a_pattern_that_cannot_be_checked_is_named_and_the_others_are_checked(pattern: str) -> None:
    tool = one(
        body_of(
            {
                "type": "object",
                "properties": {
                    "free": {"type": "string", "pattern": pattern},
                    "code": {"type": "string", "pattern": "^[A-Z]$"},
                    "named": {"type": "object", "patternProperties": {pattern: TEXT}, "additionalProperties": False},
                },
            }
        )
    )
    assert tool.problem_with({"free": "anything", "code": "A", "named": {"x": 1}}) is None
    assert tool.problem_with({"free": 1})
    assert tool.problem_with({"code": "a"})
    assert [note for note in tool.notes if note.startswith("free: ") and "is not checked" in note]
    assert not [note for note in tool.notes if note.startswith("code")]


def test_a_check_that_refuses_the_documents_own_example_is_left_out() -> None:
    tool = tool_for({"type": "string", "pattern": r"^\\d{4}$", "example": "2026"})
    assert accepts(tool, "2027")
    assert "own example" in tool.notes[0]


def test_what_compiles_is_kept_as_it_is() -> None:
    for pattern in (r"^\d+(\.\d{1,2})?$", r"^[^\r\n]*$", r"a\/b", "[a-z&&b]"):
        assert patterns.constraints(pattern) == {"pattern": pattern}


# -- fields that are not described ----------------------------------------------------------------------------------------------


def open_tool(**more: Any) -> Tool:
    properties = {"first_name": TEXT, "e_mail": TEXT, "line1": TEXT, "id": {"type": "string", "readOnly": True}}
    given = body_of({"type": "object", "properties": properties, "required": ["e_mail"], **more})
    given["paths"]["/things"]["parameters"] = [{"name": "dry_run", "in": "query", "schema": {"type": "boolean"}}]
    return one(given)


def test_fields_that_are_not_described_are_taken_and_sent() -> None:
    tool = open_tool()
    given = {"e_mail": "a@b.c", "cf_8812": [1], "line2": "x", "dry_run": True}
    assert tool.problem_with(given) is None
    made = prepare(tool, given, Secrets({}))
    assert json.loads(made.body) == {"e_mail": "a@b.c", "cf_8812": [1], "line2": "x"}
    assert made.url.endswith("?dry_run=true")
    assert any("does not describe" in note for note in tool.notes)
    assert tool.model_schema["additionalProperties"] is True


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("firstName", "first_name"),
        ("First-Name", "first_name"),
        ("first_nmae", "first_name"),
        ("fist_name", "first_name"),
    ],
)
def test_a_field_that_is_nearly_called_like_a_described_one_is_a_mistake(name: str, meant: str) -> None:
    problem = open_tool().problem_with({"e_mail": "a", name: "x"})
    assert problem is not None
    assert (problem["field"], meant in problem["message"]) == (name, True)
    assert open_tool().problem_with({"e_mail": "a", name: "x", meant: "y"}) is None, "both are meant"


def test_what_is_not_a_calls_to_give_is_refused_where_others_are_taken() -> None:
    problem = open_tool().problem_with({"e_mail": "a", "id": "1"})
    assert problem is not None
    assert problem["message"] == "id: it is not for a call to give"
    assert "id" not in open_tool().model_schema["properties"]
    assert open_tool(additionalProperties=False).problem_with({"e_mail": "a", "cf_1": 1})


def test_whole_numbers_go_out_as_integers() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "deep": {}}}
    tool = one(body_of(schema))
    assert tool.problem_with({"n": 10.0}) is None
    body = prepare(tool, {"n": 10.0, "deep": [{"a": 1e15, "b": 0.5, "c": -2.0}]}, Secrets({})).body
    assert body == b'{"n":10,"deep":[{"a":1000000000000000,"b":0.5,"c":-2}]}'
    assert tool.problem_with({"n": 10.5})


def test_parameters_are_read_the_same_way() -> None:
    parameters = [{"name": "p", "in": "query", "schema": {"type": "String", "enum": [True, False]}}]
    tool = one(document(things={"get": {"operationId": "look", "parameters": parameters}}))
    assert prepare(tool, {"p": "true"}, Secrets({})).url.endswith("?p=true")
    assert tool.problem_with({"p": "maybe"})
