"""OpenAPI Overlay 1.0: corrections to somebody else's document, kept apart from it.

Each action has a `target` (JSONPath, RFC 9535) and either `update` (merged into every target) or `remove: true`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jsonpath_rfc9535
from jsonpath_rfc9535 import JSONPathError

from shared.errors import BadInput


def apply_overlay(document: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the overlay's actions applied in order. Raises BadInput naming the action at fault."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    actions = overlay.get("actions")
    if not str(overlay.get("overlay", "")).startswith("1.") or not isinstance(actions, list) or not actions:
        raise BadInput(
            "overlay.invalid",
            "not an OpenAPI Overlay 1.0 document.",
            field="--overlay",
            remedy="It begins with `overlay: 1.0.0` and has `actions`, each with a target.",
        )
    for number, action in enumerate(actions):
        field = f"actions.{number}"
        if not isinstance(action, Mapping) or not isinstance(action.get("target"), str):
            raise BadInput("overlay.invalid", "an action has a target.", field=f"{field}.target")
        try:
            nodes = jsonpath_rfc9535.find(action["target"], made)
        except (JSONPathError, RecursionError) as error:
            raise BadInput("overlay.invalid", f"{action['target']}: {error}.", field=f"{field}.target") from error
        if not nodes:
            raise BadInput("overlay.invalid", f"{action['target']} finds nothing.", field=f"{field}.target")
        # From the last to the first, so that removing from a list does not move what is still to be removed.
        for place in sorted(
            (node.location for node in nodes), key=lambda where: [str(w).zfill(9) for w in where], reverse=True
        ):
            _act(made, place, action, field)
    return made


def _act(document: Any, place: tuple[int | str, ...], action: Mapping[str, Any], field: str) -> None:
    parent: Any = None
    target = document
    for step in place:
        parent, target = target, target[step]
    if action.get("remove") is True:
        if parent is None:
            raise BadInput("overlay.invalid", "the whole document cannot be removed.", field=field)
        del parent[place[-1]]
    elif isinstance(target, dict) and isinstance(action.get("update"), Mapping):
        _merge(target, action["update"])
    elif isinstance(target, list) and "update" in action:
        target.append(copy.deepcopy(action["update"]))
    else:
        raise BadInput("overlay.invalid", "an action updates an object or a list, or removes.", field=field)


def _merge(target: dict[str, Any], update: Mapping[str, Any]) -> None:
    for key, value in update.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif isinstance(value, list) and isinstance(target.get(key), list):
            target[key] = [*target[key], *copy.deepcopy(value)]
        else:
            target[key] = copy.deepcopy(value)
