"""Ends that are not the graph's own: a run is cancelled, fails or is blocked from outside, and the thread is free again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import VioxError
from shared.runtime import announce
from shared.runtime.history import Step, trigger_body, turns_of
from shared.runtime.nodes import Call, RunContext, identified_call, record_results
from shared.runtime.store import Claimed, Commit, Pending, RunRow


@dataclass(frozen=True, slots=True)
class End:
    """How a run ends and why. `arrivals` are the triggers that end with it, `taken` the messages that are done with."""

    status: str
    error: VioxError
    arrivals: Sequence[Pending]
    taken: Sequence[Pending]


def ending(agent: str, graph_version: str, claimed: Claimed, run: RunRow, context: RunContext, end: End) -> Commit:
    """The commit that ends a run: open calls get a result that says so, so that the history stays well-formed."""
    error = end.error
    calls = open_calls(context.history, set(claimed.awaiting))
    steps: list[Step] = []
    if calls:
        closed = {"state": "failed", "result": None, "error": {"code": error.code, "message": error.message}}
        arrived = {p.message.id: p.message.data for p in claimed.pending if p.kind == "result"}
        results = {call["call_id"]: arrived.get(call["call_id"], closed) for call in calls}
        steps = record_results(context, {}, calls, {"results": results, "joined": []})
    if claimed.run is None and not turns_of(context.history, run.run_id):
        for pending in end.arrivals:
            steps = context.step({"steps": steps}, "trigger", trigger_body(pending.message))
    steps = context.step({"steps": steps}, "outcome", {"status": end.status, "text": error.message})
    work = Commit(
        claimed,
        run.run_id,
        end.status,
        [],
        graph_version,
        steps,
        list(end.taken),
        joined=[p.run_id for p in end.arrivals if p.run_id != run.run_id],
        error=error.as_dict(),
    )
    work.outgoing.append(announce.run_finished(agent, run, work, datetime.now(UTC)))
    return work


def open_calls(history: Sequence[Step], awaiting: set[str]) -> list[Call]:
    """The calls of the turn that a thread waits for, rebuilt from the record."""
    if not awaiting:
        return []
    run, step, _ = next(iter(awaiting)).rsplit(".", 2)
    turn = next(s for s in reversed(history) if s.kind == "model" and str(s.run_id) == run and s.step == int(step))
    return [identified_call(turn.run_id, turn.step, index, given) for index, given in enumerate(turn.body["calls"])]
