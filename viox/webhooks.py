"""`viox webhooks`: the addresses to register at the vendors, whether they are configured, how deliveries went, how far the
vendors' lists have been read, and which loops were stopped, with their release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.errors import NotFound, Unavailable
from shared.operations import identify
from shared.operations.store import SQL
from shared.runs import timestamp
from viox import deployment, output

COUNTED = ("accepted", "repeated", "ignored", "held", "unfit", "refused")


async def show(*, as_json: bool) -> None:
    """Print every source that the gateway has told of."""
    pool = await deployment.pool()
    try:
        polls = [poll_document(row) for row in await pool.fetch(SQL["webhook_pollers"])]
        items = [document(row, polls) for row in await pool.fetch(SQL["webhooks"])]
        loops = [loop_document(row) for row in await pool.fetch(SQL["webhook_trips"])]
    finally:
        await pool.close()
    if not items:
        raise Unavailable(
            "webhooks.none",
            "the gateway has not said yet which webhooks it takes.",
            field="gateway",
            remedy="Start it, and see `viox status`.",
        )
    address = (deployment.state() or {}).get("gateway_url")
    for item in items:
        item["url"] = item["url"] if "://" in item["url"] else f"{address or ''}{item['url']}"
    if as_json:
        output.emit({**output.listing(items, None), "loops": loops})
    else:
        _print(items)
        _print_polls(items)
        _print_loops(loops)


async def release(loop: str, by: str, *, as_json: bool) -> None:
    """Let events of a stopped loop in again: those that were held, and what comes. Raises BadInput, NotFound."""
    pool = await deployment.pool()
    try:
        trip = await identify.loop(pool, loop)
        async with pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(SQL["release_trip"], trip, by)
            if row is None:
                raise NotFound("loop.released", f"{trip} was released already.", field="--release")
            letters = await connection.fetch(SQL["redrive_held"], row["letters"])
            await connection.execute("select pg_notify('viox_redrive', '')")
    finally:
        await pool.close()
    if as_json:
        output.emit({"released": str(trip), "by": by, "redriven": [str(one["dead_letter_id"]) for one in letters]})
    else:
        output.say(f"released; {len(letters)} held deliveries are taken in again")


def poll_document(row: Any) -> dict[str, Any]:
    """One list as `--json` has it."""
    last = {"at": timestamp(row["round_at"]), "found": row["round_found"], "caught": row["round_caught"]}
    return {
        "webhook": row["webhook"],
        "list": row["part"],
        "position": timestamp(row["positioned_at"]),
        "rounds": row["rounds"],
        "found": row["found"],
        "caught": row["caught"],
        "last": last if row["round_at"] else None,
        "problem": row["problem"],
        "lost": row["lost"],
    }


def loop_document(row: Any) -> dict[str, Any]:
    """One stopped loop as `--json` has it. Without agent: everything that calls of ours cause."""
    return {
        "loop_id": str(row["trip_id"]),
        "agent": row["agent"] or None,
        "source": row["source"] or None,
        "subject": row["subject"] or None,
        "events": row["events"],
        "held": row["held"],
        "stopped_at": timestamp(row["tripped_at"]),
    }


def document(row: Any, polls: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """One source as `--json` has it."""
    return {
        "webhook": row["webhook"],
        "url": row["url"],
        "scheme": row["scheme"],
        "configured": row["configured"],
        "missing": [] if row["configured"] or row["problem"] else list(row["secrets"]),
        "problem": row["problem"],
        "last": _last(row),
        "counts": {name: row[name] for name in COUNTED},
        "events": row["events"],
        "poll_seconds": row["poll_seconds"],
        "lists": [
            {k: v for k, v in one.items() if k != "webhook"} for one in polls if one["webhook"] == row["webhook"]
        ],
    }


def _last(row: Any) -> dict[str, Any] | None:
    if row["last_at"] is None:
        return None
    return {"at": timestamp(row["last_at"]), "verdict": row["verdict"], "code": row["code"], "detail": row["detail"]}


def _print(items: list[dict[str, Any]]) -> None:
    rows = [
        (
            item["webhook"],
            item["url"],
            _standing(item),
            _verdict(item["last"]),
            item["events"],
            item["counts"]["repeated"],
            item["counts"]["refused"],
        )
        for item in items
    ]
    output.table(
        ["source", "url to register", "configured", "last delivery", "events", "repeats", "refused"], rows, empty=""
    )
    if any("127.0.0.1" in item["url"] for item in items):
        output.say("Vendors cannot call this machine's own address: set VIOX_PUBLIC_URL to the one they can.")


def _print_polls(items: list[dict[str, Any]]) -> None:
    rows = [
        (
            item["webhook"],
            one["list"],
            f"{item['poll_seconds']:g} s" if item["poll_seconds"] else "off",
            one["position"],
            one["last"]["at"] if one["last"] else "never",
            one["last"]["caught"] if one["last"] else 0,
            one["caught"],
            _trouble(one),
        )
        for item in items
        for one in item["lists"]
    ]
    if rows:
        output.say("")
        headings = ["source", "list", "read every", "read up to", "last round", "caught", "caught in all", "problem"]
        output.table(headings, rows, empty="")


def _trouble(one: dict[str, Any]) -> str:
    lost = f"not listed any more: {one['lost'][0]} to {one['lost'][1]}" if one["lost"] else ""
    return "; ".join(filter(None, (one["problem"], lost)))


def _print_loops(loops: list[dict[str, Any]]) -> None:
    if loops:
        output.say("")
        rows = [
            (
                one["loop_id"],
                one["agent"] or "all",
                one["source"] or "",
                one["subject"] or "",
                one["held"],
                one["stopped_at"],
            )
            for one in loops
        ]
        output.table(["stopped loop", "agent", "source", "about", "held", "since"], rows, empty="")
        output.say("End what causes it, then `viox webhooks --release LOOP`.")


def _standing(item: dict[str, Any]) -> str:
    if item["configured"]:
        return "yes"
    return item["problem"] or f"no: set {' or '.join(item['missing'])}"


def _verdict(last: dict[str, Any] | None) -> str:
    if last is None:
        return "never"
    why = f" ({last['code']})" if last["code"] else ""
    return f"{last['at']} {last['verdict']}{why}"
