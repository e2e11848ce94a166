"""Runs that gave each other tasks, as a tree: the first at the top, each with what came of its tasks below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.ids import is_run_of
from shared.operations import store, words
from shared.runs import run_document


async def family(pool: Any, run_id: UUID) -> list[dict[str, Any]]:
    """The runs that this one's task came from, itself, and all that came of theirs. An agent can write a row of its own under
    any id: those do not count."""
    rows = await pool.fetch(store.SQL["family"], run_id)
    return [
        run_document(row)
        for row in rows
        if is_run_of(row["run_id"], row["agent"], row["trigger_source"], row["trigger_id"])
    ]


def lines(runs: Sequence[Mapping[str, Any]], this: str) -> list[str]:
    """One line for each, indented below its parent. Nothing for a run that is alone."""
    if len(runs) < 2:
        return []
    known = {run["run_id"] for run in runs}
    below: dict[str | None, list[Mapping[str, Any]]] = {}
    for run in runs:
        parent = run["parent_run_id"] if run["parent_run_id"] in known - {run["run_id"]} else None
        below.setdefault(parent, []).append(run)
    return list(_lines(below, None, 0, this))


def _lines(
    below: Mapping[str | None, Sequence[Mapping[str, Any]]], parent: str | None, depth: int, this: str
) -> Iterator[str]:
    for run in below.get(parent, ()):
        mark = "  ← this run" if run["run_id"] == this else ""
        yield f"{'   ' * depth}{'└─ ' if depth else ''}{run['agent']}  {words.run_end(dict(run))}  {run['run_id']}{mark}"
        yield from _lines(below, run["run_id"], depth + 1, this)
