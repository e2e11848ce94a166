"""Bars along time: what waited, what was under way, and stretches of waiting cut short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.operations.waterfall import MOST_BARS, waterfall

T0 = datetime(2026, 11, 30, 8, tzinfo=UTC)
RUN = {"agent": "closer"}


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def turn(step: int, ended: float, seconds: float) -> dict[str, Any]:
    body = {"model": "m", "question": "next_step", "latency_ms": seconds * 1000}
    return {"step": step, "kind": "model", "body": body, "created_at": at(ended)}


def call(step: int, asked: float, ended: float | None, took: float | None, state: str = "succeeded") -> dict[str, Any]:
    return {
        "call_id": f"r.{step}.0",
        "step": step,
        "tool": "hubspot_create_contact",
        "vendor": "hubspot",
        "effect": "once",
        "arguments": {},
        "result": None,
        "error": None,
        "http_status": None,
        "attempt": 1,
        "state": state,
        "created_at": at(asked),
        "closed_at": None if ended is None else at(ended),
        "latency_ms": None if took is None else took * 1000,
    }


def test_a_turn_and_a_call_that_waited_before_it_was_sent() -> None:
    made = waterfall(RUN, [turn(1, 1, 1)], [call(1, 1, 4, 1)], content=True)
    model, sent = made.bars
    assert (model.begins_at, model.ends_at) == (0, 250)
    assert (sent.waits_at, sent.begins_at, sent.ends_at) == (250, 750, 1000)
    assert (sent.took, sent.waited) == (timedelta(seconds=1), timedelta(seconds=2))
    assert made.cuts == ()
    assert made.lasted == timedelta(seconds=4)


def test_three_days_of_waiting_leave_room_for_the_seconds_of_work() -> None:
    days = 3 * 86_400
    made = waterfall(RUN, [turn(1, 4, 4), turn(3, days + 8, 4)], [call(1, 4, days + 4, 0.0)], content=True)
    first, waiting, last = made.bars
    assert [cut.lasted for cut in made.cuts] == [timedelta(seconds=days)]
    assert first.ends_at - first.begins_at == last.ends_at - last.begins_at > 350
    assert waiting.waited == timedelta(seconds=days)
    assert first.ends_at <= made.cuts[0].at <= last.begins_at


def test_bars_keep_their_order_within_a_stretch_that_was_cut() -> None:
    calls = [call(1, 0, 1000, 0.1), call(2, 400, 1000.1, 0.1), call(3, 800, 1000.2, 0.1)]
    begun = [bar.waits_at for bar in waterfall(RUN, [], calls, content=True).bars]
    assert begun == sorted(begun)
    assert len(set(begun)) == 3


def test_what_is_open_goes_on_until_now_as_what_it_is() -> None:
    calls = [call(1, 0, None, None, "executing"), call(2, 0, None, None, "awaiting_approval")]
    sent, asked = waterfall(RUN, [], calls, content=True, now=at(10)).bars
    assert (sent.begins_at, sent.ends_at, sent.waited) == (0, 1000, timedelta())
    assert (asked.begins_at, asked.took, asked.waited) == (1000, timedelta(), timedelta(seconds=10))


def test_nothing_of_content_stands_in_a_bar_for_who_may_not_read_it() -> None:
    one = call(1, 0, 1, 1) | {"arguments": {"email": "ines@example.com"}}
    assert "ines" in waterfall(RUN, [], [one], content=True).bars[0].text
    assert "ines" not in waterfall(RUN, [], [one], content=False).bars[0].text


def test_a_run_that_has_done_nothing_or_very_much() -> None:
    assert waterfall(RUN, [], [], content=True).bars == ()
    many = [call(number, number, number + 1, 1) for number in range(MOST_BARS + 7)]
    made = waterfall(RUN, [], many, content=True)
    assert (len(made.bars), made.left_out) == (MOST_BARS, 7)
