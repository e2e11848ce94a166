"""Operator's graph: a client's base, built by rules, resumed, repaired."""

from __future__ import annotations

from typing import Any

from tests.unit.agents.driving import Graph, answered, spec_of, trigger

CLIENT: dict[str, Any] = {
    "client_id": "1",
    "name": "Acme",
    "airtable_workspace_id": "w",
    "contacts": [{"name": "Z", "email": "z@a.co"}],
    "packages": [{"name": "Setup", "amount_cents": 100_001}],
}


class Airtable:
    """A base that remembers; ids are names."""

    def __init__(self) -> None:
        self.tables: dict[str, set[str]] = {}

    def __call__(self, call: dict[str, Any]) -> Any:
        given = call["arguments"]
        match call["tool"]:
            case "airtable_create_base":
                self.tables = {t["name"]: {f["name"] for f in t["fields"]} for t in given["tables"]}
                return {"id": "app", "tables": self.schema()}
            case "airtable_create_table":
                self.tables[given["name"]] = {f["name"] for f in given["fields"]}
                return {"id": given["name"], "name": given["name"]}
            case "airtable_create_field":
                self.tables[given["tableId"]].add(given["name"])
                return {"id": given["name"], "name": given["name"]}
            case "airtable_get_base_schema":
                return {"tables": self.schema()}
            case "airtable_upsert_records":
                assert len(given["records"]) <= 10, "Airtable takes no more at a time"
                rows = [record["fields"] for record in given["records"]]
                return {"records": [{"id": f"{given['tableId']} {row['Name']}", "fields": row} for row in rows]}
        raise AssertionError(call["tool"])

    def schema(self) -> list[dict[str, Any]]:
        return [{"id": t, "name": t, "fields": [{"name": f} for f in fields]} for t, fields in self.tables.items()]


async def built(client: dict[str, Any], answer: Any = None, graph: Graph | None = None) -> tuple[Graph, list[Any]]:
    """The graph at its end, and the calls it made."""
    graph, made, answer = graph or Graph(spec_of("operator")), [], answer or Airtable()
    state = await graph.go(trigger("viox.client.signed", client))
    while state["outgoing"]:
        made += state["outgoing"]
        state = await graph.go(results=answered(state, answer))
    return graph, made


def rows(made: list[Any], field: str) -> list[dict[str, Any]]:
    """Rows written that have a field."""
    written = [
        r["fields"] for call in made if call["tool"] == "airtable_upsert_records" for r in call["arguments"]["records"]
    ]
    return [fields for fields in written if field in fields]


async def test_a_base_takes_47_calls_and_one_turn_of_the_model() -> None:
    graph, made = await built(CLIENT)
    assert len(made) == 47
    assert [step.kind for step in graph.history].count("model") == 1, "the summary"
    assert graph.history[-1].body["status"] == "finished"
    assert "7 tables, 6 records, 47 calls" in graph.history[-1].body["text"]
    assert [one["Project"] for one in rows(made, "Project")] == [["Projects Setup"]] * 2
    assert [one["Amount"] for one in rows(made, "Amount")] == [500.01], "half of it, rounded up to the cent"


async def test_a_client_with_more_packages_than_a_request_takes_gets_them_all() -> None:
    people = [{"name": f"C{n}", "email": f"c{n}@a.co"} for n in range(12)]
    packages = [{"name": f"P{n}", "amount_cents": 100 * n} for n in range(23)]
    _, made = await built(CLIENT | {"contacts": people, "packages": packages})
    assert len(rows(made, "Name")) == 1 + 12 + 3 * 23 + 1
    assert len(rows(made, "Project")) == 2 * 23, "each task and invoice knows its project"
    assert len(made) == 47 + 1 + 3 * 2


async def test_a_client_who_signs_again_gets_what_is_missing_and_no_second_base() -> None:
    airtable = Airtable()
    graph, _ = await built(CLIENT, airtable)
    del airtable.tables["Meetings"]
    airtable.tables["Tasks"].remove("Hours")
    _, made = await built(CLIENT, airtable, graph.next_run())
    tools = [call["tool"] for call in made]
    assert tools[0] == "airtable_get_base_schema"
    assert "airtable_create_base" not in tools
    assert [c["arguments"]["name"] for c in made if c["tool"] == "airtable_create_table"] == ["Meetings"]
    fields = {c["arguments"]["name"] for c in made if c["tool"] == "airtable_create_field"}
    assert fields == {"Hours", "When", "Notes", "Client"}


async def test_a_base_that_is_gone_is_founded_anew() -> None:
    graph, _ = await built(CLIENT)
    airtable = Airtable()

    def answer(call: dict[str, Any]) -> Any:
        if call["tool"] == "airtable_get_base_schema" and not airtable.tables:
            raise LookupError("NOT_FOUND")
        return airtable(call)

    _, made = await built(CLIENT, answer, graph.next_run())
    assert [call["tool"] for call in made].count("airtable_create_base") == 1
    assert len(made) == 1 + 47


async def test_what_failed_is_given_to_the_model_to_repair_and_told_as_not_done() -> None:
    airtable = Airtable()

    def answer(call: dict[str, Any]) -> Any:
        if call["arguments"].get("name") == "Invoices":
            raise ValueError("INVALID_NAME.")
        return airtable(call)

    graph, made = await built(CLIENT, answer)
    asked = next(step.body["text"] for step in graph.history if step.kind == "ask")
    assert '<question name="repair">' in asked
    assert "INVALID_NAME" in asked
    assert "table Invoices" in asked
    assert not rows(made, "Amount"), "no row is written into a table that does not stand"
    assert "1 calls failed: airtable_create_table: INVALID_NAME" in graph.history[-1].body["text"]


async def test_without_a_base_the_run_fails_with_the_reason() -> None:
    def answer(call: dict[str, Any]) -> Any:
        raise PermissionError("You are not permitted")

    graph, made = await built(CLIENT, answer)
    assert len(made) == 1
    outcome = graph.history[-1].body
    assert (outcome["status"], outcome["error"]["code"]) == ("failed", "operator.no_base")
    assert "not permitted" in outcome["text"]


async def test_a_colleague_hands_a_client_on() -> None:
    graph, airtable = Graph(spec_of("operator")), Airtable()
    task = {"instruction": "Set this client up.", "context": {"onboard_client": CLIENT}}
    state = await graph.go(trigger("viox.task.requested", task))
    assert [call["tool"] for call in state["outgoing"]] == ["airtable_create_base"]
    state = await graph.go(results=answered(state, airtable))
    assert len(state["outgoing"]) == 6


async def test_a_client_of_whom_something_lacks_is_for_the_open_loop() -> None:
    task = {"instruction": "Set this client up.", "context": {"onboard_client": {"name": "Acme"}}}
    state = await Graph(spec_of("operator")).go(trigger("viox.task.requested", task))
    assert state["outgoing"] == []
    assert state["steps"][-1].body["status"] == "failed", "without a model nobody finds the rest"
