"""The catalogue: bad documents and grants are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.tool_gateway import catalogue
from services.tool_gateway.catalogue import Catalogue, read_document
from services.tool_gateway.credentials import Secrets
from services.tool_gateway.encode import prepare
from shared.errors import BadInput

DOCUMENT = """
openapi: 3.1.0
info: {title: t, version: "1", x-viox: {vendor: shop}}
servers: [{url: "https://shop.example"}]
paths:
  /things/{id}:
    get:
      summary: Read a thing.
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      x-viox: %s
"""

# Only a person can say what became of these: why is beside each in its document.
WITHOUT_LOOK_UP = {"airtable_create_records"}


def written(tmp_path: Path, x_viox: str) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(DOCUMENT % x_viox)
    return file


def test_a_document_of_ones_own_becomes_tools(tmp_path: Path) -> None:
    (tool,) = read_document(written(tmp_path, "{tool: shop_get_thing, effect: read}"))
    assert (tool.method, tool.effect, tool.input_schema["required"]) == ("GET", "read", ["id"])
    assert tool.problem_with({"id": "1"}) is None
    assert tool.problem_with({"id": 1}) is not None


def test_a_parameter_may_have_another_name_as_an_argument(tmp_path: Path) -> None:
    file = written(tmp_path, "{tool: shop_get_thing, effect: read}")
    parameter = '{name: "fields[]", x-viox-argument: fields, in: query, schema: {type: array, items: {type: string}}}'
    file.write_text(file.read_text().replace("schema: {type: string}}]", "schema: {type: string}}, " + parameter + "]"))
    (tool,) = read_document(file)
    assert set(tool.input_schema["properties"]) == {"id", "fields"}
    made = prepare(tool, {"id": "1", "fields": ["a", "b"]}, Secrets({}))
    assert made.url == "https://shop.example/things/1?fields%5B%5D=a&fields%5B%5D=b"


@pytest.mark.parametrize(
    "x_viox", ["{tool: shop_get_thing}", "{tool: 'shop get', effect: read}", "{tool: a, effect: maybe}"]
)
def test_a_bad_operation_is_named(tmp_path: Path, x_viox: str) -> None:
    with pytest.raises(BadInput) as error:
        read_document(written(tmp_path, x_viox))
    assert error.value.field == "paths./things/{id}"


def test_a_grant_of_nothing_is_an_error(tmp_path: Path) -> None:
    tools = read_document(written(tmp_path, "{tool: shop_get_thing, effect: read}"))
    with pytest.raises(BadInput) as error:
        Catalogue(tools, {"closer": frozenset({"shop_get_think"})})
    assert "shop_get_think" in error.value.message


def test_our_own_catalogue_is_sound() -> None:
    found = catalogue.load()
    assert len(found.tools) >= 25
    for tool in found.tools.values():
        assert tool.description, tool.name
        settled = tool.settle is not None or tool.name in WITHOUT_LOOK_UP
        assert tool.effect != "once" or settled, f"{tool.name} could never be settled by itself"


def test_rates_follow_the_plan_of_the_business() -> None:
    faster = catalogue.load().with_rates({"HUBSPOT_RATE_PER_SECOND": "19"})
    rate = faster.tools["hubspot_create_deal"].rate
    assert rate is not None
    assert rate.per_second == 19
    with pytest.raises(BadInput):
        catalogue.load().with_rates({"HUBSPOT_RATE_PER_SECOND": "fast"})
