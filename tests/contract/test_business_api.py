"""The back office serves every operation its document promises, and refuses what the document forbids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import yaml

from sandbox.vendors import business
from sandbox.vendors.business import API_KEY, CLIENT_ID, CLIENT_SECRET, DOCUMENT, ROOT, SCOPES, Business
from sandbox.vendors.common import Window
from tests.contract.emulators import Served
from tests.contract.openapi_requests import Document, Operation, request

TEXT = DOCUMENT.read_text(encoding="utf-8")
OPENAPI = Document(yaml.safe_load(TEXT))
OPERATIONS = list(OPENAPI.operations())
KEY = {"X-Northwind-Key": API_KEY}


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    made = Served(Business())
    yield made
    made.close()


@pytest.fixture
def served(running: Served) -> Served:
    httpx2.post(f"{running.url}/_sandbox/reset").raise_for_status()
    return running


def token(served: Served, scope: str = "", secret: str = CLIENT_SECRET) -> str:
    form = {"grant_type": "client_credentials", "scope": scope}
    answer = httpx2.post(f"{served.url}/oauth/token", data=form, auth=(CLIENT_ID, secret))
    return str(answer.raise_for_status().json()["access_token"])


def proof(served: Served, operation: Operation) -> dict[str, Any]:
    match next(iter(operation.security[-1]), None) if operation.security else None:
        case "ApiKey":
            return {"headers": KEY}
        case "Fleet":
            return {"auth": (business.BASIC_USER, business.BASIC_PASSWORD)}
        case "Payroll":
            return {"headers": {"Authorization": f"Bearer {business.BEARER_TOKEN}"}}
        case "Purchasing":
            return {"headers": {"Authorization": f"Bearer {token(served, *operation.security[-1]['Purchasing'])}"}}
    return {}


def call(served: Served, operation: Operation, *, proven: bool = True) -> httpx2.Response:
    sent = request(OPENAPI, operation, served.url + ROOT)
    more = proof(served, operation) if proven else {}
    return httpx2.request(**sent | more | {"headers": sent["headers"] | more.get("headers", {})})


def named(method: str, path: str) -> Operation:
    return next(o for o in OPERATIONS if (o.method, o.path) == (method, path))


def of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def test_the_document_is_served_and_has_48_operations(served: Served) -> None:
    assert httpx2.get(f"{served.url}/openapi.yaml").text == TEXT
    assert len(OPERATIONS) == 48
    assert sum("operationId" not in o.what for o in OPERATIONS) >= 5
    assert [of(o) for o in OPERATIONS if o.what.get("deprecated")] == ["GET /price-book/prices/{sku}"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=of)
def test_every_operation_answers_as_documented(served: Served, operation: Operation) -> None:
    answer = call(served, operation)
    documented = operation.what["responses"].get(str(answer.status_code))
    assert answer.is_success, answer.text
    assert documented is not None
    content = OPENAPI.at(documented).get("content", {})
    assert bool(content) == bool(answer.content)
    if "application/json" in content:
        jsonschema_rs.validate(OPENAPI.schema_of(content["application/json"]["schema"]), answer.json())
    assert bool(served.emulator.effects) == (operation.method != "GET")


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.security and {} not in o.security], ids=of)
def test_nobody_gets_in_without_proof(served: Served, operation: Operation) -> None:
    answer = call(served, operation, proven=False)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert served.emulator.effects == []


@pytest.mark.parametrize(
    ("path", "query", "ids"),
    [
        ("/jobs", "status=open&status=completed", ["JOB-1", "JOB-3"]),
        ("/jobs", "tags=leak%7Cthermostat", ["JOB-1", "JOB-2"]),
        ("/jobs", "filter[territory]=N&filter[priority]=low", ["JOB-3"]),
        ("/jobs", "sort=-title&per_page=2", ["JOB-2", "JOB-3"]),
        ("/jobs", "per_page=2&page=2", ["JOB-3"]),
        ("/technicians", "skills=gas%20hvac", ["TECH-1"]),
        ("/technicians", "territories=S,W", ["TECH-2"]),
        ("/slots", "from=2026-02-03T00:00:00Z", ["SLOT-2"]),
        ("/slots", "near=%7B%22postcode%22%3A%2260601%22%7D", ["SLOT-1"]),
        ("/items", "sku=THM-2,XXX-1", ["THM-2"]),
    ],
)
def test_filters_mean_what_the_document_says(served: Served, path: str, query: str, ids: list[str]) -> None:
    rows = httpx2.get(f"{served.url}{ROOT}{path}?{query}", headers=KEY).json()["data"]
    assert [row.get("id", row.get("sku")) for row in rows] == ids


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/jobs/JOB-99", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("GET", "/jobs?per_page=500", {}, 400),
        ("GET", "/warranties", {}, 400),
        ("POST", "/jobs", {"json": {"title": "no customer"}}, 422),
        ("POST", "/jobs", {"json": {"title": "x", "customer": {"name": "y"}, "colour": "red"}}, 422),
        ("POST", "/jobs", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/jobs", {"data": {"title": "form"}}, 415),
        ("DELETE", "/jobs/JOB-3", {}, 409),
        ("POST", "/items", {"json": {"sku": "VLV-15", "name": "again", "unit_price": 1}}, 409),
        ("POST", "/items/VLV-15/adjustments", {"data": {"quantity": "-99", "reason": "count"}}, 409),
        ("POST", "/items/VLV-15/adjustments", {"data": {"quantity": "many", "reason": "count"}}, 422),
        ("POST", "/warranties/WAR-1/claims", {"json": {"kind": "refund", "fault": "x"}}, 422),
        (
            "PUT",
            "/technicians/TECH-1",
            {"json": {"name": "S", "contact": "s@x.example"}, "headers": {"If-Match": '"9"'}},
            412,
        ),
    ],
)
def test_errors_are_problems(served: Served, method: str, path: str, sent: dict[str, Any], status: int) -> None:
    headers = KEY | sent.pop("headers", {})
    answer = httpx2.request(method, served.url + ROOT + path, headers=headers, **sent)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert served.emulator.effects == []


def test_tokens_have_scopes_and_expire(served: Served) -> None:
    orders = f"{served.url}{ROOT}/purchase-orders"
    read = {"Authorization": f"Bearer {token(served, SCOPES[0])}"}
    first = httpx2.get(orders, params={"limit": "2"}, headers=read).json()
    rest = httpx2.get(orders, params={"limit": "2", "cursor": first["next_cursor"]}, headers=read).json()
    assert [o["id"] for o in first["orders"] + rest["orders"]] == ["PO-1", "PO-2", "PO-3"]
    assert rest["next_cursor"] is None
    assert httpx2.post(f"{orders}/PO-1/approve", headers=read).status_code == 403
    httpx2.post(f"{served.url}/_sandbox/expire").raise_for_status()
    assert httpx2.get(orders, headers=read).status_code == 401
    with pytest.raises(httpx2.HTTPStatusError):
        token(served, secret="wrong")
    with pytest.raises(httpx2.HTTPStatusError):
        token(served, "everything")


def test_the_same_key_makes_one_job(served: Served) -> None:
    job = {"title": "Tap drips", "customer": {"name": "Jo"}}
    sent = [
        httpx2.post(f"{served.url}{ROOT}/jobs", json=body, headers=KEY | {"Idempotency-Key": "k1"})
        for body in (job, job, job | {"title": "Other"})
    ]
    assert [a.status_code for a in sent] == [201, 201, 422]
    assert sent[0].json()["id"] == sent[1].json()["id"]
    assert [e["operation"] for e in served.emulator.effects] == ["jobs.create"]


def test_files_and_nested_categories_arrive_whole(served: Served) -> None:
    report = call(served, named("POST", "/inspection-reports"))
    (file,) = report.json()["files"]
    assert file == {
        "filename": "picture.png",
        "size": 4,
        "content_type": "image/png",
        "sha256": hashlib.sha256(b"\x89PNG").hexdigest(),
    }
    tree = {"name": "Heating", "children": [{"name": "Boilers", "children": [{"name": "Gas"}]}]}
    made = httpx2.post(f"{served.url}{ROOT}/price-book/categories", json=tree, headers=KEY).json()
    assert made["children"][0]["children"][0]["name"] == "Gas"
    deep = {"name": "Heating", "children": [{"name": "Boilers", "children": [{"title": "Gas"}]}]}
    refused = httpx2.post(f"{served.url}{ROOT}/price-book/categories", json=deep, headers=KEY)
    assert "body.children[0].children[0].name: is missing" in refused.json()["errors"]


def test_too_fast_is_told_when_to_come_back(served: Served) -> None:
    assert isinstance(served.emulator, Business)
    served.emulator.window = Window(limit=2, seconds=60)
    answers = [httpx2.get(f"{served.url}{ROOT}/jobs/JOB-1", headers=KEY) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "1"
