"""When: `at` a moment, `after` a span, or `local`: so many days on, at a time of day, in somebody's zone. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from shared.business import at_local
from shared.errors import BadInput

SPAN = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
JUST_PAST = timedelta(minutes=2)  # while it was thought about and written
WAYS = ("at", "after", "local")


def moment_of(given: Mapping[str, Any], now: datetime, zone: ZoneInfo, longest: timedelta) -> datetime:
    """The moment that exactly one of `at`, `after` and `local` names. `zone` is the business's own.

    Raises BadInput naming what is wrong, and the time that it is.
    """
    named = [way for way in WAYS if given.get(way) is not None]
    if len(named) != 1:
        raise _wrong(", ".join(named) or "at", f"exactly one of {', '.join(WAYS)} says when.", "Give one of them.")
    (way,) = named
    read = {"at": lambda value: _at(value), "after": lambda value: now + span(value, way)}
    moment = _local(given[way], now, zone) if way == "local" else read[way](given[way])
    if moment < now - JUST_PAST:
        raise _wrong(way, f"{moment.isoformat()} is over; it is {now.isoformat()}.", "Give a time to come.")
    if moment > now + longest:
        raise _wrong(way, f"{moment.isoformat()} is more than {_words(longest)} away.", "Give an earlier time.")
    return moment


def span(given: str, field: str) -> timedelta:
    """`90s`, `30m`, `24h`, `2d`. Raises BadInput."""
    match = SPAN.fullmatch(given)
    if match is None:
        raise _wrong(field, f"{given!r} is not a span.", "For instance 30m, 24h or 2d.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _at(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise _wrong("at", f"{given!r} is not a time.", "RFC 3339, for instance 2026-11-22T09:00:00Z.") from None
    if moment.tzinfo is None:
        raise _wrong("at", f"{given!r} does not say in which zone.", "Add Z or an offset such as -06:00, or use local.")
    return moment.astimezone(ZoneInfo("UTC"))


def _local(given: Mapping[str, Any], now: datetime, own: ZoneInfo) -> datetime:
    name = given.get("zone") or own.key
    if name not in available_timezones():
        raise _wrong("local.zone", f"{name!r} is no time zone.", "For instance America/Chicago.")
    zone = ZoneInfo(name)
    try:
        clock = time.fromisoformat(given["time"])
    except ValueError:
        raise _wrong("local.time", f"{given['time']!r} is not a time of day.", "For instance 09:00.") from None
    return at_local(now.astimezone(zone).date() + timedelta(days=given["days"]), clock.replace(tzinfo=None), zone)


def _words(longest: timedelta) -> str:
    return f"{longest.days} days" if longest.days > 1 else f"{longest // timedelta(hours=1)} hours"


def _wrong(field: str, message: str, remedy: str) -> BadInput:
    return BadInput("tool.invalid_arguments", f"{field}: {message}", field=field, remedy=remedy)
