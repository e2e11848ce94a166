"""Where the person behind a telephone number probably is."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from shared.recipients import zone_of

AT = datetime.fromisoformat("2026-11-30T12:00:00Z")
CHICAGO, BERLIN = ZoneInfo("America/Chicago"), ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("number", "home", "zone"),
    [
        ("+14155550123", CHICAGO, "America/Los_Angeles"),
        ("+12125550123", CHICAGO, "America/New_York"),
        ("+4915112345678", CHICAGO, "Europe/Berlin"),
        ("+18005550123", CHICAGO, "America/Chicago"),  # anywhere in North America, where home is, too
        ("+882123", CHICAGO, "America/Chicago"),  # nobody knows
        ("not a number", BERLIN, "Europe/Berlin"),
    ],
)
def test_a_number_says_where_somebody_is(number: str, home: ZoneInfo, zone: str) -> None:
    assert zone_of(number, home, AT).key == zone


def test_a_number_of_many_zones_without_home_is_taken_for_one_in_the_middle() -> None:
    offset = zone_of("+18005550123", BERLIN, AT).utcoffset(AT.replace(tzinfo=None))
    assert offset is not None
    assert -7 <= offset.total_seconds() / 3600 <= -4
