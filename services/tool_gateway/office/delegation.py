"""A task for another agent, awaited. The task leaves by the gateway's outbox, in the transaction that notes whose end the call
waits for; the call ends with the child's run, whichever replica sees that first.

Depth and circles are refused before anything is sent: who waits for whom stands in `delegations`, which only the gateway
writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.bus import topics
from shared.bus.envelope import PARENT_RUN, Message, check_conversation, headers_to_json
from shared.bus.messages import CANCEL, GATEWAY_SOURCE, delegation_source, task
from shared.bus.outbox import insert, outgoing
from shared.errors import BadInput, Conflict
from shared.ids import is_run_of, run_id, thread_id
from shared.store.sql import Queries
from shared.telemetry.trace import span_of_call, under

SQL = Queries(Path(__file__).with_suffix(".sql"))
DEFAULT_DEPTH = 4
FAILED = "delegation.failed"
LONGEST_TEXT = 50_000  # of a child's answer: its run has all of it


@dataclass(frozen=True, slots=True)
class End:
    """How a call that waited ends."""

    state: str
    result: Any = None
    error: dict[str, Any] | None = None


async def delegate(connection: Any, given: Mapping[str, Any], most_depth: int) -> dict[str, Any]:
    """Send the task of a call, once, in the caller's transaction. Returns whose end it waits for.

    Raises BadInput for an agent that there is not, Conflict for a chain that is too long or a circle.
    """
    call = given["call_id"]
    await connection.execute(SQL["lock"])
    asking = await connection.fetchrow(*SQL.bind("asking", call=call))
    if asking["sent"]:
        return _awaited(asking["child_agent"], asking["child_run_id"])
    child = _agent(given["agent"])
    conversation = given.get("conversation") or asking["conversation_id"]
    check_conversation(conversation)
    depth = await _depth(connection, asking, child, most_depth)
    await _refuse_circle(connection, asking, child, conversation)
    message = _task(call, given, asking, child, conversation)
    run = run_id(child, message.source, message.id)
    await connection.execute(
        *SQL.bind(
            "put",
            call=call,
            agent=asking["agent"],
            run=asking["run_id"],
            thread=asking["thread_id"],
            child_agent=child,
            child_run=run,
            child_thread=thread_id(child, conversation),
            conversation=conversation,
            depth=depth,
        )
    )
    await insert(connection, topics.GATEWAY, [outgoing(topics.tasks(child), message, [child])], delay=0)
    await connection.execute(SQL["wake_outbox"])
    return _awaited(child, run)


def _awaited(agent: str, run: Any) -> dict[str, Any]:
    return {"waits_for": {"agent": agent, "run_id": str(run)}}


def _agent(given: str) -> str:
    if agent := topics.canonical_agent(given):
        return agent
    raise BadInput(
        "agent.unknown", f"{given!r} is not an agent.", field="agent", remedy=f"One of {', '.join(topics.AGENTS)}."
    )


async def _depth(connection: Any, asking: Any, child: str, most: int) -> int:
    """How long the chain is with this delegation. Raises Conflict."""
    rows = await connection.fetch(
        *SQL.bind("ancestors", agent=asking["agent"], run=asking["run_id"], thread=asking["thread_id"])
    )
    if child in {row["agent"] for row in rows}:
        chain = " ← ".join(row["agent"] for row in rows)
        raise Conflict(
            "delegation.circle",
            f"{child} waits for this run itself ({chain}), and would wait for its own answer.",
            field="agent",
            remedy="Do it yourself, or say what is missing in your answer.",
        )
    depth: int = max(row["height"] for row in rows) + 1
    if depth > most:
        raise Conflict(
            "delegation.too_deep",
            f"{depth} agents would wait for each other in a row; {most} are the most.",
            field="agent",
            remedy="Do it yourself, or say what is missing in your answer.",
        )
    return depth


async def _refuse_circle(connection: Any, asking: Any, child: str, conversation: str) -> None:
    """A conversation that waits for this one cannot be waited for: neither would ever go on. Raises Conflict."""
    bound = SQL.bind("is_circle", child=thread_id(child, conversation), thread=asking["thread_id"])
    if await connection.fetchval(*bound):
        raise Conflict(
            "delegation.circle",
            f"{child} waits in the conversation {conversation!r} for what this run does.",
            field="conversation",
            remedy="Delegate in a conversation of its own, or do it yourself.",
        )


def _task(call: str, given: Mapping[str, Any], asking: Any, child: str, conversation: str) -> Message:
    made = task(
        child,
        f"delegation:{call}",
        delegation_source(asking["agent"]),
        given["instruction"],
        given.get("context") or {},
        datetime.now(UTC),
        conversation,
    )
    trace = under(asking["traceparent"], span_of_call(call))
    return replace(made, traceparent=trace, extensions={PARENT_RUN: str(asking["run_id"])})


def end_of(row: Any) -> End:
    """How a call ends whose child has ended."""
    if not is_run_of(row["child_run_id"], row["child_agent"], row["trigger_source"], row["trigger_id"]):
        message = f"the run under {row['child_run_id']} was not begun by the task of this call."
        return End("failed", error={"code": FAILED, "message": message, "remedy": "Go on without it, and say so."})
    told = {
        "run_id": str(row["child_run_id"]),
        "agent": row["child_agent"],
        "status": row["child_status"],
        "outcome": row["child_outcome"],
        "text": row["child_text"][:LONGEST_TEXT] if row["child_text"] else None,
        "failed_calls": row["child_failed_calls"],
    }
    if row["child_status"] == "finished":
        return End("succeeded", told)
    why = (row["child_error"] or {}).get("message") or "it did not say why."
    error = {
        "code": FAILED,
        "message": f"{row['child_agent']} did not finish it ({row['child_status']}): {why}",
        "remedy": "Go on without it, and say so.",
        "run": told | {"error": row["child_error"]},
    }
    return End("failed", error=error)


async def cancel_child(connection: Any, orphan: Any) -> str:
    """End the run for which nobody waits any more. Says what came of it, as the function of migration 0023 has it."""
    run = str(orphan["child_run_id"])
    message = Message(f"cancel:{run}", GATEWAY_SOURCE, CANCEL, {"run_id": run}, datetime.now(UTC))
    _, value, headers = message.to_kafka()
    came: str = await connection.fetchval(
        *SQL.bind(
            "cancel_child",
            call=orphan["call_id"],
            source=message.source,
            message=message.id,
            value=value,
            headers=headers_to_json(headers),
        )
    )
    return came
