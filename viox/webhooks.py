"""`viox webhooks`: the addresses to register at the vendors, whether they are configured, and how deliveries went."""

from __future__ import annotations

from typing import Any

from shared.errors import Unavailable
from shared.runs import timestamp
from viox import deployment, output
from viox.store import SQL

COUNTED = ("accepted", "repeated", "ignored", "held", "unfit", "refused")


async def show(*, as_json: bool) -> None:
    """Print every source that the gateway has told of."""
    pool = await deployment.pool()
    try:
        items = [document(row) for row in await pool.fetch(SQL["webhooks"])]
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
        output.emit(output.listing(items, None))
    else:
        _print(items)


def document(row: Any) -> dict[str, Any]:
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


def _standing(item: dict[str, Any]) -> str:
    if item["configured"]:
        return "yes"
    return item["problem"] or f"no: set {' or '.join(item['missing'])}"


def _verdict(last: dict[str, Any] | None) -> str:
    if last is None:
        return "never"
    why = f" ({last['code']})" if last["code"] else ""
    return f"{last['at']} {last['verdict']}{why}"
