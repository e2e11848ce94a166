"""The table of event types and topics."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.bus import topics
from shared.bus.events import REGISTRY, LeadCreated, check_data, event_type
from shared.bus.messages import RUN_STARTED, ToolCallRequested, call_closed, call_requested, run_changed, task
from shared.errors import BadInput
from shared.ids import CallId, RunId


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
