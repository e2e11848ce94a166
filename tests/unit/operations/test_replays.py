"""Replays of several runs: one whose graph fails is told, and the others are replayed all the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from shared.business import Business
from shared.operations.replays import Recorded, replay
from shared.runtime.history import Step


async def test_a_graph_that_fails_is_a_difference_of_its_run_alone() -> None:
    def graph() -> Any:
        raise KeyError("email")

    runs = [uuid4(), uuid4()]
    recorded = [Recorded(run, "closer", [Step(run, 0, "trigger", {})], {}) for run in runs]
    reports = await replay(recorded, lambda agent: SimpleNamespace(graph=graph), Business(), None)  # type: ignore[arg-type,return-value]  # no more of a spec is asked
    assert [(one.run_id, one.steps, one.same) for one in reports] == [(run, 1, False) for run in runs]
    assert [one.differences[0].what for one in reports] == ["the graph fails: KeyError"] * 2
