"""JSON values of calls and answers: what is in them and where, and what of it is prose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

PROSE_WORDS = 4  # a text of so many words is phrased, not chosen


def values(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """(JSON pointer, value) of everything in a JSON value that is no container."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from values(one, f"{at}/{escaped(name)}")
    elif isinstance(value, list) and value:
        for index, one in enumerate(value):
            yield from values(one, f"{at}/{index}")
    else:
        yield at, value


def leaves(value: Any) -> Iterator[tuple[str, str]]:
    return ((at, one) for at, one in values(value) if isinstance(one, str))


def plain(text: str) -> str:
    return " ".join(text.split())


def is_prose(text: str) -> bool:
    return len(text.split()) >= PROSE_WORDS


def is_word(value: Any) -> bool:
    return isinstance(value, str) and value.replace("_", "").replace("-", "").isalpha()


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


def masked(value: Any, pointers: Sequence[str], at: str = "") -> Any:
    """The value, with any text in place of those at the pointers."""
    if at in pointers and isinstance(value, str) and value.strip():
        return None
    if isinstance(value, dict):
        return {name: masked(one, pointers, f"{at}/{escaped(name)}") for name, one in value.items()}
    if isinstance(value, list):
        return [masked(one, pointers, f"{at}/{index}") for index, one in enumerate(value)]
    return value
