"""Asking people: a call that only a person's agreement allows gets an approval, in the transaction that lets it wait."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from services.tool_gateway.call.call import Decision
from shared.ids import approval_id
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("approvals.sql"))


async def ask(connection: Any, decisions: Sequence[Decision], seconds: float) -> None:
    """Ask about new calls among these; they are stored with the id of their approval already."""
    asked = [_row(one, 1, one.call.digest, seconds) for one in decisions if one.asking]
    if asked:
        await connection.execute(*SQL.bind("ask", asked=asked))


async def ask_again(connection: Any, decisions: Sequence[Decision], seconds: float) -> None:
    """Ask about calls that had waited for something else and were to be sent. They go back to waiting."""
    again = [one for one in decisions if one.asking]
    if not again:
        return
    found = await connection.fetch(*SQL.bind("asked_before", calls=[one.call.call_id for one in again]))
    before = {row["call_id"]: row for row in found}
    rows = [
        _row(one, before[one.call.call_id]["revision"] + 1, before[one.call.call_id]["asked_sha256"], seconds)
        for one in again
    ]
    calls, approvals = [row["call_id"] for row in rows], [row["approval_id"] for row in rows]
    entries = [
        {
            "call_id": one.call.call_id,
            "revision": row["revision"],
            "checks": one.checks,
            "approval_id": row["approval_id"],
        }
        for one, row in zip(again, rows, strict=True)
    ]
    await connection.execute(*SQL.bind("await_again", calls=calls, approvals=approvals))
    await connection.execute(*SQL.bind("decision_entry", entries=entries))
    await connection.execute(*SQL.bind("ask", asked=rows))


def _row(decision: Decision, revision: int, asked_sha256: str, seconds: float) -> dict[str, Any]:
    call, asking = decision.call, decision.asking
    assert asking  # noqa: S101  # the callers choose those that have it
    return {
        "approval_id": approval_id(call.call_id, revision),
        "call_id": call.call_id,
        "revision": revision,
        "agent": call.agent,
        "tool": call.tool,
        "run_id": call.run_id,
        "conversation_id": call.conversation_id,
        "arguments": decision.shown_arguments if decision.is_sensitive else orjson.Fragment(call.arguments_json),
        "arguments_sha256": call.digest,
        "asked_sha256": asked_sha256,
        "policy_version": asking.policy_version,
        "rules": asking.rules,
        "reasons": asking.reasons,
        "people": asking.people,
        "seconds": asking.seconds or seconds,
        "question": asking.question,
        "choices": call.arguments.get("choices") if asking.question else None,
        "audience": asking.audience,
    }
