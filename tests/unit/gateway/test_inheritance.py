"""Bases with a discriminator: models see, and arguments are held to, what extends them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.importer import Wish, import_document
from services.tool_gateway.catalogue.inheritance import MOST_HEIRS
from services.tool_gateway.catalogue.tools import Tool

SCHEMAS = "#/components/schemas/"
TEXT = {"type": "string"}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": SCHEMAS + name}


def shape(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def heir(of: str, *required: str, **properties: Any) -> dict[str, Any]:
    return {"allOf": [ref(of), shape(*required, **properties)]}


BASE = shape("way", way=TEXT, note=TEXT) | {
    "discriminator": {"propertyName": "way", "mapping": {"sea": SCHEMAS + "Ship", "road": "Truck"}}
}
FLEET = {
    "Transport": BASE,
    "Ship": heir("Transport", "port", port=TEXT),
    "Truck": heir("Transport", "plate", plate=TEXT),
}


def tool(schemas: dict[str, Any], body: Any = None) -> Tool:
    """The tool that takes a transport, having been stored and read again."""
    content = {"application/json": {"schema": ref("Transport") if body is None else body}}
    given: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {"title": "Freight", "version": "1"},
        "servers": [{"url": "https://freight.example"}],
        "paths": {"/send": {"post": {"operationId": "send", "requestBody": {"required": True, "content": content}}}},
        "components": {"schemas": schemas},
    }
    made = import_document(foreign.parse(json.dumps(given).encode()), "", Wish("freight"))
    (imported,) = made.tools
    (stored,) = read_tools(made.document, "freight")
    assert imported.input_schema == stored.input_schema
    return stored


def takes(made: Tool, **body: Any) -> bool:
    return made.problem_with({"body": body}) is None


def test_a_base_is_one_of_those_that_its_mapping_names() -> None:
    made = tool(FLEET)
    assert takes(made, way="sea", port="Oslo", note="fragile")
    assert takes(made, way="road", plate="X1")
    assert not takes(made, way="sea")
    assert not takes(made, way="sea", plate="X1")
    assert not takes(made, way="air", port="Oslo")
    assert not takes(made, port="Oslo")


def test_models_are_shown_what_the_heirs_add() -> None:
    shown = json.dumps(tool(FLEET).model_schema)
    assert all(word in shown for word in ('"port"', '"plate"', '"sea"', '"road"'))


def test_without_a_mapping_names_of_heirs_count_also_of_heirs_of_heirs() -> None:
    schemas = FLEET | {
        "Transport": BASE | {"discriminator": {"propertyName": "way"}},
        "Ferry": heir("Ship", "cars", cars={"type": "integer"}),
    }
    made = tool(schemas)
    assert takes(made, way="Ship", port="Oslo")
    assert takes(made, way="Ferry", port="Oslo", cars=3)
    assert not takes(made, way="Ferry", port="Oslo")
    assert not takes(made, way="Ferry", cars=3)
    assert not takes(made, way="Transport")


def test_a_value_of_the_base_that_no_heir_has_means_the_base() -> None:
    base = BASE | {"properties": {"way": {"type": "string", "enum": ["sea", "road", "foot"]}}}
    made = tool(FLEET | {"Transport": base})
    assert takes(made, way="foot")
    assert not takes(made, way="sea")
    assert not takes(made, way="air")


def test_a_closed_base_takes_what_its_heirs_add() -> None:
    made = tool(FLEET | {"Transport": BASE | {"additionalProperties": False}})
    assert takes(made, way="sea", port="Oslo")
    assert not takes(made, way="sea", port="Oslo", plate="X1")


@pytest.mark.parametrize(
    "within",
    [
        ref("Transport"),
        {"allOf": [ref("Transport")], "description": "How it goes."},
        {"nullable": True, "allOf": [ref("Transport")]},
        {"oneOf": [ref("Transport"), {"type": "string"}]},
    ],
)
def test_a_base_within_others_is_one_of_its_heirs_too(within: Any) -> None:
    made = tool(FLEET, shape("by", by=within))
    assert made.problem_with({"by": {"way": "sea", "port": "Oslo"}}) is None
    assert made.problem_with({"by": {"way": "sea"}}) is not None


def test_a_base_may_hold_itself() -> None:
    made = tool(FLEET | {"Transport": BASE | {"properties": {"way": TEXT, "then": ref("Transport")}}})
    assert takes(made, way="sea", port="Oslo", then={"way": "road", "plate": "X1"})
    assert not takes(made, way="sea", port="Oslo", then={"way": "road"})


def test_a_discriminator_of_swagger_2_is_one() -> None:
    made = tool(FLEET | {"Transport": shape("way", way=TEXT) | {"discriminator": "way"}})
    assert takes(made, way="Ship", port="Oslo")
    assert not takes(made, way="Ship")


def test_alternatives_that_are_listed_already_stay_as_they_are() -> None:
    listed = {
        "oneOf": [ref("Transport"), ref("Letter")],
        "discriminator": {"propertyName": "way", "mapping": {"any": SCHEMAS + "Transport", "mail": "Letter"}},
    }
    made = tool(FLEET | {"Letter": shape("way", "stamp", way=TEXT, stamp=TEXT)}, listed)
    assert takes(made, way="any")
    assert takes(made, way="mail", stamp="1")
    assert not takes(made, way="mail")


def test_heirs_without_a_discriminator_and_too_many_of_them_change_nothing() -> None:
    plain = {key: value for key, value in BASE.items() if key != "discriminator"}
    many = {f"Kind{n}": heir("Transport", "port", port=TEXT) for n in range(MOST_HEIRS + 1)}
    unmapped = BASE | {"discriminator": {"propertyName": "way"}}
    for schemas in (FLEET | {"Transport": plain}, {"Transport": unmapped} | many):
        assert tool(schemas).problem_with({"way": "sea", "note": "x"}) is None
