"""What is too large to travel: kept whole somewhere else, with a reference in its place. Pure.

A reference is what agents, models and the command line see: `{"$payload": {id, bytes, media_type, sha256, whole, outline,
preview}}`. `outline` says which JSON paths there are, so that a model can ask for the part it needs.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from shared.redaction import Redactions
from shared.telemetry.digest import sha256_bytes

PREVIEW_CHARACTERS = 2000
MOST_PATHS = 30
DEEPEST_PATH = 4
LONGEST_NAME = 60
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_KINDS = {str: "text", bool: "true or false", int: "number", float: "number", type(None): "null", dict: "object"}


@dataclass(frozen=True, slots=True)
class Large:
    """A result as UTF-8. Not `whole`: the vendor sent more than is taken in."""

    text: bytes
    media_type: str
    whole: bool = True
    outline: dict[str, str] | None = None

    @property
    def sha256(self) -> str:
        return sha256_bytes(self.text)

    def without(self, redactions: Redactions) -> Large:
        """The same without secrets of ours. This object when none is in it."""
        hidden = redactions.data(self.text)
        if hidden is self.text:
            return self
        named = redactions.value(self.outline)
        return replace(self, text=hidden, outline=named)

    def reference(self, payload_id: str | None) -> dict[str, Any]:
        """What travels in its place. Without an id it was only looked at, and is kept nowhere."""
        told: dict[str, Any] = {
            "id": payload_id,
            "bytes": len(self.text),
            "media_type": self.media_type,
            "sha256": self.sha256,
            "whole": self.whole,
        }
        if self.outline:
            told["outline"] = self.outline
        beginning = self.text[: 4 * PREVIEW_CHARACTERS].decode("utf-8", "ignore").replace("\x00", "")
        return {"$payload": told | {"preview": beginning[:PREVIEW_CHARACTERS]}}


def outline(value: Any) -> dict[str, str]:
    """JSON path → what is there, the upper levels first. Of a list its first element stands for all."""
    found: dict[str, str] = {}
    waiting: deque[tuple[str, Any, int]] = deque([("$", value, 0)])
    while waiting and len(found) < MOST_PATHS:
        path, one, depth = waiting.popleft()
        found[path] = _kind(one)
        if depth == DEEPEST_PATH:
            continue
        if isinstance(one, list) and one:
            waiting.append((f"{path}[0]", one[0], depth + 1))
        elif isinstance(one, dict):
            names = [name for name in one if len(name) <= LONGEST_NAME][:MOST_PATHS]
            waiting.extend((path + _step(name), one[name], depth + 1) for name in names)
    return found


def _kind(value: Any) -> str:
    return f"list of {len(value)}" if isinstance(value, list) else _KINDS.get(type(value), "text")


def _step(name: str) -> str:
    """A member's name in a JSON path (RFC 9535)."""
    if _PLAIN_NAME.match(name):
        return f".{name}"
    return "['" + name.replace("\\", "\\\\").replace("'", "\\'") + "']"
