"""How long a vendor asks us to wait: RFC 9110, section 10.2.3, and what is sent in its place. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 300.0
SHORTEST_SECONDS = 0.05
_NUMBER = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?:s|sec|seconds)?\s*(?:,.*)?\Z", re.IGNORECASE)


def seconds_to_wait(header: Callable[[str], str | None], now: datetime) -> float | None:
    """Seconds until the vendor wants to hear from us again, within limits; None when it does not say.

    A date is measured by the vendor's own clock where it tells the time, because ours may differ.
    """
    if (milliseconds := _number(header("retry-after-ms"))) is not None:
        return _within(milliseconds / 1000)
    given = header("retry-after")
    if given is None:
        return None
    if (number := _number(given)) is not None:
        return _within(number)
    until = _moment(given)
    if until is None:
        return None
    wait = (until - (_moment(header("date") or "") or now)).total_seconds()
    return _within(wait) if wait > 0 else None


def _number(text: str | None) -> float | None:
    found = _NUMBER.match(text or "")
    return float(found[1]) if found else None


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
