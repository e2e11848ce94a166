"""YAML as OpenAPI means it: version 1.2, whose values are JSON's, built from the events of the C parser.

PyYAML reads YAML 1.1, where `no` and `on` are truth values, `12:30` is a number and `2026-04-31` a date. Keys are always
the text that was written. Merge keys (`<<`), which 1.2 does not have, are followed, because documents use them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_NODES = 3_000_000
MAX_DEPTH = 200
TAG = "tag:yaml.org,2002:"
SCALAR_TAGS = frozenset({"int", "float", "bool", "null"})
KNOWN_TAGS = SCALAR_TAGS | {"str", "binary", "timestamp", "map", "seq", "set", "omap", "pairs"}
INTEGER = re.compile(r"[-+]?[0-9]+")
OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
YES_NO: dict[str, bool] = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}
# Keywords of OpenAPI whose value is a truth value: there `no` was not meant as a text.
TRUTHS = frozenset(
    {
        "additionalProperties",
        "allowEmptyValue",
        "allowReserved",
        "deprecated",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "explode",
        "nullable",
        "readOnly",
        "required",
        "uniqueItems",
        "writeOnly",
    }
)
NOT_TEXT = frozenset("0123456789+-.~nNtTfF")  # how a plain scalar begins that may be something else than text
HALVES = re.compile(rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?")
LOW_HALF = re.compile(rb"(?<!\\)((?:\\\\)*)\\u[dD][c-fC-F][0-9a-fA-F]{2}")
CONTROLS = bytes.maketrans(bytes(c for c in range(32) if c not in (9, 10, 13)) + b"\x7f", b" " * 30)


class TooDeep(ValueError):
    """Nested deeper than MAX_DEPTH."""


class TooMany(ValueError):
    """More than MAX_NODES values."""


class Circular(ValueError):
    """An alias that contains itself."""


def load(raw: bytes) -> Any:
    """The one document in `raw`, as JSON values that may share parts. Raises ValueError or yaml.YAMLError."""
    try:
        return _Builder().build(raw)
    except (yaml.reader.ReaderError, yaml.scanner.ScannerError):
        mended = _mended(raw)
        if mended == raw:
            raise
        return _Builder().build(mended)


def _mended(raw: bytes) -> bytes:
    """Without what no YAML may hold and converters from JSON leave in: half characters, raw control characters."""

    def whole(found: re.Match[bytes]) -> bytes:
        if found[3] is None:
            return found[1] + rb"\uFFFD"
        code = 0x10000 + ((int(found[2], 16) - 0xD800) << 10) + (int(found[3], 16) - 0xDC00)
        return found[1] + b"\\U%08X" % code

    return LOW_HALF.sub(rb"\1\\uFFFD", HALVES.sub(whole, raw.translate(CONTROLS)))


def resolve(text: str) -> Any:
    """What a plain scalar stands for in the core schema. What JSON has no number for stays text (`.inf`, `1e999`)."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return _bounded(int(text))
    if OTHER_BASE.fullmatch(text):
        return _bounded(int(text, 0))
    if FLOAT.fullmatch(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def _bounded(number: int) -> int | float:
    return number if -(2**63) <= number < 2**64 else float(number)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is not complete. `texts`: how scalars were written that have become something else."""

    node: dict[str, Any] | list[Any]
    anchor: str | None
    key: str | None = None
    merged: list[Any] = field(default_factory=list)
    texts: dict[str | int, str] = field(default_factory=dict)


class _Builder:
    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._open: set[str] = set()
        self._texts: dict[int, dict[str | int, str]] = {}
        self._merged = 0
        self._root: Any = None

    def build(self, raw: bytes) -> Any:
        documents = 0
        for count, event in enumerate(_events(raw)):
            if count > MAX_NODES:
                raise TooMany(f"more than {MAX_NODES:,} values")
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
                self._begin(event)
            elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
                self._end(event)
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise _wrong(event, "a second document begins")
        return self._root

    def _begin(self, event: Any) -> None:
        _check_tag(event)
        node: dict[str, Any] | list[Any] = {} if type(event) is yaml.MappingStartEvent else []
        if len(self._stack) >= MAX_DEPTH:
            raise TooDeep(f"nested deeper than {MAX_DEPTH} levels")
        self._stack.append(_Open(node, event.anchor))
        if event.anchor:
            self._open.add(event.anchor)

    def _end(self, event: Any) -> None:
        closed = self._stack.pop()
        if closed.merged:
            closed.node = self._with_merged(event, closed)
        if isinstance(closed.node, dict):
            self._as_written(closed.node, closed.texts)
        elif closed.texts:
            self._texts[id(closed.node)] = closed.texts
        if closed.anchor:
            self._open.discard(closed.anchor)
            self._anchors[closed.anchor] = closed.node
        self._place(event, closed.node)

    def _alias(self, event: Any) -> None:
        if event.anchor in self._open:
            raise Circular("an alias contains itself")
        if event.anchor not in self._anchors:
            raise _wrong(event, f"the alias *{event.anchor} is of nothing")
        self._place(event, self._anchors[event.anchor])

    def _scalar(self, event: Any) -> None:
        """A key, or a value with what it was written as."""
        top = self._stack[-1] if self._stack else None
        text: str = event.value
        if top is not None and top.key is None and isinstance(top.node, dict):
            top.key = "<<" if text == "<<" and event.implicit[0] else text
            if text == "<<" and not event.implicit[0]:
                top.key = "\0<<"  # in quotes it is a name like others
            if event.anchor:
                self._anchors[event.anchor] = text
            return
        value: Any = text
        if (event.implicit[0] and (not text or text[0] in NOT_TEXT)) or (event.tag and not event.implicit[1]):
            value = _tagged(event) if event.tag else resolve(text)
        if event.anchor:
            self._anchors[event.anchor] = value
        if top is not None and value is not text and not isinstance(value, str) and _spelled(value) != text:
            top.texts[len(top.node) if isinstance(top.node, list) else str(top.key)] = text
        self._place(event, value)

    def _place(self, event: Any, value: Any) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if isinstance(top.node, list):
            top.node.append(value)
        elif top.key is None:
            if not isinstance(value, str):
                raise _wrong(event, "a key is not a text")
            top.key = value
        else:
            if top.key == "<<":
                top.merged += value if isinstance(value, list) else [value]
            else:
                name = "<<" if top.key == "\0<<" else top.key
                top.node[name] = _both(top.node.get(name), value) if name.startswith("/") else value
            top.key = None

    def _with_merged(self, event: Any, closed: _Open) -> dict[str, Any]:
        """The mapping with those that it merges. Its own keys count, then those of what is named first."""
        made: dict[str, Any] = {}
        for source in reversed(closed.merged):
            if not isinstance(source, dict):
                raise _wrong(event, "<< merges something else than a mapping")
            self._merged += len(source)
            if self._merged > MAX_NODES:
                raise TooMany("its merge keys unfold to too much")
            made.update(source)
        return made | closed.node  # type: ignore[operator]  # only mappings merge

    def _as_written(self, node: dict[str, Any], texts: dict[str | int, str]) -> None:
        """Names, and values of a schema of texts, are what was written: `1.10`, `007` and `True` are not numbers there."""
        kinds = node.get("type")
        places: list[str] = ["required"]
        for key in TRUTHS & node.keys():
            if isinstance(word := node[key], str):
                node[key] = YES_NO.get(word.lower(), word)
        if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
            places += ["enum", "examples"]
            for key in ("const", "default", "example"):
                node.update({key: texts[key]} if key in texts else {})
        if "in" in node and isinstance(node.get("name"), bool | int | float):
            node["name"] = texts.get("name", _spelled(node["name"]))
        for key in places:
            if isinstance(found := node.get(key), list) and id(found) in self._texts:
                written = self._texts[id(found)]
                node[key] = [v if v is None else written.get(n, v) for n, v in enumerate(found)]


def _both(before: Any, value: Any) -> Any:
    """A path that is written twice, with an operation each, has both."""
    return before | value if isinstance(before, dict) and isinstance(value, dict) else value


def _events(raw: bytes) -> Iterator[Any]:
    return iter(yaml.parse(raw, Loader=yaml.CSafeLoader))  # events only: nothing is constructed


def _spelled(value: Any) -> str:
    """How JSON writes a truth value or a number."""
    return ("true" if value else "false") if isinstance(value, bool) else "null" if value is None else repr(value)


def _tagged(event: Any) -> Any:
    """A scalar with a tag of its own. Dates and bytes are what was written."""
    name = _check_tag(event)
    return resolve(event.value) if name in SCALAR_TAGS else event.value


def _check_tag(event: Any) -> str:
    """The short name of a tag; tags that would make objects of programs are refused."""
    if event.tag is None or event.tag == "!":
        return "str"
    name = str(event.tag).removeprefix(TAG)
    if name not in KNOWN_TAGS or name == event.tag:
        raise _wrong(event, f"the tag {event.tag[:60]!r} is unknown")
    return name


def _wrong(event: Any, what: str) -> ValueError:
    return ValueError(f"line {event.start_mark.line + 1}: {what}")
