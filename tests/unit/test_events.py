"""The table of event types and topics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.bus import topics
from shared.bus.envelope import Message, parse_json
from shared.bus.events import CAUSED_BY_AGENT, REGISTRY, TASK_TYPE, LeadCreated, check_data, event_type, unknown_fields
from shared.bus.messages import RUN_STARTED, ToolCallRequested, call_closed, call_requested, run_changed, task
from shared.errors import BadInput
from shared.ids import CallId, RunId
from viox.examples import EXAMPLES


def test_unknown_type_is_refused_by_name_with_a_suggestion() -> None:
    with pytest.raises(BadInput) as error:
        event_type("viox.lead.craeted")
    assert "viox.lead.craeted" in error.value.message
    assert "viox.lead.created" in (error.value.remedy or "")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "data.email"),
        ({"email": "nobody"}, "data.email"),
        ({"email": "a@b.co", "amount_cents": -1}, "data.amount_cents"),
    ],
)
def test_data_of_our_types_is_checked_and_the_field_is_named(data: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput) as error:
        check_data("viox.lead.created", data)
    assert error.value.field == field


def test_readers_ignore_unknown_fields() -> None:
    data = {"email": "a@b.co", "a_newer_field": 1}
    check_data("viox.lead.created", data)
    assert LeadCreated.model_validate(data).email == "a@b.co"


@pytest.mark.parametrize("name", [*REGISTRY, TASK_TYPE])
def test_every_type_has_an_example_that_fits_and_refuses_what_is_something_else(name: str) -> None:
    check_data(name, EXAMPLES[name])
    assert unknown_fields(name, EXAMPLES[name]) == []
    others: tuple[object, ...] = ({"hello": 1}, {}, {"data": None}, {"data": {"object": []}}, [], "text", None)
    for other in others:
        with pytest.raises(BadInput) as error:
            check_data(name, other)
        assert (error.value.field or "").startswith("data")


@pytest.mark.parametrize("name", [*REGISTRY, TASK_TYPE])
def test_no_example_is_taken_for_another_vendors_event(name: str) -> None:
    for other in REGISTRY:
        if other.startswith("com.") and other.split(".")[1] != name.split(".")[1]:
            with pytest.raises(BadInput):
                check_data(other, EXAMPLES[name])


def test_a_dispute_is_not_taken_for_an_invoice() -> None:
    with pytest.raises(BadInput, match="'dispute', not 'invoice'"):
        check_data("com.stripe.invoice.paid", EXAMPLES["com.stripe.charge.dispute.created"])


def test_a_misspelt_field_is_named_with_the_one_it_is_meant_for() -> None:
    client = EXAMPLES["viox.client.signed"] | {
        "signed_on": "x",
        "contacts": [{"name": "A", "email": "a@b.co", "rol": "x"}],
    }
    del client["signed_at"]
    assert unknown_fields("viox.client.signed", client) == [
        ("data.contacts.0.rol", "data.contacts.0.role"),
        ("data.signed_on", "data.signed_at"),
    ]
    assert unknown_fields("viox.lead.created", {"email": "a@b.co", "zzz": 1}) == [("data.zzz", None)]
    assert unknown_fields(TASK_TYPE, {"instruction": "x", "context": {"anything": 1}}) == []
    assert unknown_fields("com.stripe.invoice.paid", {"whatever": 1}) == []


def test_a_missing_field_names_the_one_that_is_there_in_its_stead() -> None:
    with pytest.raises(BadInput) as error:
        check_data("viox.ticket.created", {"ticketid": "1", "subject": "x"})
    assert error.value.field == "data.ticket_id"
    assert "Is data.ticketid meant?" in (error.value.remedy or "")


def delivered(kind: str, event_id: str, data: Mapping[str, object]) -> Message:
    return parse_json({"specversion": "1.0", "id": event_id, "source": "/v", "type": kind, "data": data})


def test_a_redelivery_that_only_counts_itself_says_the_same() -> None:
    item = {"eventId": 7, "subscriptionId": 1, "objectId": 5, "occurredAt": 10, "attemptNumber": 0}
    first, again = (delivered("com.hubspot.deal.creation", "7", item | {"attemptNumber": n}) for n in (0, 3))
    assert first.id == again.id
    assert first.says_the_same(again)
    assert not first.says_the_same(delivered("com.hubspot.deal.creation", "7", item | {"changeSource": "X"}))
    paid = EXAMPLES["com.stripe.invoice.paid"]
    sent = [delivered("com.stripe.invoice.paid", "e", paid | {"pending_webhooks": n}) for n in (2, 1)]
    assert sent[0].says_the_same(sent[1])


def test_events_that_share_an_id_of_a_vendor_who_does_not_promise_unique_ones_are_told_apart() -> None:
    item = {"eventId": 7, "subscriptionId": 1, "objectId": 5, "occurredAt": 10}
    found = {
        delivered("com.hubspot.contact.creation", "7", item | other).id
        for other in ({}, {"objectId": 6}, {"occurredAt": 11}, {"subscriptionId": 2})
    }
    assert len(found) == 4
    first = delivered("com.hubspot.contact.creation", "7", item)
    assert parse_json(first.to_json()).id == first.id
    assert delivered("com.hubspot.contact.creation", "of-a-bridge", item).id == "of-a-bridge"


def test_every_type_has_listening_owners() -> None:
    for entry in REGISTRY.values():
        assert entry.domain in topics.DOMAINS
        assert set(entry.owners) <= set(topics.LISTENERS[entry.domain]), entry.type


def test_each_agent_alone_writes_its_calls() -> None:
    written = {t.name: t.writers for t in topics.all_topics() if t.name.startswith(topics.TOOL_CALLS)}
    assert {topics.caller(name): writers for name, writers in written.items()} == {a: (a,) for a in topics.AGENTS}


@pytest.mark.parametrize("name", ["chief-of-staff", "chief_of_staff", "Chief-Of-Staff"])
def test_agents_are_named_with_hyphens_or_underscores(name: str) -> None:
    assert topics.canonical_agent(name) == "chief-of-staff"
    assert topics.canonical_agent("cheif") is None


def test_records_are_keyed_as_the_table_of_topics_says() -> None:
    now, call, run = datetime.now(UTC), CallId("c"), RunId(UUID(int=1))
    asked = ToolCallRequested(call_id=call, run_id=str(run), step=1, index=0, tool="t", arguments={}, deadline=None)
    standing = {"run_id": str(run), "agent": "closer", "conversation_id": "talk", "steps": 0, "waiting_for": []}
    keys = {
        topics.tool_calls("closer"): call_requested("closer", asked, "talk", now, None).key,
        topics.tool_results("closer"): call_closed(call, run, "succeeded", None, None, "talk", now, None).key,
        topics.RUNS: run_changed(RUN_STARTED, standing, now).key,
        topics.tasks("closer"): task("closer", "1", "/t", "x", {}, now, "talk").key,
    }
    assert set(keys.values()) == {"talk"}
    told = {topic.name: topic.key for topic in topics.all_topics()}
    assert {told[name] for name in keys} == {"conversation", "conversation or agent"}
    assert task("closer", "1", "/t", "x", {}, now, None).key == "closer"


@pytest.mark.parametrize(
    ("status", "heard"),
    [("queued", False), ("sent", False), ("delivered", False), ("undelivered", True), ("failed", True)],
)
def test_news_of_a_text_message_begins_a_run_only_when_it_did_not_arrive(status: str, heard: bool) -> None:
    entry = event_type("com.twilio.message.status")
    assert entry.heard_by("voice", {}, {"MessageStatus": status}) is heard
    assert entry.heard_by("voice", {CAUSED_BY_AGENT: "voice"}, {"MessageStatus": status}) is heard


def test_the_echo_of_ones_own_call_is_not_heard_and_other_events_are() -> None:
    entry = event_type("com.hubspot.contact.creation")
    assert entry.heard_by("closer", {}, {})
    assert not entry.heard_by("closer", {CAUSED_BY_AGENT: "closer"}, {})
