"""n8n has no Python client: plain requests, answers held against the schemas of its public API."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from sandbox.vendors.n8n import API_KEY, N8n
from tests.contract.emulators import Served
from tests.contract.shapes import shaped
from tests.contract.waiting import eventually

WORKFLOW = {
    "id": str,
    "name": str,
    "active": bool,
    "createdAt": str,
    "updatedAt": str,
    "isArchived": bool,
    "versionId": str,
    "triggerCount": int,
    "nodes": list,
    "connections": dict,
    "settings": dict,
    "tags": list,
}
EXECUTION = {
    "id": str,
    "finished": bool,
    "mode": str,
    "retryOf": (str, type(None)),
    "retrySuccessId": (str, type(None)),
    "status": str,
    "createdAt": str,
    "startedAt": str,
    "stoppedAt": (str, type(None)),
    "deletedAt": type(None),
    "workflowId": str,
    "waitTill": type(None),
    "storedAt": str,
    "jsonSizeBytes": int,
    "binaryDataSizeBytes": int,
    "workflowVersionId": str,
    "usedPrivateCredentials": bool,
}
RESPOND = {
    "name": "Respond",
    "type": "n8n-nodes-base.respondToWebhook",
    "parameters": {
        "respondWith": "json",
        "responseBody": '={"order": "{{ $json.body.order }}"}',
        "options": {"responseCode": 201},
    },
}
STOP = {"name": "Stop", "type": "n8n-nodes-base.stopAndError", "parameters": {"errorMessage": "No stock"}}


@pytest.fixture
def emulator() -> N8n:
    return N8n(run_seconds=0.4)


@pytest.fixture
def api(served: Served) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"{served.url}/api/v1", headers={"X-N8N-API-KEY": API_KEY}) as client:
        yield client


def workflow(path: str = "orders", *nodes: dict[str, Any], name: str = "Orders", **hook: Any) -> dict[str, Any]:
    credentials = hook.pop("credentials", {})
    first = {
        "name": "Webhook",
        "type": "n8n-nodes-base.webhook",
        "typeVersion": 2,
        "position": [0, 0],
        "parameters": {"path": path, "httpMethod": "POST"} | hook,
        "credentials": credentials,
    }
    chain = [first, *nodes]
    links = {
        a["name"]: {"main": [[{"node": b["name"], "type": "main", "index": 0}]]} for a, b in itertools.pairwise(chain)
    }
    return {"name": name, "nodes": chain, "connections": links, "settings": {"executionOrder": "v1"}}


def create(api: httpx2.Client, body: dict[str, Any], *, active: bool = True) -> str:
    made = api.post("/workflows", json=body)
    assert made.status_code == 200, made.text
    key: str = shaped(made.json(), WORKFLOW)["id"]
    if active:
        assert api.post(f"/workflows/{key}/activate").json()["active"] is True
    return key


def finished(api: httpx2.Client, count: int) -> list[dict[str, Any]]:
    eventually(lambda: len(api.get("/executions").json()["data"]) == count)
    rows: list[dict[str, Any]] = api.get("/executions").json()["data"]
    return rows


def test_workflow_from_create_to_delete(served: Served, api: httpx2.Client) -> None:
    key = create(api, workflow(), active=False)
    read = shaped(api.get(f"/workflows/{key}").json(), WORKFLOW)
    assert (read["name"], read["active"], read["triggerCount"]) == ("Orders", False, 0)
    replaced = api.put(f"/workflows/{key}", json=workflow(name="Renamed")).json()
    assert replaced["name"] == "Renamed"
    assert replaced["versionId"] != read["versionId"]
    started = api.post(f"/workflows/{key}/activate").json()
    assert (started["active"], started["triggerCount"], started["activeVersion"]["workflowId"]) == (True, 1, key)
    assert api.post(f"/workflows/{key}/activate").json()["active"] is True
    assert api.post(f"/workflows/{key}/unpublish").json()["active"] is False
    assert api.delete(f"/workflows/{key}").json()["id"] == key
    gone = api.get(f"/workflows/{key}")
    assert (gone.status_code, gone.json()) == (404, {"message": "Not Found"})
    assert served.operations == ["create_workflow", "update_workflow", "activate", "deactivate", "delete_workflow"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"active": True}, "request/body/active is read-only"),
        ({"id": "x"}, "request/body/id is read-only"),
        ({"tags": []}, "request/body/tags is read-only"),
        ({"colour": "red"}, "request/body must NOT have additional properties"),
        ({"settings": None}, "request/body must have required property 'settings'"),
        ({"nodes": {}}, "request/body/nodes must be array"),
    ],
)
def test_workflows_the_schema_refuses(served: Served, api: httpx2.Client, change: dict[str, Any], message: str) -> None:
    body = {key: value for key, value in (workflow() | change).items() if value is not None}
    refused = api.post("/workflows", json=body)
    assert (refused.status_code, refused.json()) == (400, {"message": message})
    assert served.operations == []


def test_workflows_list_filter_and_page(api: httpx2.Client) -> None:
    made = [create(api, workflow(f"p{n}", name=f"W{n}"), active=n == 0) for n in range(5)]
    got, cursor = [], None
    while True:
        answer = api.get("/workflows", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        assert set(answer) == {"data", "nextCursor"}
        got += [w["id"] for w in answer["data"]]
        cursor = answer["nextCursor"]
        if cursor is None:
            break
    assert got == made
    assert [w["id"] for w in api.get("/workflows", params={"active": "true"}).json()["data"]] == made[:1]
    assert [w["id"] for w in api.get("/workflows", params={"name": "W3"}).json()["data"]] == [made[3]]
    assert api.get("/workflows", params={"limit": 251}).status_code == 400
    assert api.get("/workflows", params={"cursor": "?"}).json() == {"message": "An invalid cursor was provided"}


def test_activation_needs_a_trigger_and_a_free_path(api: httpx2.Client) -> None:
    idle = workflow() | {"nodes": [STOP], "connections": {}}
    refused = api.post(f"/workflows/{create(api, idle, active=False)}/activate")
    assert refused.status_code == 400
    assert "no node to start the workflow" in refused.json()["message"]
    create(api, workflow("same"))
    second = create(api, workflow("same"), active=False)
    assert api.post(f"/workflows/{second}/activate").status_code == 409


def test_webhook_of_an_active_workflow_makes_an_execution(served: Served, api: httpx2.Client) -> None:
    key = create(api, workflow("orders/new"))
    with served.stopped():
        answer = httpx2.post(f"{served.url}/webhook/orders/new", params={"source": "shop"}, json={"order": 7})
        assert (answer.status_code, answer.json()) == (200, {"message": "Workflow was started"})
        [running] = api.get("/executions", params={"status": "running"}).json()["data"]
        assert api.get("/executions").json()["data"] == []
        refused = api.delete(f"/executions/{running['id']}")
        assert (refused.status_code, refused.json()) == (400, {"message": "Cannot delete a running execution"})
        served.passes(0.4)
    [done] = finished(api, 1)
    shaped(done, EXECUTION)
    assert (done["workflowId"], done["mode"], done["status"], done["finished"]) == (key, "webhook", "success", True)
    assert "data" not in done
    full = api.get(f"/executions/{done['id']}", params={"includeData": "true"}).json()
    [[emitted]] = full["data"]["resultData"]["runData"]["Webhook"][0]["data"]["main"]
    assert (emitted["json"]["body"], emitted["json"]["query"]) == ({"order": 7}, {"source": "shop"})
    assert full["workflowData"]["id"] == key
    assert served.operations == ["create_workflow", "activate", "run"]
    assert served.emulator.effects[-1]["body"] == {"order": 7}


def test_webhook_that_answers_by_a_node(served: Served, api: httpx2.Client) -> None:
    create(api, workflow("orders", RESPOND, responseMode="responseNode"))
    answer = httpx2.post(f"{served.url}/webhook/orders", json={"order": 7})
    assert (answer.status_code, answer.json()) == (201, {"order": "7"})
    create(api, workflow("echo", responseMode="lastNode"))
    assert httpx2.post(f"{served.url}/webhook/echo", data={"order": "8"}).json()["body"] == {"order": "8"}


def test_webhook_inactive_unknown_or_called_wrongly(served: Served, api: httpx2.Client) -> None:
    key = create(api, workflow(), active=False)
    inactive = httpx2.post(f"{served.url}/webhook/orders", json={})
    assert inactive.status_code == 404
    assert set(inactive.json()) == {"code", "message", "hint"}
    assert inactive.json()["message"] == 'The requested webhook "POST orders" is not registered.'
    api.post(f"/workflows/{key}/publish")
    assert httpx2.post(f"{served.url}/webhook/orders", json={}).status_code == 200
    wrong = httpx2.get(f"{served.url}/webhook/orders")
    assert (wrong.status_code, "Did you mean to make a POST request?" in wrong.json()["message"]) == (404, True)
    assert httpx2.post(f"{served.url}/webhook-test/orders", json={}).status_code == 404
    api.post(f"/workflows/{key}/deactivate")
    assert httpx2.post(f"{served.url}/webhook/orders", json={}).status_code == 404
    assert served.operations.count("run") == 1


def test_webhook_with_a_secret_header(served: Served, api: httpx2.Client) -> None:
    asked = {"name": "Hook secret", "type": "httpHeaderAuth", "data": {"name": "X-Secret", "value": "s3cret"}}
    key = api.post("/credentials", json=asked).json()["id"]
    used = {"httpHeaderAuth": {"id": key, "name": "Hook secret"}}
    create(api, workflow("safe", authentication="headerAuth", credentials=used))
    assert httpx2.post(f"{served.url}/webhook/safe", json={}).status_code == 403
    assert httpx2.post(f"{served.url}/webhook/safe", json={}, headers={"X-Secret": "s3cret"}).status_code == 200
    assert served.operations.count("run") == 1


def test_a_failed_execution_is_retried_with_the_repaired_workflow(served: Served, api: httpx2.Client) -> None:
    key = create(api, workflow("orders", STOP, responseMode="lastNode"))
    failed = httpx2.post(f"{served.url}/webhook/orders", json={"order": 7})
    assert (failed.status_code, failed.json()) == (500, {"message": "Error in workflow"})
    [row] = api.get("/executions", params={"status": "error", "workflowId": key, "includeData": "true"}).json()["data"]
    assert row["data"]["resultData"]["error"]["message"] == "No stock"
    api.put(f"/workflows/{key}", json=workflow("orders"))
    again = api.post(f"/executions/{row['id']}/retry").json()
    assert (again["mode"], again["retryOf"], again["workflowId"]) == ("retry", row["id"], key)
    eventually(lambda: api.get(f"/executions/{again['id']}").json()["status"] == "error")
    repaired = api.post(f"/executions/{row['id']}/retry", json={"loadWorkflow": True}).json()
    eventually(lambda: api.get(f"/executions/{repaired['id']}").json()["status"] == "success")
    assert api.get(f"/executions/{row['id']}").json()["retrySuccessId"] == repaired["id"]
    assert api.post(f"/executions/{repaired['id']}/retry").status_code == 409
    assert [e["outcome"] for e in served.emulator.effects if e["operation"] == "run"] == ["error", "error", "success"]


def test_executions_page_and_go(served: Served, api: httpx2.Client) -> None:
    create(api, workflow())
    for number in range(3):
        httpx2.post(f"{served.url}/webhook/orders", json={"order": number})
    ids = [e["id"] for e in finished(api, 3)]
    assert ids == ["3", "2", "1"]
    first = api.get("/executions", params={"limit": 2}).json()
    httpx2.post(f"{served.url}/webhook/orders", json={"order": 9})
    finished(api, 4)
    rest = api.get("/executions", params={"limit": 2, "cursor": first["nextCursor"]}).json()
    assert [e["id"] for e in first["data"] + rest["data"]] == ids
    assert rest["nextCursor"] is None
    assert api.get("/executions", params={"startedAfter": "2999-01-01T00:00:00Z"}).json()["data"] == []
    assert api.delete("/executions/1").json()["id"] == "1"
    assert api.get("/executions/1").status_code == 404
    assert served.operations[-1] == "delete_execution"


def test_credentials_never_show_their_data(served: Served, api: httpx2.Client) -> None:
    made = api.post("/credentials", json={"name": "Shop", "type": "httpHeaderAuth", "data": {"value": "s3cret"}}).json()
    assert set(made) == {"id", "name", "type", "createdAt", "updatedAt"}
    changed = api.patch(f"/credentials/{made['id']}", json={"name": "Store", "data": {"value": "t0psecret"}}).json()
    assert changed["name"] == "Store"
    assert api.get(f"/credentials/{made['id']}").json() == changed
    assert [c["id"] for c in api.get("/credentials").json()["data"]] == [made["id"]]
    assert api.delete(f"/credentials/{made['id']}").json()["id"] == made["id"]
    assert api.get(f"/credentials/{made['id']}").status_code == 404
    assert api.post("/credentials", json={"name": "Shop", "type": "x"}).status_code == 400
    assert "s3cret" not in str(served.emulator.effects)


def test_tags_and_variables(api: httpx2.Client) -> None:
    made = api.post("/tags", json={"name": "sales"})
    assert (made.status_code, set(made.json())) == (201, {"id", "name", "createdAt", "updatedAt"})
    assert api.post("/tags", json={"name": "sales"}).status_code == 409
    tag = made.json()["id"]
    key = create(api, workflow(), active=False)
    assert [t["id"] for t in api.put(f"/workflows/{key}/tags", json=[{"id": tag}]).json()] == [tag]
    assert api.put(f"/workflows/{key}/tags", json=[{"id": "none"}]).status_code == 404
    assert [w["id"] for w in api.get("/workflows", params={"tags": "sales"}).json()["data"]] == [key]
    assert api.put(f"/tags/{tag}", json={"name": "closing"}).json()["name"] == "closing"
    assert api.get("/workflows", params={"tags": "sales"}).json()["data"] == []
    assert api.delete(f"/tags/{tag}").json()["id"] == tag
    assert api.get(f"/workflows/{key}/tags").json() == []
    assert api.post("/variables", json={"key": "region", "value": "eu"}).status_code == 201
    [variable] = api.get("/variables").json()["data"]
    assert (variable["key"], variable["value"]) == ("region", "eu")
    assert api.put(f"/variables/{variable['id']}", json={"key": "region", "value": "us"}).status_code == 204
    assert api.get("/variables").json()["data"][0]["value"] == "us"
    assert api.delete(f"/variables/{variable['id']}").status_code == 204
    assert api.get("/variables").json()["data"] == []


def test_wrong_key_and_faults(served: Served, api: httpx2.Client) -> None:
    for headers in ({}, {"X-N8N-API-KEY": "wrong"}):
        refused = httpx2.get(f"{served.url}/api/v1/workflows", headers=headers)
        assert (refused.status_code, set(refused.json())) == (401, {"message"})
    served.fault(kind="429", retry_after=3)
    throttled = api.get("/workflows")
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "3")
    served.fault(kind="500")
    assert api.get("/workflows").json() == {"message": "Internal server error"}
    create(api, workflow())
    served.fault(kind="cut_after", path="/webhook/")
    with pytest.raises(httpx2.TransportError):
        httpx2.post(f"{served.url}/webhook/orders", json={"order": 1})
    assert served.operations[-1] == "run"
