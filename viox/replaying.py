"""`viox replay`: run a run's graph again from the record, or those of a whole tree of tasks. Has no effects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shared.business import Business, read_business
from shared.operations import family, identify, store
from shared.runtime.history import Step
from shared.runtime.replay import Report, replay_run
from viox import deployment, output
from viox.agents import spec_of


async def replay(given: str, *, tree: bool, as_json: bool) -> int:
    pool = await deployment.pool()
    try:
        run_id = await identify.run(pool, given)
        business = read_business(deployment.profile("VIOX_BUSINESS"))
        runs = [UUID(run["run_id"]) for run in await family.family(pool, run_id)] if tree else [run_id]
        reports = [report for run in runs if (report := await replayed(pool, run, business))]
    finally:
        await pool.close()
    if as_json:
        output.emit(_document(run_id, reports) if tree else reports[0].document())
    else:
        _tell(reports, tree=tree)
    return output.OK if all(report.same for report in reports) else output.FAILED


async def replayed(pool: Any, run_id: UUID, business: Business) -> Report:
    """A replay of the run, or of the one that it joined."""
    facts = await store.run_row(pool, run_id)
    rows = await pool.fetch(store.SQL["thread_steps"], facts["thread_id"], facts["agent"])
    steps = [Step(row["run_id"], row["step"], row["kind"], row["body"]) for row in rows]
    stored = {sha256: await store.prompt(pool, sha256) for sha256 in _digests(steps)}
    host = facts["merged_into"] or run_id
    return await replay_run(spec_of(facts["agent"]), host, steps, stored, business, os.environ.get("VIOX_MODELS"))


def _digests(steps: Sequence[Step]) -> set[str]:
    turns = [step.body for step in steps if step.kind == "model"]
    return {turn[key] for turn in turns for key in ("prompt_sha256", "tools_sha256")}


def _document(run_id: UUID, reports: Sequence[Report]) -> dict[str, Any]:
    return {
        "run_id": str(run_id),
        "same": all(report.same for report in reports),
        "runs": [report.document() for report in reports],
    }


def _tell(reports: Sequence[Report], *, tree: bool) -> None:
    for report in reports:
        lines = report.lines()
        output.say(f"{report.run_id}  {lines[0]}" if tree else lines[0])
        for line in lines[1:]:
            output.say(line)
    if tree:
        calls, other = sum(report.calls for report in reports), sum(not report.same for report in reports)
        output.say(f"{len(reports)} runs, {calls} calls: {'all as recorded' if not other else f'{other} would differ'}")
