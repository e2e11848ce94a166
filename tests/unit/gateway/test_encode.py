"""Requests: exact bytes, and no secret in what the ledger keeps."""

from __future__ import annotations

import orjson
import pytest

from services.tool_gateway.answers.paths import at, filled, project
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.tools import Credential
from services.tool_gateway.wire.credentials import Secrets, apply_credentials, redacted
from services.tool_gateway.wire.encode import prepare
from shared.errors import BadInput
from shared.redaction import Redactions

TOOLS = catalogue.load().tools
SECRETS = Secrets(
    {
        "HUBSPOT_ACCESS_TOKEN": "pat-secret",
        "TWILIO_ACCOUNT_SID": "ACx",
        "TWILIO_AUTH_TOKEN": "tw-secret",
        "TWILIO_FROM": "+1500",
        "AIRTABLE_API_KEY": "at-secret",
        "HUBSPOT_BASE_URL": "http://127.0.0.1:9/",
    }
)


async def no_token(credential: Credential) -> str:
    raise AssertionError(f"{credential} wants a token")


def test_form_bodies_carry_settings_the_model_never_sees() -> None:
    made = prepare(TOOLS["twilio_send_message"], {"To": "+14155550123", "Body": "Hi & you+me"}, SECRETS)
    assert made.url == "https://api.twilio.com/2010-04-01/Accounts/ACx/Messages.json"
    assert made.body == b"From=%2B1500&To=%2B14155550123&Body=Hi+%26+you%2Bme"
    assert "From" not in TOOLS["twilio_send_message"].input_schema["properties"]


async def test_no_secret_is_shown() -> None:
    for name, arguments in (
        ("twilio_send_message", {"To": "+14155550123", "Body": "x"}),
        ("hubspot_create_deal", {"properties": {"dealname": "x", "dealstage": "s"}}),
    ):
        made = prepare(TOOLS[name], arguments, SECRETS)
        assert "secret" not in repr(redacted(made)).replace("$secret", "")
        assert "secret" not in made.url + made.body.decode()
        real = (await apply_credentials(made, SECRETS, no_token, Redactions()))[1]
        assert "secret" in repr(real) or "Basic" in repr(real), "the real headers do"
        assert real != redacted(made)[1]


def test_path_values_cannot_leave_their_segment() -> None:
    made = prepare(TOOLS["hubspot_get_contact_by_email"], {"email": "../../owners/?x=1#y"}, SECRETS)
    assert "/crm/v3/objects/contacts/..%2F..%2Fowners%2F%3Fx%3D1%23y?" in made.url


def test_defaults_of_parameters_are_sent() -> None:
    """Without idProperty HubSpot takes the address for a record id and finds nothing."""
    made = prepare(TOOLS["hubspot_get_contact_by_email"], {"email": "a@b.co"}, SECRETS)
    assert "idProperty=email" in made.url


def test_json_bodies_hold_the_body_properties_only() -> None:
    made = prepare(TOOLS["hubspot_update_contact"], {"contactId": "7", "properties": {"phone": "1"}}, SECRETS)
    assert orjson.loads(made.body) == {"properties": {"phone": "1"}}
    assert made.method == "PATCH"
    assert made.url.startswith("http://127.0.0.1:9/crm/v3/objects/contacts/7")


def test_missing_credential_is_named() -> None:
    with pytest.raises(BadInput) as error:
        prepare(TOOLS["airtable_list_bases"], {}, Secrets({}))
    assert (error.value.code, error.value.field) == ("credential.missing", "AIRTABLE_API_KEY")


def test_paths_reach_into_lists_and_choose_from_them() -> None:
    body = {"tables": [{"id": "t1", "fields": [1]}, {"id": "t2", "fields": [2]}], "results": [{"id": 5}]}
    assert at(body, "results.0.id") == 5
    assert at(body, "tables[id=$.tableId].fields", {"tableId": "t2"}) == [2]
    assert at(body, "tables[id=$.tableId].fields", {"tableId": "t9"}) is None
    assert at(body, "") == body
    assert filled({"a": ["$.x.y", "plain"]}, {"x": {"y": 3}}) == {"a": [3, "plain"]}


def test_projection_keeps_what_is_named() -> None:
    body = {"results": [{"id": 1, "secret": 2}, {"id": 3}], "total": 2, "more": {}}
    assert project(body, ["total", "results.*.id"]) == {"total": 2, "results": [{"id": 1}, {"id": 3}]}
    assert project(None, ["a"]) is None
    assert project(body, []) == body


def test_json_text_is_an_object_here_and_text_there() -> None:
    (tool,) = read_tools(
        {
            "openapi": "3.1.0",
            "info": {"x-viox": {"vendor": "shop"}},
            "servers": [{"url": "https://shop.example"}],
            "paths": {
                "/plans": {
                    "post": {
                        "summary": "Make a plan.",
                        "requestBody": {
                            "content": {
                                "application/json": {
                                    "schema": {
                                        "type": "object",
                                        "required": ["plan", "when"],
                                        "properties": {
                                            "plan": {"type": "object", "x-viox-json-text": True},
                                            "when": {
                                                "type": "object",
                                                "x-viox-json-text": True,
                                                "x-viox-default": {"type": "never"},
                                            },
                                            "note": {"type": "object", "x-viox-json-text": True},
                                        },
                                    }
                                }
                            }
                        },
                        "x-viox": {"tool": "shop_plan", "effect": "once"},
                    }
                }
            },
        },
        "shop",
    )
    assert tool.problem_with({"plan": "{}"}) is not None
    made = prepare(tool, {"plan": {"name": "é"}}, SECRETS)
    assert orjson.loads(made.body) == {"plan": '{"name":"é"}', "when": '{"type":"never"}'}
