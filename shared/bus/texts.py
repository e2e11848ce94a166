"""Times and base64 in the forms that producers of CloudEvents write. Pure."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from datetime import UTC, datetime
from typing import Any

from shared.errors import BadInput

# RFC 3339, and the offset without its colon that many libraries write.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")
_LEAP_SECOND = "60"
_URL_SAFE = str.maketrans("-_", "+/")


def decoded(encoded: Any) -> bytes:
    """Base64 in either alphabet, broken into lines or not, with or without padding. Raises BadInput."""
    try:
        plain = "".join(encoded.split()).rstrip("=").translate(_URL_SAFE)
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, AttributeError, ValueError) as error:
        raise BadInput("event.invalid_data", f"data_base64 is not base64: {error}.", field="data_base64") from error


def moment(given: Any) -> datetime:
    """The time of the event, or of its arrival when it has none. Raises BadInput unless it is RFC 3339."""
    if given is None:
        return datetime.now(UTC)
    if isinstance(given, str) and (found := _TIME.fullmatch(given)):
        start, second, fraction, zone = found.groups()
        # A clock that has no leap seconds shows the one before.
        second, fraction = ("59", ".999999") if second == _LEAP_SECOND else (second, fraction or "")
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(f"{start}{second}{fraction}{zone}".upper())
    raise BadInput(
        "event.malformed",
        f"time {str(given)[:64]!r} is not an RFC 3339 timestamp with an offset.",
        field="time",
        remedy="For instance 2026-11-22T08:00:00Z.",
    )
