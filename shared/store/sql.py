"""SQL lives in `.sql` files beside the module that owns the tables; this reads them into named statements.

    -- name: claim_thread      starts a statement
    -- fragment: run_over      starts a piece of SQL that statements of the file include as {run_over}

A statement's parameters are positions (`$1`) or names (`:owner`). Named ones are given by name:

    await connection.fetch(*SQL.bind("claim_thread", owner=owner, seconds=5.0))

Many rows travel as one parameter: `from json_to_recordset(:calls::json) as c(call_id text, ...)`, bound to a list of
dicts. Bytes go into such rows by `base64_text` and come out by `decode(column, 'base64')`.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")
_HEADER = re.compile(r"^-- (name|fragment): (\w+)[^\n]*\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--[^\n]*\n?", re.MULTILINE)
_INCLUDE = re.compile(r"\{(\w+)\}")
_QUOTED_CAST_OR_NAME = re.compile(r"'(?:[^']|'')*'|::|:([a-z_]\w*)")


class Queries:
    """Statements of one file by name. Unknown names fail when looked up; unknown fragments when the file is read.

    `shared` are files whose fragments the statements may include, too.
    """

    def __init__(self, path: Path, *shared: Path) -> None:
        self._path = path
        fragments: dict[str, str] = {}
        for file in (*shared, path):
            fragments |= _parts(file)["fragment"]
        self._statements: dict[str, str] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        for name, text in _parts(path)["name"].items():
            self._statements[name], self._names[name] = _numbered(self._included(text, fragments))

    def __getitem__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise LookupError(f"no statement {name!r} in {self._path.name}") from None

    def bind(self, name: str, /, **values: Any) -> tuple[Any, ...]:
        """The statement and its arguments in order. Raises TypeError unless exactly its parameters are given."""
        statement, names = self[name], self._names[name]
        if values.keys() != set(names):
            raise TypeError(f"{name} takes {', '.join(names) or 'nothing'}; given were {', '.join(values) or 'none'}")
        return statement, *(values[one] for one in names)

    def _included(self, text: str, fragments: Mapping[str, str]) -> str:
        def piece(found: re.Match[str]) -> str:
            try:
                return self._included(fragments[found[1]], fragments)
            except KeyError:
                raise LookupError(f"no fragment {found[1]!r} for {self._path.name}") from None

        return _INCLUDE.sub(piece, text)


def record(kind: type[T], row: Any) -> T:
    """A row as the dataclass `kind`: columns by the names of its fields. Columns that are no fields are left out.

    `row` is asyncpg's Record, which is a mapping to all but its types.
    """
    names: tuple[str, ...] = _fields(cast(Any, kind))
    return kind(**{name: row[name] for name in names})


def base64_text(raw: bytes | None) -> str | None:
    """Bytes as a JSON row carries them."""
    return None if raw is None else base64.b64encode(raw).decode()


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


def _parts(path: Path) -> dict[str, dict[str, str]]:
    """{"name": statements, "fragment": fragments} of a file, without their comments."""
    pieces = _HEADER.split(path.read_text())
    found: dict[str, dict[str, str]] = {"name": {}, "fragment": {}}
    for kind, name, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        found[kind][name] = _COMMENT.sub("", body).strip()
    return found


def _numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """`:name` becomes the `$n` that Postgres knows, the same one wherever the name occurs."""
    names: dict[str, int] = {}

    def position(found: re.Match[str]) -> str:
        if (name := found[1]) is None:
            return found[0]
        return f"${names.setdefault(name, len(names) + 1)}"

    return _QUOTED_CAST_OR_NAME.sub(position, text), tuple(names)
