"""Where the person behind a telephone number probably is: a guess of the time zone from the number alone.

The numbers' zones are those of libphonenumber (package `phonenumbers`, 14 MB of tables): loaded when first asked, which only
a business with quiet hours does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones


def zone_of(number: str, home: ZoneInfo, at: datetime) -> ZoneInfo:
    """The zone of an E.164 number; `home`, the business's own, where the number does not say.

    A number of a country with several zones is taken for one of home's where that is among them, else for one in the middle.
    """
    zones = [ZoneInfo(name) for name in _names(number)]
    if len(zones) == 1:
        return zones[0]
    if not zones or _offset(home, at) in {_offset(zone, at) for zone in zones}:
        return home
    return sorted(zones, key=lambda zone: (_offset(zone, at), zone.key))[len(zones) // 2]


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


@lru_cache(maxsize=4096)
def _names(number: str) -> tuple[str, ...]:
    import phonenumbers
    from phonenumbers import timezone

    try:
        read = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ()
    return tuple(name for name in timezone.time_zones_for_number(read) if name in available_timezones())
