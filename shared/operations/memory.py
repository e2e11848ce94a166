"""What is remembered about an entity, who says so and since when; and forgetting it, in a person's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import BadInput, NotFound
from shared.ids import parse_call_id
from shared.operations import paging
from shared.runs import timestamp
from shared.store.sql import Queries

if TYPE_CHECKING:
    from shared.people import Person

SQL = Queries(Path(__file__).with_suffix(".sql"))


async def remembered(
    pool: Any, entity: str, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None, list[dict[str, Any]]]:
    """(facts and notes, newest first; where the next page begins; what was forgotten). Raises BadInput."""
    check(entity)
    at, last = paging.cursor_of(cursor)
    rows = await pool.fetch(*SQL.bind("remembered", entity=entity, at=at, last=last, limit=limit + 1))
    forgotten = [_forgotten(row) for row in await pool.fetch(*SQL.bind("forgotten", entity=entity, limit=limit))]
    following = paging.next_of(rows[limit - 1], "created_at", "item_id") if len(rows) > limit else None
    return [_item(row) for row in rows[:limit]], following, forgotten


async def forget(
    pool: Any,
    entity: str,
    items: Sequence[str] | None,
    person: Person,
    reason: str | None,
    *,
    with_linked: bool = False,
) -> list[dict[str, Any]]:
    """Forget these facts, notes and links of an entity, or without any everything about it; `with_linked`: and of all that are
    confirmed to be the same person. All or none. Raises BadInput, NotFound."""
    check(entity)
    given = {"items": None if items is None else list(items), "person": person.name, "reason": reason}
    async with pool.acquire() as connection, connection.transaction():
        same = [row["entity"] for row in await connection.fetch(*SQL.bind("same", entity=entity))]
        rows: list[Any] = []
        for one in same if with_linked else same[:1]:
            rows += await connection.fetch(*SQL.bind("forget", entity=one, **given))
        missing = sorted(set(items or ()) - {row["item_id"] for row in rows})
        if missing or not rows:
            told = ", ".join(missing)
            raise NotFound(
                "memory.not_found",
                f"{told} is not remembered of {entity}; nothing was forgotten."
                if missing
                else f"nothing is remembered of {entity}.",
                field="--forget" if missing else "ENTITY",
                remedy=f"See `viox memory {entity}`.",
            )
    return [{"kind": row["kind"], "id": row["item_id"]} for row in rows]


def check(entity: str) -> None:
    """Raises BadInput for what is no kind and name."""
    kind, colon, name = entity.partition(":")
    if not (kind.strip() and colon and name.strip()):
        remedy = "Give kind and name, such as person:ana@example.com or phone:+14155550123."
        raise BadInput("option.invalid", f"{entity!r} is no entity.", field="ENTITY", remedy=remedy)


def _item(row: Any) -> dict[str, Any]:
    named = {key: row[key] for key in ("kind", "entity", "text", "name", "value", "confidence", "agent", "replaced_by")}
    times = {key: timestamp(row[key]) for key in ("created_at", "replaced_at")}
    return (
        {"id": row["item_id"]}
        | named
        | {"from_outside": row["tainted"], "source": source_of(row["source_call"])}
        | times
    )


def source_of(call: str) -> dict[str, Any]:
    """The run and step of a call that wrote something; without them for what is no call of a run."""
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
