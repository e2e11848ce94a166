"""Our own messages: what tells two of them apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.bus.messages import RUN_FINISHED, RUN_WAITING, run_changed

NOW = datetime(2026, 11, 20, tzinfo=UTC)
APPROVAL = {"kind": "approval", "id": "r.1.0"}
UNKNOWN = {"kind": "unknown", "id": "r.1.1"}


def id_of(event: str, *, steps: int = 3, waiting_for: Any = (), status: str = "running") -> str:
    run = {
        "run_id": "r",
        "agent": "closer",
        "conversation_id": "c",
        "status": status,
        "steps": steps,
        "waiting_for": list(waiting_for),
    }
    return run_changed(event, run, NOW).id


@pytest.mark.parametrize(
    ("event", "first", "second"),
    [
        (RUN_FINISHED, {"steps": 3, "status": "blocked"}, {"steps": 5, "status": "finished"}),
        (RUN_WAITING, {"steps": 3, "waiting_for": [UNKNOWN]}, {"steps": 5, "waiting_for": [UNKNOWN]}),
        (RUN_WAITING, {"waiting_for": [UNKNOWN]}, {"waiting_for": [APPROVAL]}),
        (RUN_WAITING, {"waiting_for": [UNKNOWN]}, {"waiting_for": [UNKNOWN, APPROVAL]}),
    ],
)
def test_different_events_of_one_run_have_different_ids(
    event: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert id_of(event, **first) != id_of(event, **second)


def test_the_same_event_told_again_has_the_same_id() -> None:
    assert id_of(RUN_WAITING, waiting_for=[UNKNOWN, APPROVAL]) == id_of(RUN_WAITING, waiting_for=[APPROVAL, UNKNOWN])
    assert id_of(RUN_FINISHED) == id_of(RUN_FINISHED)
    assert id_of(RUN_FINISHED) != id_of(RUN_WAITING)
