"""`viox erase ENTITY`: what is known of somebody is erased, after it was counted."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from shared.errors import BadInput
from viox import deployment, output

SHORTEST = 5  # characters of an address: a shorter one would be found in everything
PLURALS = ("calls", "entries", "payloads", "facts", "notes", "steps", "messages")


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


async def erase(entity: str, reason: str, by: str | None, *, yes: bool, as_json: bool) -> None:
    """Raises BadInput for an entity that is no address, a reason that names it, or somebody who may not."""
    from shared.audit.store import SQL

    words = words_of(entity)
    if not reason.strip() or any(word in reason.lower() for word in words):
        told = "the reason is empty." if not reason.strip() else "the reason names whom it is about, and it stays."
        raise BadInput("option.invalid", told, field="--reason", remedy="For instance: request of 30 November.")
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        bound = SQL.bind("erase", entity=entity, words=words, person=person.name, why=reason, dry=not yes)
        found: dict[str, Any] = await pool.fetchval(*bound)
    finally:
        await pool.close()
    if as_json:
        output.emit({"erased": yes, "by": person.name, "found": found})
        return
    output.say(("erased: " if yes else "there are: ") + ", ".join(f"{found[name]} {name}" for name in PLURALS))
    if found["open_calls"]:
        output.say(f"{found['open_calls']} calls are still open and were left: try again when they have ended")
    if not yes:
        output.say("nothing was changed; --yes erases it")
