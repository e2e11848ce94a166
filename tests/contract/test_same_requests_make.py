"""Make has no Python SDK: our requests are held against what its API documents; a lost answer is found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.vendors.make import API_KEY, ORGANIZATION_ID, TEAM_ID, Make
from tests.contract.side_by_side import TOOLS, Seen, SideBySide

BLUEPRINT: dict[str, Any] = {
    "name": "Greeting & é",
    "metadata": {},
    "flow": [{"id": 2, "module": "scenario-service:ReturnData", "mapper": {"greeting": "Hello, {{var.input.name}}!"}}],
}
SCENARIO: dict[str, Any] = {"teamId": TEAM_ID, "blueprint": BLUEPRINT}
HOOK: dict[str, Any] = {"name": "Orders", "teamId": TEAM_ID}
TEAM = ("teamId", str(TEAM_ID))
# Tool → arguments, then method, path, query and body that the API wants. {s}, {e}, {h}: a scenario, its execution, a hook.
CASES: dict[str, tuple[dict[str, Any], str, str, list[tuple[str, str]], Any]] = {
    "make_list_teams": (
        {"limit": 5, "offset": 0},
        "GET",
        "/teams",
        [("organizationId", str(ORGANIZATION_ID)), ("pg[limit]", "5"), ("pg[offset]", "0")],
        None,
    ),
    "make_list_scenarios": (
        {"teamId": TEAM_ID, "limit": 5, "offset": 0, "sortBy": "name", "sortDir": "desc"},
        "GET",
        "/scenarios",
        [("pg[limit]", "5"), ("pg[offset]", "0"), ("pg[sortBy]", "name"), ("pg[sortDir]", "desc"), TEAM],
        None,
    ),
    "make_create_scenario": (
        SCENARIO | {"folderId": 3, "confirmed": True, "scheduling": {"type": "indefinitely", "interval": 900}},
        "POST",
        "/scenarios",
        [("confirmed", "true")],
        {
            "teamId": TEAM_ID,
            "folderId": 3,
            "blueprint": json.dumps(BLUEPRINT, separators=(",", ":"), ensure_ascii=False),
            "scheduling": '{"type":"indefinitely","interval":900}',
        },
    ),
    "make_get_scenario": ({"scenarioId": "{s}"}, "GET", "/scenarios/{s}", [], None),
    "make_start_scenario": ({"scenarioId": "{s}"}, "POST", "/scenarios/{s}/start", [], None),
    "make_stop_scenario": ({"scenarioId": "{s}"}, "POST", "/scenarios/{s}/stop", [], None),
    "make_run_scenario": (
        {"scenarioId": "{s}", "data": {"name": "Ada"}},
        "POST",
        "/scenarios/{s}/run",
        [],
        {"data": {"name": "Ada"}, "responsive": False},
    ),
    "make_rerun_scenario": ({"id": "{s}"}, "POST", "/scenarios/{s}/run", [], None),
    "make_list_executions": (
        {"scenarioId": "{s}", "status": 1, "limit": 5, "last": "9"},
        "GET",
        "/scenarios/{s}/logs",
        [("pg[last]", "9"), ("pg[limit]", "5"), ("status", "1")],
        None,
    ),
    "make_get_execution": (
        {"scenarioId": "{s}", "executionId": "{e}"},
        "GET",
        "/scenarios/{s}/executions/{e}",
        [],
        None,
    ),
    "make_list_hooks": (
        {"teamId": TEAM_ID, "typeName": "gateway-webhook"},
        "GET",
        "/hooks",
        [TEAM, ("typeName", "gateway-webhook")],
        None,
    ),
    "make_create_hook": (
        HOOK | {"headers": True},
        "POST",
        "/hooks",
        [],
        HOOK | {"typeName": "gateway-webhook", "method": False, "headers": True, "stringify": False},
    ),
    "make_enable_hook": ({"hookId": "{h}"}, "POST", "/hooks/{h}/enable", [], None),
    "make_disable_hook": ({"hookId": "{h}"}, "POST", "/hooks/{h}/disable", [], None),
}


@pytest.fixture
def both() -> Iterator[SideBySide]:
    settings = {"MAKE_API_KEY": API_KEY, "MAKE_BASE_URL": "{url}/api/v2", "MAKE_ORGANIZATION_ID": str(ORGANIZATION_ID)}
    made = SideBySide(Make(run_seconds=0.05), settings)
    yield made
    made.close()


def started(both: SideBySide) -> int:
    scenario: int = both.call("make_create_scenario", **SCENARIO).result["scenario"]["id"]
    assert both.call("make_start_scenario", scenarioId=scenario).result == {
        "scenario": {"id": scenario, "isActive": True}
    }
    return scenario


@pytest.mark.parametrize("tool", CASES)
def test_request(both: SideBySide, tool: str) -> None:
    asked, method, path, query, body = CASES[tool]
    scenario = started(both)
    ids: dict[str, Any] = {
        "s": scenario,
        "e": both.call("make_run_scenario", scenarioId=scenario, responsive=True).result["executionId"],
        "h": both.call("make_create_hook", **HOOK).result["hook"]["id"],
    }
    arguments = {k: ids[v[1]] if isinstance(v, str) and v[:1] == "{" else v for k, v in asked.items()}
    headers = {"authorization": f"Token {API_KEY}", "accept": "application/json"}
    headers |= {"content-type": "application/json"} if body is not None else {}
    assert both.ours(tool, **arguments) == Seen(
        method, "/api/v2" + path.format(**ids), tuple(sorted(query)), headers, body
    )


def test_every_tool_is_compared() -> None:
    assert set(CASES) == {tool.name for tool in TOOLS.values() if tool.vendor == "make"}


def test_a_scenario_runs_and_shows_its_outputs(both: SideBySide) -> None:
    scenario = started(both)
    assert json.loads(both.seen[-2].body["scheduling"]) == {"type": "on-demand"}
    run = both.call("make_run_scenario", scenarioId=scenario, data={"name": "Ada"}, responsive=True).result
    assert (run["status"], run["outputs"]) == (1, {"greeting": "Hello, Ada!"})
    read = both.call("make_get_execution", scenarioId=scenario, executionId=run["executionId"]).result
    assert read == {"status": "SUCCESS", "outputs": {"greeting": "Hello, Ada!"}}


def test_a_lost_answer_is_found_again(both: SideBySide) -> None:
    other = SCENARIO | {"blueprint": BLUEPRINT | {"name": "Another"}}
    assert both.call("make_create_scenario", **other).state == "succeeded"
    intended = datetime.now(UTC)
    assert both.look_up("make_create_scenario", intended, **SCENARIO) == []
    both.fault(kind="cut_after", method="POST")
    assert both.call("make_create_scenario", **SCENARIO).state == "unknown"
    [found] = both.look_up("make_create_scenario", intended, **SCENARIO)
    mine = both.effects("create_scenario")[1:]
    assert [effect["id"] for effect in mine] == [found["scenario"]["id"]]
    assert found["scenario"]["name"] == BLUEPRINT["name"]
    assert both.look_up("make_create_scenario", intended + timedelta(minutes=1), **SCENARIO) == []


@pytest.mark.parametrize("tool", ["make_run_scenario", "make_create_hook"])
def test_what_no_look_up_decides_stays_unknown(both: SideBySide, tool: str) -> None:
    scenario = started(both)
    both.fault(kind="cut_after", method="POST")
    arguments: dict[str, Any] = HOOK if tool == "make_create_hook" else {"scenarioId": scenario}
    assert both.call(tool, **arguments).state == "unknown"
    assert len(both.effects("run") + both.effects("create_hook")) == 1


def test_errors_are_short_and_exact(both: SideBySide) -> None:
    inactive = both.call("make_create_scenario", **SCENARIO).result["scenario"]["id"]
    error = both.call("make_run_scenario", scenarioId=inactive).error
    assert error == {"code": "http.400", "message": "Scenario is not active. · SC400", "status": 400}
    error = both.call("make_create_scenario", **SCENARIO | {"teamId": 99}).error
    assert error is not None
    assert error["message"] == "Invalid value in parameter 'teamId'. · Validation failed for 1 parameter(s). · SC400"
    assert both.call("make_get_scenario", scenarioId=9).result is None
