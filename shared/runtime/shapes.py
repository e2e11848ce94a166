"""Whether a value that somebody wrote has the shape of values on record: what rules that were written for those may read of it.

Nothing else says what a tool answers: what is on record is what its document's projection left of the vendor's answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Misfits:
    """`broken`: what rules may read and would not find, or not as what it is. `doubtful`: what they have to bear, or will not
    look at. Each a few words with the place first."""

    broken: list[str]
    doubtful: list[str]


def misfits(value: Any, recorded: Sequence[Any]) -> Misfits:
    """Where a value differs from recorded ones: a field that all of them have is missing, or is of a type that none has.

    Null in the place of a value is doubtful: a vendor that has nothing there says so. A list may be longer, shorter or
    empty; each of its items is compared with all items on record.
    """
    found = Misfits([], [])
    for is_broken, told in _misfits(value, [one for one in recorded if one is not None], ""):
        (found.broken if is_broken else found.doubtful).append(told)
    return Misfits(found.broken[:MOST_TOLD], found.doubtful[:MOST_TOLD])


def _misfits(value: Any, recorded: Sequence[Any], path: str) -> Iterator[tuple[bool, str]]:
    kinds = {_kind(one) for one in recorded}
    if not kinds:
        return
    if value is None:
        yield False, f"{path or 'it'} is null, on record it is {_either(kinds)}"
    elif _kind(value) not in kinds:
        yield True, f"{path or 'it'} is {_kind(value)}, on record it is {_either(kinds)}"
    elif isinstance(value, dict):
        yield from _of_object(value, [one for one in recorded if isinstance(one, dict)], path)
    elif isinstance(value, list):
        items = [item for one in recorded if isinstance(one, list) for item in one if item is not None]
        for at, item in enumerate(value):
            yield from _misfits(item, items, f"{path}.{at}" if path else str(at))


def _of_object(value: dict[str, Any], recorded: Sequence[dict[str, Any]], path: str) -> Iterator[tuple[bool, str]]:
    begin = f"{path}." if path else ""
    for name in recorded[0]:
        if name not in value and all(name in one for one in recorded):
            yield True, f"{begin}{name} is missing"
    for name, inner in value.items():
        known = [one[name] for one in recorded if name in one]
        if not known:
            yield False, f"{begin}{name} is nowhere on record"
        yield from _misfits(inner, [one for one in known if one is not None], f"{begin}{name}")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _either(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))
