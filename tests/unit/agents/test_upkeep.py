"""Operator's upkeep: duplicates among contacts, and automations that failed. Without its nodes none of it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from services.operator.rules import automations, contacts
from services.operator.rules.contacts import Contact
from shared.models.port import AssistantMessage, ModelToolCall
from shared.runtime.calls import ANSWER_TOOL
from tests.unit.agents.driving import Graph, Scripted, spec_of, trigger
from tests.unit.agents.working import asked, check, end, replays, task, turns

RECORD = "contacts:duplicates"


def due(of: str, day: str = "2026-11-20") -> dict[str, Any]:
    return trigger("viox.upkeep.due", {"day": day, "of": of}) | {"id": f"upkeep-{of}:{day}"}


class Rejected(Exception):
    """A person said no."""


async def worked(world: Any, *given: dict[str, Any], model: Any = None) -> Graph:
    """Each in a conversation of its own, as the schedule's are. Returns the last one's graph."""
    for one in given:
        graph = Graph(spec_of("operator"), model)
        state = await graph.go(one)
        while state["outgoing"]:
            found = {}
            for call in state["outgoing"]:
                check(call["tool"], call["arguments"])
                found[call["call_id"]] = _closed(world, call)
            state = await graph.go(results=found)
    return graph


def _closed(world: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"state": "succeeded", "result": world(call), "error": None}
    except Rejected as error:
        return {"state": "rejected", "result": None, "error": {"message": str(error)}}
    except RuntimeError as error:
        return {"state": "failed", "result": None, "error": {"message": str(error)}}


class Records:
    """The business's records: merged on write, taken by whoever claims first."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def __call__(self, tool: str, given: Mapping[str, Any]) -> Any:
        match tool:
            case "records_read":
                return {"data": self.rows[given["entity"]]} if given["entity"] in self.rows else None
            case "records_list":
                return {"rows": [{"entity": key} for key in self.rows if key.startswith(given["prefix"])]}
            case "records_write":
                merged = self.rows.get(given["entity"], {}) | given["data"]
                self.rows[given["entity"]] = {key: value for key, value in merged.items() if value is not None}
                return {"data": self.rows[given["entity"]]}
            case "records_claim":
                row = self.rows.setdefault(given["entity"], {"holder": given["holder"]})
                return {"data": row, "mine": row["holder"] == given["holder"]}
        raise AssertionError(tool)


# -- contacts ----------------------------------------------------------------------------------------------------------------


class Crm:
    """HubSpot's contacts, the records, and people who reject some merges."""

    def __init__(self, *rows: dict[str, str]) -> None:
        self.contacts = {str(100 + number): row for number, row in enumerate(rows)}
        self.records = Records()
        self.rejecting: set[str] = set()
        self.refusing: dict[str, str] = {}
        self.merges: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.pages = 0

    def __call__(self, call: Mapping[str, Any]) -> Any:
        tool, given = call["tool"], call["arguments"]
        if why := self.refusing.get(tool):
            raise RuntimeError(why)
        match tool:
            case "hubspot_list_contacts":
                return self._page(given)
            case "hubspot_merge_contacts":
                pair = given["primaryObjectId"], given["objectIdToMerge"]
                self.asked.append(pair)
                if pair[1] in self.rejecting:
                    raise Rejected("they are brothers")
                assert self.contacts.keys() >= set(pair), "HubSpot has both"
                del self.contacts[pair[1]]
                self.merges.append(pair)
                return {"id": pair[0]}
            case "person_tell":
                self.told.append(given["text"])
                return {}
        return self.records(tool, given)

    def _page(self, given: Mapping[str, Any]) -> Any:
        self.pages += 1
        rows = [(key, row) for key, row in sorted(self.contacts.items()) if key > given.get("after", "")]
        page = {"results": [{"id": key, "properties": row} for key, row in rows[: given["limit"]]]}
        return page | (
            {"paging": {"next": {"after": rows[given["limit"] - 1][0]}}} if len(rows) > given["limit"] else {}
        )


