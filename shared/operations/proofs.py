"""Proofs that what is on record of a call is in the signed log: one for each of its entries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.audit.notes import key_of_log, key_text, proof_text
from shared.audit.store import SQL, Head, Tiles, entries, head, leaf_of
from shared.audit.verify import Key, Refused, check_proof
from shared.errors import BadInput
from shared.store.sql import record


@dataclass(frozen=True, slots=True)
class Proof:
    """Of one entry. `leaf`, `size` and `text` are None while it is under no checkpoint. `refused` is why the proof does not
    hold; it is empty where it does, and None where it was not checked."""

    entry: int
    phase: str
    attempt: int
    at: Any
    leaf: int | None
    size: int | None
    text: str | None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Sequenced:
    """How many entries a call has, how many are under the newest checkpoint, the last of their leaves, and that checkpoint."""

    entries: int
    leaves: int
    last: int | None
    size: int | None
    signed_at: Any


async def sequenced(pool: Any, call: str) -> Sequenced:
    """At a glance: nothing is proved by it."""
    return record(Sequenced, await pool.fetchrow(*SQL.bind("sequenced", call=call)))


@asynccontextmanager
async def looking(pool: Any) -> AsyncIterator[tuple[Any, Head]]:
    """One unchanging view of the database, and the log that is written now."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection, await head(connection)


async def of_call(connection: Any, now: Head, call: str) -> list[Proof]:
    """All entries of a call in their order, with those proofs that there can be."""
    tiles, found = Tiles(connection, now.log_id), []
    ids = [row["entry_id"] for row in await connection.fetch(*SQL.bind("of_call", call=call))]
    rows = await entries(connection, ids)
    for number in ids:
        row = rows[number]
        leaf = await connection.fetchval(*SQL.bind("leaf_of", log=now.log_id, entry=number))
        place: tuple[int | None, int | None, str | None] = (None, None, None)
        if leaf is not None and now.note is not None and leaf < (now.signed or 0):
            hashes = await tiles.inclusion(leaf, now.signed or 0)
            place = (leaf, now.signed, proof_text(leaf_of(row), leaf, hashes, now.note))
        found.append(Proof(number, row["phase"], row["attempt"], row["at"], *place))
    return found


def check(proof: Proof, key: Key) -> str | None:
    """Why a proof does not hold, or an empty text; None where there is none. What a stranger's check says, too."""
    if proof.text is None:
        return None
    try:
        _, _, facts = check_proof(proof.text, key)
    except Refused as refused:
        return str(refused)
    return "" if facts.get("entry") == proof.entry else "the leaf is another entry's"


def public_key(given: str | None, folder: Path | None, log: int) -> Key:
    """The public key of a log. Raises BadInput where none is known, or what is given is none."""
    file = folder / "key.pub" if folder else None
    if given is None and not (file and file.exists()):
        raise BadInput(
            "audit.no_key",
            f"the log's public key is neither given nor in {file or 'a folder'}.",
            field="--key",
            remedy="Set VIOX_AUDIT_PUBLIC_KEY to the key that the gateway wrote to its audit folder as key.pub.",
        )
    try:
        return key_of_log(Key.read(given or file.read_text()), log)  # type: ignore[union-attr]  # one of both is there
    except (Refused, OSError) as error:
        raise BadInput("audit.key", f"{error}.", field="--key", remedy="A key is name+id+base64.") from error


def as_text(key: Key) -> str:
    """A public key as the standalone script takes it."""
    return key_text(key)
