"""Which entities are one person: what agents claim, what the CRM's record proves, and who else somebody is or may be.

Whether a link is confirmed is derived here from calls on record (`proof`); no agent can say it. What a person of the business
said stands above both, and is written by the command line and the console.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.tool_gateway.memory.proof import LookUp, Pair, Proof, pair_of, proof_of
from shared.errors import BadInput
from shared.store.pool import Pool
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
MOST = 8  # entities that are one person; `same_person` finds no more


async def link(pool: Pool, given: Mapping[str, Any]) -> dict[str, Any]:
    """Put down that two entities are one person: confirmed where the record proves it, else claimed. Raises BadInput."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(SQL["lock"])
        pair = await _pair(connection, given)
        proof = await _proof(connection, pair, given)
        standing = await connection.fetchrow(*_bound("standing", pair))
        if proof.holds:
            await connection.execute(*_bound("end_of_contact", pair, contact=proof.contact, by=given["call_id"]))
        if standing and standing["state"] != "claimed":
            return _told(standing, new=False)
        missing = proof.missing or await _too_many(connection, pair)
        if missing and standing:
            return _told(standing, new=False, missing=missing)
        if standing:
            await connection.execute(*SQL.bind("end_claim", link=standing["link_id"], by=given["call_id"]))
        row = await connection.fetchrow(
            *_bound(
                "link",
                pair,
                state="claimed" if missing else "confirmed",
                basis=f"HubSpot contact {proof.contact}" if proof.contact else given.get("basis") or "an agent's word",
                contact=proof.contact,
                call=given["call_id"],
            )
        )
        return _told(row, new=True, missing=missing)


async def same_person(pool: Pool, entity: str | None) -> list[str] | None:
    """The entity as it is written, and those that are confirmed to be the same person, nearest first."""
    return [row["entity"] for row in await pool.fetch(*SQL.bind("same", entity=entity))] if entity else None


async def known_as(pool: Pool, entity: str) -> list[dict[str, Any]]:
    """Who else an entity is, or may be. `from_outside`: a stranger may have wanted that to be believed."""
    rows = await pool.fetch(*SQL.bind("known_as", entity=entity))
    return [
        {name: row[name] for name in ("entity", "state", "basis", "said_by")}
        | {"since": row["created_at"], "from_outside": row["tainted"]}
        | ({} if row["state"] == "confirmed" else {"note": "may be the same person; not confirmed"})
        for row in rows
    ]


async def _pair(connection: Any, given: Mapping[str, Any]) -> Pair:
    row = await connection.fetchrow(*SQL.bind("keys", entity=given["entity"], other=given["other"]))
    pair = pair_of(row["entity"], row["other"])
    if pair is None:
        raise BadInput(
            "memory.no_pair",
            "only a mail address and a phone number are linked by agents.",
            field="other",
            remedy="Give person:ana@example.com and phone:+14155550123.",
        )
    return pair


async def _proof(connection: Any, pair: Pair, given: Mapping[str, Any]) -> Proof:
    named = [given.get("contact_call"), given.get("number_call")]
    rows = await connection.fetch(*SQL.bind("look_ups", call=given["call_id"], calls=[one for one in named if one]))
    found = {row["call_id"]: LookUp(row["tool"], row["arguments"], row["result"]) for row in rows}
    contact, number = (found.get(one) if one else None for one in named)
    return proof_of(pair, contact, number)


async def _too_many(connection: Any, pair: Pair) -> str:
    """Why a proof is not enough by itself; nothing where it is."""
    other = await connection.fetchval(*SQL.bind("others_of_number", person=pair.person, phone=pair.phone))
    if other is not None:
        return f"the number is confirmed to be that of {other}"
    many = await connection.fetchval(*SQL.bind("together", one=pair.person, two=pair.phone))
    return "" if many <= MOST else f"more than {MOST} entities would be one person"


def _bound(name: str, pair: Pair, **more: Any) -> tuple[Any, ...]:
    return SQL.bind(name, one=pair.person, two=pair.phone, **more)


def _told(row: Any, *, new: bool, missing: str = "") -> dict[str, Any]:
    told = {"link": row["link_id"], "entity": row["entity"], "other": row["other"], "state": row["state"]}
    return told | {"basis": row["basis"], "said_by": row["said_by"], "new": new} | ({"why": missing} if missing else {})
