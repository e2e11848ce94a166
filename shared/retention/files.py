"""An archive: a folder with a file for each table, and a manifest that says what is in them.

    manifest.json             month, tables, their columns, rows, digests
    steps.copy.gz             rows as Postgres writes them (COPY, text format), compressed with gzip
    tool_calls.copy.gz
    ledger_entries.copy.gz

The digest of the manifest is on record in the audit. A folder is written under another name and renamed when it is whole and on disk.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from shared.errors import BadInput, Conflict

MANIFEST = "manifest.json"
TABLES = ("steps", "tool_calls", "ledger_entries")
LEVEL = 5  # of gzip: 6 takes half as long again for two per cent
CHUNK = 1 << 20
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass(frozen=True, slots=True)
class Table:
    """One file. `content_sha256` is of what is in it when it is unpacked; columns are (name, type)."""

    table: str
    file: str
    columns: list[list[str]]
    rows: int
    bytes: int
    sha256: str
    content_sha256: str


class Writer:
    """Takes rows as COPY sends them."""

    def __init__(self, folder: Path, table: str, columns: list[list[str]]) -> None:
        self._path = folder / f"{table}.copy.gz"
        self._table, self._columns = table, columns
        self._file = self._path.open("wb")
        self._packed = gzip.GzipFile(filename="", mode="wb", fileobj=self._file, compresslevel=LEVEL, mtime=0)
        self._content = sha256()
        self._rows = 0

    def write(self, data: bytes) -> None:
        self._rows += data.count(b"\n")  # within a row they are escaped
        self._content.update(data)
        self._packed.write(data)

    def close(self) -> Table:
        """On disk when this returns."""
        self._packed.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        size, digest = _digest(self._path)
        content = self._content.hexdigest()
        return Table(self._table, self._path.name, self._columns, self._rows, size, digest, content)


def _digest(path: Path) -> tuple[int, str]:
    made, size = sha256(), 0
    with path.open("rb") as file:
        while raw := file.read(CHUNK):
            made.update(raw)
            size += len(raw)
    return size, made.hexdigest()


def fresh(path: Path) -> Path:
    """A folder to write an archive in, which becomes `path` when it is whole. Raises Conflict where something of that name is."""
    part = path.with_name(path.name + ".part")
    if path.exists() or part.exists():
        told = f"{path} is there already, and is not of this archive; nothing was changed."
        raise Conflict("archive.exists", told, field="--to", remedy="Name another folder for the archives.")
    part.mkdir(parents=True, mode=0o700)
    return part


def finish(part: Path, path: Path, document: dict[str, Any], tables: list[Table]) -> str:
    """Write the manifest, read everything back, and give the folder its name. Returns the manifest's digest."""
    told = document | {"tables": [asdict(one) for one in tables]}
    with (part / MANIFEST).open("wb") as file:
        file.write(json.dumps(told, indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    _sync(part)
    check(part)
    part.rename(path)
    _sync(path.parent)
    return _digest(path / MANIFEST)[1]


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def manifest(folder: Path) -> dict[str, Any]:
    """Raises BadInput where there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        found["tables"] = [Table(**one) for one in found["tables"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(folder, f"{MANIFEST} cannot be read: {error}") from error
    return dict(found)


def check(folder: Path, recorded: str | None = None) -> dict[str, Any]:
    """Read all of an archive. Raises BadInput unless it is as it was written, by the digest on record where that is given."""
    told = manifest(folder)
    if recorded is not None and _digest(folder / MANIFEST)[1] != recorded:
        raise _broken(folder, f"{MANIFEST} is not the one that is on record")
    for one in told["tables"]:
        _check_table(folder, one)
    return told


def _check_table(folder: Path, one: Table) -> None:
    try:
        if _digest(folder / one.file) != (one.bytes, one.sha256):
            raise _broken(folder, f"{one.file} was changed")
        content, rows = sha256(), 0
        with gzip.open(folder / one.file) as file:
            while data := file.read(CHUNK):
                content.update(data)
                rows += data.count(b"\n")
    except (OSError, EOFError) as error:
        raise _broken(folder, f"{one.file} cannot be read: {error}") from error
    if (rows, content.hexdigest()) != (one.rows, one.content_sha256):
        raise _broken(folder, f"{one.file} holds other rows than were written")


def _broken(folder: Path, told: str) -> BadInput:
    remedy = "Bring the archive back from a copy; nothing is deleted without it."
    return BadInput("archive.broken", f"{folder}: {told}.", field="ARCHIVE", remedy=remedy)


# -- reading -----------------------------------------------------------------------------------------------------------


def rows_of(folder: Path, table: Table) -> Iterator[dict[str, bytes | None]]:
    """The rows of a table, each column as the text that Postgres wrote."""
    names = [name for name, _ in table.columns]
    with gzip.open(folder / table.file) as file:
        for line in _lines(file):
            yield dict(zip(names, map(_field, line.split(b"\t")), strict=True))


def _lines(file: gzip.GzipFile | BinaryIO) -> Iterator[bytes]:
    for line in file:
        yield line.removesuffix(b"\n")


def _field(raw: bytes) -> bytes | None:
    if raw == b"\\N":
        return None
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), raw) if b"\\" in raw else raw


def binary(text: bytes | None) -> bytes | None:
    """A bytea column."""
    return None if text is None else bytes.fromhex(text.removeprefix(b"\\x").decode())


def readable(row: dict[str, bytes | None], table: Table) -> dict[str, Any]:
    """A row for people: numbers and JSON as such, bytes as text where they are text."""
    return {name: _readable(row[name], kind) for name, kind in table.columns}


def _readable(raw: bytes | None, kind: str) -> Any:
    if raw is None:
        return None
    if kind == "bytea":
        return _text(binary(raw) or b"")
    if kind in ("json", "jsonb", "integer", "bigint", "real", "smallint"):
        return json.loads(raw)
    return raw == b"t" if kind == "boolean" else raw.decode()


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(raw).decode()
