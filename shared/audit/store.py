"""The audit's tables: rows as leaves and contents, hashes of the tree, what the log that is written now is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.audit import tree
from shared.audit.verify import ACT_FIELDS, LEDGER_FIELDS, TILE, Entry, Spans, leaf_hash
from shared.store.pool import Connection, Pool
from shared.store.sql import Queries, record

SQL = Queries(Path(__file__).with_suffix(".sql"))
_LEAF = ("call", "attempt", "phase", "act", "agent", "tool", "approval", "method", "status", "state", "decision")


@dataclass(frozen=True, slots=True)
class Head:
    """The log that is written now. `size` leaves, of which `signed` are under its newest checkpoint, `note`."""

    log_id: int
    begun_at: datetime
    reason: str
    begun_by: str
    complete_to: int
    stopped: str | None
    checked_at: datetime | None
    size: int
    note: str | None
    signed: int | None
    signed_at: datetime | None


async def head(connection: Connection) -> Head:
    return record(Head, await connection.fetchrow(SQL["head"]))


def leaf_of(row: Mapping[str, Any]) -> bytes:
    """The bytes of a leaf: one line of JSON, always the same for the same row."""
    at = row["at"].astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    said = {name: row[name] for name in _LEAF if row[name] is not None}
    content = row["content"].hex() if row["content"] is not None else None
    document = {"entry": row["entry_id"], "kind": row["kind"], "at": at} | said | {"content": content}
    return json.dumps(document, separators=(",", ":")).encode()


def entry_of(row: Mapping[str, Any], index: int) -> Entry:
    """A row with its content."""
    if row["salt"] is None:
        return Entry(index, leaf_of(row))
    names = LEDGER_FIELDS if row["kind"] == "ledger" else ACT_FIELDS
    bodies = (row["request_body"], row["response_body"])
    return Entry(index, leaf_of(row), row["salt"], tuple(row[name] for name in names), bodies)


class Tiles:
    """The tree of one log, out of its tables."""

    def __init__(self, connection: Connection, log: int) -> None:
        self._connection = connection
        self._log = log

    async def root(self, size: int) -> bytes:
        return await self._made(size, lambda node: tree.root(node, size))

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        return await self._made(size, lambda node: tree.inclusion(node, index, size))

    async def consistency(self, old: int, new: int) -> list[bytes]:
        return await self._made(new, lambda node: tree.consistency(node, old, new))

    async def _made(self, size: int, work: Callable[[tree.Node], tree.T]) -> tree.T:
        wanted = sorted(tree.tiles_of(work))
        full = [one for one in wanted if self._width(*one, size) == TILE]
        bound = SQL.bind("tiles", log=self._log, levels=[level for level, _ in full], numbers=[n for _, n in full])
        tiles = {(row["level"], row["n"]): row["hashes"] for row in await self._connection.fetch(*bound)}
        for level, number in wanted:
            if (level, number) not in tiles:
                tiles[level, number] = await self.partial(level, number, self._width(level, number, size))
        return work(tree.from_tiles(tiles))

    @staticmethod
    def _width(level: int, number: int, size: int) -> int:
        return min(TILE, (size >> tree.TILE_LEVELS * level) - number * TILE)

    async def stored(self) -> dict[tuple[int, int], bytes]:
        """(level, number) of all full tiles, with the hash above each, worked out of what it holds."""
        rows = await self._connection.fetch(*SQL.bind("stored_tiles", log=self._log))
        return {
            (row["level"], row["n"]): _top(row["hashes"]) if row["root"] == _top(row["hashes"]) else b"" for row in rows
        }

    async def partial(self, level: int, number: int, width: int) -> bytes:
        """So many hashes of a tile, from those below it."""
        start = number * TILE
        if level == 0:
            return b"".join([hashes async for _, _, hashes in self.leaves(start, start + width)])
        bound = SQL.bind("tile_roots", log=self._log, level=level - 1, **{"from": start, "to": start + width})
        return b"".join([row["root"] for row in await self._connection.fetch(*bound)])

    async def leaves(self, start: int, end: int) -> AsyncIterator[tuple[int, list[int], bytes]]:
        """(first leaf, numbers of entries, hashes) of the leaves from one to another, in order."""
        while start < end:
            upto = min(end, start + 20 * TILE)
            bound = SQL.bind("leaves", log=self._log, **{"from": start, "to": upto})
            for row in await self._connection.fetch(*bound):
                first, entries = row["first_leaf"], row["entries"]
                low, high = max(start - first, 0), min(upto - first, len(entries))
                if low < high:
                    yield first + low, entries[low:high], row["hashes"][32 * low : 32 * high]
            start = upto

    async def append(self, size: int, rows: Sequence[Mapping[str, Any]]) -> int:
        """Put entries behind the `size` leaves that there are. Returns how many leaves there are now."""
        hashes = b"".join([leaf_hash(leaf_of(row)) for row in rows])
        entries = [row["entry_id"] for row in rows]
        await self._connection.execute(*SQL.bind("append", log=self._log, first=size, entries=entries, hashes=hashes))
        await self._fill(size, size + len(rows))
        return size + len(rows)

    async def _fill(self, before: int, now: int) -> None:
        """Write the tiles that have become full."""
        level = 0
        while before // TILE < (filled := now // TILE):
            for number in range(before // TILE, filled):
                hashes = await self.partial(level, number, TILE)
                top = _top(hashes)
                bound = SQL.bind("append_tile", log=self._log, level=level, n=number, root=top, hashes=hashes)
                await self._connection.execute(*bound)
            level, before, now = level + 1, before // TILE, filled


def _top(hashes: bytes) -> bytes:
    return tree.subtree([hashes[at : at + 32] for at in range(0, len(hashes), 32)])


async def entries(connection: Connection, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """Number → row with content, for those that are there."""
    rows = await connection.fetch(*SQL.bind("entries", ids=list(ids)))
    return {row["entry_id"]: row for row in rows}


async def archived_by(connection: Connection, log: int) -> Callable[[int], list[int]]:
    """By which acts an entry is said to have been archived while this log was written."""
    rows = await connection.fetch(*SQL.bind("archived", log=log))
    return Spans((row["act"], row["first"], row["last"]) for row in rows).of


async def erase_old(pool: Pool, days: int) -> int:
    """Erase contents that are older than so many days, on record. How many there were."""
    gone = 0
    while found := await pool.fetchval(*SQL.bind("erase_old", days=days, most=1000)):
        gone += int(found)
    return gone
