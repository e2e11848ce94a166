"""A business's own document becomes tools, and each of the 48 asks its API exactly what the document says.

The reference is `openapi_requests`, which knows nothing of the gateway: both write the same values, and what the API
decodes of both is compared. Keys of idempotency are ours alone, so they are not.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import yaml

from sandbox.vendors import business
from sandbox.vendors.business import DOCUMENT, ROOT, Business
from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.importer import Import, Wish, import_document
from services.tool_gateway.catalogue.tools import Credential, Tool
from tests.contract.openapi_requests import FILE, Document, Operation, body, is_file, parameters, request
from tests.contract.side_by_side import Seen, SideBySide, call_id

RAW = DOCUMENT.read_bytes()
OPENAPI = Document(yaml.safe_load(RAW))
OPERATIONS = list(OPENAPI.operations())
SECRETS = {
    "NORTHWIND_APIKEY": business.API_KEY,
    "NORTHWIND_PAYROLL": business.BEARER_TOKEN,
    "NORTHWIND_FLEET_USER": business.BASIC_USER,
    "NORTHWIND_FLEET_PASSWORD": business.BASIC_PASSWORD,
    "NORTHWIND_PURCHASING_CLIENT_ID": business.CLIENT_ID,
    "NORTHWIND_PURCHASING_CLIENT_SECRET": business.CLIENT_SECRET,
}
HEADERS = ("authorization", "x-northwind-key", "content-type", "cookie", "if-match", "x-request-id")


class Northwind(SideBySide):
    """The back office with its imported tools. OAuth tokens are fetched for each request."""

    def __init__(self) -> None:
        super().__init__(Business(), SECRETS, HEADERS)
        self.imported = bring(self.url)
        self.tools = {tool.name: tool for tool in self.imported.tools}

    async def _token(self, credential: Credential) -> str:
        assert credential.oauth is not None
        assert (credential.oauth.grant, credential.oauth.authentication) == ("client_credentials", "basic")
        form = {"grant_type": "client_credentials", "scope": " ".join(credential.oauth.scopes)}
        client = tuple(self.secrets.get(name) for name in credential.secrets)
        answer = httpx2.post(credential.oauth.token_url, data=form, auth=client)  # type: ignore[arg-type]  # a test's own thread
        return str(answer.raise_for_status().json()["access_token"])


def bring(url: str) -> Import:
    return import_document(foreign.parse(RAW), "", Wish("northwind", base_url=url + ROOT))


@pytest.fixture(scope="module")
def running() -> Iterator[Northwind]:
    made = Northwind()
    yield made
    made.close()


@pytest.fixture
def northwind(running: Northwind) -> Northwind:
    forget(running)
    return running


def forget(northwind: Northwind) -> None:
    httpx2.post(f"{northwind.url}/_sandbox/reset").raise_for_status()
    northwind.seen.clear()


def of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def tool_of(northwind: Northwind, operation: Operation) -> Tool:
    (found,) = [t for t in northwind.tools.values() if (t.method, t.path) == (operation.method, operation.path)]
    return found


def arguments_of(tool: Tool, operation: Operation) -> dict[str, Any]:
    """The values the reference writes, as a model would give them to the tool."""
    names = {(p.name, p.place): p.argument for p in tool.parameters}
    made = {names[p["name"], p["in"]]: value for p, value in parameters(OPENAPI, operation)}
    given = body(OPENAPI, operation)
    if given is None:
        return made
    kind, content, value = given
    if kind == "multipart/form-data":
        value = {name: _file(item) if is_file(OPENAPI, content, name) else item for name, item in value.items()}
    assert tool.body is not None
    return made | (value if tool.body.argument is None else {tool.body.argument: value})


def _file(sample: Any) -> Any:
    name, content, kind = FILE
    made = {"filename": name, "content_type": kind, "base64": base64.b64encode(content).decode()}
    return [made] if isinstance(sample, list) else made


def reference(northwind: Northwind, operation: Operation, authorization: dict[str, str]) -> Seen:
    sent = request(OPENAPI, operation, northwind.url + ROOT)
    answer = httpx2.request(**sent | {"headers": sent["headers"] | authorization})
    assert answer.is_success, answer.text
    return northwind.theirs()


def decoded(seen: Seen) -> Seen:
    """Parameters and parts that are JSON as values: where their writer puts spaces means nothing."""
    query = tuple((k, json.dumps(json.loads(v)) if v.startswith("{") else v) for k, v in seen.query)
    parts = seen.body
    if seen.headers.get("content-type") == "multipart/form-data":
        parts = [(name, file, json.loads(raw) if raw.startswith(b"{") else raw) for name, file, raw in parts]
    return Seen(seen.method, seen.path, query, seen.headers, parts)


def effects(northwind: Northwind) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(json.dumps(northwind.emulator.effects))
    for effect in made:
        del effect["at"]
        if isinstance(effect.get("what"), dict):
            del effect["what"]["at"]
    return made


def test_all_48_become_tools_that_a_model_can_use(northwind: Northwind) -> None:
    assert northwind.imported.skipped == []
    assert len(northwind.tools) == len(OPERATIONS) == 48
    assert northwind.imported.secrets() == sorted(SECRETS)
    for tool in northwind.tools.values():
        assert tool.description, tool.name
        assert "$ref" not in json.dumps(tool.model_schema), tool.name


def test_what_is_put_together_by_all_of_is_one_flat_object(northwind: Northwind) -> None:
    tool = northwind.tools["northwind_createJob"]
    assert {"title", "customer", "priority"} <= tool.input_schema["properties"].keys()
    assert tool.input_schema["required"] == ["title", "customer"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=of)
def test_every_tool_asks_what_the_document_says(northwind: Northwind, operation: Operation) -> None:
    tool = tool_of(northwind, operation)
    ours = northwind.ours(tool.name, key=call_id(), **arguments_of(tool, operation))
    happened = effects(northwind)
    forget(northwind)
    proof = {name: value for name, value in ours.headers.items() if name in ("authorization", "x-northwind-key")}
    if proof.get("authorization", "").startswith("Bearer ") and tool.credentials[0][0].scheme == "oauth2":
        token = _fresh(northwind, tool.credentials[0][0])
        assert ours.headers["authorization"] != f"Bearer {token}"
        ours = Seen(ours.method, ours.path, ours.query, {**ours.headers, "authorization": f"Bearer {token}"}, ours.body)
        proof["authorization"] = f"Bearer {token}"
    assert decoded(ours) == decoded(reference(northwind, operation, proof))
    assert effects(northwind) == happened
    assert bool(happened) == (tool.method != "GET")


def _fresh(northwind: Northwind, credential: Credential) -> str:
    return asyncio.run(northwind._token(credential))


def test_each_operation_proves_itself_as_the_document_wants(northwind: Northwind) -> None:
    wanted = {"ApiKey": "header", "Fleet": "basic", "Payroll": "bearer", "Purchasing": "oauth2"}
    for operation in OPERATIONS:
        declared = [[wanted[name] for name in one] for one in operation.security]
        tool = tool_of(northwind, operation)
        assert sorted([c.scheme for c in one] for one in tool.credentials) == sorted(declared), tool.name
        for (one,) in (c for c in tool.credentials if c):
            assert one.oauth is None or one.oauth.scopes == tuple(operation.security[0]["Purchasing"])


def test_keys_make_repeats_harmless_where_the_document_has_them(northwind: Northwind) -> None:
    keyed = {tool.name for tool in northwind.tools.values() if tool.effect == "keyed"}
    assert keyed == {"northwind_createJob", "northwind_createTechnician", "northwind_createPurchaseOrder"}
    key = call_id()
    job = {"title": "Tap drips", "customer": {"name": "Jo"}}
    first, again = (northwind.call("northwind_createJob", key=key, **job) for _ in range(2))
    assert first.result["id"] == again.result["id"]
    assert len(northwind.emulator.effects) == 1
