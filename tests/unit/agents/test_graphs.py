"""Graphs, run in memory: calls go out once, results come back together, every agent answers."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from shared.bus.envelope import Message
from shared.bus.events import check_data, event_type
from shared.bus.topics import AGENTS
from shared.ids import RunId
from shared.models.offline import OfflineModel
from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelToolCall, Toolbox, ToolMessage
from shared.runtime.agent import AgentSpec
from shared.runtime.calls import wanted_calls
from shared.runtime.context import RunContext, TooManyTurns
from shared.runtime.flow import concluded, entered
from shared.runtime.history import Step
from viox.examples import EXAMPLES

RUN = RunId(UUID(int=7))


def spec_of(agent: str) -> AgentSpec:
    module = importlib.import_module(f"services.{agent.replace('-', '_')}.agent")
    found = getattr(module, agent.replace("-", "_").upper())
    assert isinstance(found, AgentSpec)
    return found


def trigger(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "source": "/x", "id": "1", "time": "2026-11-20T15:00:00+00:00", "data": data}


class Graph:
    """A compiled graph, driven as the runtime drives it: one activation a call."""

    def __init__(self, spec: AgentSpec, model: Any = None) -> None:
        self._graph = spec.graph().compile()
        self._model = model or OfflineModel(spec.offline)
        self._spec = spec
        self._asked: Step | None = None
        self.history: list[Step] = []

    async def go(self, *triggers: dict[str, Any], results: dict[str, Any] | None = None) -> Any:
        """Enter with triggers or, where calls are out, with their results and the triggers that joined."""
        context = RunContext(
            RUN, list(self.history), len(self.history), self._model, self._spec.prompt, Toolbox(), self._spec.max_turns
        )
        steps = entered(context, triggers, self._asked, results)
        state = await self._graph.ainvoke({"steps": steps, "end": None}, context=context)
        state["steps"] = steps = concluded(context, state)
        self._asked = steps[-1] if wanted_calls(steps) else None
        self.history += steps
        return state | {"outgoing": wanted_calls(steps), "text": steps[-1].body.get("text", "")}


class Scripted:
    """A model that answers from a list."""

    provider, model = "scripted", "scripted"

    def __init__(self, *turns: AssistantMessage) -> None:
        self._turns = list(turns)
        self.requests: list[ChatRequest] = []

    async def aclose(self) -> None:
        """Nothing is open."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        turn = self._turns.pop(0)
        return ChatReply(turn, "tool_calls" if turn.calls else "end", self.model, self.model)


def calls(*tools: str) -> AssistantMessage:
    return AssistantMessage("", tuple(ModelToolCall("same-id", tool, {"n": n}) for n, tool in enumerate(tools)))


def closed(state: Any, result: Any = None) -> dict[str, Any]:
    return {c["call_id"]: {"state": "succeeded", "result": result, "error": None} for c in state["outgoing"]}


@pytest.mark.parametrize("agent", AGENTS)
async def test_every_agent_says_what_it_cannot_do_without_a_model(agent: str) -> None:
    state = await Graph(spec_of(agent)).go(
        trigger("viox.task.requested", {"instruction": "say something", "context": {}})
    )
    assert state["text"].startswith("[offline] Cannot do this offline: ")
    assert "say something" not in state["text"], "the task is not echoed"
    outcome = state["steps"][-1]
    assert (outcome.kind, outcome.body["status"]) == ("outcome", "failed")
    assert outcome.body["error"]["code"] == "model.unable_offline"
    assert sum(step.kind == "model" for step in state["steps"]) == 1, "asked again it would say the same"


async def test_a_task_that_rules_cover_is_answered_offline() -> None:
    told = {"instruction": "Who does invoices, controller or closer?", "context": {}}
    state = await Graph(spec_of("chief-of-staff")).go(trigger("viox.task.requested", told))
    assert state["text"] == "[offline] That is for closer and controller."
    assert state["steps"][-1].body["status"] == "finished"


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind != "viox.task.requested"])
async def test_every_example_is_taken_on_by_its_owner(kind: str) -> None:
    for owner in event_type(kind).owners:
        graph = Graph(spec_of(owner))
        state = await graph.go(trigger(kind, EXAMPLES[kind]))
        while state["outgoing"]:
            answers = {c["call_id"]: airtable(c) if "airtable" in c["tool"] else None for c in state["outgoing"]}
            results = {call: {"state": "succeeded", "result": found, "error": None} for call, found in answers.items()}
            state = await graph.go(results=results)
        assert state["steps"][-1].body["status"] == "finished"
        assert "None" not in str([step.body for step in graph.history if step.kind == "model"])


LEAST: dict[str, dict[str, Any]] = {
    "com.hubspot.contact.creation": {"objectId": 1},
    "com.hubspot.deal.creation": {"objectId": "2"},
    "com.hubspot.ticket.creation": {"objectId": 3},
    "com.twilio.message.received": {"From": "+1"},
    "com.twilio.message.status": {"MessageSid": "SM1", "MessageStatus": "sent", "To": "+1"},
    "com.twilio.call.completed": {"CallSid": "CA1"},
    "com.elevenlabs.post_call_transcription": {"conversation_id": "c"},
    "com.stripe.invoice.paid": {"data": {"object": {"id": "in_1"}}},
    "com.stripe.invoice.payment_failed": {"data": {"object": {"id": "in_1"}}},
    "com.stripe.charge.dispute.created": {"data": {"object": {"id": "dp_1"}}},
    "com.intuit.qbo.invoice.updated": {"intuitentityid": "1"},
    "com.airtable.webhook.notified": {"base": {"id": "app"}},
    "com.airtable.base.changed": {
        "base": {"id": "app"},
        "webhook": {"id": "ach"},
        "payload": {"baseTransactionNumber": 1},
    },
    "com.n8n.execution.failed": {"workflow": {"name": "w"}},
    "com.make.scenario.failed": {"scenarioId": 1},
}


