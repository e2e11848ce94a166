"""Credentials as documents describe them: sign-ins that cannot be used say why, and no model is asked for a secret."""

from __future__ import annotations

from typing import Any

import pytest

from services.tool_gateway.catalogue.tools import Credential
from services.tool_gateway.wire.credentials import Secrets, again, apply_credentials, redacted
from services.tool_gateway.wire.encode import prepare
from shared.errors import BadInput
from shared.redaction import Redactions
from tests.unit.gateway.test_importer import bring, document, get, one

SERVERS = {"servers": [{"url": "https://api.shop.example/v1"}]}


def oauth(flow: str = "clientCredentials", **flows: Any) -> dict[str, Any]:
    return {"type": "oauth2", "flows": {flow: {"scopes": {}} | flows}}


def secured(**schemes: Any) -> dict[str, Any]:
    """A document with an operation for each scheme, and one without."""
    paths = {name: get(operationId=name, security=[{name: []}]) for name in schemes}
    return (
        document(**paths, ping=get(operationId="ping", security=[]))
        | SERVERS
        | {"components": {"securitySchemes": schemes}}
    )


def why(given: dict[str, Any], **wish: Any) -> str:
    made = bring(given, **wish)
    assert [tool.name for tool in made.tools] == ["shop_ping"], "the rest is imported"
    (skipped,) = made.skipped
    return skipped.reason


# -- what cannot be used says why, and what can be done -----------------------------------------------------------------


@pytest.mark.parametrize("flow", ["clientCredentials", "authorizationCode"])
def test_a_token_endpoint_on_another_host_names_the_host_and_the_option(flow: str) -> None:
    given = secured(SignIn=oauth(flow, tokenUrl="https://login.shop.example/token"))
    assert "login.shop.example" in why(given)
    assert "--allow-host login.shop.example" in why(given)
    assert len(bring(given, hosts=["login.shop.example"]).tools) == 2


def test_a_server_on_another_host_names_the_option_too() -> None:
    given = document(ping=get(operationId="ping"), files=get(servers=[{"url": "https://files.shop.example"}])) | SERVERS
    assert "--allow-host files.shop.example" in why(given)


@pytest.mark.parametrize(
    "url", ["", "  ", None, "https://{tenant}.shop.example/token", "https://[bad/token", "mailto:x@shop.example"]
)
def test_a_token_endpoint_that_is_none_is_given_by_a_setting(url: Any) -> None:
    made = bring(secured(Blank=oauth(tokenUrl=url)))
    (tool,) = (tool for tool in made.tools if tool.name == "shop_Blank")
    ((credential,),) = tool.credentials
    assert credential.oauth is not None
    assert (credential.oauth.token_url, credential.oauth.token_url_setting) == ("", "SHOP_TOKEN_URL")
    assert "SHOP_TOKEN_URL" in made.secrets()
    assert any("tokenUrl" in remark and "SHOP_TOKEN_URL" in remark for remark in made.remarks)


def test_a_token_endpoint_that_is_left_out_is_given_by_a_setting() -> None:
    assert "SHOP_TOKEN_URL" in bring(secured(Blank=oauth())).secrets()


def test_a_relative_token_endpoint_is_on_the_server() -> None:
    made = bring(secured(SignIn=oauth(tokenUrl="/oauth/token")))
    assert [c.oauth.token_url for t in made.tools for one in t.credentials for c in one if c.oauth] == [
        "https://api.shop.example/oauth/token"
    ]


def test_a_scheme_that_is_not_defined_is_called_so() -> None:
    given = secured(bearerAuth={"type": "http", "scheme": "bearer"})
    given["paths"]["/bearerAuth"] = get(operationId="x", security=[{"Bearer": []}])
    assert "'Bearer' is not defined" in why(given)
    assert "bearerAuth" in why(given)
    assert "overlay" in why(given)


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        (oauth("implicit"), ["implicit", "unattended", "overlay"]),
        ({"type": "openIdConnect"}, ["openIdConnect", "overlay"]),
        ({"type": "http", "scheme": "digest"}, ["digest", "overlay"]),
        ({"type": "apiKey", "in": "header"}, ["lacks 'name'", "overlay"]),
        ({"type": "apiKey", "in": "body", "name": "k"}, ["'body'"]),
        ("nonsense", ["'Odd'"]),
        ({"$ref": "security.yaml#/Key"}, ["Bundle"]),
    ],
)
def test_a_scheme_that_cannot_be_used_says_what_can_be_done(scheme: Any, words: list[str]) -> None:
    reason = why(secured(Odd=scheme))
    assert [word for word in words if word not in reason] == []


def test_a_security_that_is_none_is_a_sentence() -> None:
    given = document(ping=get(operationId="ping"), odd=get(security=["Key"])) | SERVERS
    assert "security is not a list of objects" in why(given)


def test_where_nothing_can_be_imported_the_reasons_and_remedies_are_told_once() -> None:
    scheme = oauth(tokenUrl="https://login.shop.example/token")
    paths = {f"p{n}": get(operationId=f"p{n}") for n in range(30)}
    given = document(**paths) | SERVERS | {"security": [{"S": []}], "components": {"securitySchemes": {"S": scheme}}}
    with pytest.raises(BadInput) as error:
        bring(given)
    told = str(error.value)
    assert told.count("--allow-host login.shop.example") == 1
    assert "30 operations" in told


