"""Archived entries as leaves of the audit: which they are, and whether an archive's rows are what was signed."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from shared.audit.store import leaf_of
from shared.audit.verify import content_hash, leaf_hash
from shared.errors import Conflict
from shared.retention import files
from shared.store.pool import Connection
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("store.sql"))


@dataclass(frozen=True, slots=True)
class Filed:
    """The leaves of the archived entries, in the order of the tree: what the act of the archive says of them."""

    log: int
    leaves: int
    leaves_sha256: str


async def filed(connection: Connection, numbers: array[int]) -> Filed:
    """`numbers` are those of the entries, in order. Raises Conflict while one of them is under no checkpoint."""
    log = await connection.fetchrow(SQL["log"])
    made, count = sha256(), 0
    async for _, leaf, stored in leaves_of(connection, log["log_id"], numbers):
        if leaf >= log["signed"]:
            break
        made.update(stored)
        count += 1
    if log["has_leaves"] and count != len(numbers):
        raise Conflict(
            "archive.not_signed",
            f"{len(numbers) - count:,} entries are under no signed checkpoint yet; nothing was deleted.",
            remedy="See `viox audit status`, and try again when the audit goes on.",
        )
    return Filed(log["log_id"], count, made.hexdigest())


async def leaves_of(connection: Connection, log: int, numbers: array[int]) -> AsyncIterator[tuple[int, int, bytes]]:
    """(number, leaf, hash) of those entries that are leaves of a log, in the order of the tree."""
    start, left = 0, len(numbers)
    while left:
        rows = await connection.fetch(*SQL.bind("leaves", log=log, lowest=numbers[0], **{"from": start}))
        for row in rows:
            for place, number in enumerate(row["entries"]):
                at = bisect_left(numbers, number)
                if at < len(numbers) and numbers[at] == number:
                    left -= 1
                    yield number, row["first_leaf"] + place, row["hashes"][32 * place : 32 * place + 32]
        if not rows:
            return
        start = rows[-1]["first_leaf"] + 1


async def check(connection: Connection, folder: Path, log: int) -> list[str]:
    """Sentences about rows of an archive that are not what the tree of a log has; none when all are."""
    table = next(one for one in files.manifest(folder)["tables"] if one.table == "ledger_entries")
    made: dict[int, bytes] = {}
    told: list[str] = []
    for raw in files.rows_of(folder, table):
        number = int(raw["entry_id"] or b"")
        made[number] = leaf_hash(leaf_of(_row(raw)))
        if raw["salt"] is not None and content_hash(files.binary(raw["salt"]) or b"", _fields(raw)) != files.binary(
            raw["content_sha256"]
        ):
            told.append(f"entry {number}: its content is not that of its digest")
        told += [f"entry {number}: {one}" for one in _bodies(raw)]
    async for number, leaf, stored in leaves_of(connection, log, array("q", sorted(made))):
        if made.pop(number) != stored:
            told.append(f"entry {number}: it is not what leaf {leaf} was made of")
    return told + [f"entry {number}: it is no leaf of the log" for number in made]


def _row(raw: dict[str, bytes | None]) -> dict[str, Any]:
    """As the audit makes a leaf of it."""
    text = {name: None if value is None else value.decode() for name, value in raw.items()}
    detail = orjson.loads(raw["detail"]) if raw["detail"] else {}
    return {
        "kind": "ledger",
        "entry_id": int(text["entry_id"] or 0),
        "at": datetime.fromisoformat(text["at"] or ""),
        "call": text["call_id"],
        "attempt": int(text["attempt"] or 0),
        "phase": text["phase"],
        "act": None,
        "agent": text["agent"],
        "tool": text["tool"],
        "approval": text["approval_id"] or detail.get("approval_id"),
        "method": text["method"],
        "status": None if text["status"] is None else int(text["status"]),
        "state": detail.get("state"),
        "decision": detail.get("decision"),
        "content": files.binary(raw["content_sha256"]),
    }


def _fields(raw: dict[str, bytes | None]) -> list[str | None]:
    digest = files.binary(raw["arguments_sha256"])
    names = ("checks", "url", "request_headers", "request_sha256", "response_headers", "response_sha256", "detail")
    found = [raw[name] for name in names]
    return [None if digest is None else digest.hex(), *(None if one is None else one.decode() for one in found)]


def _bodies(raw: dict[str, bytes | None]) -> list[str]:
    wrong = []
    for name in ("request", "response"):
        body, digest = files.binary(raw[f"{name}_body"]), raw[f"{name}_sha256"]
        if (None if body is None else sha256(body).hexdigest().encode()) != digest:
            wrong.append(f"the body of its {name} is not that of its digest")
    return wrong
