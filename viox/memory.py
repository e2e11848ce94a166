"""`viox memory ENTITY`: what is remembered about it, who says so and since when; and forgetting it, in a person's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.errors import BadInput, NotFound
from shared.ids import parse_call_id
from shared.runs import timestamp
from shared.store.sql import Queries
from viox import deployment, output, store

SQL = Queries(Path(__file__).with_suffix(".sql"))
EVERYTHING = ("all", "--all")


async def show(entity: str, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """Facts and notes, newest first, and what was forgotten."""
    _check(entity)
    at, last = store.cursor_of(cursor)
    pool = await deployment.pool()
    try:
        rows = await pool.fetch(*SQL.bind("remembered", entity=entity, at=at, last=last, limit=limit + 1))
        forgotten = [_forgotten(row) for row in await pool.fetch(*SQL.bind("forgotten", entity=entity, limit=limit))]
    finally:
        await pool.close()
    following = store.next_of(rows[limit - 1], "created_at", "item_id") if len(rows) > limit else None
    items = [_item(row) for row in rows[:limit]]
    if as_json:
        output.emit(output.listing(items, following) | {"forgotten": forgotten})
        return
    output.table(
        ["id", "since", "by", "sure", "", "what"], [_row(item) for item in items], empty="nothing is remembered of it"
    )
    output.more(following)
    for one in forgotten:
        output.say(f"forgotten: a {one['kind']} ({one['id']}), by {one['by']}, {one['at']}" + _why(one["reason"]))


async def forget(entity: str, ids: Sequence[str], by: str | None, reason: str | None, *, as_json: bool) -> None:
    """Forget these facts and notes of an entity, or with `all` everything about it. Raises BadInput, NotFound."""
    _check(entity)
    everything = bool(set(ids) & set(EVERYTHING))
    if everything and len(ids) > 1:
        raise BadInput(
            "option.invalid", "ids and all exclude each other.", field="--forget", remedy="Give one of them."
        )
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        async with pool.acquire() as connection, connection.transaction():
            given = {
                "entity": entity,
                "items": None if everything else list(ids),
                "person": person.name,
                "reason": reason,
            }
            rows = await connection.fetch(*SQL.bind("forget", **given))
            missing = sorted(set(ids) - {row["item_id"] for row in rows}) if not everything else []
            if missing or not rows:
                told = ", ".join(missing) or "nothing"
                raise NotFound(
                    "memory.not_found",
                    f"{told} is not remembered of {entity}; nothing was forgotten."
                    if missing
                    else f"nothing is remembered of {entity}.",
                    field="--forget" if missing else "ENTITY",
                    remedy=f"See `viox memory {entity}`.",
                )
    finally:
        await pool.close()
    forgotten = [{"kind": row["kind"], "id": row["item_id"]} for row in rows]
    if as_json:
        output.emit({"entity": entity, "forgotten": forgotten, "by": person.name, "reason": reason})
    else:
        output.say(f"{person.name} had {len(forgotten)} forgotten: {', '.join(one['id'] for one in forgotten)}")


def _check(entity: str) -> None:
    kind, colon, name = entity.partition(":")
    if not (kind.strip() and colon and name.strip()):
        remedy = "Give kind and name, such as person:ana@example.com or phone:+14155550123."
        raise BadInput("option.invalid", f"{entity!r} is no entity.", field="ENTITY", remedy=remedy)


def _item(row: Any) -> dict[str, Any]:
    named = {key: row[key] for key in ("kind", "entity", "text", "name", "value", "confidence", "agent", "replaced_by")}
    times = {key: timestamp(row[key]) for key in ("created_at", "replaced_at")}
    return (
        {"id": row["item_id"]} | named | {"from_outside": row["tainted"], "source": _source(row["source_call"])} | times
    )


def _source(call: str) -> dict[str, Any]:
    try:
        run, step, _ = parse_call_id(call)
    except ValueError:
        return {"call_id": call, "run_id": None, "step": None}
    return {"call_id": call, "run_id": str(run), "step": step}


def _forgotten(row: Any) -> dict[str, Any]:
    return {key: row[key] for key in ("kind", "by", "reason", "call_id")} | {
        "id": row["item_id"],
        "at": timestamp(row["at"]),
    }


def _row(item: dict[str, Any]) -> tuple[Any, ...]:
    sure = "" if item["confidence"] is None else f"{item['confidence']:.0%}"
    marks = [
        word for word, holds in (("from outside", item["from_outside"]), ("replaced", item["replaced_by"])) if holds
    ]
    by = f"{item['agent'] or '?'} {(item['source']['run_id'] or '')[:8]}".strip()
    return item["id"], item["created_at"], by, sure, ", ".join(marks), item["text"]


def _why(reason: str | None) -> str:
    return f": {reason}" if reason else ""
