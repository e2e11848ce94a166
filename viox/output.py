"""What commands print: one JSON document on stdout with --json, tables and sentences otherwise. Logs go to stderr.

Exit codes: 0 done, 1 error, 2 bad input, 3 waiting for a person, 4 failed or blocked, 5 timed out.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

from shared.errors import BadInput, NotFound, VioxError

OK, ERROR, BAD_INPUT, WAITING, FAILED, TIMED_OUT = range(6)
# As the reference pages list them.
EXIT_CODES = {
    OK: "done",
    ERROR: "error: something is broken or not there",
    BAD_INPUT: "bad input: an option, argument, file or id; nothing was changed",
    WAITING: "waiting for a person (`ask --wait`)",
    FAILED: "failed or blocked, or cannot be done offline (`ask --wait`); a replay differs; the audit is not as it has to be",
    TIMED_OUT: "timed out (`ask --wait --timeout`); the run goes on",
}
GAP = "  "
_silent: ContextVar[bool] = ContextVar("silent", default=False)
NARROWEST = 20  # of a last column that is cut to the terminal
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def emit(document: Any) -> None:
    """One JSON document on stdout."""
    import orjson

    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def say(text: str = "") -> None:
    """A line for a person."""
    if not _silent.get():
        sys.stdout.write(harmless(text) + "\n")


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """What is said here is not printed: a command calls another one, and tells of it in its own words."""
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)


def warn(text: str) -> None:
    """A line on stderr about something that was accepted all the same."""
    sys.stderr.write(f"warning: {harmless(text)}\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """A table for a person, or a sentence when there is nothing.

    A row is one line and no cell is wrapped, so that ids can be copied and piped. On a terminal the last column, which
    holds free text where there is any, is cut to what is left of the line.
    """
    if not rows:
        say(empty)
        return
    cells = [["" if cell is None else " ".join(harmless(str(cell)).split()) for cell in row] for row in rows]
    widths = [max(_width(name), *(_width(row[at]) for row in cells)) for at, name in enumerate(columns)]
    left = _room(sum(widths[:-1]) + len(GAP) * (len(widths) - 1))
    say(_row(columns, widths, left))
    for row in cells:
        say(_row(row, widths, left))


def _row(cells: Sequence[str], widths: Sequence[int], left: int | None) -> str:
    *first, last = cells
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(first, widths, strict=False)]
    return GAP.join([*padded, last if left is None else _cut(last, left)]).rstrip()


def _room(taken: int) -> int | None:
    """Columns of the terminal that are left for the last cell; None when nobody reads at a terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns - taken, NARROWEST)
    except OSError:
        return None


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = ""
    for character in text:
        if _width(kept + character) >= width:
            break
        kept += character
    return kept + "…"


def _width(text: str) -> int:
    """Columns that a terminal gives to a text."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def harmless(text: str) -> str:
    """Text from outside may carry sequences that move a terminal's cursor or retitle its window: they are shown, not sent."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def more(following: str | None) -> None:
    """How the next page is asked for, when there is one."""
    if following:
        say(f"more: --cursor {following}")


def listing(items: Sequence[Any], following: str | None) -> dict[str, Any]:
    """The contract's form of every listing."""
    return {"items": list(items), "next": following}


def fail(error: VioxError, *, as_json: bool) -> NoReturn:
    """Report an error and leave with its exit code."""
    if as_json:
        emit({"error": error.as_dict()})
    sys.stderr.write(harmless(str(error)) + "\n")
    sys.exit(BAD_INPUT if isinstance(error, BadInput | NotFound) else ERROR)
