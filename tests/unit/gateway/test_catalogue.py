"""The catalogue: bad documents and grants are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.catalogue import Catalogue, read_document
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.tools import Credential, Tool
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
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


def written(tmp_path: Path, x_viox: str) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(DOCUMENT % x_viox)
    return file


def documented(x_viox: str) -> list[Tool]:
    """The tools of the document above."""
    return read_tools(yaml.safe_load(DOCUMENT % x_viox), "shop")


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


# Calls of these that got no answer wait for a person: the vendor has no look-up that can decide.
PERSON_SETTLES = {
    "airtable_create_records": "values are normalised, left out and computed, so absence cannot be proven",
    "email_send": "a mail server cannot be asked what it was given; the Message-ID is on record",
    "make_run_scenario": "what an execution was given cannot be read",
    "make_rerun_scenario": "as for make_run_scenario",
    "make_create_hook": "names are not unique, and the list shows no times",
    "n8n_retry_execution": "executions that still run are not in the list, so absence proves nothing",
    "n8n_call_webhook": "as for retries, and lists do not show what an execution was given",
}


@pytest.mark.parametrize("by", ["hubspot_get_contact", "shop_get_thing", "stripe_create_payout"])
def test_a_call_is_looked_up_only_by_what_reads_at_its_own_vendor(by: str) -> None:
    """A look-up needs no grant: a document must not reach other vendors or effects through it."""
    settle = f"settle: {{tool: {by}, arguments: {{}}, items: '', match: {{}}, unique: id, lag_seconds: 0}}"
    tools = documented(f"{{tool: shop_get_thing, effect: once, {settle}}}")
    with pytest.raises(BadInput) as error:
        Catalogue([*catalogue.load().tools.values(), *tools], {})
    assert (error.value.code, error.value.field) == ("catalogue.invalid", "shop_get_thing")


def test_our_own_catalogue_is_sound() -> None:
    found = catalogue.load()
    assert len(found.tools) >= 25
    for tool in found.tools.values():
        assert tool.description, tool.name
    assert {t.name for t in found.tools.values() if t.effect == "once" and not t.settle} == PERSON_SETTLES.keys()


def test_rates_follow_the_plan_of_the_business() -> None:
    faster = catalogue.load().with_rates({"HUBSPOT_RATE_PER_SECOND": "19"})
    rate = faster.tools["hubspot_create_deal"].rate
    assert rate is not None
    assert rate.per_second == 19
    with pytest.raises(BadInput):
        catalogue.load().with_rates({"HUBSPOT_RATE_PER_SECOND": "fast"})


def test_an_operation_may_have_a_credential_of_its_own_or_do_without() -> None:
    key = "{scheme: header, name: X-Key, secrets: [SHOP_KEY]}"
    (tool,) = documented(f"{{tool: t, effect: read, credential: [{key}, {{scheme: none}}]}}")
    (credential,) = tool.credentials[0]
    assert (credential, tool.credentials[1]) == (Credential("header", ("SHOP_KEY",), "X-Key"), ())
    assert Secrets({"SHOP_KEY": "k"}).choose(tool.credentials) == (credential,)
    assert Secrets({}).choose(tool.credentials) == ()
    (tool,) = documented(f"{{tool: t, effect: read, credential: {key}}}")
    with pytest.raises(BadInput):
        Secrets({}).choose(tool.credentials)
