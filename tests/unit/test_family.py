"""Runs that gave each other tasks are shown as a tree."""

from __future__ import annotations

from typing import Any

from shared.operations import family


def run(name: str, parent: str | None = None, status: str = "finished") -> dict[str, Any]:
    ended = {"outcome": None, "failed_calls": 0, "tool_calls": 1}
    return {"run_id": name, "agent": f"agent-{name}", "status": status, "parent_run_id": parent} | ended


def test_children_stand_below_their_parents_in_the_order_in_which_they_began() -> None:
    runs = [run("1"), run("2", "1"), run("4", "2", "running"), run("3", "1", "failed")]
    assert family.lines(runs, "3") == [
        "agent-1  finished  1",
        "   └─ agent-2  finished  2",
        "      └─ agent-4  running  4",
        "   └─ agent-3  failed  3  ← this run",
    ]


def test_a_run_that_is_alone_has_no_tree() -> None:
    assert family.lines([run("1")], "1") == []


def test_a_parent_that_is_not_there_hides_no_run() -> None:
    assert [line.split()[-1] for line in family.lines([run("1", "gone"), run("2", "1")], "x")] == ["1", "2"]


def test_a_run_that_names_itself_as_its_parent_is_shown_once() -> None:
    assert len(family.lines([run("1", "1"), run("2", "1")], "x")) == 2
