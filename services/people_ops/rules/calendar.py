"""Interview slots: when there are any, which are free, which one somebody means.

A slot is taken by claiming its record (`records_claim`), which only one candidate can: what is offered is no promise, what is
claimed is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel

TIMES = (time(10), time(11), time(14), time(15))
WORKDAYS = range(5)
NOTICE = timedelta(days=1)
LENGTH = timedelta(hours=1)
OFFERED = 3
AHEAD_DAYS = 60
MOST_ROUNDS = 3
PREFIX = "interview:"

Opens = Callable[[datetime], bool]
Picked = Literal["1", "2", "3", "none", "withdraw", "unclear"]


class Choice(BaseModel):
    """Which of the offered times somebody takes."""

    answer: Picked


def entity(slot: datetime) -> str:
    """The record that stands for a slot."""
    return f"{PREFIX}{slot.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def slots(now: datetime, zone: ZoneInfo, opens: Opens = lambda slot: True) -> Iterator[datetime]:
    """All slots to come, taken or not, by the business's own clock, while it is open."""
    first = (now + NOTICE).astimezone(zone)
    for days in range(AHEAD_DAYS):
        day = first.date() + timedelta(days=days)
        for clock in TIMES if day.weekday() in WORKDAYS else ():
            slot = datetime.combine(day, clock, zone).astimezone(UTC)
            if slot >= first and opens(slot):
                yield slot


def offer(
    now: datetime,
    zone: ZoneInfo,
    taken: Collection[str],
    before: Collection[datetime] = (),
    opens: Opens = lambda slot: True,
) -> list[datetime]:
    """Free slots on different days, so that there is a choice; none that was offered before."""
    found: dict[object, datetime] = {}
    for slot in slots(now, zone, opens):
        if entity(slot) not in taken and slot not in before:
            found.setdefault(slot.astimezone(zone).date(), slot)
        if len(found) == OFFERED:
            break
    return list(found.values())


def in_words(slot: datetime, zone: ZoneInfo) -> str:
    there = slot.astimezone(zone)
    return f"{there:%A}, {there.day} {there:%B} at {there:%H:%M}"


def as_list(offered: Sequence[datetime], zone: ZoneInfo) -> str:
    return "\n".join(f"{number}) {in_words(slot, zone)}" for number, slot in enumerate(offered, 1))


_ORDINALS = {"first": "1", "second": "2", "third": "3"}
_PLAIN = re.compile(
    r"^\W*(?:(?:i(?:'d| would)? (?:take|like|prefer)|yes,?|option|number|no\.?|slot|the|time)\W*)*"
    r"([123]|first|second|third)\b\W*(?:one|option|slot|please|thanks?|thank you|works?|is|for|me|fine|good|great|\W)*$",
    re.IGNORECASE,
)
_WITHDRAW = re.compile(
    r"\b(?:withdraw|no longer (?:interested|available)|not interested|found (?:another|a) job|accepted another)\b", re.I
)
_NONE = re.compile(
    r"\b(?:none(?: of)?|(?:an?)?other (?:time|day|date)s?|can(?:'|’|no)?t make|do(?:es)?(?:n'|n’| no)?t work|not possible|"
    r"re-?schedule)\b",
    re.I,
)


def picked(text: str, offered: Sequence[datetime], zone: ZoneInfo) -> Picked | None:
    """The choice in an answer that is plain; None when somebody has to read it."""
    if _WITHDRAW.search(text):
        return "withdraw"
    named = [n for n, slot in enumerate(offered, 1) if _names(text, slot.astimezone(zone))]
    if _NONE.search(text):
        return None if named else "none"
    if found := _PLAIN.match(text[:200]):
        number = _ORDINALS.get(found[1].lower(), found[1])
        return _number(int(number)) if int(number) <= len(offered) else None
    return _number(named[0]) if len(named) == 1 and not re.search(r"\b(?:not|except|but)\b", text, re.I) else None


def _number(number: int) -> Picked:
    return ("1", "2", "3")[number - 1]


def _names(text: str, there: datetime) -> bool:
    """Whether a text names the day of a slot."""
    return bool(re.search(rf"\b{there:%A}\b|\b{there:%a}\b|\b{there.day}(?:st|nd|rd|th)\b", text, re.IGNORECASE))
