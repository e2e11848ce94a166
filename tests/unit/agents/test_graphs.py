"""Graphs, run in memory: calls go out once, results come back together, every agent answers."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from shared.bus.envelope import Message
from shared.bus.events import check_data, event_type
from shared.bus.topics import AGENTS
from shared.models.port import AssistantMessage, ModelToolCall, ToolMessage
from shared.runtime.context import TooManyTurns
from tests.plain_agent import PLAIN
from tests.unit.agents.driving import RUN, Graph, Scripted, answered, calls, closed, spec_of, trigger
from tests.unit.agents.front_office import Office
from tests.unit.agents.test_operator import Airtable
from viox.examples import EXAMPLES


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


async def test_a_task_that_rules_cover_is_answered_without_a_model() -> None:
    told = {"instruction": "Who does invoices, controller or closer?", "context": {}}
    state = await Graph(spec_of("chief-of-staff")).go(trigger("viox.task.requested", told))
    assert state["text"] == "That is for Closer and Controller."
    assert state["steps"][-1].body["status"] == "finished"


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind != "viox.task.requested"])
async def test_every_example_is_taken_on_by_its_owner(kind: str) -> None:
    for owner in event_type(kind).owners:
        graph, airtable, office = Graph(spec_of(owner)), Airtable(), Office()
        state = await graph.go(trigger(kind, EXAMPLES[kind]))
        while state["outgoing"]:
            state = await graph.go(results=answered(state, partial(_found, airtable, office)))
        outcome = state["steps"][-1].body
        reason = outcome.get("error", {}).get(
            "code", ""
        )  # a role may say that nothing can be done with answers of no vendor
        assert outcome["status"] == "finished" or reason.startswith(f"{owner}."), outcome
        assert "None" not in str([step.body for step in graph.history if step.kind == "model"])


def _found(airtable: Airtable, office: Office, call: dict[str, Any]) -> Any:
    return airtable(call) if "airtable" in call["tool"] else office(call)


LEAST: dict[str, dict[str, Any]] = {
    "com.hubspot.contact.creation": {"objectId": 1},
    "com.hubspot.deal.creation": {"objectId": "2"},
    "com.hubspot.ticket.creation": {"objectId": 3},
    "com.stripe.checkout.session.completed": {"data": {"object": {"id": "cs_1"}}},
    "com.twilio.message.received": {"From": "+1"},
    "com.twilio.message.status": {"MessageSid": "SM1", "MessageStatus": "sent", "To": "+1"},
    "com.twilio.call.completed": {"CallSid": "CA1"},
    "com.elevenlabs.post_call_transcription": {"conversation_id": "c"},
    "com.elevenlabs.call_initiation_failure": {"data": {"conversation_id": "c"}},
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
    graph = Graph(PLAIN, model)
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
    graph = Graph(PLAIN, model)
    state = await graph.go(trigger("viox.task.requested", {"instruction": "first", "context": {}}))
    joined = [trigger("com.twilio.message.received", {"From": "+1", "Body": "my invoice"})]
    await graph.go(*joined, results=closed(state))
    roles = [type(m).__name__ for m in model.requests[1].messages]
    assert roles == ["UserMessage", "AssistantMessage", "ToolMessage", "UserMessage"]
    assert "my invoice" in str(model.requests[1].messages[-1])


async def test_malformed_arguments_come_back_to_the_model_and_are_never_sent() -> None:
    bad = AssistantMessage("", (ModelToolCall("1", "a", None, "{oops"), ModelToolCall("2", "b", {})))
    model = Scripted(bad, AssistantMessage("repaired"))
    graph = Graph(PLAIN, model)
    state = await graph.go(trigger("viox.task.requested", {"instruction": "x", "context": {}}))
    assert [c["tool"] for c in state["outgoing"]] == ["b"]
    await graph.go(results=closed(state))
    first = next(m for m in model.requests[1].messages if isinstance(m, ToolMessage))
    assert first.is_error
    assert "{oops" in first.content


async def test_a_turn_of_malformed_calls_only_needs_no_waiting() -> None:
    bad = AssistantMessage("", (ModelToolCall("1", "a", None, "nope"),))
    state = await Graph(PLAIN, Scripted(bad, AssistantMessage("ok"))).go(
        trigger("viox.task.requested", {"instruction": "x", "context": {}})
    )
    assert state["text"] == "ok"


async def test_a_run_that_never_ends_is_stopped() -> None:
    from dataclasses import replace

    endless = [AssistantMessage("", (ModelToolCall("1", "a", {"text": "\x00"}),)) for _ in range(5)]
    graph = Graph(replace(PLAIN, max_turns=3), Scripted(*endless))
    with pytest.raises(TooManyTurns):
        await graph.go(trigger("viox.task.requested", {"instruction": "x", "context": {}}))


FOREIGN = "obey-me"
OUTSIDE = re.compile(r'<(\w+) from="outside">.*?</\1>', re.DOTALL)


def poisoned(value: Any) -> Any:
    """The same with a mark in every text that somebody outside may have written."""
    if isinstance(value, dict):
        return {key: poisoned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    if not isinstance(value, str) or re.match(r"\d{4}-\d\d", value):
        return value
    return f"{value}-{FOREIGN}"


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind != "viox.task.requested"])
async def test_what_came_from_outside_is_marked_so_in_every_question(kind: str) -> None:
    """A model is told to take what is not marked for the business's own."""
    for owner in event_type(kind).owners:
        graph = Graph(spec_of(owner))
        state = await graph.go(trigger(kind, poisoned(EXAMPLES[kind])))
        with contextlib.suppress(KeyError, TypeError, AttributeError, ValueError):  # results of no vendor
            while state["outgoing"]:
                state = await graph.go(results=answered(state, lambda call: poisoned({"id": "1", "results": []})))
        for step in graph.history:
            if step.kind == "ask":
                assert FOREIGN not in OUTSIDE.sub("", step.body["text"]), step.body["node"]
