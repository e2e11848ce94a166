"""What `viox top` draws of a snapshot."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from viox.top import picture

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


def snapshot(**more: Any) -> dict[str, Any]:
    return {
        "at": NOW.isoformat(),
        "services": [{"name": "gateway", "ready": True}, {"name": "closer", "ready": True}],
        "counts": {"approvals": 1, "unknowns": 2, "letters": 3},
        "today": {
            "begun": 9, "finished": 7, "tokens": 1200, "cost_microusd": 340_000, "calls": 40, "succeeded": 39,
            "failed": 1, "money": [(125_050, "usd")],
        },
        "waiting": [], "running": [], "troubled": [],
    } | more  # fmt: skip


def drawn(seen: dict[str, Any], width: int = 140) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(picture(seen))
    return console.export_text()


def test_the_head_counts_what_waits_and_what_the_day_was() -> None:
    told = drawn(snapshot())
    for part in (
        "all services ready",
        "to decide 1",
        "outcome unknown 2",
        "dead letters 3",
        "1,250.50 USD moved",
        "$0.34",
    ):
        assert part in told
    assert "nothing waits" in told
    assert "everything went well" in told


def test_a_service_that_is_not_ready_is_named() -> None:
    assert "closer not ready" in drawn(snapshot(services=[{"name": "closer", "ready": False}]))
    assert "no stack here" in drawn(snapshot(services=[]))


def test_runs_say_why_they_stand_and_for_how_long() -> None:
    began = (NOW - timedelta(minutes=3)).isoformat()
    run = {"agent": "closer", "title": "New lead: Jo", "status": "waiting", "why": "a timer", "started_at": began}
    assert "waiting, a timer, for 3 min" in drawn(snapshot(running=[run]))
    call = {"tool": "hubspot_create_contact", "state": "failed", "http_status": 422, "error": None}
    assert "hubspot_create_contact failed" in drawn(snapshot(troubled=[run | {"failures": [call]}]))


def test_text_from_outside_moves_no_cursor_and_is_no_markup() -> None:
    asked = {"agent": "steward", "headline": "\x1b[2J[bold]Refund[/bold]\nnow", "asked_at": NOW - timedelta(hours=2)}
    told = drawn(snapshot(waiting=[asked]))
    assert "\x1b" not in told
    assert "[bold]Refund[/bold] now" in told.replace("\\x0a", " ")
    assert "asked 2 h ago" in told


def test_when_postgres_is_away_the_last_picture_stays_and_says_so() -> None:
    told = drawn(snapshot(problem="Postgres does not answer; this is what it said last"))
    assert "Postgres does not answer" in told
    assert "to decide 1" in told
    assert "does not answer" in drawn({"problem": "Postgres does not answer"})