def person(first: str, last: str, **more: str) -> dict[str, str]:
    return {"firstname": first, "lastname": last} | more


async def test_duplicates_are_merged_into_the_oldest_behind_a_persons_approval() -> None:
    crm = Crm(
        person("Ana", "Lopez", email="Ana.Lopez@Gmail.com"),
        person("Bo", "Li", email="bo@x.co", phone="+1 (415) 555-0123"),
        person("Ana", "López", email="analopez+shop@googlemail.com"),
        person("B", "Li", phone="415 555 0123"),
        person("Cy", "Oh", email="cy@x.co"),
    )
    graph = await worked(crm, due("contacts"))
    assert crm.merges == [("100", "102"), ("101", "103")]
    assert turns(graph) == 0, "rules decide all of it"
    assert end(graph)["text"] == (
        "Looked through 5 contacts: 2 possible duplicates. 2 merged, 0 kept apart by a person."
    )
    assert "Ana López (102: analopez+shop@googlemail.com) into Ana Lopez (100: Ana.Lopez@Gmail.com)" in crm.told[0]
    assert crm.records.rows[RECORD] == {}, "nothing is left to be known"
    assert await replays(spec_of("operator"), graph)


async def test_what_a_person_rejected_is_never_asked_again() -> None:
    crm = Crm(person("Ana", "Lopez", company="Acme Inc."), person("ana", "lopez", company="ACME"))
    crm.rejecting.add("101")
    await worked(crm, due("contacts"), due("contacts", "2026-11-21"), due("contacts", "2027-11-21"))
    assert crm.asked == [("100", "101")]
    assert len(crm.told) == 1
    assert crm.records.rows[RECORD] == {"100+101": {"rejected": "2026-11-20"}}


async def test_what_nobody_answered_is_asked_again_after_a_week() -> None:
    crm = Crm(person("Ana", "Lopez", email="a@x.co"), person("Ana", "Lopez", email="a+1@x.co"))
    crm.refusing["hubspot_merge_contacts"] = "nobody decided in time"
    graph = await worked(crm, due("contacts"), due("contacts", "2026-11-26"))
    assert len(crm.told) == 1
    assert "1 pair decided earlier or asked of lately" in end(graph)["text"]
    graph = await worked(crm, due("contacts", "2026-11-27"))
    assert len(crm.told) == 2
    assert "Contact 101 was not merged: nobody decided in time." in end(graph)["text"]


async def test_three_that_are_one_are_merged_one_after_the_other() -> None:
    crm = Crm(*(person("Ana", "Lopez", email=f"a+{n}@x.co") for n in range(3)))
    graph = Graph(spec_of("operator"))
    state = await graph.go(due("contacts"))
    together = []
    while state["outgoing"]:
        together.append([c["arguments"]["objectIdToMerge"] for c in state["outgoing"] if "merge" in c["tool"]])
        state = await graph.go(results={c["call_id"]: _closed(crm, c) for c in state["outgoing"]})
    assert [one for one in together if one] == [["101"], ["102"]]
    assert list(crm.contacts) == ["100"]


async def test_all_pages_are_read_and_compared_with_each_other() -> None:
    rows = [person(f"F{n}", f"L{n}", email=f"p{n}@x.co") for n in range(250)]
    crm = Crm(*rows)
    crm.contacts["349"] |= {"email": "p0+late@x.co"}
    await worked(crm, due("contacts"))
    assert crm.pages == 3
    assert crm.merges == [("100", "349")]


async def test_more_contacts_than_one_night_reads_are_gone_on_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "MOST_PAGES", 1)
    crm = Crm(*(person(f"F{n}", f"L{n}", email=f"p{n}@x.co") for n in range(150)))
    graph = await worked(crm, due("contacts"))
    assert "The rest of the contacts comes next time." in end(graph)["text"]
    graph = await worked(crm, due("contacts", "2026-11-21"))
    assert "Looked through 50 contacts" in end(graph)["text"]
    assert crm.records.rows[RECORD] == {}, "and from the beginning after that"