@pytest.mark.parametrize("kind", LEAST)
async def test_the_least_that_is_accepted_is_handled_and_nothing_is_keyed_by_none(kind: str) -> None:
    check_data(kind, LEAST[kind])
    for owner in event_type(kind).owners:
        spec = spec_of(owner)
        key = spec.conversation(Message("e1", "/v", kind, LEAST[kind], datetime.now(UTC)))
        assert "None" not in key
        assert key.partition(":")[2]
        graph = Graph(spec)
        state = await graph.go(trigger(kind, LEAST[kind]))
        assert "None" not in str([one["arguments"] for one in state["outgoing"]])


@pytest.mark.rule(3)
async def test_parallel_calls_go_out_once_and_come_back_together() -> None:
    model = Scripted(calls("a", "b", "c"), AssistantMessage("done"))
    graph = Graph(spec_of("voice"), model)
    state = await graph.go(trigger("viox.task.requested", {"instruction": "x", "context": {}}))
    assert [c["call_id"] for c in state["outgoing"]] == [f"{RUN}.1.{n}" for n in range(3)]
    state = await graph.go(results=closed(state, "r"))
    assert state["text"] == "done"
    shown = [m for m in model.requests[1].messages if isinstance(m, ToolMessage)]
    assert [m.tool for m in shown] == ["a", "b", "c"]
    assert state["outgoing"] == []


@pytest.mark.rule(3)
async def test_what_arrives_while_calls_are_out_enters_at_the_next_turn() -> None:
    model = Scripted(calls("a"), AssistantMessage("both"))
    graph = Graph(spec_of("voice"), model)
    state = await graph.go(trigger("viox.task.requested", {"instruction": "first", "context": {}}))
    joined = [trigger("com.twilio.message.received", {"From": "+1", "Body": "my invoice"})]
    await graph.go(*joined, results=closed(state))
    roles = [type(m).__name__ for m in model.requests[1].messages]
    assert roles == ["UserMessage", "AssistantMessage", "ToolMessage", "UserMessage"]
    assert "my invoice" in str(model.requests[1].messages[-1])


async def test_malformed_arguments_come_back_to_the_model_and_are_never_sent() -> None:
    bad = AssistantMessage("", (ModelToolCall("1", "a", None, "{oops"), ModelToolCall("2", "b", {})))
    model = Scripted(bad, AssistantMessage("repaired"))
    graph = Graph(spec_of("voice"), model)
    state = await graph.go(trigger("viox.task.requested", {"instruction": "x", "context": {}}))
    assert [c["tool"] for c in state["outgoing"]] == ["b"]
    await graph.go(results=closed(state))
    first = next(m for m in model.requests[1].messages if isinstance(m, ToolMessage))
    assert first.is_error
    assert "{oops" in first.content


async def test_a_turn_of_malformed_calls_only_needs_no_waiting() -> None:
    bad = AssistantMessage("", (ModelToolCall("1", "a", None, "nope"),))
    state = await Graph(spec_of("voice"), Scripted(bad, AssistantMessage("ok"))).go(
        trigger("viox.task.requested", {"instruction": "x", "context": {}})
    )
    assert state["text"] == "ok"


async def test_a_run_that_never_ends_is_stopped() -> None:
    from dataclasses import replace

    endless = [AssistantMessage("", (ModelToolCall("1", "a", {"text": "\x00"}),)) for _ in range(5)]
    graph = Graph(replace(spec_of("voice"), max_turns=3), Scripted(*endless))
    with pytest.raises(TooManyTurns):
        await graph.go(trigger("viox.task.requested", {"instruction": "x", "context": {}}))


def airtable(call: dict[str, Any]) -> dict[str, Any]:
    """What Airtable answers, ids by name."""
    given = call["arguments"]
    match call["tool"]:
        case "airtable_create_base":
            return {"id": "app", "tables": [{"name": t["name"], "id": t["name"]} for t in given["tables"]]}
        case "airtable_upsert_records":
            assert len(given["records"]) <= 10, "Airtable takes no more at a time"
            return {
                "records": [
                    {"id": f"{given['tableId']} {r['fields']['Name']}", "fields": r["fields"]} for r in given["records"]
                ]
            }
        case _:
            return {"id": given.get("name"), "name": given.get("name")}


async def test_a_client_with_more_packages_than_a_request_takes_gets_them_all() -> None:
    people = [{"name": f"C{n}", "email": f"c{n}@a.co"} for n in range(12)]
    packages = [{"name": f"P{n}", "amount_cents": 100 * n} for n in range(23)]
    client = {"client_id": "1", "name": "Acme", "airtable_workspace_id": "w", "contacts": people, "packages": packages}
    graph, made = Graph(spec_of("operator")), []
    state = await graph.go(trigger("viox.client.signed", client))
    while state["outgoing"]:
        made += [(call, airtable(call)) for call in state["outgoing"]]
        results = {
            call["call_id"]: {"state": "succeeded", "result": airtable(call), "error": None}
            for call in state["outgoing"]
        }
        state = await graph.go(results=results)
    written = [
        r["fields"]
        for call, _ in made
        if call["tool"] == "airtable_upsert_records"
        for r in call["arguments"]["records"]
    ]
    assert len(written) == 1 + 12 + 3 * 23 + 1
    assert sum("Project" in fields for fields in written) == 2 * 23, "each task and invoice knows its project"
    assert len(made) == 47 + 1 + 3 * 2
