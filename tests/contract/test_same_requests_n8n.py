"""n8n has no Python client: our requests are held against its public API; a lost answer is found again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from sandbox.vendors.n8n import API_KEY, N8n
from services.tool_gateway.wire.credentials import Secrets
from tests.contract.side_by_side import HEADERS, TOOLS, Seen, SideBySide

HOOK = "n8n-nodes-base.webhook"
STOP: dict[str, Any] = {
    "name": "Stop",
    "type": "n8n-nodes-base.stopAndError",
    "parameters": {"errorMessage": "No stock"},
}
TO_STOP = {"Webhook": {"main": [[{"node": "Stop", "type": "main", "index": 0}]]}}
TRUE = ("excludePinnedData", "true")


def workflow(name: str = "Orders & é", path: str = "orders", **hook: Any) -> dict[str, Any]:
    first = {"name": "Webhook", "type": HOOK, "parameters": {"path": path, "httpMethod": "POST", **hook}}
    return {"name": name, "nodes": [first], "connections": {}, "settings": {"executionOrder": "v1"}}


FAILING = workflow("Failing", "failing") | {"nodes": [*workflow(path="failing")["nodes"], STOP], "connections": TO_STOP}
# Tool → arguments, then method, path, query and body that the API wants. {w}: a workflow, {x}: an execution that failed.
CASES: dict[str, tuple[dict[str, Any], str, str, list[tuple[str, str]], Any]] = {
    "n8n_list_workflows": (
        {"active": True, "name": "a b", "tags": "sales,vip", "limit": 5},
        "GET",
        "/api/v1/workflows",
        [("active", "true"), TRUE, ("limit", "5"), ("name", "a b"), ("tags", "sales,vip")],
        None,
    ),
    "n8n_create_workflow": (workflow("New"), "POST", "/api/v1/workflows", [], workflow("New")),
    "n8n_get_workflow": ({"id": "{w}"}, "GET", "/api/v1/workflows/{w}", [], None),
    "n8n_update_workflow": ({"id": "{w}", **workflow("New")}, "PUT", "/api/v1/workflows/{w}", [], workflow("New")),
    "n8n_delete_workflow": ({"id": "{w}"}, "DELETE", "/api/v1/workflows/{w}", [], None),
    "n8n_activate_workflow": ({"id": "{w}"}, "POST", "/api/v1/workflows/{w}/activate", [], None),
    "n8n_deactivate_workflow": ({"id": "{w}"}, "POST", "/api/v1/workflows/{w}/deactivate", [], None),
    "n8n_list_executions": (
        {
            "workflowId": "{w}",
            "status": "error",
            "startedAfter": "2026-11-23T12:00:00Z",
            "startedBefore": "2027-11-23T12:00:00Z",
            "limit": 5,
        },
        "GET",
        "/api/v1/executions",
        [
            ("limit", "5"),
            ("startedAfter", "2026-11-23T12:00:00Z"),
            ("startedBefore", "2027-11-23T12:00:00Z"),
            ("status", "error"),
            ("workflowId", "{w}"),
        ],
        None,
    ),
    "n8n_get_execution": (
        {"id": "{x}", "includeData": True},
        "GET",
        "/api/v1/executions/{x}",
        [("includeData", "true")],
        None,
    ),
    "n8n_retry_execution": (
        {"id": "{x}", "loadWorkflow": True},
        "POST",
        "/api/v1/executions/{x}/retry",
        [],
        {"loadWorkflow": True},
    ),
    "n8n_list_credentials": ({"limit": 250}, "GET", "/api/v1/credentials", [("limit", "250")], None),
    "n8n_call_webhook": ({"path": "orders", "body": {"order": "é"}}, "POST", "/webhook/orders", [], {"order": "é"}),
}


@pytest.fixture
def both() -> Iterator[SideBySide]:
    settings = {"N8N_API_KEY": API_KEY, "N8N_BASE_URL": "{url}"}
    made = SideBySide(N8n(run_seconds=0), settings, headers=(*HEADERS, "x-n8n-api-key", "x-viox-key"))
    yield made
    made.close()


def active(both: SideBySide, given: dict[str, Any]) -> str:
    key: str = both.call("n8n_create_workflow", **given).result["id"]
    assert both.call("n8n_activate_workflow", id=key).result["active"] is True
    return key


def failed(both: SideBySide) -> str:
    key = active(both, FAILING)
    assert both.call("n8n_call_webhook", path="failing", body={}).state == "succeeded"
    [execution] = both.call("n8n_list_executions", workflowId=key).result["data"]
    return str(execution["id"])


@pytest.mark.parametrize("tool", CASES)
def test_request(both: SideBySide, tool: str) -> None:
    asked, method, path, query, body = CASES[tool]
    ids = {"w": active(both, workflow()), "x": failed(both)}
    seen = both.ours(tool, **{k: v.format(**ids) if isinstance(v, str) else v for k, v in asked.items()})
    headers = {"accept": "application/json"} | ({"content-type": "application/json"} if body is not None else {})
    headers |= {"x-n8n-api-key": API_KEY} if tool != "n8n_call_webhook" else {}  # workflows keep the headers they get
    if tool == "n8n_call_webhook":
        assert both.effects("run")[-1]["body"] == body
    wanted = tuple(sorted((name, value.format(**ids)) for name, value in query))
    assert seen == Seen(method, path.format(**ids), wanted, headers, body)


def test_every_tool_is_compared() -> None:
    assert set(CASES) == {tool.name for tool in TOOLS.values() if tool.vendor == "n8n"}


def test_pages_follow_the_cursor(both: SideBySide) -> None:
    for number in range(3):
        both.call("n8n_create_workflow", **workflow(f"W{number}"))
    first = both.call("n8n_list_workflows", limit=2).result
    assert set(first["data"][0]) == {"id", "name", "active", "isArchived", "updatedAt", "tags"}
    rest = both.ours("n8n_list_workflows", cursor=first["nextCursor"])
    assert rest.query == (("cursor", first["nextCursor"]), TRUE)
    failed(both)
    first = both.call("n8n_list_executions", limit=1).result
    assert first["nextCursor"] is None


@pytest.mark.parametrize(("key", "state"), [("k-1", "succeeded"), ("wrong", "failed"), (None, "failed")])
def test_a_webhook_may_want_a_key_of_its_own(both: SideBySide, key: str | None, state: str) -> None:
    wanted = {"name": "viox", "type": "httpHeaderAuth", "data": {"name": "X-Viox-Key", "value": "k-1"}}
    made = httpx2.post(f"{both.url}/api/v1/credentials", json=wanted, headers={"X-N8N-API-KEY": API_KEY}).json()
    guarded = workflow(authentication="headerAuth")
    guarded["nodes"][0]["credentials"] = {"httpHeaderAuth": {"id": made["id"], "name": "viox"}}
    active(both, guarded)
    more = {"N8N_WEBHOOK_KEY": key} if key else {}
    both.secrets = Secrets({"N8N_API_KEY": API_KEY, "N8N_BASE_URL": both.url} | more)
    assert both.call("n8n_call_webhook", path="orders", body={}).state == state
    assert both.seen[-1].headers.get("x-viox-key") == key


@pytest.mark.parametrize("kind", ["text", "json", "noData"])
def test_a_webhook_answers_in_any_form(both: SideBySide, kind: str) -> None:
    respond = {
        "name": "Respond",
        "type": "n8n-nodes-base.respondToWebhook",
        "parameters": {"respondWith": kind, "responseBody": '["done"]'},
    }
    given = workflow(responseMode="responseNode")
    links = {"Webhook": {"main": [[{"node": "Respond", "type": "main", "index": 0}]]}}
    active(both, given | {"nodes": [*given["nodes"], respond], "connections": links})
    meaning = both.call("n8n_call_webhook", path="orders", body={})
    expected = {"text": {"content_type": "text/plain", "text": '["done"]'}, "json": ["done"], "noData": None}
    assert (meaning.state, meaning.result) == ("succeeded", expected[kind])


def test_a_lost_answer_is_found_again(both: SideBySide) -> None:
    assert both.call("n8n_create_workflow", **workflow("Another")).state == "succeeded"
    intended = datetime.now(UTC)
    assert both.look_up("n8n_create_workflow", intended, **workflow()) == []
    both.fault(kind="cut_after", method="POST")
    assert both.call("n8n_create_workflow", **workflow()).state == "unknown"
    [found] = both.look_up("n8n_create_workflow", intended, **workflow())
    assert [effect["id"] for effect in both.effects("create_workflow")[1:]] == [found["id"]]
    assert found["name"] == workflow()["name"]
    assert both.look_up("n8n_create_workflow", intended + timedelta(minutes=1), **workflow()) == []


@pytest.mark.parametrize("tool", ["n8n_call_webhook", "n8n_retry_execution"])
def test_what_no_look_up_decides_stays_unknown(both: SideBySide, tool: str) -> None:
    execution = failed(both)
    both.fault(kind="cut_after", method="POST")
    arguments: dict[str, Any] = {"id": execution} if tool == "n8n_retry_execution" else {"path": "failing", "body": {}}
    assert both.call(tool, **arguments).state == "unknown"
    assert len(both.effects("run")) == 2


def test_errors_are_short_and_exact(both: SideBySide) -> None:
    empty = both.call("n8n_create_workflow", **workflow() | {"nodes": []}).result["id"]
    error = both.call("n8n_activate_workflow", id=empty).error
    assert error is not None
    assert "has no node to start the workflow - at least one trigger, poller or webhook node" in error["message"]
    error = both.call("n8n_call_webhook", path="nowhere", body={}).error
    assert error is not None
    assert error["message"].startswith('The requested webhook "POST nowhere" is not registered. · The workflow must be')
    execution = failed(both)
    read = both.call("n8n_get_execution", id=execution, includeData=True).result
    assert read["data"]["resultData"]["error"] == {"message": "No stock", "node": {"name": "Stop"}}
    assert both.call("n8n_get_workflow", id="x").result is None
    both.secrets = Secrets({"N8N_API_KEY": API_KEY})
    with pytest.raises(Exception, match="N8N_BASE_URL is not set"):
        both.call("n8n_list_workflows")
