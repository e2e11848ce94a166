"""When a timer is due: a moment, a span, or a time of day somewhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.tool_gateway.office.moments import moment_of
from shared.errors import BadInput

NOW = datetime.fromisoformat("2026-11-30T20:00:00Z")
CHICAGO = ZoneInfo("America/Chicago")
YEAR = timedelta(days=366)


def moment(**given: Any) -> datetime:
    return moment_of(given, NOW, CHICAGO, YEAR)


@pytest.mark.parametrize(
    ("given", "due"),
    [
        ({"at": "2026-12-01T09:00:00-06:00"}, "2026-12-01T15:00:00Z"),
        ({"at": "2026-12-01T09:00:00Z"}, "2026-12-01T09:00:00Z"),
        ({"at": "2026-11-30T19:59:00Z"}, "2026-11-30T19:59:00Z"),  # over while it was written down: now
        ({"after": "90s"}, "2026-11-30T20:01:30Z"),
        ({"after": "2d"}, "2026-12-02T20:00:00Z"),
        ({"local": {"days": 2, "time": "09:00"}}, "2026-12-02T15:00:00Z"),
        ({"local": {"days": 2, "time": "09:00", "zone": "Asia/Tokyo"}}, "2026-12-03T00:00:00Z"),  # it is the 1st there
        ({"local": {"days": 0, "time": "23:30", "zone": "Europe/Berlin"}}, "2026-11-30T22:30:00Z"),
        ({"local": {"days": 98, "time": "02:30"}}, "2027-03-08T08:30:00Z"),
    ],
)
def test_each_way_names_a_moment(given: dict[str, Any], due: str) -> None:
    assert moment(**given) == datetime.fromisoformat(due)


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({}, "at", "exactly one"),
        ({"at": "2026-12-01T09:00:00Z", "after": "2d"}, "at, after", "exactly one"),
        ({"at": "2025-12-01T09:00:00Z"}, "at", "is over; it is 2026-11-30T20:00:00"),
        ({"at": "2026-12-01T09:00:00"}, "at", "in which zone"),
        ({"at": "tomorrow"}, "at", "not a time"),
        ({"after": "two days"}, "after", "not a span"),
        ({"after": "400d"}, "after", "more than 366 days"),
        ({"local": {"days": 0, "time": "09:00"}}, "local", "is over"),
        ({"local": {"days": 1, "time": "09:00", "zone": "Chicago"}}, "local.zone", "no time zone"),
    ],
)
def test_what_names_none_says_why(given: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as raised:
        moment(**given)
    assert raised.value.field == field
