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
