"""Timers: tasks that an agent sets itself for a moment of the business's clock, and calls that wait for one.

A due timer is claimed and its task stored in one transaction, so that it fires once over all replicas. The task's id is made
of the call that set it and the moment: whatever is sent twice is taken once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from services.tool_gateway.office.moments import moment_of
from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.messages import task, timer_source
from shared.bus.outbox import insert, outgoing
from shared.errors import Conflict, NotFound
from shared.runs import timestamp
from shared.store.sql import Queries
from shared.telemetry.trace import span_of_call, under

SQL = Queries(Path(__file__).with_suffix(".sql"))
LONGEST = timedelta(days=366)
LONGEST_WAIT = timedelta(hours=24)
MOST_OPEN = 50  # of one conversation


async def set_timer(connection: Any, given: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Raises BadInput for a moment that is none, Conflict when the conversation has too many timers."""
    asking = await connection.fetchrow(*SQL.bind("asking", call=given["call_id"]))
    of = {"agent": asking["agent"], "conversation": asking["conversation_id"]}
    held = await connection.fetchrow(*SQL.bind("timer", **of, name=given["name"]))
    if held and held["set_by"] == given["call_id"]:
        return _document(held)
    now = await connection.fetchval(SQL["now"])
    due_at = moment_of(given, now, zone, LONGEST)
    if not held and await connection.fetchval(*SQL.bind("count_open", **of)) >= MOST_OPEN:
        raise Conflict(
            "timer.too_many",
            f"{MOST_OPEN} timers are set in this conversation.",
            field="name",
            remedy="Cancel one, or use the name of one to replace it.",
        )
    await connection.execute(
        *SQL.bind(
            "set",
            **of,
            name=given["name"],
            due_at=due_at,
            instruction=given["instruction"],
            context=given.get("context") or {},
            call=given["call_id"],
            asked_at=asking["created_at"],
            traceparent=under(asking["traceparent"], span_of_call(given["call_id"])),
        )
    )
    return _document(await connection.fetchrow(*SQL.bind("timer", **of, name=given["name"])))


async def cancel_timer(connection: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Raises NotFound, naming those that are set, when there is no such timer."""
    asking = await connection.fetchrow(*SQL.bind("asking", call=given["call_id"]))
    of = {"agent": asking["agent"], "conversation": asking["conversation_id"]}
    name = given["name"]
    if await connection.fetchval(*SQL.bind("cancel", **of, name=name, asked_at=asking["created_at"])):
        return {"name": name, "state": "cancelled"}
    held = await connection.fetchrow(*SQL.bind("timer", **of, name=name))
    if held and held["state"] != "set":
        return {"name": name, "state": held["state"]}  # it fired or was cancelled before: there is nothing to cancel
    names = ", ".join(row["name"] for row in await connection.fetch(*SQL.bind("listed", **of)))
    raise NotFound(
        "timer.not_found",
        f"no timer {name!r} is set in this conversation.",
        field="name",
        remedy=f"Set are: {names}." if names else "None is set.",
    )


async def list_timers(connection: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    asking = await connection.fetchrow(*SQL.bind("asking", call=given["call_id"]))
    rows = await connection.fetch(*SQL.bind("listed", agent=asking["agent"], conversation=asking["conversation_id"]))
    told = [
        {"name": row["name"], "due_at": timestamp(row["due_at"]), "instruction": row["instruction"]} for row in rows
    ]
    return {"timers": told, "now": timestamp(await connection.fetchval(SQL["now"]))}


async def wait(connection: Any, given: Mapping[str, Any], zone: ZoneInfo) -> tuple[bool, dict[str, Any]]:
    """Whether the moment has come, and what is told of it. Raises BadInput."""
    call, now = given["call_id"], await connection.fetchval(SQL["now"])
    until = await connection.fetchval(*SQL.bind("waits_until", call=call))
    if until is None:
        until = moment_of(given, now, zone, LONGEST_WAIT)
        await connection.execute(*SQL.bind("wait", call=call, until=until))
    return until <= now, waited(until, now)


def waited(until: datetime, now: datetime) -> dict[str, Any]:
    return {"until": timestamp(until), "now": timestamp(now)}


async def fire(connection: Any, limit: int) -> Sequence[Any]:
    """Store the tasks of timers that are due. Returns them."""
    rows: Sequence[Any] = await connection.fetch(*SQL.bind("fire", limit=limit))
    if rows:
        sent = [outgoing(topics.tasks(row["agent"]), _task(row), [row["agent"]]) for row in rows]
        await insert(connection, topics.GATEWAY, sent, delay=0)
    return rows


def _task(row: Any) -> Message:
    about = {"timer": {"name": row["name"], "set_by": row["set_by"]}}
    made = task(
        row["agent"],
        f"timer:{row['set_by']}:{timestamp(row['due_at'])}",
        timer_source(row["agent"]),
        row["instruction"],
        row["context"] | about,
        datetime.now(UTC),
        row["conversation_id"],
    )
    return replace(made, traceparent=row["traceparent"])


def _document(row: Any) -> dict[str, Any]:
    return {"name": row["name"], "due_at": timestamp(row["due_at"]), "state": row["state"]}
