"""Dotted paths into JSON values: `results.0.id`, and `tables[id=$.tableId].fields` to choose from a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_CHOOSE = re.compile(r"^(\w+)\[(\w+)=(.+)\]$")


def at(value: Any, path: str, arguments: dict[str, Any] | None = None) -> Any:
    """The value at a path, or None. An empty path is the value itself; `$.x` on the right of `=` is read from arguments."""
    for part in _split(path):
        value = _step(value, part, arguments or {})
        if value is None:
            return None
    return value


def parts(path: str) -> list[str]:
    """The properties of a path, one after another; `*` for an element that is chosen from a list."""
    return [name for part in _split(path) for name in ([part.partition("[")[0], "*"] if "[" in part else [part])]


def _split(path: str) -> list[str]:
    return re.findall(r"[^.\[\]]+(?:\[[^\]]*\])?", path)


def _step(value: Any, part: str, arguments: dict[str, Any]) -> Any:
    if choose := _CHOOSE.match(part):
        name, key, wanted = choose.groups()
        found = filled(wanted, arguments)
        items = value.get(name) if isinstance(value, dict) else None
        listed = items if isinstance(items, list) else []
        return next((item for item in listed if isinstance(item, dict) and item.get(key) == found), None)
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return None


def every(value: Any, path: str) -> list[Any]:
    """All values at a path in which `*` stands for each element of a list."""
    before, star, behind = path.partition(".*")
    found = at(value, before)
    if not star:
        return [found]
    items = found if isinstance(found, list) else []
    return [one for item in items for one in (every(item, behind[1:]) if behind else [item])]


def filled(template: Any, arguments: dict[str, Any]) -> Any:
    """A template with its `$.path` strings replaced by what the arguments hold there."""
    if isinstance(template, str) and template.startswith("$."):
        return at(arguments, template[2:])
    if isinstance(template, dict):
        return {key: filled(item, arguments) for key, item in template.items()}
    if isinstance(template, list):
        return [filled(item, arguments) for item in template]
    return template


def project(value: Any, paths: Iterable[str]) -> Any:
    """What a model is shown of an answer: only these paths, `items.*.id` reaching into each element of a list."""
    wanted = list(paths)
    if not wanted:
        return value
    tree: dict[str, Any] = {}
    for path in wanted:
        branch = tree
        for part in path.split("."):
            branch = branch.setdefault(part, {})
    return _keep(value, tree)


def _keep(value: Any, tree: dict[str, Any]) -> Any:
    if not tree:
        return value
    if isinstance(value, list) and "*" in tree:
        return [_keep(item, tree["*"]) for item in value]
    if isinstance(value, dict):
        return {key: _keep(value[key], branch) for key, branch in tree.items() if key in value}
    return value
