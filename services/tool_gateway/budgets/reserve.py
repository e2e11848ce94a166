"""Budgets of calls: reserved in the transaction in which a call is stored or claimed, before it is sent.

What is over waits for a person: the same question as a policy's, because of a rule `budget:<name>`. What came back, Postgres
gives back by itself when the call's row says how it ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.tool_gateway.budgets.wants import Item, Wanted
from shared.budgets import RULE, Budgets, in_words
from shared.ids import CallId
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
Reserved = list[list[Any]]
Reasons = dict[str, str]


async def reserve(
    connection: Any, asked: Sequence[tuple[CallId, Wanted, Collection[str]]]
) -> dict[CallId, tuple[Reserved | None, Reasons]]:
    """Reserve for calls: call id → what it has now, and rule → reason for each budget that people have to be asked about.

    `asked`: (call, what it takes, the rules that people have lifted for it). Other calls that want the same wait until the
    transaction ends.
    """
    wanted = [{"call_id": call, "items": _items(want.items, agreed)} for call, want, agreed in asked if want.items]
    rows = await connection.fetch(*SQL.bind("reserve", wanted=wanted)) if wanted else []
    came = {row["call_id"]: row for row in rows}
    return {call: _result(came.get(call), want, agreed) for call, want, agreed in asked}


async def forget(connection: Any) -> None:
    """Remove what was used on days a month ago and by runs that are over, and holds of turns that nobody will settle."""
    await connection.execute(SQL["forget"])


async def publish(pool: Any, budgets: Budgets, time_zone: str) -> None:
    """Make the file's limits those of everybody. Who waits for a budget looks again when they changed."""
    given = [
        {"name": one.name, "of": one.of, "per": one.per, "measure": measure, "most": most}
        for one in budgets
        for measure, most in one.limits.items()
    ]
    await pool.execute(*SQL.bind("publish", given=given, zone=time_zone))


def _items(items: Sequence[Item], agreed: Collection[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "scope": one.scope,
            "measure": one.measure,
            "amount": one.amount,
            "forced": RULE + one.name in agreed,
        }
        for one in items
    ]


def _result(row: Any, want: Wanted, agreed: Collection[str]) -> tuple[Reserved | None, Reasons]:
    reasons = {RULE + name: why for name, why in want.uncounted.items() if RULE + name not in agreed}
    for over in (row["over"] or []) if row else []:
        reasons.setdefault(RULE + over["name"], _reason(over))
    return (row["reserved"] if row else None), reasons


def _reason(over: Mapping[str, Any]) -> str:
    used, most, more = (in_words(over["measure"], over[part]) for part in ("used", "most", "amount"))
    return f"the budget {over['name']} of {over['scope']} is at its end: {used} of {most} used, and this takes {more}"
