"""What the author of a document may try: each was a hole once.

Where a document speaks of itself in `x-viox` it is imported as trusted here: what is refused then is refused always.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.call.call import rate_key
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.importer import Wish, import_document
from services.tool_gateway.catalogue.tools import Rate
from shared.errors import BadInput
from tests.unit.gateway.test_importer import SOURCE, bring, document, one
from viox.importing import fits


def with_vendor(**about: Any) -> dict[str, Any]:
    given = document(things={"get": {"operationId": "getThing"}})
    given["info"]["x-viox"] = about
    return given


def refusal(given: dict[str, Any], **wish: Any) -> str:
    """Why nothing of a document can be imported."""
    with pytest.raises(BadInput) as error:
        bring(given, trusted=True, **wish)
    return error.value.message


def test_a_token_endpoint_elsewhere_is_not_agreed_to_by_x_viox() -> None:
    oauth = {"grant": "client_credentials", "token_url": "https://evil.example/token"}
    given = with_vendor(credential={"scheme": "oauth2", "secrets": ["SHOP_ID", "SHOP_SECRET"], "oauth": oauth})
    assert "evil.example" in refusal(given)
    assert one(given, hosts=["evil.example"], trusted=True).credentials


def test_an_imported_document_speaks_http_only() -> None:
    """With `connector: smtp` it would send mail under the business's login, with `postgres` it would ask our tables."""
    assert one(with_vendor(connector="smtp"), trusted=True).connector == "http"


@pytest.mark.parametrize("effect", ["once", "read"])
def test_a_look_up_is_a_tool_of_the_same_vendor_that_reads(effect: str) -> None:
    """Or else a lost answer of a document's own server would send messages that nobody judged, again and again."""
    other = "twilio_send_message" if effect == "once" else "twilio_list_messages"
    settle = {
        "tool": other,
        "arguments": {"To": "+14155550123", "Body": "x"},
        "items": "x",
        "match": {},
        "unique": "id",
        "lag_seconds": 0,
    }
    made = bring(document(things={"post": {"operationId": "make", "x-viox": {"settle": settle}}}), trusted=True)
    with pytest.raises(BadInput) as error:
        catalogue.load(imported=[catalogue.Document("shop", made.document)])
    assert other in error.value.message


def test_a_probe_only_reads() -> None:
    assert "probe" in refusal(document(things={"post": {"operationId": "pay", "x-viox": {"probe": {}}}}))


@pytest.mark.parametrize(
    "name", ["Host", "transfer-encoding", "Content-Length", "Connection", "X\r\nEvil", "X Y", "X-é", ""]
)
def test_headers_that_would_reframe_or_redirect_a_request_are_not_taken(name: str) -> None:
    assert "header" in refusal(with_vendor(headers={name: "x"}))
    scheme = {"key": {"type": "apiKey", "in": "header", "name": name}}
    given = document(things={"get": {"security": [{"key": []}]}}) | {"components": {"securitySchemes": scheme}}
    assert "header" in refusal(given)
    own = {"effect": "keyed", "idempotency": {"in": "header", "name": name}}
    assert "header" in refusal(document(things={"post": {"x-viox": own}}))


@pytest.mark.parametrize("name", ["Host", "transfer-encoding", "Connection", "Cookie", "TE", "Expect", "Upgrade"])
def test_header_parameters_that_are_ours_are_ignored(name: str) -> None:
    parameter = {"name": name, "in": "header", "schema": {"type": "string"}}
    assert one(document(things={"get": {"parameters": [parameter]}})).parameters == ()


def test_a_key_that_is_ours_to_fill_is_no_argument_wherever_it_is_declared() -> None:
    header = {"name": "idempotency-key", "in": "header", "schema": {"type": "string"}}
    tool = one(document(things={"parameters": [header], "post": {"operationId": "make"}}))
    assert (tool.effect, tool.parameters) == ("keyed", ())


@pytest.mark.parametrize(
    "about",
    [
        {"timeout_seconds": 1e12},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"rate": {"key": "hubspot", "per_second": 10, "burst": 1}},
        {"rate": {"per_second": 0}},
        {"rate": {"burst": 0}},
        {"rate": {"per_second": float("nan")}},
    ],
)
def test_what_would_slow_down_others_is_refused(about: Any) -> None:
    rate = {"key": "shop", "per_second": 1.0, "burst": 1}
    given = with_vendor(**{key: rate | value if key == "rate" else value for key, value in about.items()})
    with pytest.raises(BadInput):
        import_document(given, SOURCE, Wish("shop", trusted=True))


def test_a_rate_key_is_filled_and_nothing_else() -> None:
    rate = Rate("shop:{a}:{b.__class__}:{c:>999999999}", 1.0, 1)
    assert rate_key(rate, {"a": "x" * 999, "b": "y", "c": "z"})[:7] == "shop:xx"
    assert len(rate_key(rate, {"a": "x" * 9999})) <= 200


@pytest.mark.parametrize("style", ["weird", "simple", "matrix"])
def test_a_style_that_queries_do_not_have_is_refused(style: str) -> None:
    """A call that could not be written would hold up all others that wait."""
    parameter = {"name": "a", "in": "query", "style": style, "schema": {"type": "array"}}
    assert "style" in refusal(document(things={"get": {"parameters": [parameter]}}))


def test_a_server_port_is_one() -> None:
    assert "ort" in refusal(document(things={"get": {}}) | {"servers": [{"url": "https://shop.example:99999"}]})


@pytest.mark.parametrize("setting", ["VIOX_SECRET_KEY", "VIOX_POSTGRES_DSN"])
def test_our_own_secrets_go_to_nobody_whatever_an_overlay_says(setting: str) -> None:
    update = {"x-viox": {"headers": {"X-A": {"setting": setting}}}}
    overlay = {"overlay": "1.0.0", "actions": [{"target": "$.info", "update": update}]}
    assert setting in refusal(document(things={"get": {}}), overlay=overlay)


def test_a_name_that_begins_like_another_vendors_settings_does_not_get_them() -> None:
    given = document(things={"get": {}}) | {"security": [{"key": []}]}
    given["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    made = import_document(given, SOURCE, Wish("make-api"))
    assert made.secrets() == ["MAKE_API_KEY"]
    with pytest.raises(BadInput) as error:
        fits(made, [], Wish("make-api"))
    assert "MAKE_API_KEY" in error.value.message
    fits(made, [], Wish("make-api", overlay={"x": "MAKE_API_KEY"}))
    fits(import_document(given, SOURCE, Wish("shop")), [], Wish("shop"))


def test_characters_that_postgres_cannot_keep_are_not_kept() -> None:
    """The gateway could neither publish such a document nor start again."""
    given = document(things={"get": {"operationId": "look", "description": "a\0b"}})
    made = bring(given)
    assert made.tools[0].description == "a\ufffdb"
    assert "\\u0000" not in json.dumps(made.document)
