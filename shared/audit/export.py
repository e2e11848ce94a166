"""Exporting a log: a folder that a stranger checks with the script in it, and nothing else of ours.

log.json            origin, size, since which leaf contents are there
key                 the public key (get it some other way too)
checkpoint          the newest checkpoint          checkpoints.jsonl   all of them
archived.json       leaves whose entries went to an archive on record
tile/0/…, tile/1/…  hashes (C2SP tlog-tiles)       tile/entries/…      the leaves
contents/…          salts, fields and bodies       verify.py           checks all of it
"""

from __future__ import annotations

import base64
import json
import shutil
import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.audit import verify
from shared.audit.check import Progress
from shared.audit.notes import key_text
from shared.audit.store import SQL, Head, Tiles, archived_by, entries, leaf_of
from shared.audit.verify import ACT_FIELDS, LEDGER_FIELDS, TILE, Checkpoint, Key, Refused, tile_path
from shared.errors import Conflict
from shared.store.pool import Connection

A_FILE = 20 * TILE  # leaves in one file of contents
_LENGTH = struct.Struct(">H")


async def export(
    connection: Connection,
    now: Head,
    key: Key,
    folder: Path,
    since: datetime | None = None,
    progress: Progress = lambda done, of: None,
) -> dict[str, Any]:
    """Write the log as far as it is signed. What was written, for whoever asked.

    Raises Conflict while nothing was signed, Refused when the newest checkpoint is not of this key.
    """
    if now.note is None or now.signed is None:
        raise Conflict("audit.not_signed", "nothing has been signed yet.", remedy="See `viox audit status`.")
    checkpoint = Checkpoint.read(now.note)
    checkpoint.check_signed(key)
    first = await _first(connection, now, checkpoint.size, since)
    told = {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "since_leaf": first,
        "begun_at": now.begun_at.isoformat(),
        "reason": now.reason,
    }
    _put(folder, "log.json", json.dumps(told, indent=1))
    _put(folder, "key", key_text(key) + "\n")
    notes = await _cosigned(connection, now)
    _put(folder, "checkpoint", notes[checkpoint.size])
    _put(folder, "checkpoints.jsonl", "".join(json.dumps({"checkpoint": note}) + "\n" for note in notes.values()))
    await _leaves(connection, now, checkpoint.size, first, folder, progress)
    await _tiles(Tiles(connection, now.log_id), checkpoint.size, folder)
    shutil.copyfile(Path(verify.__file__), folder / "verify.py")
    return told | {"checkpoints": len(notes)}


async def _first(connection: Connection, now: Head, size: int, since: datetime | None) -> int:
    """The leaf from which on contents are exported."""
    if since is None:
        return 0
    number = await connection.fetchval(*SQL.bind("first_since", since=since))
    archiving = await connection.fetchval(SQL["first_archiving"])  # what acts of archives say is always needed
    number = min((one for one in (number, archiving) if one), default=None)
    leaf = number and await connection.fetchval(*SQL.bind("leaf_of", log=now.log_id, entry=number))
    return size if leaf is None else min(int(leaf), size)


async def _cosigned(connection: Connection, now: Head) -> dict[int, str]:
    """The checkpoints by their size, with the lines that witnesses added."""
    rows = await connection.fetch(*SQL.bind("checkpoints", log=now.log_id))
    notes: dict[int, str] = {row["size"]: row["note"] for row in rows}
    for row in await connection.fetch(*SQL.bind("cosignatures", log=now.log_id)):
        notes[row["size"]] += row["line"] + "\n"
    return notes


async def _leaves(connection: Connection, now: Head, size: int, since: int, folder: Path, progress: Progress) -> None:
    bundle: list[bytes] = []
    contents: list[str] = []
    archived, spans = await archived_by(connection, now.log_id), _Spans()
    done = 0
    async for first, ids, _ in Tiles(connection, now.log_id).leaves(0, size):
        rows = await entries(connection, ids)
        for place, number in enumerate(ids):
            acts = archived(number)
            spans.add(first + place, acts)
            if number not in rows and not acts:
                raise Refused(f"entry {number} was removed: run `viox audit verify`")
            leaf = leaf_of(rows[number]) if number in rows else b""
            bundle.append(_LENGTH.pack(len(leaf)) + leaf)
            if number in rows and first + place >= since:
                contents.append(json.dumps(_content(rows[number], first + place)))
            done = first + place + 1
            if done % TILE == 0 or done == size:
                _put(folder, tile_path("entries", (done - 1) // TILE, len(bundle)), b"".join(bundle))
                bundle.clear()
            if contents and (done % A_FILE == 0 or done == size):
                _put(folder, f"contents/{(done - 1) // A_FILE:06}.jsonl", "\n".join(contents) + "\n")
                contents.clear()
        progress(done, size)
    _put(folder, "archived.json", json.dumps(spans.told))


class _Spans:
    """Leaves of archived entries: for each act from which leaf to which."""

    def __init__(self) -> None:
        self._by_act: dict[int, list[list[int]]] = {}

    def add(self, leaf: int, acts: list[int]) -> None:
        for act in acts:
            spans = self._by_act.setdefault(act, [])
            if spans and spans[-1][1] == leaf - 1:
                spans[-1][1] = leaf
            else:
                spans.append([leaf, leaf])

    @property
    def told(self) -> list[tuple[int, list[list[int]]]]:
        return list(self._by_act.items())


def _content(row: Mapping[str, Any], index: int) -> dict[str, Any]:
    """What a leaf does not say, as it was hashed."""
    names = LEDGER_FIELDS if row["kind"] == "ledger" else ACT_FIELDS
    if row["salt"] is None:
        return {"leaf": index, "erased": True}
    bodies = {
        name: base64.b64encode(row[name]).decode()
        for name in ("request_body", "response_body")
        if row[name] is not None
    }
    return (
        {"leaf": index, "salt": row["salt"].hex()}
        | {name: row[name] for name in names if row[name] is not None}
        | bodies
    )


async def _tiles(tiles: Tiles, size: int, folder: Path) -> None:
    level = 0
    while count := size >> 8 * level:
        for number in range((count + TILE - 1) // TILE):
            width = min(TILE, count - number * TILE)
            _put(folder, tile_path(level, number, width), await tiles.partial(level, number, width))
        level += 1


def _put(folder: Path, name: str, content: str | bytes) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def pack(folder: Path, file: Path) -> None:
    """The folder as one compressed archive."""
    import tarfile

    with tarfile.open(file, "w:gz") as archive:
        archive.add(folder, arcname=file.name.split(".")[0])


ARCHIVES = (".tar.gz", ".tgz")
