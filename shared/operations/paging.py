"""How listings are cut into pages by the moment and the id of a row, and how moments are read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.errors import BadInput

_SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_moment(text: str | None, field: str = "--since", *, ahead: bool = False) -> datetime | None:
    """RFC 3339, or a span such as 30m, 24h, 7d: back from now, or with `ahead` from now on. Raises BadInput naming the option."""
    if text is None:
        return None
    try:
        if text[:-1].isdecimal() and text[-1] in _SPANS:
            span = timedelta(**{_SPANS[text[-1]]: int(text[:-1])})
            return datetime.now(UTC) + (span if ahead else -span)
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(
            "option.invalid",
            f"{text!r} is not a time.",
            field=field,
            remedy="For instance 2026-11-22T08:00:00Z or 24h.",
        ) from None
    return at


def cursor_of(given: str | None, read: Callable[[str], Any] = str) -> tuple[datetime | None, Any]:
    """The moment and the id after which a page begins. Raises BadInput."""
    if given is None:
        return None, None
    try:
        at, last = json.loads(base64.urlsafe_b64decode(given.encode()))
        return datetime.fromisoformat(at), read(str(last))
    except (ValueError, TypeError):
        raise BadInput(
            "option.invalid",
            "the cursor is not one of ours.",
            field="--cursor",
            remedy="Use `next` of the previous page as it is.",
        ) from None


def next_of(row: Any, moment: str, key: str) -> str:
    """Where the page after this row begins."""
    return base64.urlsafe_b64encode(orjson.dumps([row[moment].isoformat(), str(row[key])])).decode()
