"""Ends that are not the graph's own: a run is cancelled, fails or is blocked from outside, and the thread is free again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import VioxError
from shared.runtime.calls import calls_of, open_step, record_results
from shared.runtime.context import RunContext
from shared.runtime.history import Step, has_begun, trigger_body
from shared.runtime.store import Claimed, Commit, Pending, RunRow


@dataclass(frozen=True, slots=True)
class End:
    """How a run ends and why. `joined` are the triggers that end with it, `put_back` those that are tried by themselves."""

    status: str
    error: VioxError
    joined: Sequence[Pending]
    put_back: Sequence[Pending]
    ends_controls: bool = False


def ending(graph_version: str, claimed: Claimed, run: RunRow, context: RunContext, end: End) -> Commit:
    """The commit that ends a run: open calls get a result that says so, so that the history stays well-formed."""
    error = end.error
    steps: list[Step] = []
    if asked := open_step(context.history, claimed.awaiting):
        closed = {"state": "failed", "result": None, "error": {"code": error.code, "message": error.message}}
        results = {call["call_id"]: claimed.results.get(call["call_id"], closed) for call in calls_of(asked)}
        steps = record_results(context, steps, calls_of(asked), results, asked)
    if not claimed.active and not has_begun(context.own, run.run_id):
        for pending in claimed.triggers:
            if pending not in end.put_back:
                steps = context.step(steps, "trigger", trigger_body(pending.message))
    steps = context.step(steps, "outcome", {"status": end.status, "text": error.message})
    return Commit(
        claimed,
        run,
        end.status,
        graph_version,
        steps,
        joined=[p.run_id for p in end.joined],
        put_back=list(end.put_back),
        ends_controls=end.ends_controls,
        error=error.as_dict(),
    )
