"""`viox audit`: what its commands print. What they do is in shared/audit."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import BadInput, NotFound, VioxError
from shared.operations import identify, paging
from shared.runs import timestamp
from viox import deployment, output

if TYPE_CHECKING:
    from shared.audit.store import Head
    from shared.audit.verify import Checkpoint, Key, Report

STEP = 20_000  # leaves from one word of progress to the next


async def show_status(*, as_json: bool) -> None:
    async with _looking() as (connection, now):
        document = status_document(now) | {"witnesses": await _witnesses(connection, now)}
    if as_json:
        output.emit(document)
        return
    output.say(f"log        {now.log_id}, begun {timestamp(now.begun_at)} by {now.begun_by}: {now.reason}")
    output.say(f"leaves     {now.size:,}")
    output.say(f"signed     {now.signed or 0:,}" + (f", {timestamp(now.signed_at)}" if now.signed_at else ""))
    output.say(f"looked     {timestamp(now.checked_at) or 'never'}")
    output.say(f"state      {'stopped: ' + now.stopped if now.stopped else 'going on'}")
    for one in document["witnesses"]:
        output.say(f"witness    {one['witness']}: {one['size']:,} leaves, {one['at']}")
    if now.note:
        output.say("\n" + now.note)


async def _witnesses(connection: Any, now: Head) -> list[dict[str, Any]]:
    """What each witness signed last."""
    from shared.audit.store import SQL

    rows = await connection.fetch(*SQL.bind("witnesses", log=now.log_id))
    return [{"witness": row["witness"], "size": row["size"], "at": timestamp(row["at"])} for row in rows]


def status_document(now: Head) -> dict[str, Any]:
    return {
        "log": now.log_id,
        "begun_at": timestamp(now.begun_at),
        "begun_by": now.begun_by,
        "reason": now.reason,
        "leaves": now.size,
        "signed": now.signed or 0,
        "signed_at": timestamp(now.signed_at),
        "checked_at": timestamp(now.checked_at),
        "stopped": now.stopped,
        "checkpoint": now.note,
    }


async def status() -> Head:
    """The log that is written now. Raises VioxError when Postgres does not say."""
    async with _looking() as (_, now):
        return now


async def line() -> str | None:
    """For `viox status`. None when Postgres does not say."""
    from asyncpg import PostgresError

    try:
        return said(await status())
    except (VioxError, OSError, PostgresError):
        return None


def said(now: Head) -> str:
    """How the audit stands, in one sentence."""
    if now.stopped:
        return f"stopped: {now.stopped}"
    if now.note is None:
        return f"{now.size:,} leaves, nothing signed yet"
    return f"{now.size:,} leaves, signed up to {now.signed:,} at {timestamp(now.signed_at)}"


async def verify(key: str | None, *, as_json: bool) -> int:
    """Exit code 0 when all is as it has to be, 4 when not."""
    from shared.audit import check

    async with _looking() as (connection, now):
        public = _public_key(key, now)
        report = await check.verify(connection, now, public, _remembered(public), _progress("checked"))
    if as_json:
        output.emit(_report(report, now))
    else:
        _tell(report)
    return output.FAILED if report.problems else output.OK


def _tell(report: Report) -> None:
    for problem in report.problems[:100]:
        where = f"leaf {problem['leaf']}: " if problem["leaf"] is not None else ""
        whose = f"  {problem['call']} {problem['phase']}" if "call" in problem else ""
        entry = f"  entry {problem['entry']}" if "entry" in problem else ""
        output.say(f"{problem['code']}  {where}{problem['message']}{entry}{whose}")
    if len(report.problems) > 100:
        output.say(f"and {len(report.problems) - 100:,} more: --json has them all")
    output.say(
        f"{report.leaves:,} leaves, {report.contents:,} contents, {report.erased:,} erased, {report.archived:,} archived, {report.checkpoints:,} checkpoints"
        + (f", {report.waiting:,} entries that are no leaves yet" if report.waiting else "")
    )
    count = len(report.problems)
    output.say(
        f"not ok: {count:,} problem{'s' * (count != 1)}" if count else "ok: complete, unchanged, and it makes sense"
    )


def _report(report: Report, now: Head) -> dict[str, Any]:
    counted = {
        name: getattr(report, name) for name in ("leaves", "contents", "erased", "archived", "checkpoints", "waiting")
    }
    return {"ok": not report.problems, "log": now.log_id} | counted | {"problems": report.problems}


async def export(path: Path, since: str | None, key: str | None, *, as_json: bool) -> None:
    """Raises BadInput when there is something at the path already, VioxError when the log cannot be exported."""
    from shared.audit import export as exporting
    from shared.audit.verify import Refused

    moment = paging.parse_moment(since)
    packed = path.name.endswith(exporting.ARCHIVES)
    _check_new(path, packed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if packed else path
        async with _looking() as (connection, now):
            try:
                public = _public_key(key, now)
                told = await exporting.export(connection, now, public, folder, moment, _progress("exported"))
            except Refused as refused:
                raise VioxError("audit.refused", f"{refused}.", remedy="Run `viox audit verify`.") from refused
        if packed:
            exporting.pack(folder, path)
    if as_json:
        output.emit(told | {"path": str(path)})
        return
    output.say(f"{told['size']:,} leaves and {told['checkpoints']:,} checkpoints are in {path}")
    output.say("check it anywhere with Python and the package cryptography:  python verify.py")


def _check_new(path: Path, packed: bool) -> None:
    if path.exists() and (packed or not path.is_dir() or any(path.iterdir())):
        raise BadInput("option.invalid", f"{path} is there already.", field="DIR|FILE", remedy="Name a new one.")


async def proof(given: str, folder: Path | None, *, as_json: bool) -> None:
    """One proof for each entry of a call. Raises NotFound where none is in the log."""
    async with _looking() as (connection, now):
        found = await _proofs(connection, now, await _call(connection, given))
    if as_json:
        output.emit(output.listing(found, None))
    elif folder is None:
        for one in found:
            output.say(one["proof"])
    else:
        _write(folder, found)
        output.say(f"{len(found)} proofs are in {folder}; check one with  python verify.py --proof FILE --key KEY")


def _write(folder: Path, found: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        (folder / f"leaf-{one['leaf']}.tlog-proof").write_text(one["proof"])


async def _call(connection: Any, given: str) -> str:
    return str(await identify.call(connection, given))


async def _proofs(connection: Any, now: Head, call: str) -> list[dict[str, Any]]:
    from shared.operations import proofs

    found = [
        {
            "entry": one.entry,
            "phase": one.phase,
            "attempt": one.attempt,
            "leaf": one.leaf,
            "size": one.size,
            "proof": one.text,
        }
        for one in await proofs.of_call(connection, now, call)
        if one.text is not None
    ]
    if not found:
        raise NotFound(
            "audit.not_in_log",
            f"nothing of {call} is under a checkpoint.",
            field="CALL",
            remedy="Wait a second, or see `viox audit status`.",
        )
    return found


async def restart(reason: str, by: str | None, *, as_json: bool) -> None:
    """Begin the next log. Raises BadInput for somebody who may not, or without a reason."""
    from shared.audit.store import SQL

    person = deployment.people().approver(by)
    if not reason.strip():
        raise BadInput("option.invalid", "the reason is empty.", field="--reason", remedy="Say what happened.")
    pool = await deployment.pool()
    try:
        async with pool.acquire() as connection:
            known = [one.note for one in _remembered(None)[-1:]]
            bound = SQL.bind("restart", person=person.name, why=reason, about={"newest_checkpoint_known": known})
            number = await connection.fetchval(*bound)
    finally:
        await pool.close()
    if as_json:
        output.emit({"log": number, "begun_by": person.name, "reason": reason})
    else:
        output.say(f"log {number} begins: every entry that is in the database becomes a leaf of it")


# -- what they share ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _looking() -> AsyncIterator[tuple[Any, Head]]:
    """One unchanging view of the database, and the log that is written now."""
    from shared.operations import proofs

    pool = await deployment.pool()
    try:
        async with proofs.looking(pool) as seen:
            yield seen
    finally:
        await pool.close()


def _folder() -> Path:
    import os

    given = os.environ.get("VIOX_AUDIT_FOLDER")
    return Path(given) if given else deployment.home() / "audit"


def _public_key(given: str | None, now: Head) -> Key:
    """The public key of a log. Raises BadInput where none is known, or what is given is none."""
    from shared.operations import proofs

    return proofs.public_key(given, _folder(), now.log_id)


def _remembered(key: Key | None) -> list[Checkpoint]:
    """What the gateway's file on this machine says was signed: of this log, or of any."""
    from services.tool_gateway.audit.remembered import CheckpointFile

    return [one for one in CheckpointFile(_folder()).every() if key is None or one.origin == key.name]


def _progress(word: str) -> Any:
    """Says on stderr how far it is, at a terminal only."""
    said_at = 0

    def tell(done: int, of: int) -> None:
        nonlocal said_at
        if sys.stderr.isatty() and (done - said_at >= STEP or (done == of and said_at)):
            said_at = done
            sys.stderr.write(f"\r{word} {done:,} of {of:,}" + ("\n" if done == of else ""))
            sys.stderr.flush()

    return tell
