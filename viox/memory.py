"""`viox memory ENTITY`: what is remembered about it, who says so and since when; and forgetting it, in a person's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.errors import BadInput
from shared.operations import memory
from viox import deployment, output

EVERYTHING = ("all", "--all")


async def show(entity: str, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """Facts and notes, newest first, and what was forgotten."""
    memory.check(entity)
    pool = await deployment.pool()
    try:
        items, following, forgotten = await memory.remembered(pool, entity, cursor, limit)
    finally:
        await pool.close()
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
    memory.check(entity)
    everything = bool(set(ids) & set(EVERYTHING))
    if everything and len(ids) > 1:
        raise BadInput(
            "option.invalid", "ids and all exclude each other.", field="--forget", remedy="Give one of them."
        )
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        forgotten = await memory.forget(pool, entity, None if everything else ids, person, reason)
    finally:
        await pool.close()
    if as_json:
        output.emit({"entity": entity, "forgotten": forgotten, "by": person.name, "reason": reason})
    else:
        output.say(f"{person.name} had {len(forgotten)} forgotten: {', '.join(one['id'] for one in forgotten)}")


def _row(item: dict[str, Any]) -> tuple[Any, ...]:
    sure = "" if item["confidence"] is None else f"{item['confidence']:.0%}"
    marks = [
        word for word, holds in (("from outside", item["from_outside"]), ("replaced", item["replaced_by"])) if holds
    ]
    by = f"{item['agent'] or '?'} {(item['source']['run_id'] or '')[:8]}".strip()
    return item["id"], item["created_at"], by, sure, ", ".join(marks), item["text"]


def _why(reason: str | None) -> str:
    return f": {reason}" if reason else ""