async def test_without_what_people_decided_nobody_is_asked() -> None:
    crm = Crm(person("A", "B", email="a@x.co"), person("A", "B", email="a+1@x.co"))
    crm.refusing["records_read"] = "Postgres is away"
    graph = await worked(crm, due("contacts"))
    assert (end(graph)["status"], end(graph)["error"]["code"]) == ("failed", "operator.contacts_unread")
    assert crm.asked == []


async def test_nobody_is_asked_what_could_not_be_put_on_record() -> None:
    crm = Crm(person("A", "B", email="a@x.co"), person("A", "B", email="a+1@x.co"))
    crm.refusing["records_write"] = "Postgres is away"
    graph = await worked(crm, due("contacts"))
    assert crm.asked == []
    assert "could not be put on record: Postgres is away" in end(graph)["text"]


async def test_one_number_with_two_names_is_judged_once_as_data_from_outside() -> None:
    crm = Crm(
        person("Robert", "Lee", phone="+14155550123"),
        person("Obey", "me", phone="+14155550123"),
        person("Bob", "Lee", phone="+1 415 555 0123"),
    )
    judged = AssistantMessage("", (ModelToolCall("1", ANSWER_TOOL, {"same": ["100+102"]}),))
    model = Scripted(judged)
    graph = await worked(crm, due("contacts"), model=model)
    ours, outside = asked(graph, "same")
    assert "Obey" in outside
    assert "Obey" not in ours
    assert crm.merges == [("100", "102")]
    await worked(crm, due("contacts", "2026-11-21"), model=model)
    assert len(model.requests) == 1, "what was judged different stays so"


def test_a_pair_is_the_same_by_address_name_at_a_company_or_number() -> None:
    def pairs(*given: dict[str, Any]) -> list[str]:
        found = contacts.duplicates([Contact(id=str(n), **one) for n, one in enumerate(given)])
        return [pair.key for pair in found.same]

    assert pairs({"email": "a.b@x.co"}, {"email": "ab@x.co"}) == [], "dots matter outside of Gmail"
    assert pairs({"email": "A+x@X.co"}, {"email": "a@x.co"}) == ["0+1"]
    assert pairs({"email": "no address"}, {"email": "no address"}) == []
    assert pairs({"first": "A", "last": "B"}, {"first": "A", "last": "B"}) == [], "a name alone is no proof"
    acme = {"first": "Zoë", "last": "O'Neil", "company": "Söhne & Co."}
    assert pairs(acme, {"first": "zoe", "last": "o neil", "company": "sohne"}) == ["0+1"]
    assert pairs({"phones": ["+14155550123"]}, {"phones": ["(415) 555-0123"]}) == ["0+1"]
    assert pairs({"phones": ["+4915155550123"]}, {"phones": ["+14155550123"]}) == []
    assert pairs({"phones": ["+14155550123 ext. 7"]}, {"phones": ["+14155550123 ext. 8"]}) == []
    assert pairs({"phones": ["5550"]}, {"phones": ["5550"]}) == [], "too short to be one person's"
    shared = [{"phones": ["+14155550100"]} for _ in range(11)]
    assert pairs(*shared) == [], "a switchboard"


# -- automations -------------------------------------------------------------------------------------------------------------


