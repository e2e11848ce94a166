"""Verifying the audit of a live database: everything that the exported script checks, and that nothing is missing from the tree.

Leaves are made again from the rows as they are now, and held against the hashes that were stored, the tiles, and every
checkpoint: those in Postgres and those in the gateway's file. The rows of calls, which change as calls go on, are held against
the ledger.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from shared.audit import tree
from shared.audit.store import SQL, Head, Tiles, archived_by, entries, entry_of
from shared.audit.verify import TILE, Auditor, Checkpoint, Key, Refused, Report
from shared.store.pool import Connection

GRACE = timedelta(seconds=30)  # an entry that is younger may not be a leaf yet
MOST_AT_ODDS = 1000  # that are told of
Progress = Callable[[int, int], None]


async def verify(
    connection: Connection,
    now: Head,
    key: Key,
    remembered: Iterable[Checkpoint],
    progress: Progress = lambda done, of: None,
) -> Report:
    """Check the log that is written now. `key` is its public key, `remembered` what is known from elsewhere."""
    tiles = Tiles(connection, now.log_id)
    auditor = Auditor({one.note: one for one in [*await _signed(connection, now), *remembered]}.values(), key)
    numbers = array("q")
    filled = _Filled(tiles)
    archived = await archived_by(connection, now.log_id)
    async for first, ids, hashes in tiles.leaves(0, now.size):
        rows = await entries(connection, ids)
        for place, number in enumerate(ids):
            stored = hashes[32 * place : 32 * place + 32]
            acts = archived(number)
            for act in acts:
                auditor.filed(act, stored)
            if number in rows:
                auditor.take(entry_of(rows[number], first + place), stored)
            else:
                auditor.missing(first + place, stored, number, acts[0] if acts else None)
            filled.add(stored)
        numbers.extend(ids)
        progress(first + len(ids), now.size)
    for told in await filled.problems():
        auditor.report.add("tile.changed", told)
    await _find_others(connection, array("q", sorted(numbers)), auditor)
    await _find_at_odds(connection, auditor)
    return auditor.finish()


async def _signed(connection: Connection, now: Head) -> list[Checkpoint]:
    rows = await connection.fetch(*SQL.bind("checkpoints", log=now.log_id))
    return [Checkpoint.read(row["note"]) for row in rows]


class _Filled:
    """The tiles as the leaves make them, to be held against those that are stored."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._open: list[bytearray] = []
        self._made: dict[tuple[int, int], bytes] = {}
        self._counts: list[int] = []

    def add(self, one: bytes, level: int = 0) -> None:
        if level == len(self._open):
            self._open.append(bytearray())
            self._counts.append(0)
        self._open[level] += one
        if len(self._open[level]) < 32 * TILE:
            return
        hashes = bytes(self._open[level])
        self._open[level].clear()
        top = tree.subtree([hashes[at : at + 32] for at in range(0, len(hashes), 32)])
        self._made[level, self._counts[level]] = top
        self._counts[level] += 1
        self.add(top, level + 1)

    async def problems(self) -> list[str]:
        """Sentences about tiles that are not what the leaves make."""
        found = await self._tiles.stored()
        told = [
            f"tile {level}/{n} does not hold what its leaves make"
            for (level, n), top in self._made.items()
            if found.get((level, n)) != top
        ]
        return told + [f"tile {level}/{n} is of no leaves" for level, n in found.keys() - self._made.keys()]


async def _find_others(connection: Connection, known: array[int], auditor: Auditor) -> None:
    """Entries that are no leaves although they have been there for a while: nobody's sequencer saw them come."""
    above, before = -(2**63), datetime.now(UTC) - GRACE
    while rows := await connection.fetch(*SQL.bind("numbers", above=above, limit=20_000)):
        for row in rows:
            number, place = row["entry_id"], bisect_left(known, row["entry_id"])
            if (place == len(known) or known[place] != number) and row["at"] < before:
                auditor.report.add("entry.inserted", "it is no leaf of the tree", entry=number)
            elif place == len(known) or known[place] != number:
                auditor.report.waiting += 1
        above = rows[-1]["entry_id"]


async def _find_at_odds(connection: Connection, auditor: Auditor) -> None:
    """The rows of calls are no part of the tree: they have to say what the ledger says."""
    before = datetime.now(UTC) - GRACE
    for row in await connection.fetch(*SQL.bind("calls_at_odds", before=before, limit=MOST_AT_ODDS)):
        auditor.report.add("call.at_odds", row["told"], call=row["call_id"], phase="row")


def check_key(now: Head, key: Key) -> None:
    """Raises Refused unless the newest checkpoint is of this key."""
    if now.note is not None:
        Checkpoint.read(now.note).check_signed(key)
    elif now.size:
        raise Refused("nothing was signed yet")
