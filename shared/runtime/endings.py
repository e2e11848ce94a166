"""Ends that are not the graph's own: a run is cancelled, fails or is blocked from outside, and the thread is free again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared.errors import VioxError
from shared.runtime.history import Call, Step, trigger_body, turns_of
from shared.runtime.nodes import RunContext, record_results, turn_calls
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
    if calls := open_calls(context.history, claimed.awaiting):
        closed = {"state": "failed", "result": None, "error": {"code": error.code, "message": error.message}}
        results = {call["call_id"]: claimed.results.get(call["call_id"], closed) for call in calls}
        steps = record_results(context, steps, calls, results)
    if not claimed.active and not turns_of(context.history, run.run_id):
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


def open_calls(history: Sequence[Step], awaiting: Collection[str]) -> list[Call]:
    """The calls of the turn that a thread waits for, rebuilt from the record."""
    if not awaiting:
        return []
    run, step, _ = next(iter(awaiting)).rsplit(".", 2)
    turn = next(s for s in reversed(history) if s.kind == "model" and str(s.run_id) == run and s.step == int(step))
    return turn_calls(turn)
