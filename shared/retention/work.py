"""Archiving by month, and letting go what is archived. Can be stopped and killed at any moment, and goes on where it was.

    begin     conversations of one month that have been still are noted down (archive_threads)
    write     their rows go into a folder, from one snapshot; it is on disk, and read back
    record    the act is in the audit: from here on the database lets the rows go, and no others
    leave     some conversations a transaction; who is written to meanwhile stays

An archive that was not on record is begun again. One that is on record is read again before anything more of it leaves.
"""

from __future__ import annotations

import shutil
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.errors import Conflict
from shared.retention import files, leaves
from shared.retention.leaves import SQL
from shared.store.pool import Connection

MOST_CONVERSATIONS = 100_000  # an archive: what one snapshot, one sort and one folder hold
A_BATCH = 200  # conversations that leave in one transaction
LONG = 6 * 3600.0  # seconds for statements that read all of a month
Progress = Callable[[str], None]


@dataclass(slots=True)
class Done:
    """What has been done, for whoever asked."""

    archives: list[str] = field(default_factory=list)
    conversations: int = 0
    kept: int = 0
    steps: int = 0
    calls: int = 0
    entries: int = 0


async def cutoff(connection: Connection, months: int) -> datetime:
    found: datetime = await connection.fetchval(*SQL.bind("cutoff", months=months))
    return found


async def plan(connection: Connection, until: datetime) -> list[dict[str, Any]]:
    """What would leave, by month."""
    return [dict(row) for row in await connection.fetch(*SQL.bind("plan", until=until), timeout=LONG)]


@asynccontextmanager
async def alone(connection: Connection) -> AsyncIterator[None]:
    """Raises Conflict while another retention runs."""
    if not await connection.fetchval(SQL["only_one"]):
        raise Conflict("retention.runs", "another retention runs.", remedy="Wait until it has ended.")
    try:
        yield
    finally:
        await connection.fetchval(SQL["let_go"])


async def run(
    connection: Connection, folder: Path, until: datetime, person: str, progress: Progress = lambda told: None
) -> Done:
    """Archive what ended before `until` and let it go. Raises VioxError; what was begun is gone on with the next time."""
    done = Done()
    async with alone(connection):
        for row in await connection.fetch(SQL["unfinished"]):
            if row["act"] is None:
                await _forget(connection, folder, row["archive"])
            else:
                await _leave(connection, folder, row["archive"], done, progress)
        for row in await connection.fetch(*SQL.bind("months", until=until), timeout=LONG):
            full = True
            while full and (archive := await _begin(connection, row["month"], until)):
                full = await connection.fetchval(*SQL.bind("chosen", archive=archive)) == MOST_CONVERSATIONS
                await _write(connection, folder, archive, person, progress)
                await _leave(connection, folder, archive, done, progress)
    return done


async def _begin(connection: Connection, month: Any, until: datetime) -> int | None:
    bound = SQL.bind("begin", month=month, until=until, folder=f"{month:%Y-%m}", most=MOST_CONVERSATIONS)
    found: int | None = await connection.fetchval(*bound, timeout=LONG)
    return found


async def _forget(connection: Connection, folder: Path, archive: int) -> None:
    """Its folder was never on record."""
    place = await connection.fetchval(*SQL.bind("place", archive=archive))
    for name in (place, f"{place}.part"):
        shutil.rmtree(folder / name, ignore_errors=True)
    await connection.execute(*SQL.bind("drop", archive=archive))


async def _write(connection: Connection, folder: Path, archive: int, person: str, progress: Progress) -> None:
    place = await connection.fetchval(*SQL.bind("place", archive=archive))
    part = files.fresh(folder / place)
    numbers = array("q")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        tables = [await _copy(connection, part, archive, one, numbers) for one in files.TABLES]
        filed = await leaves.filed(connection, numbers)
    about = {"archive": place, "rows": {one.table: one.rows for one in tables}} | asdict(filed)
    digest = files.finish(part, folder / place, about, tables)
    progress(f"{place}: " + ", ".join(f"{one.rows:,} {one.table}" for one in tables))
    bound = SQL.bind(
        "record",
        archive=archive,
        person=person,
        manifest=digest,
        about=about | {"manifest_sha256": digest},
        entries=len(numbers),
        numbers=sum(numbers),
    )
    await connection.fetchval(*bound, timeout=LONG)


async def _copy(connection: Connection, part: Path, archive: int, table: str, numbers: array[int]) -> files.Table:
    statement, *arguments = SQL.bind(f"copy_{table}", archive=archive)
    described = await connection.prepare(statement)
    columns = [[one.name, _type(one)] for one in described.get_attributes()]
    writer = files.Writer(part, table, columns)
    numbered = _Numbers(numbers) if table == "ledger_entries" else None

    async def take(data: bytes) -> None:
        writer.write(data)
        if numbered is not None:
            numbered.take(data)

    await connection.copy_from_query(statement, *arguments, output=take, timeout=LONG)
    return writer.close()


def _type(attribute: Any) -> str:
    names = {"int4": "integer", "int8": "bigint", "int2": "smallint", "float4": "real", "bool": "boolean"}
    return names.get(attribute.type.name, str(attribute.type.name))


class _Numbers:
    """The first column of rows as they come, whole or in pieces."""

    def __init__(self, numbers: array[int]) -> None:
        self._numbers = numbers
        self._rest = b""

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._numbers.extend(int(line[: line.index(b"\t")]) for line in lines)


async def _leave(connection: Connection, folder: Path, archive: int, done: Done, progress: Progress) -> None:
    """Raises BadInput unless the archive is in the folder as it is on record."""
    row = next(one for one in await connection.fetch(SQL["unfinished"]) if one["archive"] == archive)
    told = files.check(folder / row["place"], row["manifest_sha256"])
    waiting = await connection.fetchval(*SQL.bind("chosen", archive=archive))
    done.conversations += waiting
    while waiting:
        gone = await connection.fetchrow(*SQL.bind("leave", archive=archive, most=A_BATCH), timeout=LONG)
        waiting = gone["waiting"]
        for name in ("kept", "steps", "calls", "entries"):
            setattr(done, name, getattr(done, name) + gone[name])
    done.archives.append(row["place"])
    progress(f"{row['place']}: {sum(told['rows'].values()):,} rows have left")
