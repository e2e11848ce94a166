"""`viox erase ENTITY`: what is known of somebody is erased, after it was counted."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from shared.audit.store import SQL
from shared.errors import BadInput
from shared.operations import links
from viox import deployment, output
from viox.memory import left_in_words

SHORTEST = 5  # characters of an address: a shorter one would be found in everything
PLURALS = ("calls", "entries", "payloads", "facts", "notes", "links", "steps", "messages")


def words_of(entity: str) -> list[str]:
    """The ways in which an address is written in what was sent and read, in lower case. Raises BadInput for what is none."""
    kind, colon, name = (part.strip() for part in entity.partition(":"))
    if not (kind and colon and len(name) >= SHORTEST):
        remedy = "Give kind and address, such as person:ana@example.com or phone:+14155550123."
        raise BadInput("option.invalid", f"{entity!r} is no address of anybody.", field="ENTITY", remedy=remedy)
    plain = name.lower()
    if plain.startswith("+"):
        plain = "+" + "".join(one for one in plain if one.isdecimal())
    escaped = json.dumps(plain)[1:-1]
    return sorted(
        {plain, quote(plain, safe="").lower(), escaped.lower()} | ({plain[1:]} if plain.startswith("+") else set())
    )


async def erase(entity: str, reason: str, by: str | None, *, with_linked: bool, yes: bool, as_json: bool) -> None:
    """With `with_linked` also what is known of all that are confirmed to be the same person. Raises BadInput for an entity that is
    no address, a reason that names one of them, or somebody who may not."""
    words_of(entity)
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        others = await links.connected(pool, entity)
        included = [one["entity"] for one in others if with_linked and one["state"] == "confirmed"]
        _check_reason(reason, [entity, *included])
        found = await _erased(pool, [entity, *included], person.name, reason, dry=not yes)
    finally:
        await pool.close()
    left = [one for one in others if one["entity"] not in included]
    if as_json:
        told = {"erased": yes, "by": person.name, "found": found.pop(entity)}
        output.emit(told | {"with_linked": found, "left": left})
        return
    for one, counted in found.items():
        _tell(one, counted, yes=yes)
    for other in left:
        output.say(left_in_words(other))
    if any(other["state"] == "confirmed" for other in left):
        output.say("--with-linked takes those along that are confirmed")
    if not yes:
        output.say("nothing was changed; --yes erases it")


async def _erased(pool: Any, entities: list[str], person: str, reason: str, *, dry: bool) -> dict[str, Any]:
    """What there is of each; erased, all or none, unless `dry`."""
    found: dict[str, Any] = {}
    async with pool.acquire() as connection, connection.transaction():
        for one in entities:
            bound = SQL.bind("erase", entity=one, words=words_of(one), person=person, why=reason, dry=dry)
            found[one] = await connection.fetchval(*bound)
    return found


def _check_reason(reason: str, entities: list[str]) -> None:
    named = any(word in reason.lower() for one in entities for word in words_of(one))
    if not reason.strip() or named:
        told = "the reason names whom it is about, and it stays." if named else "the reason is empty."
        raise BadInput("option.invalid", told, field="--reason", remedy="For instance: request of 30 November.")


def _tell(entity: str, found: dict[str, Any], *, yes: bool) -> None:
    counted = ", ".join(f"{found[name]} {name}" for name in PLURALS)
    output.say(f"{entity}: {'erased' if yes else 'there are'}: {counted}")
    if found["open_calls"]:
        output.say(f"{found['open_calls']} calls are still open and were left: try again when they have ended")
