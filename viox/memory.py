"""`viox memory ENTITY`: what is remembered about it, who says so and since when, and who else it is; and in a person's name
forgetting it, or saying that it is the same person as another, or is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.errors import BadInput
from shared.operations import links, memory
from viox import deployment, output

EVERYTHING = ("all", "--all")


async def show(entity: str, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """Facts and notes, newest first, what was forgotten, and who else it is or may be."""
    memory.check(entity)
    pool = await deployment.pool()
    try:
        items, following, forgotten = await memory.remembered(pool, entity, cursor, limit)
        linked, others = await links.links_of(pool, entity), await links.connected(pool, entity)
    finally:
        await pool.close()
    if as_json:
        more = {"forgotten": forgotten, "links": linked, "same_person": others}
        output.emit(output.listing(items, following) | more)
        return
    output.table(
        ["id", "since", "by", "sure", "", "what"], [_row(item) for item in items], empty="nothing is remembered of it"
    )
    output.more(following)
    _tell_links(entity, linked, others)
    for one in forgotten:
        output.say(f"forgotten: a {one['kind']} ({one['id']}), by {one['by']}, {one['at']}" + _why(one["reason"]))


async def forget(
    entity: str, ids: Sequence[str], by: str | None, reason: str | None, *, with_linked: bool = False, as_json: bool
) -> None:
    """Forget these facts and notes of an entity, or with `all` everything about it; and say who else it is, of whom nothing was
    forgotten. Raises BadInput, NotFound."""
    memory.check(entity)
    everything = bool(set(ids) & set(EVERYTHING))
    if everything and len(ids) > 1:
        raise BadInput(
            "option.invalid", "ids and all exclude each other.", field="--forget", remedy="Give one of them."
        )
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        others = await links.connected(pool, entity)
        items = None if everything else ids
        forgotten = await memory.forget(pool, entity, items, person, reason, with_linked=with_linked)
    finally:
        await pool.close()
    left = [one for one in others if not (with_linked and one["state"] == "confirmed")]
    if as_json:
        told = {"entity": entity, "forgotten": forgotten, "by": person.name, "reason": reason}
        output.emit(told | {"left": left})
        return
    output.say(f"{person.name} had {len(forgotten)} forgotten: {', '.join(one['id'] for one in forgotten)}")
    for one in left:
        output.say(left_in_words(one))


async def say(entity: str, other: str, word: links.Word, by: str | None, reason: str | None, *, as_json: bool) -> None:
    """A person's word that two entities are one person, or are not. Raises BadInput, Conflict."""
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        link = await links.say(pool, entity, other, word, person, reason)
        others = await links.connected(pool, entity)
    finally:
        await pool.close()
    if as_json:
        output.emit({"entity": entity, "link": link, "same_person": others})
        return
    is_same = "the same person as" if word == "confirmed" else "not the same person as"
    output.say(f"{link['said_by']} says: {entity} is {is_same} {link['entity']}")
    if word == "denied" and any(one["entity"] == link["entity"] and one["state"] == "confirmed" for one in others):
        output.say("they are still one by way of others, each of which is confirmed to be the same person")
    for one in others:
        output.say(f"{_IS[one['state']]}: {one['entity']} ({_entries(one)})")


def left_in_words(one: dict[str, Any]) -> str:
    """Somebody who is or may be the same person, and was left as they are."""
    state = "confirmed to be" if one["state"] == "confirmed" else "who may be"
    return f"left: {one['entity']}, {state} the same person ({_entries(one)})"


_IS = {"confirmed": "same person", "claimed": "may be the same person"}


def _entries(one: dict[str, Any]) -> str:
    number = one["remembered"]
    return f"{number} {'entry' if number == 1 else 'entries'}"


def _tell_links(entity: str, linked: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> None:
    """Who else it is or may be, how that is known, and what can be done about it."""
    direct = {one["entity"]: one for one in linked if not one["ended_at"]}
    for other in others:
        known = direct.get(other["entity"])
        how = f"{known['basis']}, {known['said_by']}, {known['created_at']}" if known else "by way of the others"
        outside = ", from outside" if known and known["from_outside"] else ""
        why = _why(known["reason"]) if known else ""
        output.say(f"{_IS[other['state']]}: {other['entity']} ({_entries(other)}; {how}{outside}){why}")
        if other["state"] == "claimed":
            word = f"viox memory {entity} --same-as {other['entity']} --by NAME --reason ..."
            output.say(f"  nobody has confirmed it: {word}, or --not-same-as")
    for one in linked:
        if one["ended_at"]:
            output.say(f"no longer {one['state']}: {one['entity']} ({one['ended_because']}, {one['ended_at']})")
        elif one["state"] == "denied":
            output.say(f"not the same person: {one['entity']}, by {one['said_by']}" + _why(one["reason"]))


def _row(item: dict[str, Any]) -> tuple[Any, ...]:
    sure = "" if item["confidence"] is None else f"{item['confidence']:.0%}"
    marks = [
        word for word, holds in (("from outside", item["from_outside"]), ("replaced", item["replaced_by"])) if holds
    ]
    by = f"{item['agent'] or '?'} {(item['source']['run_id'] or '')[:8]}".strip()
    return item["id"], item["created_at"], by, sure, ", ".join(marks), item["text"]


def _why(reason: str | None) -> str:
    return f": {reason}" if reason else ""
