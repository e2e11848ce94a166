"""`viox replay`: run a run's graph again from the record, or those of a whole tree of tasks. Has no effects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shared.business import read_business
from shared.operations import identify, replays
from shared.runtime.replay import Report
from viox import deployment, output
from viox.agents import spec_of


async def replay(given: str, *, tree: bool, as_json: bool) -> int:
    pool = await deployment.pool()
    try:
        run_id = await identify.run(pool, given)
        business = read_business(deployment.profile("VIOX_BUSINESS"))
        runs = await replays.recorded(pool, run_id, tree=tree)
    finally:
        await pool.close()
    reports = await replays.replay(runs, spec_of, business, os.environ.get("VIOX_MODELS"))
    if as_json:
        output.emit(_document(run_id, reports) if tree else reports[0].document())
    else:
        _tell(reports, tree=tree)
    return output.OK if all(report.same for report in reports) else output.FAILED


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
