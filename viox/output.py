"""What commands print: one JSON document on stdout with --json, tables and sentences otherwise. Logs go to stderr.

Exit codes: 0 done, 1 error, 2 bad input, 3 waiting for a person, 4 failed or blocked, 5 timed out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import orjson

from shared.errors import BadInput, NotFound, VioxError

OK, ERROR, BAD_INPUT, WAITING, FAILED, TIMED_OUT = range(6)


def emit(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def say(text: str = "") -> None:
    """A line for a person."""
    sys.stdout.write(text + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """A table for a person, or a sentence when there is nothing."""
    if not rows:
        say(empty)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(drawn)


def listing(items: Sequence[Any], following: str | None) -> dict[str, Any]:
    """The contract's form of every listing."""
    return {"items": list(items), "next": following}


def fail(error: VioxError, *, as_json: bool) -> NoReturn:
    """Report an error and leave with its exit code."""
    if as_json:
        emit({"error": error.as_dict()})
    sys.stderr.write(str(error) + "\n")
    sys.exit(BAD_INPUT if isinstance(error, BadInput | NotFound) else ERROR)
