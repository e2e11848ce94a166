"""Ids as people type them: whole, or so much of the beginning that only one fits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from shared.errors import BadInput, NotFound
from shared.operations import store
from shared.runs import timestamp

TOLD = 5  # candidates in the message about an ambiguous id
_HEX = re.compile(r"[0-9a-f]{1,32}")
_CALL = re.compile(r"(?P<run>[0-9a-f-]+)(?P<rest>\.\d*(?:\.\d*)?)?")


async def run(pool: Any, text: str, field: str = "run") -> UUID:
    """Raises BadInput when it is no id or fits several, NotFound when it fits none."""

    def told(row: Any) -> tuple[str, str]:
        return str(row["run_id"]), f"{row['agent']}, {timestamp(row['started_at'])}"

    return await _found(pool, text, "run", field, "runs_between", told)


async def dead_letter(pool: Any, text: str, field: str = "id") -> UUID:
    """Raises as `run` does."""

    def told(row: Any) -> tuple[str, str]:
        return str(row["dead_letter_id"]), f"{row['service']}, {row['code']}"

    return await _found(pool, text, "dead letter", field, "dead_letters_between", told)


async def loop(pool: Any, text: str, field: str = "--release") -> UUID:
    """A stopped loop. Raises as `run` does."""
    first, last = _span(text, "loop", field)
    rows = [row for row in await pool.fetch(store.SQL["webhook_trips"]) if first <= row["trip_id"] <= last]
    found = {str(row["trip_id"]): f"{row['agent'] or 'all'}, {row['subject']}" for row in rows}
    return UUID(_only(text, "loop", field, found, "See `viox webhooks`."))


async def call(pool: Any, text: str, field: str = "call") -> str:
    """A call is named by its run, step and index: the run may be shortened, and index and step left out."""
    match = _CALL.fullmatch(text.strip().lower())
    if match is None:
        raise _no_id(text, "call", field)
    first, last = _span(match["run"], "call", field, given=text)
    rest = match["rest"] or ""
    if first == last and rest.count(".") == 2 and not rest.endswith("."):
        return f"{first}{rest}"
    rows = await pool.fetch(store.SQL["calls_between"], first, last, rest, TOLD + 1)
    found = {row["call_id"]: f"{row['tool']}, {row['state']}" for row in rows}
    of_step = {key: told for key, told in found.items() if f"{key[36:]}.".startswith(f"{rest}.")}
    return _only(text, "call", field, of_step or found, "See `viox calls`.")


async def _found(
    pool: Any, text: str, what: str, field: str, query: str, told: Callable[[Any], tuple[str, str]]
) -> UUID:
    """The one id that begins so. `told` makes of a row the id and what a person knows it by."""
    first, last = _span(text, what, field)
    if first == last:
        return first
    rows = await pool.fetch(store.SQL[query], first, last, TOLD + 1)
    listing = what.replace(" ", "-") + "s"
    return UUID(_only(text, what, field, dict(map(told, rows)), f"See `viox {listing}`."))


def _span(text: str, what: str, field: str, given: str | None = None) -> tuple[UUID, UUID]:
    """The first and the last id that begin so."""
    digits = text.strip().lower().replace("-", "")
    if not _HEX.fullmatch(digits):
        raise _no_id(given or text, what, field)
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _no_id(text: str, what: str, field: str) -> BadInput:
    return BadInput(
        "option.invalid",
        f"{text!r} is not the id of a {what}.",
        field=field,
        remedy="Give the id or its first characters.",
    )


def _only(text: str, what: str, field: str, found: dict[str, str], remedy: str) -> str:
    if not found:
        raise NotFound(
            f"{what.replace(' ', '_')}.not_found", f"no {what} begins with {text}.", field=field, remedy=remedy
        )
    if len(found) == 1:
        return next(iter(found))
    told = "; ".join(f"{key} ({about})" for key, about in list(found.items())[:TOLD])
    more = "; and more" if len(found) > TOLD else ""
    raise BadInput(
        "id.ambiguous", f"{text} fits several: {told}{more}.", field=field, remedy="Give more of its characters."
    )