# -- credentials that are described as parameters -----------------------------------------------------------------------


def parameter(name: str, place: str = "header") -> dict[str, Any]:
    return {"name": name, "in": place, "required": True, "schema": {"type": "string"}}


async def no_token(credential: Credential) -> str:
    return "token"


@pytest.mark.parametrize(
    ("place", "scheme_name", "name"),
    [("header", "X-TOKEN", "x-Token"), ("query", "api_key", "api_key"), ("cookie", "session", "session")],
)
async def test_where_a_credential_goes_no_argument_may(place: str, scheme_name: str, name: str) -> None:
    given = document(bills=get(parameters=[parameter(name, place), parameter("page", "query")])) | {
        "security": [{"Key": []}],
        "components": {"securitySchemes": {"Key": {"type": "apiKey", "in": place, "name": scheme_name}}},
    }
    tool = one(given)
    assert set(tool.input_schema["properties"]) == {"page"}
    secrets = Secrets({"SHOP_KEY": "real-key"})
    url, headers = await apply_credentials(prepare(tool, {"page": "1"}, secrets), secrets, no_token, Redactions())
    assert (url + repr(headers)).lower().count(name.lower()) == 1
    assert "real-key" in url + repr(headers)


def test_a_parameter_of_that_name_in_another_place_is_one() -> None:
    given = document(bills=get(parameters=[parameter("key", "query")])) | {
        "security": [{"Key": []}],
        "components": {"securitySchemes": {"Key": {"type": "apiKey", "in": "header", "name": "key"}}},
    }
    assert set(one(given).input_schema["properties"]) == {"key"}


def test_headers_that_an_overlay_sets_are_no_arguments() -> None:
    overlay = {
        "overlay": "1.0.0",
        "actions": [{"target": "$.info", "update": {"x-viox": {"headers": {"Shop-Version": "2"}}}}],
    }
    tool = one(document(bills=get(parameters=[parameter("shop-version")])), overlay=overlay)
    assert tool.input_schema["properties"] == {}
    assert [v for n, v in prepare(tool, {}, Secrets({})).headers if n.lower() == "shop-version"] == ["2"]


def test_a_header_is_sent_once_whatever_its_case() -> None:
    tool = one(document(bills=get(parameters=[parameter("user-agent")])))
    headers = prepare(tool, {"user-agent": "theirs"}, Secrets({})).headers
    assert [v for n, v in headers if n.lower() == "user-agent"] == ["theirs"]


@pytest.mark.parametrize("name", ["Authorization", "authorization", "Cookie"])
def test_an_identity_header_that_no_credential_fills_is_told(name: str) -> None:
    made = bring(document(a=get(parameters=[parameter(name)]), b={"post": {"parameters": [parameter(name)]}}) | SERVERS)
    assert all(tool.input_schema["properties"] == {} for tool in made.tools)
    ((told, places),) = made.remarks.items()
    assert name in told
    assert "overlay" in told
    assert places == ["GET /a", "POST /b"]


def test_an_authorization_header_that_a_credential_fills_needs_no_remark() -> None:
    given = secured(Bearer={"type": "http", "scheme": "bearer"})
    given["paths"]["/Bearer"]["get"]["parameters"] = [parameter("Authorization")]
    assert bring(given).remarks == {}


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("X-API-Key", True), ("access_token", True), ("apikey", True), ("page_token", False), ("key", False)],
)
def test_a_credential_that_a_model_would_be_asked_for_is_told(name: str, is_one: bool) -> None:
    made = bring(document(a=get(parameters=[parameter(name, "query")])) | SERVERS)
    assert any(name in remark for remark in made.remarks) is is_one


# -- cookies ------------------------------------------------------------------------------------------------------------

COOKIE = document(me=get(parameters=[parameter("lang", "cookie")])) | {
    "security": [{"Session": []}],
    "components": {"securitySchemes": {"Session": {"type": "apiKey", "in": "cookie", "name": "session"}}},
}


@pytest.mark.parametrize("value", ["ab+/cd==:x", "a%20b", '"quoted"', "{json:1}"])
async def test_a_cookie_is_the_secret_as_it_is(value: str) -> None:
    secrets = Secrets({"SHOP_SESSION": value})
    _, headers = await apply_credentials(prepare(one(COOKIE), {"lang": "en"}, secrets), secrets, no_token, Redactions())
    assert ("Cookie", f"lang=en; session={value}") in headers


@pytest.mark.parametrize("value", ["a;b", "a b", "a,b", 'a"b', "a\\b", "a\nb", "é"])
async def test_a_cookie_that_would_end_early_is_refused_by_the_name_of_its_setting(value: str) -> None:
    secrets = Secrets({"SHOP_SESSION": value})
    with pytest.raises(BadInput) as error:
        await apply_credentials(prepare(one(COOKIE), {"lang": "en"}, secrets), secrets, no_token, Redactions())
    assert error.value.field == "SHOP_SESSION"
    assert value not in str(error.value)


async def test_a_cookie_that_the_ledger_kept_is_sent_again_with_the_others() -> None:
    secrets = Secrets({"SHOP_SESSION": "ab=="})
    first = prepare(one(COOKIE), {"lang": "en"}, secrets)
    url, headers = redacted(first)
    assert ("Cookie", 'lang=en; session={"$secret":"SHOP_SESSION"}') in headers
    assert again(first, url, headers, first.body) == first
