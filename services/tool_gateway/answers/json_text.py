"""JSON as vendors write it: NaN, half characters, numbers of any size, several values, something before or after. Pure.

What is proper JSON is read by orjson and never gets here, but for numbers that orjson would round.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import orjson

from services.tool_gateway.answers import charsets

MAX_DEPTH = 100
TOO_DEEP = "[nested too deep]"
# A whole number of 19 digits or more, or a fraction with 16 before its point: more than 64 bits may hold.
_LONG_NUMBER = re.compile(rb"(?<=[:\[,\s-])[0-9]{16}(?:[0-9]{3}|[0-9]{0,2}\.[0-9])")
_HALF = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile(r"[\n\x1e]")
_BETWEEN = re.compile(r"[\s,\x1e\x00\ufeff]*")
# Written before JSON so that no page can load it as a script.
_GUARD = re.compile(r"\s*(?:\)\]\}'?,?|(?:while|for)\s*\((?:1|;;|true)\)\s*;|&&&START&&&|/\*.*?\*/)", re.DOTALL)
_CALLBACK = re.compile(r"\s*(?:/\*.*?\*/)?\s*[A-Za-z_$][\w$.]*\s*\((.*)\)\s*;?\s*\Z", re.DOTALL)
_STARTS = re.compile(r"[{\[]")
_MOST_STARTS = 20
_MOST_DIGITS = 20
_INT_64 = range(-(2**63), 2**64)
_EXACT = 2**53


class TooDeep(ValueError):
    """JSON, but nested deeper than a reader bears."""


def value_of(raw: bytes, charset: str | None) -> Any:
    """The JSON value that bytes hold. Raises ValueError saying why there is none.

    NaN and infinities are null, half characters U+FFFD. Numbers that no 64 bits hold exactly are kept as text, because a
    rounded id is another one. Several values are a list; what is no JSON at their end is its last item, as text.
    """
    if charsets.is_utf8(raw, charset) and not _LONG_NUMBER.search(raw):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass
    return _mended(_lenient(charsets.decoded(raw, charset)))


def lines_of(raw: bytes, charset: str | None) -> list[Any]:
    """The values of JSON lines or of a JSON text sequence (RFC 7464). A line that is no JSON stays text: the last may be
    cut off, and is worth showing."""
    text = charsets.decoded(raw, charset)
    values, readable = [], False
    for line in filter(None, (line.strip() for line in re.split(r"[\n\r\x1e]", text))):
        try:
            values.append(_whole(line))
            readable = True
        except ValueError:
            values.append(line)
    if values and not readable:  # a value may go over several lines, in spite of its type
        found = _lenient(text)
        values = found if isinstance(found, list) else [found]
    return [_mended(value) for value in values]


def pruned(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A value without what is nested deeper than anybody reads, and than readers bear."""
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return TOO_DEEP
    if isinstance(value, list):
        return [pruned(item, depth - 1) for item in value]
    return {name: pruned(item, depth - 1) for name, item in value.items()}


def _lenient(text: str) -> Any:
    text = text.lstrip("\ufeff")
    text = text[guard.end() :] if (guard := _GUARD.match(text)) else text
    try:
        return _sequence(text)
    except TooDeep:
        raise
    except ValueError:
        if callback := _CALLBACK.match(text):
            return _whole(callback[1])
        for value in _behind_something(text):
            return value
        raise


def _whole(text: str) -> Any:
    """Exactly one value."""
    value, end = _first(text, 0)
    if text[end:].strip():
        raise ValueError(f"there is more behind it, at character {end}")
    return value


def _sequence(text: str) -> Any:
    """One value, or several one after another. What follows the only one, or is left at the end, is no reason to lose it."""
    values: list[Any] = []
    at = _skipped(text, 0)
    while at < len(text):
        try:
            value, end = _first(text, at)
        except TooDeep:
            raise
        except ValueError:
            if not values or not _tells(values[0]):
                raise
            break
        values.append(value)
        at = _skipped(text, end)
        if at < len(text) and not _tells(value) and not _LINE_END.search(text, end, at):
            raise ValueError(f"there is more behind it, at character {at}")  # a date, an address: no JSON at all
    if not values:
        raise ValueError("it is empty")
    if len(values) == 1:
        return values[0]
    return [*values, text[at:].strip()] if at < len(text) else values


def _behind_something(text: str) -> Iterator[Any]:
    """A warning or a notice that a script wrote before its answer: the value that goes on to the end."""
    for start in list(_STARTS.finditer(text))[:_MOST_STARTS]:
        try:
            value = _whole(text[start.start() :])
        except ValueError:
            continue
        if _tells(value):
            yield value


def _first(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        raise TooDeep("it is nested too deep") from None


def _mended(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value with U+FFFD for half characters."""
    if isinstance(value, str):
        return _joined(value)
    if depth == 0 and isinstance(value, dict | list):
        return TOO_DEEP
    if isinstance(value, list):
        return [_mended(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {_joined(name): _mended(item, depth - 1) for name, item in value.items()}
    return value


def _joined(text: str) -> str:
    """Pairs of halves as the characters they stand for, a half alone as U+FFFD."""
    if not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _tells(value: Any) -> bool:
    """An object or a list with something in it: no accident."""
    return isinstance(value, dict | list) and bool(value)


def _skipped(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _integer(digits: str) -> int | str:
    if len(digits) > _MOST_DIGITS:
        return digits
    number = int(digits)
    return number if number in _INT_64 else digits


def _fraction(digits: str) -> float | str:
    number = float(digits)
    if math.isinf(number) or (abs(number) >= _EXACT and "e" not in digits.lower()):
        return digits
    return number


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_fraction, parse_constant=lambda _: None, strict=False)
