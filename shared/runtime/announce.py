"""What an activation tells the bus: its tool calls, and how its run stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.bus import topics
from shared.bus.messages import RUN_FINISHED, RUN_STARTED, ToolCallRequested, call_requested, run_changed
from shared.bus.outbox import Outgoing, outgoing
from shared.runtime.nodes import Call
from shared.runtime.store import Claimed, Commit, RunRow


def call(agent: str, claimed: Claimed, run: RunRow, wanted: Call, now: datetime) -> Outgoing:
    """One tool call, for the gateway."""
    request = ToolCallRequested(
        call_id=wanted["call_id"],
        run_id=str(run.run_id),
        step=int(wanted["call_id"].rsplit(".", 2)[1]),
        index=wanted["index"],
        tool=wanted["tool"],
        arguments=wanted["arguments"] or {},
    )
    message = call_requested(agent, request, claimed.conversation_id, now, run.traceparent)
    return outgoing(topics.tool_calls(agent), message, [topics.GATEWAY])


def run_started(agent: str, run: RunRow, work: Commit, now: datetime) -> Outgoing:
    return outgoing(topics.RUNS, run_changed(RUN_STARTED, _standing(agent, run, work) | {"status": "running"}, now))


def run_finished(agent: str, run: RunRow, work: Commit, now: datetime) -> Outgoing:
    data = _standing(agent, run, work) | {"status": work.status, "finished_at": now.isoformat(), "text": work.text}
    return outgoing(topics.RUNS, run_changed(RUN_FINISHED, data, now))


def _standing(agent: str, run: RunRow, work: Commit) -> dict[str, Any]:
    spent = work.claimed.spent
    return {
        "run_id": str(run.run_id),
        "agent": agent,
        "conversation_id": work.claimed.conversation_id,
        "waiting_for": [],
        "trigger": {"source": run.trigger_source, "id": run.trigger_id, "type": run.trigger_type},
        "parent_run_id": str(run.parent_run_id) if run.parent_run_id else None,
        "started_at": run.started_at.isoformat(),
        "finished_at": None,
        "steps": run.steps + len(work.steps),
        "tool_calls": run.tool_calls + work.tool_calls,
        "tokens": {"input": run.input_tokens + spent.input_tokens, "output": run.output_tokens + spent.output_tokens},
        "cost_usd": (run.cost_microusd + spent.cost_microusd) / 1_000_000,
        "model": work.model,
        "text": None,
    }
