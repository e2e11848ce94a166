"""Approvals: what waits for people, why, and deciding it in a person's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.bus.messages import approval_document
from shared.errors import BadInput, Conflict, NotFound
from shared.money import as_written
from shared.operations import decisions, paging
from shared.operations.decisions import SQL, Shape, Tool
from shared.people import People, Person

MOST_CALLS = 1_000
SHORTEST_ID = 8
SEEN_DIGITS = 8
DEFAULT_DAYS, LONGEST_DAYS = 30, 366
# What is known of a tool before others of its arguments, or more such calls, are agreed to: the tool, and the shape of a call.
Lookup = Callable[[str, Mapping[str, Any], str], Awaitable[tuple[Tool | None, Shape | None]]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a person agrees to: a call as it stands, or with other arguments, and with `lasting` also such calls that come.

    `seen` is the digest of the arguments that the person was shown, or its beginning; None for those the agent asked for.
    """

    changed: dict[str, Any] | None = None
    seen: str | None = None
    times: int | None = None
    until: datetime | None = None

    @property
    def lasting(self) -> bool:
        return self.times is not None or self.until is not None


def document(row: Any) -> dict[str, Any]:
    """The contract's approval, with the names of those who agreed."""
    return approval_document(row) | {"agreed": list(row["agreed"])}


async def listed(
    pool: Any, *, state: str | None, agent: str | None, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Approvals, newest first."""
    at, last = paging.cursor_of(cursor)
    bound = SQL.bind("listed", state=state, agent=agent, before_at=at, before_id=last, limit=limit + 1)
    rows = await pool.fetch(*bound)
    following = paging.next_of(rows[limit - 1], "asked_at", "approval_id") if len(rows) > limit else None
    return [document(row) for row in rows[:limit]], following


async def standing(pool: Any, limit: int) -> list[dict[str, Any]]:
    """What people have agreed to beforehand, the open ones first."""
    return [_standing(row) for row in await pool.fetch(*SQL.bind("standing", limit=limit))]


async def named(pool: Any, given: str) -> Any:
    """The one that waits, or else the only one. Raises NotFound or BadInput."""
    if len(given.strip()) < SHORTEST_ID:
        told = f"at least {SHORTEST_ID} characters of it are needed."
        raise BadInput("option.invalid", told, field="ID", remedy="See `viox approvals`.")
    rows = await pool.fetch(*SQL.bind("named", text=given.strip().lower()))
    if not rows:
        raise NotFound(
            "approval.not_found", f"nothing begins with {given!r}.", field="ID", remedy="See `viox approvals`."
        )
    exact = [row for row in rows if given in (row["approval_id"], row["call_id"])] or rows
    waiting = [row for row in exact if row["state"] == "waiting"] or exact
    if len({row["call_id"] for row in waiting}) > 1:
        told = ", ".join(row["approval_id"] for row in waiting)
        raise BadInput("option.ambiguous", f"{given!r} may be {told}.", field="ID", remedy="Give more of it.")
    return waiting[0]


def decider(people: People, row: Any, by: str | None) -> Person:
    """Who decides: somebody who may, or one of those a question was put to. Raises BadInput."""
    asked = [one for one in people if one.name in (row["audience"] or ())]
    if by is None and len(asked) == 1:
        return asked[0]
    named_one = next((one for one in asked if by is not None and one.name.casefold() == by.casefold()), None)
    return named_one or people.approver(by)


async def approve(pool: Any, row: Any, person: Person, agreement: Agreement, look_up: Lookup) -> tuple[str, str | None]:
    """(`approved` or `counted`, the id of the standing approval that was given). Raises BadInput or Conflict as the decision does."""
    if agreement.lasting and row["people"] > 1:
        told = f"{row['people']} people have to agree to each such call."
        raise BadInput("approval.not_repeatable", told, field="--times", remedy="Agree to this one alone.")
    if agreement.changed is None:
        _check_seen(row, agreement.seen)
    tool, _ = await look_up(row["tool"], agreement.changed, "") if agreement.changed is not None else (None, None)
    came = await decisions.approve(pool, row, person, agreement.changed, tool)
    if not agreement.lasting or came != "approved":
        return came, None
    agreed = await named(pool, row["approval_id"])
    _, shape = await look_up(row["tool"], agreed["arguments"], agreed["arguments_sha256"])
    end = agreement.until or datetime.now(UTC) + timedelta(days=DEFAULT_DAYS)
    return came, await decisions.give(pool, agreed, person, shape, agreement.times or MOST_CALLS, end)


def _check_seen(row: Any, seen: str | None) -> None:
    """Who was told of the agent's arguments has not seen those that another person put in their place. Raises Conflict."""
    if row["arguments_sha256"] == row["asked_sha256"] or row["state"] != "waiting":
        return
    if seen is None or len(seen) < SEEN_DIGITS or not row["arguments_sha256"].startswith(seen.lower()):
        raise Conflict(
            "approval.changed",
            f"somebody changed the arguments: {orjson.dumps(row['arguments']).decode()}",
            field="--seen",
            remedy=f"To agree to these, add --seen {row['arguments_sha256'][:SEEN_DIGITS]}.",
        )


def end(given: str | None, field: str = "--until") -> datetime:
    """Until when such calls are agreed to: RFC 3339, or a span from now. Without it a month from now. Raises BadInput."""
    asked = paging.parse_moment(given, field=field, ahead=True)
    now = datetime.now(UTC)
    last = asked or now + timedelta(days=DEFAULT_DAYS)
    if not now < last <= now + timedelta(days=LONGEST_DAYS):
        told = f"{given} is over, or more than {LONGEST_DAYS} days away."
        raise BadInput("option.invalid", told, field=field, remedy="A time to come, or a span such as 7d.")
    return last


def arguments(given: str | None, field: str = "--args") -> dict[str, Any] | None:
    """All arguments of a call as a person typed them. Raises BadInput."""
    if given is None:
        return None
    try:
        found = orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            "option.invalid", f"not JSON: {error}.", field=field, remedy="All arguments as one object."
        ) from error
    if not isinstance(found, dict):
        raise BadInput("option.invalid", "not a JSON object.", field=field, remedy="All arguments as one object.")
    return found


def _standing(row: Any) -> dict[str, Any]:
    times = {name: row[name].isoformat() if row[name] else None for name in ("until", "given_at", "revoked_at")}
    return dict(row) | times


def shape(standing: Mapping[str, Any]) -> str:
    """Which calls a standing approval covers, in words."""
    parts = [f"to {', '.join(standing['counterparties'])}"] if standing["counterparties"] else []
    if standing["most_minor"] is not None:
        minor, currency = standing["most_minor"], standing["currency"]
        parts.append(f"up to {as_written(minor, currency) if currency else minor}")
    return " ".join(parts) or f"exactly {standing['arguments_sha256'][:12]}"
