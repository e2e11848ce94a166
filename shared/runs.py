"""A run as the contract shows it, made from a row of the `run_overview` view: on topics, in the command line, in HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def timestamp(at: datetime | None) -> str | None:
    """RFC 3339 in UTC, or None."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


def run_document(row: Any) -> dict[str, Any]:
    """The contract's run object."""
    return {
        "run_id": str(row["run_id"]),
        "agent": row["agent"],
        "conversation_id": row["conversation_id"],
        "status": row["status"],
        "outcome": row["outcome"],
        "waiting_for": row["waiting_for"],
        "trigger": {"source": row["trigger_source"], "id": row["trigger_id"], "type": row["trigger_type"]},
        "parent_run_id": str(row["parent_run_id"]) if row["parent_run_id"] else None,
        "merged_into": str(row["merged_into"]) if row["merged_into"] else None,
        "started_at": timestamp(row["started_at"]),
        "finished_at": timestamp(row["finished_at"]),
        "steps": row["steps"],
        "tool_calls": row["tool_calls"],
        "failed_calls": row["failed_calls"],
        "tokens": {"input": row["input_tokens"], "output": row["output_tokens"]},
        "cost_usd": row["cost_microusd"] / 1_000_000,
        "model": row["model"],
        "text": row["text"],
        "error": row["error"],
    }
