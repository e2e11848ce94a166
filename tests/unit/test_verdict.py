"""The judge of the chaos sweep can find somebody guilty."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.verdict import Found, problems

STEPS = [(1, "trigger"), (2, "model"), (3, "results"), (4, "model"), (5, "outcome")]
FINE = Found(
    runs=[{"run_id": "r", "status": "finished", "waiting_for": []}],
    calls=[],
    emitted=set(),
    steps={"r": STEPS},
    intents=set(),
    outcomes=set(),
    incidents=0,
    effects=Counter(),
    inbox_pending=0,
    dead_letters=0,
)


def test_what_went_well_is_no_problem() -> None:
    assert problems(FINE, ["a@x.co"]) == []


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"inbox_pending": 2}, "2 messages were accepted and never worked on"),
        ({"dead_letters": 1}, "1 messages were set aside"),
        ({"steps": {}}, "does not begin once"),
        ({"steps": {"r": [*STEPS[:1], *STEPS]}}, "has the steps [1, 1, 2"),
        ({"steps": {"r": STEPS[:2] + STEPS[3:]}}, "has the steps [1, 2, 4, 5]"),
        ({"steps": {"r": [*STEPS, (6, "trigger")]}}, "does not begin once"),
        ({"steps": {"r": STEPS[:4]}}, "does not end once"),
        ({"steps": {"r": [*STEPS, (6, "outcome")]}}, "does not end once"),
        ({"emitted": {"r.2.0"}}, "was emitted but never arrived"),
        ({"runs": []}, "1 events accepted, 0 runs"),
    ],
)
def test_what_must_not_be_is_named(more: dict[str, Any], problem: str) -> None:
    assert any(problem in told for told in problems(replace(FINE, **more), ["a@x.co"]))


def unknown(**more: Any) -> dict[str, Any]:
    """A text of which nobody knows whether it was sent."""
    given = {"To": "+14155550123", "Body": "hi"}
    call = {"call_id": "r.2.0", "tool": "twilio_send_message", "effect": "once", "state": "unknown", "arguments": given}
    return call | {"error": "no answer", "attempt": 1, "look_ups": 0} | more


def test_an_outcome_that_nobody_knows_has_to_be_listed_for_a_person() -> None:
    waits = {"run_id": "r", "status": "waiting", "waiting_for": [{"kind": "unknown", "id": "r.2.0"}]}
    found = replace(FINE, calls=[unknown()], emitted={"r.2.0"})
    assert "call r.2.0 is unknown and nobody is told so" in problems(found, ["a@x.co"])
    assert problems(replace(found, runs=[waits], steps={"r": STEPS[:2]}), ["a@x.co"]) == []
