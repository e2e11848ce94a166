"""How long a vendor asks us to wait: RFC 9110, section 10.2.3, and what is sent in its place. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 300.0
SHORTEST_SECONDS = 0.05
# When a limit that was reached is lifted; on every answer, so that it counts only in a refusal for haste.
RESETS = (
    "ratelimit-reset",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)
REMAINING = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
Header = Callable[[str], str | None]
_NUMBER = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?:s|sec|seconds)?\s*(?:,.*)?\Z", re.IGNORECASE)
_DURATION = re.compile(
    r"\s*(?:PT)?(?=[0-9.])(?:([0-9]+)\s*h(?:ours?)?)?\s*(?:([0-9]+)\s*m(?:in(?:ute)?s?)?(?![a-z]))?\s*"
    r"(?:([0-9]*\.?[0-9]+)\s*s(?:ec(?:ond)?s?)?)?\s*(?:([0-9]*\.?[0-9]+)\s*ms)?\s*\Z",
    re.IGNORECASE,
)
_MEMBER = re.compile(r"(?:^|[;,])\s*(?:reset|t)\s*=\s*([0-9]+)\s*(?=[;,]|\Z)", re.IGNORECASE)  # of `RateLimit`
_SAID = re.compile(
    r"\b(?:retry|try again|wait)[^0-9]{0,20}([0-9]+(?:\.[0-9]+)?)(?:\s*(ms|milliseconds?|s|secs?|seconds?|mins?|minutes?|m)\b|"
    r"(?=[.,;)}\]\"']|\s*\Z))",
    re.IGNORECASE,
)
_EARLIEST = 1e9  # as a number of seconds this is a moment since 1970, not a wait


def seconds_to_wait(header: Header, now: datetime) -> float | None:
    """Seconds until the vendor wants to hear from us again, within limits; None when it does not say.

    A date is measured by the vendor's own clock where it tells the time, because ours may differ.
    """
    if (milliseconds := _number(header("retry-after-ms"))) is not None:
        return _within(milliseconds / 1000)
    given = header("retry-after")
    return None if given is None else _read(given, header, now)


def seconds_until_reset(header: Header, message: str, now: datetime) -> float | None:
    """The same of a refusal for haste, which says when its limit is lifted in many other ways; None when in none."""
    if (asked := seconds_to_wait(header, now)) is not None:
        return asked
    for given in filter(None, map(header, RESETS)):
        if (found := _read(given, header, now)) is not None:
            return found
    if member := _MEMBER.search(header("ratelimit") or ""):
        return _within(float(member[1]))
    if said := _SAID.search(message):
        return _within(float(said[1]) * _scale((said[2] or "s").lower()))
    return None


def is_for_haste(header: Header) -> bool:
    """Whether a refusal that is not called so is one of haste: it says when to come back, or that nothing is left."""
    return header("retry-after") is not None or any((header(name) or "").strip() == "0" for name in REMAINING)


def _read(given: str, header: Header, now: datetime) -> float | None:
    """A wait as a number or a duration, or a moment as a date or a number."""
    number = _number(given)
    if number is not None and number < _EARLIEST:
        return _within(number)
    if number is None and (duration := _duration(given)) is not None:
        return _within(duration)
    until = _moment(given) if number is None else _since_1970(number)
    if until is None:
        return None
    wait = (until - (_moment(header("date") or "") or now)).total_seconds()
    return _within(wait) if wait > 0 else None


def _number(text: str | None) -> float | None:
    found = _NUMBER.match(text or "")
    return float(found[1]) if found else None


def _duration(text: str) -> float | None:
    """Seconds of `1m30s`, `250 ms`, `2 minutes`, `PT30S`."""
    found = _DURATION.match(text)
    if found is None or not any(found.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _scale(unit: str) -> float:
    if unit == "ms" or unit.startswith("mil"):
        return 0.001
    return 60.0 if unit.startswith("m") else 1.0


def _since_1970(number: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _within(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)


def _moment(text: str) -> datetime | None:
    """A date of HTTP in any of its three forms, or RFC 3339; without a zone it means UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text.strip())
        except (TypeError, ValueError, IndexError, OverflowError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
