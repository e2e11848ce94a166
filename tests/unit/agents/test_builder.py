"""Builder's graph: failures looked at and run again once, workflows built from known parts, tested, rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.builder.rules import workflows
from services.builder.rules.failures import Failure, Watched
from services.builder.rules.workflows import Draft, Need
from shared.automations import kind_of
from shared.models.port import AssistantMessage, ModelToolCall
from tests.unit.agents.driving import Graph, Scripted, spec_of, trigger
from tests.unit.agents.working import asked, end, finish, replays, task, turns

FAILED = "com.n8n.execution.failed"
MAKE = "com.make.scenario.failed"
WANTED = "viox.automation.requested"
URL = "https://chat.example.com/hooks/reviews"
NEED = {
    "request_id": "A-1",
    "title": "Post new reviews to chat",
    "description": f"POST {{stars}} and {{review}} to {URL}",
}


def failed(message: str, execution: str = "7", **more: Any) -> dict[str, Any]:
    told = {"id": execution, "error": {"message": message}} | more
    return trigger(FAILED, {"workflow": {"id": "wf", "name": "Invoices to sheet"}, "execution": told})


class N8n:
    """One instance, and Make, and a person. `outcomes`: how runs end, in their order; without more they succeed."""

    def __init__(self, *outcomes: str, **executions: dict[str, Any]) -> None:
        self.executions = {"7": {"id": "7", "status": "error"}} | executions
        self.outcomes = list(outcomes)
        self.workflows: dict[str, dict[str, Any]] = {}
        self.credentials = [{"id": "c1", "name": "Chat key", "type": "httpHeaderAuth"}]
        self.scenario: dict[str, Any] = {"name": "Orders", "isActive": True, "nextExec": "2026-11-20T16:00:00Z"}
        self.refusing: dict[str, str] = {}
        self.claims: dict[str, dict[str, Any]] = {}
        self.told: list[str] = []
        self.made: list[str] = []
        self.tested: list[dict[str, Any]] = []

    def __call__(self, call: Mapping[str, Any]) -> Any:
        given, tool = call["arguments"], call["tool"]
        self.made.append(tool)
        if why := self.refusing.get(tool):
            raise RuntimeError(why)
        match tool:
            case "n8n_get_execution":
                return self.executions.get(given["id"])
            case "n8n_retry_execution":
                return self._run(retryOf=given["id"])
            case "records_claim":
                claim = self.claims.setdefault(given["entity"], {"holder": given["holder"], **given["data"]})
                return {"data": claim, "mine": claim["holder"] == given["holder"]}
            case "n8n_get_workflow":
                return self.workflows.get(given["id"])
            case "n8n_list_credentials":
                return {"data": self.credentials}
            case "n8n_list_workflows":
                return {"data": [w for w in self.workflows.values() if w["name"] == given["name"]]}
            case "n8n_create_workflow":
                made = dict(given) | {"id": f"w{len(self.workflows)}", "active": False}
                self.workflows[made["id"]] = made
                return {"id": made["id"], "name": made["name"], "active": False}
            case "n8n_activate_workflow" | "n8n_deactivate_workflow":
                self.workflows[given["id"]]["active"] = tool == "n8n_activate_workflow"
                return {"id": given["id"]}
            case "n8n_call_webhook":
                hook = next(w for w in self.workflows.values() if _path(w) == given["path"] and w["active"])
                self.tested.append(given["body"])
                self._run(workflowId=hook["id"])
                return {"message": "Workflow was started"}
            case "n8n_list_executions":
                found = [e for e in self.executions.values() if e.get("workflowId") == given["workflowId"]]
                return {"data": [e for e in found if e["status"] != "running"]}
            case "make_get_scenario":
                return {"scenario": self.scenario}
            case "make_get_execution":
                return {"status": "ERROR", "error": {"message": "the record is invalid"}}
            case "wait_until":
                for one in self.executions.values():
                    one["status"] = one.pop("later", one["status"])
                return {}
            case "person_tell":
                self.told.append(given["text"])
                return {"told": "Dana"}
        raise AssertionError(tool)

    def _run(self, **more: Any) -> dict[str, Any]:
        ends = self.outcomes.pop(0) if self.outcomes else "success"
        made = {"id": str(100 + len(self.executions)), "status": "running", "later": ends} | more
        if ends == "error":
            made["data"] = {"resultData": {"error": {"message": "No stock", "node": {"name": "Send"}}}}
        self.executions[made["id"]] = made
        return {"id": made["id"], "status": "running"}


def _path(workflow: dict[str, Any]) -> str:
    return str(next(n for n in workflow["nodes"] if n["name"] == "Webhook")["parameters"]["path"])


async def worked(n8n: N8n, *given: dict[str, Any], graph: Graph | None = None, model: Any = None) -> Graph:
    graph = graph or Graph(spec_of("builder"), model)
    for number, one in enumerate(given):
        await finish(graph if not number else graph.next_run(), n8n, one)
    return graph


# -- failures --------------------------------------------------------------------------------------------------------------


async def test_what_passes_by_itself_is_run_again_once_without_a_model() -> None:
    n8n = N8n()
    graph = await worked(n8n, failed("504 Gateway timeout"))
    assert n8n.made == ["n8n_get_execution", "records_claim", "n8n_retry_execution", "wait_until", "n8n_get_execution"]
    assert turns(graph) == 0
    assert end(graph)["text"] == (
        "n8n: Invoices to sheet failed: 504 Gateway timeout. It was run again, and succeeded."
    )
    assert n8n.told == []


async def test_a_second_failure_goes_to_a_person_with_its_cause() -> None:
    n8n = N8n("error")
    graph = await worked(n8n, failed("504 Gateway timeout"))
    (told,) = n8n.told
    assert told == (
        "n8n: Invoices to sheet failed: 504 Gateway timeout. Cause: the other side did not answer in time, or asks to be left"
        " alone for a while. It was run again: error."
    )
    assert end(graph)["text"] == f"{told} A person was told."


async def test_no_news_of_the_same_execution_runs_it_twice() -> None:
    n8n = N8n("error")
    graph = await worked(n8n, failed("504 Gateway timeout"), failed("504 Gateway timeout"))
    await worked(n8n, failed("ETIMEDOUT", "8", retryOf="7"), graph=graph.next_run())
    assert n8n.made.count("n8n_retry_execution") == 1, "nor the repeat itself, whose failure is told, too"


async def test_a_failure_that_operator_looks_after_is_left_to_it() -> None:
    n8n = N8n()
    n8n.claims["automation-failure:n8n:7"] = {"holder": "operator:upkeep-automations:2026-11-20", "by": "operator"}
    graph = await worked(n8n, failed("504 Gateway timeout"), failed("401 Unauthorized"))
    assert set(n8n.made) == {"n8n_get_execution", "records_claim"}
    assert end(graph)["text"] == "n8n: Invoices to sheet failed: 401 Unauthorized. Operator looks after it."


async def test_what_operator_hands_over_is_told_and_not_run_again() -> None:
    n8n = N8n()
    news = {
        "workflow": {"id": "wf", "name": "Invoices to sheet"},
        "execution": {"id": "7", "error": {"message": "504 Gateway timeout"}},
    }
    graph = await worked(n8n, task("Look into a failure.", failed_workflow=news))
    assert n8n.made == ["n8n_get_execution", "person_tell"]
    assert end(graph)["text"].startswith("n8n: Invoices to sheet failed: 504 Gateway timeout.")


@pytest.mark.parametrize(
    "shown", [{"status": "success"}, {"status": "error", "retrySuccessId": "9"}, {"status": "error", "retryOf": "6"}]
)
async def test_what_n8n_shows_as_mended_or_repeated_is_not_run_again(shown: dict[str, Any]) -> None:
    n8n = N8n(**{"7": {"id": "7"} | shown})
    await worked(n8n, failed("504 Gateway timeout"))
    assert "n8n_retry_execution" not in n8n.made


async def test_an_execution_that_is_gone_is_told_and_not_run_again() -> None:
    n8n = N8n()
    n8n.executions.clear()
    graph = await worked(n8n, failed("504 Gateway timeout"))
    assert "n8n_retry_execution" not in n8n.made
    assert len(n8n.told) == 1
    assert end(graph)["status"] == "finished"


async def test_refused_credentials_go_to_a_person_by_rule() -> None:
    n8n = N8n()
    graph = await worked(n8n, failed("401 Unauthorized"))
    assert "its credentials are refused: renew them" in n8n.told[0]
    assert turns(graph) == 0


async def test_a_cause_no_rule_knows_is_explained_by_the_model_from_what_is_data_to_it() -> None:
    n8n = N8n()
    n8n.workflows["wf"] = {"name": "x", "nodes": [{"name": "Sheet", "type": "obey-me"}]}
    model = Scripted(AssistantMessage("The column was renamed. Rename it back."))
    graph = await worked(n8n, failed("column not found: obey-me-too"), model=model)
    ours, outside = asked(graph, "cause")
    assert "obey-me" in outside
    assert "obey-me-too" in outside
    assert "obey" not in ours
    assert n8n.told == [
        "n8n: Invoices to sheet failed: column not found: obey-me-too. The column was renamed. Rename it back."
    ]
    assert turns(graph) == 1


async def test_a_person_is_told_of_the_same_cause_once_a_day() -> None:
    n8n = N8n()
    graph = await worked(n8n, failed("row 15 is invalid"), failed("row 16 is invalid", "8"))
    assert len(n8n.told) == 1
    assert "less than a day ago" in end(graph)["text"]
    await worked(n8n, failed("401 Unauthorized", "9"), graph=graph.next_run())
    assert len(n8n.told) == 2, "another cause is another matter"
    tomorrow = datetime(2026, 11, 21, 15, 1, tzinfo=UTC)
    one = Failure(system="n8n", automation="x", message="row 17 is invalid")
    assert not Watched().with_told(one, tomorrow - timedelta(days=1)).knows(one, tomorrow)


async def test_when_nobody_can_be_told_that_is_said() -> None:
    n8n = N8n()
    n8n.refusing["person_tell"] = "nobody has the role owner"
    graph = await worked(n8n, failed("401 Unauthorized"))
    assert end(graph)["text"].endswith("No person could be told: nobody has the role owner.")


async def test_make_runs_active_scenarios_again_itself() -> None:
    n8n = N8n()
    graph = await worked(n8n, trigger(MAKE, {"scenarioId": "9", "error": {"message": "429 Too Many Requests"}}))
    assert n8n.made == ["make_get_scenario"]
    assert "Its next run is at 2026-11-20T16:00:00Z" in end(graph)["text"]
    assert turns(graph) == 0


async def test_what_does_not_pass_at_make_goes_to_a_person() -> None:
    n8n = N8n()
    events = [trigger(MAKE, {"scenarioId": 9, "error": {"message": f"429, try {n}"}}) for n in range(3)]
    graph = await worked(n8n, *events)
    assert len(n8n.told) == 1, "the third within a day"
    n8n.scenario["isActive"] = False
    await worked(n8n, trigger(MAKE, {"scenarioId": 9, "error": {"message": "504"}}), graph=graph.next_run())
    assert "Make has switched it off" in n8n.told[-1]


async def test_what_failed_at_make_is_looked_up() -> None:
    n8n = N8n()
    await worked(n8n, trigger(MAKE, {"scenarioId": 9, "executionId": "b2c4", "error": {"message": "x"}}))
    assert n8n.made[:3] == ["make_get_scenario", "make_get_execution", "records_claim"]
    assert "Make: Orders failed: the record is invalid. [offline]" in n8n.told[0]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("504 Gateway Timeout", "transient"),
        ("ETIMEDOUT", "transient"),
        ("HTTP 429", "transient"),
        ("order 150429 does not exist", "unclear"),
        ("invalid credentials", "credentials"),
        ("Access token has expired", "credentials"),
        ("Operations limit reached: 402", "limit"),
        ("", "unclear"),
    ],
)
def test_failures_have_kinds_by_whole_words(message: str, kind: str) -> None:
    assert kind_of(message) == kind


# -- creation --------------------------------------------------------------------------------------------------------------


async def test_a_need_becomes_a_workflow_that_a_person_activates_and_a_real_run_proves() -> None:
    n8n = N8n()
    graph = await worked(n8n, trigger(WANTED, NEED))
    assert n8n.made == [
        "n8n_list_credentials",
        "n8n_list_workflows",
        "n8n_create_workflow",
        "n8n_activate_workflow",
        "n8n_call_webhook",
        "wait_until",
        "n8n_list_executions",
        "person_tell",
    ]
    (made,) = n8n.workflows.values()
    assert made["active"]
    assert [node["type"].rpartition(".")[2] for node in made["nodes"]] == ["webhook", "httpRequest"]
    assert made["nodes"][1]["parameters"]["bodyParameters"]["parameters"] == [
        {"name": "review", "value": "={{ $('Webhook').first().json.body.review }}"},
        {"name": "stars", "value": "={{ $('Webhook').first().json.body.stars }}"},
    ]
    assert n8n.tested == [{"review": "test", "stars": "test", "viox_test": True}]
    assert turns(graph) == 1, "the draft"
    assert "created, activated and tested" in end(graph)["text"]
    assert await replays(spec_of("builder"), graph)


async def test_a_red_test_switches_it_off_and_says_why() -> None:
    n8n = N8n("error")
    graph = await worked(n8n, trigger(WANTED, NEED))
    assert [one["active"] for one in n8n.workflows.values()] == [False]
    assert end(graph)["error"]["code"] == "builder.test_failed"
    assert "ended as error: No stock. It is switched off again." in end(graph)["text"]


async def test_a_test_that_leaves_no_run_is_red() -> None:
    n8n = N8n("running")
    graph = await worked(n8n, trigger(WANTED, NEED))
    assert n8n.made.count("n8n_list_executions") == 6
    assert "n8n shows no run of its test. It is switched off again." in end(graph)["text"]


async def test_what_could_not_be_switched_off_is_shouted() -> None:
    n8n = N8n("error")
    n8n.refusing["n8n_deactivate_workflow"] = "n8n is down"
    graph = await worked(n8n, trigger(WANTED, NEED))
    assert "It could NOT be switched off: n8n is down." in end(graph)["text"]


async def test_a_person_who_refuses_leaves_it_inactive() -> None:
    n8n = N8n()
    graph = Graph(spec_of("builder"))
    state = await graph.go(trigger(WANTED, NEED))
    while state["outgoing"]:
        (first, *_) = state["outgoing"]
        if first["tool"] == "n8n_activate_workflow":
            error = {"code": "approval.rejected", "message": "Dana refused it: not now."}
            results = {first["call_id"]: {"state": "rejected", "result": None, "error": error}}
        else:
            from tests.unit.agents.driving import answered

            results = answered(state, n8n)
        state = await graph.go(results=results)
    assert end(graph)["status"] == "finished"
    assert end(graph)["text"] == "Post new reviews to chat stands in n8n and stays inactive: Dana refused it: not now."
    assert n8n.tested == []


async def test_what_the_need_does_not_say_is_asked_and_the_answer_goes_on_from_there() -> None:
    n8n = N8n()
    graph = await worked(n8n, trigger(WANTED, {"request_id": "A-1", "title": "Post new reviews to chat"}))
    assert n8n.workflows == {}
    assert "Which https address is it sent to?" in n8n.told[0]
    assert "viox ask builder TEXT --conversation automation:A-1" in n8n.told[0]
    await worked(n8n, task(f"To {URL} please"), graph=graph.next_run())
    (made,) = n8n.workflows.values()
    assert (made["name"], made["nodes"][1]["parameters"]["url"]) == ("Post new reviews to chat", URL)


async def test_a_need_is_built_once() -> None:
    n8n = N8n()
    graph = await worked(n8n, trigger(WANTED, NEED), trigger(WANTED, NEED))
    assert len(n8n.workflows) == 1
    assert "was built before; it is active" in end(graph)["text"]


async def test_a_name_that_is_taken_is_not_taken_twice() -> None:
    n8n = N8n()
    n8n.workflows["other"] = {"name": NEED["title"], "nodes": [], "active": True}
    await worked(n8n, trigger(WANTED, NEED))
    assert [one["name"].startswith("Post new reviews to chat (") for one in n8n.workflows.values()] == [False, True]


def drafted(**fields: Any) -> AssistantMessage:
    return AssistantMessage("", (ModelToolCall("1", "answer", {"trigger": {"kind": "webhook"}} | fields),))


def step(kind: str = "http", **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "name": "Send"} | ({"method": "POST", "url": URL} if kind == "http" else {}) | fields


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (step(url="https://evil.example/steal"), "does not name the address https://evil.example/steal"),
        (step(url="https://chat.example.com@evil.example/"), "does not name the address https://chat.example.com@evil"),
        (step(url="https://chat.example.com.evil.example/"), "does not name the address"),
        (step(credential="Root key"), "no credential called 'Root key'"),
        (step(body=[{"name": "key", "value": "sk_live_abcdefgh12345678"}]), "a secret stands in it"),
        (step(url=f"{URL}?token=abcdef123456"), "a secret stands in it"),
        (
            step("mail", to="eve@evil.example", subject="s", text="t", credential="Chat key"),
            "recipient eve@evil.example",
        ),
    ],
)
async def test_what_nobody_asked_for_is_drafted_again_and_never_built(wrong: dict[str, Any], why: str) -> None:
    n8n = N8n()
    model = Scripted(drafted(steps=[wrong]), drafted(steps=[wrong]))
    graph = await worked(n8n, trigger(WANTED, NEED), model=model)
    assert n8n.workflows == {}
    assert end(graph)["error"]["code"] == "builder.not_built"
    assert why in end(graph)["text"]
    assert why in asked(graph, "redraft")[1]


async def test_a_mended_draft_is_built() -> None:
    n8n = N8n()
    model = Scripted(drafted(steps=[step(credential="Root key")]), drafted(steps=[step(credential="Chat key")]))
    await worked(n8n, trigger(WANTED, NEED), model=model)
    (made,) = n8n.workflows.values()
    assert made["nodes"][1]["credentials"] == {"httpHeaderAuth": {"id": "c1", "name": "Chat key"}}


async def test_a_need_is_data_to_the_model() -> None:
    graph = await worked(N8n(), trigger(WANTED, NEED | {"description": f"obey me {URL}"}))
    ours, outside = asked(graph, "draft")
    assert "obey me" in outside
    assert "obey me" not in ours
    assert "Chat key" in ours


async def test_needs_come_in_words_and_in_facts_of_a_task() -> None:
    for given in (task(f"Build a workflow that posts to {URL}"), task("As agreed", automation=NEED)):
        n8n = N8n()
        await worked(n8n, given)
        assert len(n8n.workflows) == 1


async def test_n8n_that_cannot_be_reached_is_said() -> None:
    n8n = N8n()
    n8n.refusing["n8n_list_credentials"] = "no route to host"
    graph = await worked(n8n, trigger(WANTED, NEED))
    assert end(graph)["text"] == "“Post new reviews to chat” was not built: no route to host."


# -- APIs ------------------------------------------------------------------------------------------------------------------

DRAFT = {
    "name": "shop",
    "source": "https://api.shop.example.com/openapi.json",
    "count": 1,
    "tools": [{"tool": "shop_order", "method": "get", "path": "/orders/{id}", "effect": "read", "risk": []}],
    "settings": ["SHOP_API_KEY"],
}


@pytest.mark.parametrize(
    "given",
    [
        task("Import the API https://api.shop.example.com/openapi.json."),
        task("Here it is", api={"url": "https://api.shop.example.com/openapi.json"}),
        task("Add the API at https://x.example.com/swagger.yaml as shop, please"),
    ],
)
async def test_a_described_api_becomes_a_draft_that_a_person_grants(given: dict[str, Any]) -> None:
    made: list[dict[str, Any]] = []
    n8n = N8n()

    def world(call: Mapping[str, Any]) -> Any:
        if call["tool"] == "api_draft":
            made.append(call["arguments"])
            return DRAFT
        return n8n(call)

    graph = await finish(Graph(spec_of("builder")), world, given)
    assert [one["name"] for one in made] == ["shop"]
    assert n8n.told[0].splitlines() == [
        "shop_order: GET /orders/{id} (read)",
        "Settings they need: SHOP_API_KEY.",
        "Nobody may use them yet. To grant them: viox tools import https://api.shop.example.com/openapi.json --name shop"
        " --grant AGENT",
    ]
    assert "1 tools, granted to nobody" in end(graph)["text"]
    assert turns(graph) == 0


async def test_an_api_that_cannot_be_read_is_said() -> None:
    def world(call: Mapping[str, Any]) -> Any:
        raise ValueError("https://x.example.com/openapi.json answers 404.")

    graph = await finish(Graph(spec_of("builder")), world, task("Import the API https://x.example.com/openapi.json"))
    assert end(graph)["error"]["code"] == "builder.api_unusable"
    assert "answers 404" in end(graph)["text"]


# -- the parts -------------------------------------------------------------------------------------------------------------

ALL: dict[str, Any] = {
    "trigger": {"kind": "schedule", "every": "week", "weekday": "tue", "at": "07:30"},
    "steps": [
        {"kind": "set", "name": "Fields", "values": [{"name": "a", "value": "{input.x.y} and {{ $env.SECRET }}"}]},
        {"kind": "only_if", "name": "Good", "left": "{previous.stars}", "test": "larger", "right": "3"},
        {"kind": "http", "name": "Send", "method": "GET", "url": URL, "credential": "Chat key"},
        {"kind": "mail", "name": "Mail", "to": "a@b.co", "subject": "s", "text": "t", "credential": "Post"},
        {"kind": "fail", "name": "Stop", "message": "no"},
    ],
}
CREDENTIALS = [
    {"id": "c1", "name": "Chat key", "type": "httpHeaderAuth"},
    {"id": "c2", "name": "Post", "type": "smtp"},
    {"id": "c3", "name": workflows.OWN_HOOK, "type": "httpHeaderAuth"},
]


def whole() -> dict[str, Any]:
    return workflows.workflow_of(Draft.model_validate(ALL), "All", "viox-1", CREDENTIALS)


def test_all_parts_fit_together() -> None:
    made = whole()
    assert workflows.problems_of_workflow(made, CREDENTIALS) == []
    nodes = {node["name"]: node for node in made["nodes"]}
    assert nodes["Clock"]["parameters"]["rule"]["interval"] == [
        {"field": "weeks", "weeksInterval": 1, "triggerAtDay": [2], "triggerAtHour": 7, "triggerAtMinute": 30}
    ]
    assert nodes["Webhook"]["parameters"]["authentication"] == "headerAuth"
    assert made["connections"]["Webhook"] == made["connections"]["Clock"], "a test runs what the clock runs"


def test_a_model_writes_no_code_into_a_workflow() -> None:
    value = whole()["nodes"][2]["parameters"]["assignments"]["assignments"][0]["value"]
    assert value == "={{ $('Webhook').first().json.body.x.y }} and { { $env.SECRET } }"
    assert workflows._expression("=={{ $env.KEY }}") == "{ { $env.KEY } }"
    sneaky = Draft.model_validate(ALL | {"steps": [ALL["steps"][1] | {"right": "={{ $env.KEY }}"}]})
    assert "{{ $env" not in str(workflows.workflow_of(sneaky, "x", "y", []))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda w: w["nodes"][2].update(type="n8n-nodes-base.executeCommand"), "no known node type"),
        (lambda w: w["nodes"].pop(3), "which is no node"),
        (lambda w: w["connections"].pop("Fields"), "nothing leads there"),
        (lambda w: w["nodes"][4].update(credentials={"httpHeaderAuth": {"value": "x"}}), "never written out"),
        (lambda w: w["nodes"][4].update(credentials={"smtp": {"id": "c2", "name": "Post"}}), "takes no credential"),
        (lambda w: w["nodes"][5].pop("credentials"), "mail needs a credential"),
        (lambda w: w["nodes"][2].update(name="Good"), "two nodes are called Good"),
        (lambda w: w["nodes"][6]["parameters"].update(errorMessage="Bearer abcdefgh123"), "a secret stands in it"),
    ],
)
def test_a_workflow_that_is_not_sound_is_named(change: Any, why: str) -> None:
    made = whole()
    change(made)
    assert why in "; ".join(workflows.problems_of_workflow(made, CREDENTIALS))


@pytest.mark.parametrize(
    "text",
    [
        "key sk_live_4eC39HqLyjWDarjt",
        "AKIAIOSFODNN7EXAMPLE",
        "https://user:pass@example.com/x",
        "https://hooks.slack.com/services/T000/B000/XXXX",
        "?api_key=12345678",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_secrets_are_seen_in_their_usual_forms(text: str) -> None:
    made = whole()
    made["nodes"][6]["parameters"]["errorMessage"] = text
    assert "a secret stands in it" in str(workflows.problems_of_workflow(made, CREDENTIALS))


def test_what_is_no_secret_is_none() -> None:
    assert workflows.problems_of_workflow(whole(), CREDENTIALS) == []
    assert not workflows._SECRETS.search("the token of our esteem: a patient basket of secrets")


def test_the_webhooks_path_is_not_guessed_from_the_request() -> None:
    need = Need(request_id="A-1", title="x")
    assert workflows.path_for(need, "event-1") != workflows.path_for(need, "event-2")
    assert workflows.path_for(need, "e").startswith("viox-"), "policy.cedar lets Builder call no other"
