"""Make a case of a recorded run, for `viox eval`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from shared.evaluation.case import Case, case_of
from shared.models.port import ToolSpec
from shared.operations import store
from shared.runtime.history import Step


async def case(pool: Any, run_id: UUID) -> Case:
    """The case of a run, or of the one that it joined. Raises BadInput when it cannot be worked anew."""
    facts = await store.run_row(pool, run_id)
    agent, of = facts["agent"], facts["merged_into"] or run_id
    rows = await pool.fetch(store.SQL["thread_steps"], facts["thread_id"], agent)
    thread = [Step(row["run_id"], row["step"], row["kind"], row["body"]) for row in rows]
    granted = [tool for tool in await pool.fetch(store.SQL["tools"]) if agent in tool["granted_to"]]
    specs = [ToolSpec(tool["tool"], tool["description"], tool["input_schema"]) for tool in granted]
    reads = [tool["tool"] for tool in granted if tool["effect"] == "read"]
    outside = [tool["tool"] for tool in granted if "reads_untrusted" in tool["risk"]]
    return case_of(agent, thread, of, specs, reads, outside)