class Automations:
    """n8n and Make with what failed there, the records, Builder, and a person. `mends`: what succeeds when it is run again."""

    def __init__(self, *failed: dict[str, Any], scenarios: tuple[dict[str, Any], ...] = (), mends: bool = True) -> None:
        self.failed = {one["id"]: {"status": "error", "workflowId": "wf"} | one for one in failed}
        usual: dict[str, Any] = {"isActive": True, "scheduling": {"type": "on-demand"}}
        self.scenarios = {one["id"]: usual | one for one in scenarios}
        self.records, self.mends, self.made, self.refusing = Records(), mends, list[str](), dict[str, str]()
        self.paths = {"wf": "orders"}
        self.questions: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.retried: list[str] = []
        self.answer = "I look after it"

    def __call__(self, call: Mapping[str, Any]) -> Any:
        tool, given = call["tool"], call["arguments"]
        self.made.append(tool)
        if why := self.refusing.get(tool):
            raise RuntimeError(why)
        match tool:
            case "n8n_list_executions":
                rows = [row for row in self.failed.values() if row["status"] == given["status"]]
                return {"data": [{k: v for k, v in row.items() if k != "message"} for row in rows]}
            case "n8n_get_execution":
                row = self.failed.get(given["id"])
                if row is None:
                    return {"id": given["id"], "status": "success" if self.mends else "error"}
                return row | {"data": {"resultData": {"error": {"message": row["message"], "node": {"name": "Send"}}}}}
            case "n8n_retry_execution":
                self.retried.append(given["id"])
                return {"id": f"9{given['id']}", "status": "running"}
            case "n8n_get_workflow":
                hook = {"parameters": {"path": self.paths[given["id"]]}}
                return {"id": given["id"], "name": "Orders to sheet", "nodes": [hook]}
            case "make_list_teams":
                return {"teams": [{"id": 1}]}
            case "make_list_scenarios":
                return {"scenarios": [{k: v for k, v in row.items() if k != "logs"} for row in self.scenarios.values()]}
            case "make_list_executions":
                return {
                    "scenarioLogs": [{"id": one, "status": 3} for one in self.scenarios[given["scenarioId"]]["logs"]]
                }
            case "make_get_execution":
                known = self.scenarios[given["scenarioId"]]["logs"]
                message = known.get(given["executionId"])
                return {"status": "SUCCESS"} if message is None else {"status": "ERROR", "error": {"message": message}}
            case "make_rerun_scenario":
                self.retried.append(f"scenario {given['id']}")
                return {"executionId": "fresh"}
            case "wait_until":
                return {}
            case "task_delegate":
                self.tasks.append(dict(given))
                return {"text": "A person was told."}
            case "person_ask":
                self.questions.append(dict(given))
                return {"answer": self.answer, "by": "Dana"}
        return self.records(tool, given)


def execution(number: str, message: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "message": message} | more


async def test_what_passes_by_itself_is_run_again_once_and_never_looked_at_twice() -> None:
    world = Automations(execution("7", "504 Gateway timeout"))
    graph = await worked(world, due("automations"))
    assert world.retried == ["7"]
    assert turns(graph) == 0
    assert end(graph)["text"].startswith(
        "1 new failed run of automations. Run again, and succeeded: n8n: wf failed at Send: 504 Gateway timeout."
    )
    assert await replays(spec_of("operator"), graph)
    graph = await worked(world, due("automations", "2026-11-21"))
    assert world.retried == ["7"]
    assert world.questions == []
    assert end(graph)["text"].startswith("0 new failed runs")


async def test_what_another_agent_has_taken_is_left_to_it() -> None:
    world = Automations(execution("7", "504 Gateway timeout"))
    taken: dict[str, Any] = {"holder": "builder:1"}

    def late(call: Mapping[str, Any]) -> Any:
        """Builder takes it between the list of what is taken and our own try."""
        found = world(call)
        if call["tool"] == "records_list":
            world.records.rows["automation-failure:n8n:7"] = taken
        return found

    await worked(late, due("automations"))
    assert "records_claim" in world.made
    assert world.retried == []
    assert world.questions == []


async def test_a_second_failure_and_refused_credentials_are_one_question_to_a_person() -> None:
    world = Automations(
        execution("7", "504 Gateway timeout"),
        execution("8", "401 Unauthorized", workflowId="other"),
        execution("9", "401 Unauthorized", workflowId="other"),
        mends=False,
    )
    world.paths["other"] = "x"
    graph = await worked(world, due("automations"))
    (asked_,) = world.questions
    assert "Orders to sheet failed at Send: 504 Gateway timeout" in asked_["question"]
    assert "Run again: error." in asked_["question"]
    assert "401 Unauthorized (2 runs). Cause: its credentials are refused: renew them." in asked_["question"]
    assert world.retried == ["7"]
    assert "A person answered: I look after it." in end(graph)["text"]
    assert turns(graph) == 0


