"""Make has no Python SDK: requests as its own TypeScript client sends them, answers held against the shapes it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from sandbox.vendors.make import API_KEY, ORGANIZATION_ID, TEAM_ID, ZONE, Make
from tests.contract.emulators import Served
from tests.contract.shapes import shaped
from tests.contract.waiting import eventually

SCENARIO = {
    "id": int,
    "name": str,
    "teamId": int,
    "hookId": (int, type(None)),
    "description": str,
    "folderId": (int, type(None)),
    "isinvalid": bool,
    "islinked": bool,
    "isActive": bool,
    "islocked": bool,
    "isPaused": bool,
    "usedPackages": list,
    "lastEdit": str,
    "scheduling": dict,
    "iswaiting": bool,
    "dlqCount": int,
    "createdByUser": dict,
    "updatedByUser": dict,
    "created": str,
}
HOOK = {
    "id": int,
    "name": str,
    "teamId": int,
    "udid": str,
    "type": str,
    "theme": str,
    "editable": bool,
    "queueCount": int,
    "queueLimit": int,
    "enabled": bool,
    "gone": bool,
    "typeName": str,
    "data": dict,
    "url": str,
}
LOG = {
    "imtId": str,
    "duration": int,
    "operations": int,
    "centicredits": int,
    "transfer": int,
    "organizationId": int,
    "teamId": int,
    "id": str,
    "type": str,
    "authorId": (int, type(None)),
    "instant": bool,
    "timestamp": str,
    "status": int,
}
GREETING = {
    "name": "Greeting",
    "flow": [
        {
            "id": 2,
            "module": "scenario-service:ReturnData",
            "version": 2,
            "mapper": {"greeting": "Hello, {{var.input.name}}!"},
        }
    ],
    "metadata": {"scenario": {"dlq": True}},
}


@pytest.fixture
def emulator() -> Make:
    return Make(run_seconds=0.4)


@pytest.fixture
def api(served: Served) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"{served.url}/api/v2", headers={"Authorization": f"Token {API_KEY}"}) as client:
        yield client


def create(api: httpx2.Client, blueprint: dict[str, Any], *, start: bool = True) -> int:
    asked = {"teamId": TEAM_ID, "blueprint": json.dumps(blueprint), "scheduling": json.dumps({"type": "on-demand"})}
    made = api.post("/scenarios", json=asked)
    assert made.status_code == 200, made.text
    key: int = shaped(made.json()["scenario"], SCENARIO)["id"]
    if start:
        answer = api.post(f"/scenarios/{key}/start").json()
        assert answer == {"scenario": {"id": key, "isActive": True, "islinked": True}}
    return key


def hooked(hook: int, *modules: dict[str, Any]) -> dict[str, Any]:
    first = {"id": 1, "module": "gateway:CustomWebHook", "version": 1, "parameters": {"hook": hook}}
    return {"name": "On call", "flow": [first, *modules], "metadata": {}}


def create_hook(api: httpx2.Client) -> dict[str, Any]:
    asked = {"name": "Orders", "teamId": TEAM_ID, "typeName": "gateway-webhook", "method": False, "headers": False}
    return shaped(api.post("/hooks", json=asked).json()["hook"], HOOK)


def test_scenario_from_create_to_delete(served: Served, api: httpx2.Client) -> None:
    key = create(api, GREETING, start=False)
    read = shaped(api.get(f"/scenarios/{key}").json()["scenario"], SCENARIO)
    assert (read["name"], read["isActive"], read["usedPackages"]) == ("Greeting", False, ["scenario-service"])
    changed = api.patch(f"/scenarios/{key}", json={"name": "Hello", "description": "Says hello"}).json()["scenario"]
    assert (changed["name"], changed["description"]) == ("Hello", "Says hello")
    assert api.get(f"/scenarios/{key}", params={"cols[]": ["id", "name"]}).json() == {
        "scenario": {"id": key, "name": "Hello"}
    }
    blueprint = api.get(f"/scenarios/{key}/blueprint").json()
    assert (blueprint["code"], blueprint["response"]["blueprint"]) == ("OK", GREETING)
    assert api.delete(f"/scenarios/{key}").json() == {"scenario": key}
    gone = api.get(f"/scenarios/{key}")
    assert (gone.status_code, set(gone.json())) == (404, {"message", "detail", "code"})
    assert served.operations == ["create_scenario", "update_scenario", "delete_scenario"]


def test_scenarios_list_in_pages(api: httpx2.Client) -> None:
    made = [create(api, GREETING | {"name": f"S{n}"}, start=n == 0) for n in range(3)]
    first = api.get(
        "/scenarios", params={"teamId": TEAM_ID, "pg[limit]": 2, "pg[sortBy]": "name", "pg[sortDir]": "desc"}
    ).json()
    assert [s["name"] for s in first["scenarios"]] == ["S2", "S1"]
    assert first["pg"] == {"sortBy": "name", "sortDir": "desc", "limit": 2, "offset": 0}
    rest = api.get("/scenarios", params={"organizationId": ORGANIZATION_ID, "pg[limit]": 2, "pg[offset]": 2}).json()
    assert [s["id"] for s in rest["scenarios"]] == made[2:]
    active = api.get("/scenarios", params={"teamId": TEAM_ID, "isActive": "true"}).json()
    assert [s["id"] for s in active["scenarios"]] == made[:1]
    assert api.get("/scenarios", params={"teamId": TEAM_ID, "pg[limit]": "x"}).status_code == 400


def test_run_waiting_for_the_result_and_not(served: Served, api: httpx2.Client) -> None:
    key = create(api, GREETING)
    body = {"data": {"name": "Ada"}, "responsive": True}
    waited = api.post(f"/scenarios/{key}/run", json=body).json()
    assert (waited["status"], waited["outputs"]) == (1, {"greeting": "Hello, Ada!"})
    with served.stopped():
        started = api.post(f"/scenarios/{key}/run", json={"data": {"name": "Bo"}, "responsive": False}).json()
        assert set(started) == {"executionId"}
        place = f"/scenarios/{key}/executions/{started['executionId']}"
        assert api.get(place).json() == {"status": "RUNNING"}
        served.passes(0.4)
    over = api.get(place).json()
    assert (over["status"], over["outputs"]) == ("SUCCESS", {"greeting": "Hello, Bo!"})
    logs = api.get(f"/scenarios/{key}/logs", params={"pg[limit]": 1}).json()
    assert [shaped(e, LOG)["id"] for e in logs["scenarioLogs"]] == [started["executionId"]]
    older = api.get(f"/scenarios/{key}/logs", params={"pg[last]": logs["pg"]["last"]}).json()
    assert [e["id"] for e in older["scenarioLogs"]] == [waited["executionId"]]
    one = api.get(f"/scenarios/{key}/logs/{waited['executionId']}").json()["scenarioLog"]
    assert (shaped(one, LOG)["type"], one["status"]) == ("manual", 1)
    assert served.operations == ["create_scenario", "start", "run", "run"]
    assert served.emulator.effects[-1]["data"] == {"name": "Bo"}


def test_inputs_are_checked_and_inactive_scenarios_do_not_run(served: Served, api: httpx2.Client) -> None:
    key = create(api, GREETING)
    fields = [{"name": "name", "type": "text", "required": True}]
    changed = api.patch(f"/scenarios/{key}/interface", json={"interface": {"input": fields}}).json()
    assert changed == api.get(f"/scenarios/{key}/interface").json() == {"interface": {"input": fields, "output": None}}
    refused = api.post(f"/scenarios/{key}/run", json={"data": {}, "responsive": True})
    assert refused.status_code == 400
    assert "'name'" in refused.json()["suberrors"][0]["message"]
    assert api.post(f"/scenarios/{key}/stop").json()["scenario"]["isActive"] is False
    assert api.post(f"/scenarios/{key}/run", json={"data": {"name": "Ada"}}).status_code == 400
    assert "run" not in served.operations


def test_a_failed_execution_is_kept_and_retried(served: Served, api: httpx2.Client) -> None:
    key = create(api, GREETING)
    outcome = {"scenarioId": key, "status": 3, "reason": "IP address is not valid."}
    httpx2.post(f"{served.url}/_sandbox/outcomes", json=outcome)
    failed = api.post(f"/scenarios/{key}/run", json={"data": {"name": "Ada"}, "responsive": True}).json()
    assert failed["status"] == 3
    seen = api.get(f"/scenarios/{key}/executions/{failed['executionId']}").json()
    assert (seen["status"], seen["error"]["message"]) == ("ERROR", "IP address is not valid.")
    [kept] = api.get("/dlqs", params={"scenarioId": key}).json()["dlqs"]
    assert set(kept) == {"id", "reason", "created", "size", "resolved", "retry", "attempts"}
    assert (kept["reason"], kept["resolved"]) == ("IP address is not valid.", False)
    assert api.get(f"/scenarios/{key}").json()["scenario"]["dlqCount"] == 1
    assert api.post(f"/dlqs/{kept['id']}/retry").json() == {"success": True}
    [after] = api.get("/dlqs", params={"scenarioId": key}).json()["dlqs"]
    assert (after["resolved"], after["attempts"]) == (True, 1)
    assert api.post(f"/dlqs/{kept['id']}/retry").status_code == 404
    assert [e.get("status") for e in served.emulator.effects if e["operation"] == "run"] == [3, 1]


def test_result_goes_to_the_callback_url(served: Served, api: httpx2.Client) -> None:
    hook, echo = create_hook(api), create(api, GREETING)
    listener = create(api, hooked(hook["id"]))
    asked = {"data": {"name": "Ada"}, "responsive": False, "callbackUrl": hook["url"]}
    started = api.post(f"/scenarios/{echo}/run", json=asked).json()
    eventually(lambda: any(e.get("scenarioId") == listener for e in served.emulator.effects))
    [sent] = httpx2.get(f"{served.url}/_sandbox/webhooks").json()
    told = {"executionId": started["executionId"], "status": "SUCCESS", "outputs": {"greeting": "Hello, Ada!"}}
    assert (sent["url"], json.loads(sent["body"])) == (hook["url"], told)


def test_hook_runs_its_scenario_and_may_answer(served: Served, api: httpx2.Client) -> None:
    hook = create_hook(api)
    key = create(api, hooked(hook["id"]))
    attached = shaped(api.get(f"/hooks/{hook['id']}").json()["hook"], HOOK)
    assert attached["scenarioId"] == key
    assert api.get(f"/scenarios/{key}").json()["scenario"]["hookId"] == hook["id"]
    answer = httpx2.post(attached["url"], params={"source": "shop"}, json={"order": 7})
    assert (answer.status_code, answer.text) == (200, "Accepted")
    assert served.emulator.effects[-1]["data"] == {"source": "shop", "order": 7}
    assert httpx2.post(attached["url"], data={"order": "8"}).text == "Accepted"
    respond = {
        "id": 2,
        "module": "gateway:WebhookRespond",
        "mapper": {"status": "201", "body": '{"order":"{{1.order}}"}'},
    }
    api.patch(f"/scenarios/{key}", json={"blueprint": json.dumps(hooked(hook["id"], respond))})
    answered = httpx2.post(attached["url"], json={"order": 9})
    assert (answered.status_code, answered.json()) == (201, {"order": "9"})
    eventually(lambda: len(api.get(f"/scenarios/{key}/logs").json()["scenarioLogs"]) == 3)
    logs = api.get(f"/scenarios/{key}/logs").json()["scenarioLogs"]
    assert [(e["type"], e["instant"]) for e in logs] == [("instant", True)] * 3


def test_hook_of_a_stopped_scenario_queues(served: Served, api: httpx2.Client) -> None:
    hook = create_hook(api)
    key = create(api, hooked(hook["id"]), start=False)
    assert httpx2.post(hook["url"], json={"order": 1}).text == "Accepted"
    assert api.get(f"/hooks/{hook['id']}").json()["hook"]["queueCount"] == 1
    assert "run" not in served.operations
    api.post(f"/scenarios/{key}/start")
    assert api.get(f"/hooks/{hook['id']}").json()["hook"]["queueCount"] == 0
    assert (served.operations[-1], served.emulator.effects[-1]["data"]) == ("run", {"order": 1})


def test_hooks_change_and_go(served: Served, api: httpx2.Client) -> None:
    hook = create_hook(api)
    place = f"/hooks/{hook['id']}"
    assert api.get(f"{place}/ping").json() == {
        "address": hook["url"],
        "attached": False,
        "learning": False,
        "gone": False,
    }
    assert api.patch(place, json={"name": "Returns"}).json()["hook"]["name"] == "Returns"
    assert api.post(f"{place}/set-data", json={"stringify": True}).json() == {"changed": True}
    assert api.post(f"{place}/set-data", json={"stringify": True}).json() == {"changed": False}
    assert api.post(f"{place}/learn-start").json() == {"success": True}
    assert api.get(f"{place}/ping").json()["learning"] is True
    assert api.post(f"{place}/disable").json() == {"success": True}
    assert httpx2.post(hook["url"], json={}).status_code == 410
    assert api.post(f"{place}/enable").json() == {"success": True}
    assert httpx2.post(hook["url"], json={}).status_code == 200
    create(api, hooked(hook["id"]))
    assert [h["id"] for h in api.get("/hooks", params={"teamId": TEAM_ID, "assigned": "true"}).json()["hooks"]] == [
        hook["id"]
    ]
    assert api.delete(place).status_code == 400
    assert api.delete(place, params={"confirmed": "true"}).json() == {"hook": hook["id"]}
    assert api.get("/hooks", params={"teamId": TEAM_ID}).json() == {"hooks": []}


def test_account(api: httpx2.Client) -> None:
    assert [o["id"] for o in api.get("/organizations").json()["organizations"]] == [ORGANIZATION_ID]
    organization = api.get(f"/organizations/{ORGANIZATION_ID}").json()["organization"]
    assert (organization["zone"], organization["license"]["apiLimit"]) == (ZONE, 240)
    teams = api.get("/teams", params={"organizationId": ORGANIZATION_ID}).json()
    assert teams["teams"] == [{"id": TEAM_ID, "name": "Sandbox team", "organizationId": ORGANIZATION_ID}]
    assert api.get(f"/teams/{TEAM_ID}").json()["team"]["scenarioDrafts"] is False
    assert api.get("/teams/999").status_code == 404
    assert {"id", "name", "email", "timezone"} <= set(api.get("/users/me").json()["authUser"])


def test_errors(served: Served, api: httpx2.Client) -> None:
    incomplete = api.post("/scenarios", json={"teamId": TEAM_ID})
    assert incomplete.status_code == 400
    assert [e["message"] for e in incomplete.json()["suberrors"]] == [
        "Missing value of required parameter 'blueprint'.",
        "Missing value of required parameter 'scheduling'.",
    ]
    not_a_string = api.post("/scenarios", json={"teamId": TEAM_ID, "blueprint": GREETING, "scheduling": "{}"})
    assert "blueprint" in not_a_string.json()["suberrors"][0]["message"]
    assert api.get("/scenarios").status_code == 400
    refused = httpx2.get(f"{served.url}/api/v2/users/me", headers={"Authorization": f"Token {API_KEY[:-1]}0"})
    assert (refused.status_code, set(refused.json())) == (401, {"message", "detail", "code"})
    assert served.operations == []


def test_limits() -> None:
    served = Served(Make(api_limit=2, hook_limit=2))
    try:
        headers = {"Authorization": f"Token {API_KEY}"}
        with httpx2.Client(base_url=f"{served.url}/api/v2", headers=headers) as api, served.stopped():
            hook = create_hook(api)
            assert api.get("/users/me").status_code == 200
            throttled = api.get("/users/me")
            assert throttled.status_code == 429
            assert throttled.json()["message"] == "Requests limit for organization exceeded, please try again later."
            assert 429 in [api.post(hook["url"], json={}).status_code for _ in range(3)]
    finally:
        served.close()


def test_faults(served: Served, api: httpx2.Client) -> None:
    key = create(api, GREETING)
    served.fault(kind="429", retry_after=2)
    throttled = api.post(f"/scenarios/{key}/run", json={})
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "2")
    served.fault(kind="cut_after", path="/run")
    with pytest.raises(httpx2.TransportError):
        api.post(f"/scenarios/{key}/run", json={"data": {"name": "Ada"}})
    assert served.operations.count("run") == 1
