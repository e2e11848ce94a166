"""What a document says of itself in `x-viox`: taken out, unless the integrator trusts its author.

How often a call may be repeated, what it risks, how long it may take, what is probed and whose settings it reads decides
what the gateway does with the business's credentials. That is the integrator's to say, by options and overlays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.tool_gateway.catalogue.document import METHODS

PREFIX = "x-viox"
HEARD = "x-viox-sensitive"  # it can only hide more


def without_claims(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document without any key that begins with `x-viox`, but for marks of what is sensitive, and where it had them:
    `info`, `POST /orders`, …"""
    found: dict[str, None] = {}
    made = {key: _cleaned(value, key, found) for key, value in given.items() if key != "paths"}
    made["paths"] = {path: _path(item, path, found) for path, item in given["paths"].items()}
    return {key: value for key, value in made.items() if not key.startswith(PREFIX)}, list(found)


def _path(item: Any, path: str, found: dict[str, None]) -> Any:
    if not isinstance(item, Mapping):
        return item
    shared = _cleaned({key: value for key, value in item.items() if key not in METHODS}, path, found)
    return shared | {m: _cleaned(item[m], f"{m.upper()} {path}", found) for m in METHODS if m in item}


def _cleaned(node: Any, place: str, found: dict[str, None]) -> Any:
    if isinstance(node, list):
        return [_cleaned(item, place, found) for item in node]
    if not isinstance(node, Mapping):
        return node
    if any(_is_claim(key) for key in node):
        found[place] = None
    return {key: _cleaned(value, place, found) for key, value in node.items() if not _is_claim(key)}


def _is_claim(key: str) -> bool:
    return key.startswith(PREFIX) and key != HEARD
