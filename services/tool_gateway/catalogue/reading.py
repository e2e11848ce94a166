"""Bytes to a document of JSON values: JSON or YAML 1.2 in any Unicode encoding, without what Postgres cannot keep."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

import orjson
import yaml

from services.tool_gateway.catalogue import yaml12

UNREADABLE = (yaml.YAMLError, UnicodeDecodeError, RecursionError, OverflowError, ValueError)
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SURROGATE = re.compile("[\ud800-\udfff]")
BEFORE_NUL = re.compile(r"(\\*)\0")


def read(raw: bytes) -> Any:
    """The JSON value that `raw` describes; parts of it may be shared. Raises what UNREADABLE lists."""
    raw = raw.decode("utf-16").encode() if raw.startswith(UTF16) else raw.removeprefix(codecs.BOM_UTF8)
    if raw.lstrip()[:1] in (b"{", b"["):
        try:
            return without_nul(orjson.loads(raw)) if b"\\u0000" in raw else orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass
        try:
            return without_nul(json.loads(raw, strict=False, parse_constant=lambda _: None))
        except ValueError:
            pass  # a mapping in YAML's flow style, or nothing at all
    found = yaml12.load(raw)
    return without_nul(found) if b"\\0" in raw or b"\\x00" in raw or b"\\u0000" in raw or b"\\U0000" in raw else found


def without_nul(document: Any) -> Any:
    """The document without 0x00 and half characters, which cannot be stored: patterns write it `\\x00`, others lose it.

    Shared parts stay shared.
    """
    done: dict[int, Any] = {}

    def made(node: Any) -> Any:
        if isinstance(node, str):
            return _text(node)
        if not isinstance(node, dict | list):
            return node
        if id(node) not in done:
            done[id(node)] = [made(item) for item in node] if isinstance(node, list) else mapping(node)
        return done[id(node)]

    def mapping(node: dict[str, Any]) -> dict[str, Any]:
        found = {_text(key): made(value) for key, value in node.items()}
        if isinstance(pattern := node.get("pattern"), str):
            found["pattern"] = _pattern(pattern)
        if isinstance(named := node.get("patternProperties"), dict):
            found["patternProperties"] = {_pattern(key): made(value) for key, value in named.items()}
        return found

    return made(document)


def _text(text: str) -> str:
    return SURROGATE.sub("\ufffd", text.replace("\0", "\ufffd"))


def _pattern(text: str) -> str:
    """A backslash before the character escapes it, and is not needed before its code."""
    return _text(BEFORE_NUL.sub(lambda found: found[1][: len(found[1]) // 2 * 2] + r"\x00", text))
