"""The business's schedules: `viox.briefing.due` or `viox.upkeep.due`, once over all replicas, at the business's local time.

A row has the day until which each schedule was told of, and moves on with the event, in one transaction. When nobody was there
at the time the event comes later, for the last day that was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.events import BriefingDue, EventData, UpkeepDue, event_type
from shared.bus.outbox import insert, outgoing, receivers
from shared.business import Business, Schedule
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
BRIEFING, UPKEEP = "viox.briefing.due", "viox.upkeep.due"
SOURCE = "/schedules"  # no agent takes events from below /viox: those would claim to be tasks of ours


async def tell(connection: Any, business: Business, now: datetime) -> Sequence[str]:
    """Store the events that are due, in the caller's transaction. Returns the names of their schedules."""
    if not business.schedules:
        return []
    latest = [{"schedule": one.name, "day": one.latest(now, business.zone).isoformat()} for one in business.schedules]
    due = {row["schedule"]: row["day"] for row in await connection.fetch(*SQL.bind("due", latest=latest))}
    rows = []
    for made in (_event(one, due[one.name]) for one in business.schedules if one.name in due):
        entry = event_type(made.type)
        rows.append(outgoing(entry.topic, made, receivers(entry, made.data)))
    if rows:
        await insert(connection, topics.GATEWAY, rows, delay=0)
    return sorted(due)


def _event(schedule: Schedule, day: date) -> Message:
    type_, data = _what(schedule, day.isoformat())
    return Message(f"{schedule.name}:{day}", SOURCE, type_, data.model_dump(), datetime.now(UTC), subject=schedule.name)


def _what(schedule: Schedule, day: str) -> tuple[str, EventData]:
    if schedule.upkeep:
        return UPKEEP, UpkeepDue(day=day, of=schedule.upkeep)
    return BRIEFING, BriefingDue(day=day, period=schedule.briefing or "day")
