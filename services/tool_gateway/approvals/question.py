"""Questions to people: whom each is put to, until when, and what answers it. Pure.

A question is a call that is never made: it waits for people as any other that they decide on, and the answer is its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from services.tool_gateway.office.moments import span
from shared.errors import BadInput
from shared.people import People

LONGEST = timedelta(days=30)
REASON = "it is a question to a person"
EXPIRED = {
    "code": "question.expired",
    "message": "nobody answered it in time.",
    "remedy": "Go on without an answer, and say so.",
}


def audience(given: Mapping[str, Any], people: People) -> tuple[str, ...] | None:
    """The names of those it is put to: a person, or everybody with a role. None for all who may decide. Raises BadInput."""
    to = given.get("to")
    if to is None:
        return None
    named = [one.name for one in people if one.name.casefold() == to.casefold()]
    if found := named or [one.name for one in people if to.casefold() in one.roles]:
        return tuple(found)
    roles = sorted({role for one in people for role in one.roles})
    known = ", ".join([*(one.name for one in people), *roles])
    raise BadInput(
        "person.unknown",
        f"to: nobody is called {to!r} or has that role.",
        field="to",
        remedy=f"One of {known}; or leave it out." if known else "Leave it out.",
    )


def seconds(given: Mapping[str, Any], default: float) -> float:
    """How long it waits. Raises BadInput."""
    if given.get("expires") is None:
        return default
    asked = span(given["expires"], "expires")
    if not timedelta() < asked <= LONGEST:
        told = f"expires: {given['expires']!r} is not within {LONGEST.days} days."
        raise BadInput("tool.invalid_arguments", told, field="expires", remedy="For instance 30m, 24h or 2d.")
    return asked.total_seconds()
