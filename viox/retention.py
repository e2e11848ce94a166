"""`viox retention`: what would leave by month, leaving for archives, and reading archives."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.errors import BadInput
from shared.runs import timestamp
from viox import deployment, output

NIGHTLY = "retention"  # on record as who archived, where no person did


def folder() -> Path:
    """Where archives are, unless a command says otherwise."""
    given = os.environ.get("VIOX_ARCHIVES")
    return Path(given) if given else deployment.home() / "archives"


async def retain(months: int, to: Path | None, by: str | None, *, yes: bool, as_json: bool) -> int:
    """Show what would leave; with `yes` archive it and let it go. Raises VioxError; the next time goes on where it was."""
    from shared.retention import work

    archives = to or folder()
    person = deployment.people().approver(by).name if by else NIGHTLY
    async with _connection() as connection:
        until = await work.cutoff(connection, months)
        if not yes:
            _show_plan(await work.plan(connection, until), until, as_json=as_json)
            return output.OK
        done = await work.run(connection, archives, until, person, _tell)
    if as_json:
        output.emit({"until": timestamp(until), "folder": str(archives)} | asdict(done))
    else:
        output.say(
            f"{done.conversations:,} conversations that ended before {until:%d %B %Y}: {done.steps:,} steps, {done.entries:,} ledger "
            f"entries and the contents of {done.calls:,} calls are in {archives}"
            + (f"; {done.kept:,} stay, because something has happened" if done.kept else "")
        )
    return output.OK


def _tell(told: str) -> None:
    sys.stderr.write(told + "\n")


def _show_plan(found: list[dict[str, Any]], until: datetime, *, as_json: bool) -> None:
    if as_json:
        months = [one | {"month": f"{one['month']:%Y-%m}"} for one in found]
        output.emit({"until": timestamp(until), "months": months})
        return
    counts = ("conversations", "steps", "calls", "entries")
    rows = [
        [f"{one['month']:%Y-%m}", *(f"{one[name]:,}" for name in counts), f"{one['bytes'] / 1e6:,.1f} MB"]
        for one in found
    ]
    output.table(
        ("month", *counts, "size"),
        rows,
        empty=f"nothing would leave: no conversation has been still since before {until:%d %B %Y}",
    )
    if found:
        output.say("nothing was changed; --yes archives it and lets it go")


def show(archive: Path, table: str | None, of: str | None = None) -> None:
    """Rows of an archive, one line of JSON each; only those `of` a run or a call. Raises BadInput for what is no archive."""
    from shared.retention import files

    if of and table is None:
        raise BadInput("option.missing", "say of which table.", field="--table", remedy="For instance --table steps.")

    told = files.manifest(archive)
    if table is None:
        output.say((archive / files.MANIFEST).read_text())
        return
    found = next((one for one in told["tables"] if one.table == table), None)
    if found is None:
        raise BadInput(
            "option.invalid",
            f"there is no {table!r} in it.",
            field="--table",
            remedy=f"One of {', '.join(files.TABLES)}.",
        )
    for row in files.rows_of(archive, found):
        if of and not _is_of(row, of.encode()):
            continue
        sys.stdout.write(json.dumps({"table": table} | files.readable(row, found), ensure_ascii=False) + "\n")


def _is_of(row: dict[str, bytes | None], of: bytes) -> bool:
    """Whether a row is of a run, or of a call, by its id."""
    call = row.get("call_id") or b""
    return of in (row.get("run_id"), call) or call.startswith(of + b".")


async def check(archive: Path, *, as_json: bool) -> int:
    """Exit code 4 when an archive is not what is on record. Raises BadInput for what is no archive, or was changed."""
    from shared.retention import files, leaves

    async with _connection() as connection:
        row = await connection.fetchrow(*leaves.SQL.bind("archive", place=archive.name))
        if row is None or row["act"] is None:
            remedy = "A folder has to keep its name; one of another database is not on record in this."
            raise BadInput("archive.unknown", f"{archive.name} is on no record here.", field="ARCHIVE", remedy=remedy)
        told = files.check(archive, row["manifest_sha256"])
        problems = await leaves.check(connection, archive, told["log"])
    rows = sum(one.rows for one in told["tables"])
    if as_json:
        output.emit({"ok": not problems, "archive": row["place"], "rows": rows, "problems": problems})
    else:
        for problem in problems[:100]:
            output.say(problem)
        found = f"not ok: {len(problems):,} problems" if problems else "ok: as it was recorded, and as it was signed"
        output.say(f"{rows:,} rows; {found}")
    return output.FAILED if problems else output.OK


@asynccontextmanager
async def _connection() -> AsyncIterator[Any]:
    """One session for all of it: it holds the lock of retention."""
    pool = await deployment.pool()
    try:
        async with pool.acquire() as connection:
            yield connection
    finally:
        await pool.close()
