"""`viox clock`: what time it is for the business, and moving that in a sandbox."""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime, timedelta
from typing import Any

from shared.errors import BadInput, Conflict
from shared.operations.store import SQL
from shared.runs import timestamp
from viox import deployment, output

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=3660)
EMULATOR_SECONDS = 10.0


async def show(*, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        (row,) = await pool.fetch(SQL["clock"])
    finally:
        await pool.close()
    _tell(row["now"], row["ahead"] or timedelta(), as_json=as_json, movable=row["ahead"] is not None)


async def advance(given: str, *, as_json: bool) -> None:
    """`viox clock advance`. Raises Conflict outside a sandbox."""
    row = await forward(_span(given))
    _tell(row["now"], row["ahead"], as_json=as_json, movable=True)


async def forward(span: timedelta) -> Any:
    """Move the clock on. Timers, waits and schedules of the time in between are due at once. Raises Conflict outside a sandbox."""
    pool = await deployment.pool()
    try:
        if await pool.fetchval(SQL["advance_clock"], span) is None:
            raise Conflict(
                "clock.not_sandbox",
                "this deployment is no sandbox: its clock is the world's, and people and vendors go by it.",
                field="SPAN",
                remedy="Only a stack of `viox up` with its own Postgres and all vendors emulated has a clock of its own.",
            )
        (row,) = await pool.fetch(SQL["clock"])
    finally:
        await pool.close()
    for vendor, url in (deployment.state() or {}).get("vendors", {}).items():
        _advance_emulator(vendor, url, span)
    return row


def _advance_emulator(vendor: str, url: str, span: timedelta) -> None:
    """What an emulator does later (a delivery report, a call's end) comes as much earlier."""
    body = json.dumps({"skip": span.total_seconds()}).encode()
    request = urllib.request.Request(f"{url}/_sandbox/clock", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=EMULATOR_SECONDS).close()  # noqa: S310  # our own, on this machine
    except OSError as error:
        output.warn(f"the emulator of {vendor} stays behind: {error}")


def _span(given: str) -> timedelta:
    if given[:-1].isdecimal() and given[-1:] in UNITS and len(given) <= 10:
        span = timedelta(**{UNITS[given[-1]]: int(given[:-1])})
        if span <= LONGEST:
            return span
    raise BadInput("option.invalid", f"{given!r} is not a span.", field="SPAN", remedy="For instance 90m, 24h or 2d.")


def _tell(now: datetime, ahead: timedelta, *, as_json: bool, movable: bool) -> None:
    document: dict[str, Any] = {"now": timestamp(now), "ahead_seconds": ahead.total_seconds(), "sandbox": movable}
    if as_json:
        output.emit(document)
    else:
        output.say(f"{document['now']}" + (f", {ahead} ahead of the world" if ahead else ""))
