"""What a briefing asks our own records, asked of a real Postgres."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from services.chief_of_staff.rules import briefing
from services.chief_of_staff.rules.briefing import Read, Span
from tests.integration.gateway.test_connectors import Desk, desk

__all__ = ["desk"]
DAY = Span(date(2026, 11, 20), "day", ZoneInfo("America/Chicago"))
NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)


async def run(admin: Any, status: str, at: str) -> None:
    await admin.execute(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,"
        " started_at) values ($1, 'closer', $2, 'c', $3, '/t', $4, 'viox.lead.created', $5)",
        uuid4(),
        uuid4(),
        status,
        uuid4().hex,
        datetime.fromisoformat(at),
    )


async def test_the_questions_are_answered_by_our_records(desk: Desk, admin: Any) -> None:
    await run(admin, "finished", "2026-11-20T06:00:00+00:00")  # at midnight in Chicago
    await run(admin, "finished", "2026-11-21T05:59:59+00:00")
    await run(admin, "finished", "2026-11-21T06:00:00+00:00")
    await run(admin, "blocked", "2026-11-20T18:00:00+00:00")
    await run(admin, "failed", "2026-11-14T05:30:00+00:00")  # still the 13th there
    await run(admin, "finished", "2026-10-01T00:00:00+00:00")
    found = {}
    for name, question in briefing.questions(DAY).items():
        told = await desk("records_query", **question)
        assert told.state == "succeeded", (name, told.error)
        found[name] = told.result
    facts = briefing.facts_of(Read(found["runs"], found["open calls"], found["usual"], found["history"]), DAY, NOW)
    assert (facts.done, facts.failed) == (2, {"closer": 1})
    assert found["usual"]["rows"] == [["2026-11-13", 1]]
    assert found["failed"]["rows"][0][:2] == ["closer", "viox.lead.created"]
    assert ["calls"] in found["views"]["rows"]
