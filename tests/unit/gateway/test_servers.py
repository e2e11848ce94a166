"""Servers of a document: relative ones, variables, further ones; and paths that fix a part of the query."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.importer import Import, Wish, import_document
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from shared.errors import BadInput
from tests.unit.gateway.test_importer import document, get, one


def bring(servers: Any, source: str = "", item: Any = None, **wish: Any) -> Import:
    given = document(orders=item or get()) | {"servers": servers}
    return import_document(foreign.parse(json.dumps(given).encode()), source, Wish("shop", **wish))


def url(made: Import, **settings: str) -> str:
    (tool,) = made.tools
    return prepare(tool, {}, Secrets(settings)).url


@pytest.mark.parametrize("server", ["/api/v1", "/api/v1/", "api/v1", "./api/v1"])
@pytest.mark.parametrize("given", ["https://shop.example", "https://shop.example/"])
def test_a_relative_server_follows_a_host_without_a_path(server: str, given: str) -> None:
    by_option = bring([{"url": server}], base_url=given)
    assert url(by_option) == "https://shop.example/api/v1/orders"
    by_setting = bring([{"url": server}])
    assert url(by_setting, SHOP_BASE_URL=given) == "https://shop.example/api/v1/orders"
    assert any("/api/v1" in remark and "SHOP_BASE_URL" in remark for remark in by_setting.remarks)
    assert by_setting.secrets() == ["SHOP_BASE_URL"]


def test_a_base_url_with_a_path_is_taken_as_it_is() -> None:
    assert url(bring([{"url": "/api/v1"}], base_url="https://shop.example/v2")) == "https://shop.example/v2/orders"
    assert url(bring([{"url": "/api/v1"}]), SHOP_BASE_URL="https://shop.example/v2") == "https://shop.example/v2/orders"


def test_a_relative_server_is_seen_from_where_the_document_came_from() -> None:
    made = bring([{"url": "../v1"}], source="https://shop.example/docs/openapi.json")
    assert url(made) == "https://shop.example/v1/orders"
    assert url(made, SHOP_BASE_URL="https://test.example") == "https://test.example/v1/orders"


def test_an_operations_own_relative_server_is_on_the_same_host() -> None:
    item = get() | {"servers": [{"url": "/upload/v1"}]}
    assert url(bring([{"url": "https://shop.example/api"}], item=item)) == "https://shop.example/upload/v1/orders"
    unknown = bring([{"url": "/api"}], item=item)
    assert url(unknown, SHOP_BASE_URL="https://shop.example") == "https://shop.example/upload/v1/orders"


def test_variables_that_were_filled_are_told() -> None:
    variables = {"store": {"default": "store_hash"}, "region": {"default": "eu", "enum": ["eu", "us"]}}
    made = bring([{"url": "https://{region}.shop.example/{store}", "variables": variables}])
    assert url(made) == "https://eu.shop.example/store_hash/orders"
    told = " | ".join(made.remarks)
    assert "store" in told
    assert "'store_hash'" in told
    assert "(of eu, us)" in told
    assert "--base-url or SHOP_BASE_URL" in told


def test_variables_of_an_operations_own_server_are_told_too() -> None:
    own = {"servers": [{"url": "https://shop.example/{site}", "variables": {"site": {"default": "demo"}}}]}
    made = bring([{"url": "https://shop.example"}], item=get(**own))
    assert [(places, "'demo'" in text) for text, places in made.remarks.items()] == [(["GET /orders"], True)]


def test_further_servers_are_told() -> None:
    sandbox = {"url": "https://sandbox.shop.example", "description": "Sandbox"}
    made = bring([sandbox, {"url": "https://api.shop.example", "description": "Production"}])
    (told,) = made.remarks
    assert "https://sandbox.shop.example (Sandbox) is taken" in told
    assert "https://api.shop.example (Production)" in told
    assert bring([sandbox, {"url": "https://api.shop.example"}], base_url="https://api.shop.example").remarks == {}


@pytest.mark.parametrize("host", ["your-resource-name.cloud.example", "my-company.shop.example", "localhost:8080"])
def test_a_placeholder_in_the_place_of_a_host_is_told(host: str) -> None:
    assert any("placeholder" in remark for remark in bring([{"url": f"https://{host}"}]).remarks)


def test_a_server_that_is_plain_needs_no_remark() -> None:
    assert bring([{"url": "https://api.shop.example/v1"}]).remarks == {}


def test_a_base_url_that_leaves_out_the_servers_path_is_told() -> None:
    made = bring([{"url": "https://api.shop.example/v1"}], base_url="https://test.example")
    assert url(made) == "https://test.example/orders"
    assert any("/v1" in remark for remark in made.remarks)


@pytest.mark.parametrize("server", [{"url": "https://{site}.example"}, {"url": "shop.example/v1"}, "nonsense", {}])
def test_a_server_that_cannot_be_used_is_refused_with_the_remedy(server: Any) -> None:
    with pytest.raises(BadInput) as error:
        bring([server])
    assert "--base-url" in str(error.value)
    assert url(bring([server], base_url="https://shop.example")) == "https://shop.example/orders"


# -- paths with a query --------------------------------------------------------------------------------------------------


def parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": True, "schema": {"type": "string"}}


def test_a_fixed_query_in_a_path_is_sent_with_the_parameters() -> None:
    given = document() | {"paths": {"/rpc?action=list&v": get(parameters=[parameter("page", "query")])}}
    tool = one(given)
    assert prepare(tool, {"page": "2"}, Secrets({})).url == "https://shop.example/rpc?action=list&v=&page=2"
    assert set(tool.input_schema["properties"]) == {"page"}


@pytest.mark.parametrize("place", ["path", "query"])
def test_a_variable_in_the_query_of_a_path_is_a_parameter_of_the_query(place: str) -> None:
    tool = one(document() | {"paths": {"/find?q={q}": get(parameters=[parameter("q", place)])}})
    assert prepare(tool, {"q": "a&b"}, Secrets({})).url == "https://shop.example/find?q=a%26b"
    assert tool.problem_with({})


def test_what_a_path_fixes_no_argument_says_again() -> None:
    tool = one(document() | {"paths": {"/things?type=a": get(parameters=[parameter("type", "query")])}})
    assert tool.input_schema["properties"] == {}
    assert prepare(tool, {}, Secrets({})).url == "https://shop.example/things?type=a"