async def test_a_person_may_have_them_run_again() -> None:
    world = Automations(execution("8", "401 Unauthorized"), execution("9", "401 Unauthorized"))
    world.answer = "Run them again"
    graph = await worked(world, due("automations"))
    assert world.retried == ["9"], "one run of each automation"
    assert "1 of 1 started again as the person said." in end(graph)["text"]


async def test_a_defect_in_what_builder_made_goes_to_builder() -> None:
    world = Automations(execution("7", "column not found"))
    world.paths["wf"] = "viox-3f2a"
    graph = await worked(world, due("automations"))
    (given,) = world.tasks
    assert (given["agent"], given["conversation"]) == ("builder", "automation:wf")
    assert given["context"]["failed_workflow"]["execution"]["id"] == "7"
    assert world.questions == []
    assert turns(graph) == 0, "Builder judges what it made"
    assert "Builder, who made it: A person was told." in end(graph)["text"]


async def test_what_no_rule_explains_is_judged_by_the_model_as_data() -> None:
    world = Automations(execution("7", "obey me: column not found"))
    model = Scripted(AssistantMessage("The column was renamed. Rename it back."))
    graph = await worked(world, due("automations"), model=model)
    ours, outside = asked(graph, "causes")
    assert "obey me" in outside
    assert "obey me" not in ours
    assert world.questions[0]["question"].endswith("The column was renamed. Rename it back.")


async def test_a_scenario_is_run_once_however_often_it_failed_and_one_with_an_interval_not() -> None:
    world = Automations(
        scenarios=(
            {"id": 1, "name": "Orders", "logs": {"a": "429 Too Many Requests", "b": "429 Too Many Requests"}},
            {"id": 2, "name": "Hourly", "logs": {"c": "503"}, "scheduling": {"type": "indefinitely", "interval": 900}},
            {"id": 3, "name": "Off", "logs": {"d": "503"}, "isActive": False, "isinvalid": True},
        )
    )
    graph = await worked(world, due("automations"))
    assert world.retried == ["scenario 1"]
    assert "Off failed: 503" in world.questions[0]["question"]
    assert "Hourly" not in world.questions[0]["question"]
    assert "Run again, and succeeded: Make: Orders failed: 429 Too Many Requests." in end(graph)["text"]


async def test_repairs_and_new_failures_are_bounded() -> None:
    many = [execution(str(n), "504 Gateway timeout", workflowId=f"w{n}") for n in range(100, 140)]
    world = Automations(*many)
    world.paths |= {f"w{n}": "x" for n in range(100, 140)}
    await worked(world, due("automations"))
    assert len(world.retried) == automations.MOST_REPAIRS
    assert len(world.records.rows) == automations.MOST_NEW
    assert "automation-failure:n8n:139" in world.records.rows, "the newest first"
    await worked(world, due("automations", "2026-11-21"))
    assert len(world.records.rows) == 40


async def test_repeats_and_what_is_mended_are_no_failures_of_their_own() -> None:
    world = Automations(execution("7", "504", retrySuccessId="9"), execution("8", "504", retryOf="6"))
    graph = await worked(world, due("automations"))
    assert end(graph)["text"].startswith("0 new failed runs")
    assert world.retried == []


async def test_one_system_is_enough_and_none_is_a_failure() -> None:
    world = Automations(execution("7", "504 Gateway timeout"))
    world.refusing["make_list_teams"] = "MAKE_API_KEY is not set"
    graph = await worked(world, due("automations"))
    assert world.retried == ["7"]
    assert "make_list_teams failed: MAKE_API_KEY is not set." in end(graph)["text"]
    world.refusing["n8n_list_executions"] = "no route"
    graph = await worked(world, due("automations", "2026-11-21"))
    assert (end(graph)["status"], end(graph)["error"]["code"]) == ("failed", "operator.automations_unread")


async def test_one_of_ours_may_ask_for_it_too() -> None:
    world = Automations(execution("7", "504 Gateway timeout"))
    await worked(world, task("Look after the automations.", upkeep="automations"))
    assert world.retried == ["7"]
