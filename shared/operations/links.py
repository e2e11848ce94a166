"""Which entities of memory are the same person: what is said of it, and a person's own word, which stands above all others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from shared.errors import BadInput, Conflict
from shared.operations.memory import check, source_of
from shared.runs import timestamp
from shared.store.sql import Queries

if TYPE_CHECKING:
    from shared.people import Person

SQL = Queries(Path(__file__).with_suffix(".sql"))
MOST_SHOWN = 100
Word = Literal["confirmed", "denied"]


async def links_of(pool: Any, entity: str) -> list[dict[str, Any]]:
    """Every link of an entity: to whom, in which state, on what basis, who said so; those that have ended, and why."""
    check(entity)
    return [_link(row) for row in await pool.fetch(*SQL.bind("links", entity=entity, limit=MOST_SHOWN))]


async def connected(pool: Any, entity: str) -> list[dict[str, Any]]:
    """Who else it is (confirmed), nearest first, and who it may be (claimed); with how much is remembered of each."""
    check(entity)
    return [dict(row) for row in await pool.fetch(*SQL.bind("connected", entity=entity, limit=MOST_SHOWN))]


async def claimed(pool: Any, limit: int) -> list[dict[str, Any]]:
    """Claims that no person and no record has decided on, newest first: who may be whom, who said so and on what basis."""
    rows = await pool.fetch(*SQL.bind("claimed", limit=limit))
    return [
        {name: row[name] for name in ("entity", "other", "basis", "said_by")}
        | {"id": row["link_id"], "from_outside": row["tainted"], "created_at": timestamp(row["created_at"])}
        for row in rows
    ]


async def say(pool: Any, entity: str, other: str, word: Word, person: Person, reason: str | None) -> dict[str, Any]:
    """A person's word on whether two entities are one person. Raises BadInput, Conflict."""
    check(entity)
    check(other)
    if not (reason or "").strip():
        raise BadInput("option.missing", "it has no reason.", field="--reason", remedy="Say how it is known.")
    if await pool.fetchval(*SQL.bind("same_key", entity=entity, other=other)):
        raise BadInput("memory.same_entity", "both are the same entity.", field="OTHER", remedy="Name two.")
    given = {"entity": entity, "other": other, "said": word, "person": person.name, "reason": reason}
    try:
        return _link(await pool.fetchrow(*SQL.bind("link", **given)))
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "person_links_most":
            raise
        remedy = f"See `viox memory {entity}` and `viox memory {other}`, and say who is not the same."
        raise Conflict("memory.too_many", f"{error}.", field="OTHER", remedy=remedy) from error


def _link(row: Any) -> dict[str, Any]:
    told = {name: row[name] for name in ("state", "basis", "said_by", "reason", "ended_by", "ended_because")}
    told |= {"id": row["link_id"], "entity": row["whom"], "by_person": row["is_person"], "from_outside": row["tainted"]}
    source = source_of(row["source_call"]) if row["source_call"] else None
    return told | {"source": source} | {name: timestamp(row[name]) for name in ("created_at", "ended_at")}
