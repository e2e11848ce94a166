"""References of a document whose paths do not stay as they are: what they lead to is moved, and what is not needed goes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from services.tool_gateway.catalogue.schema import lookup
from services.tool_gateway.catalogue.yaml12 import MAX_NODES
from shared.errors import BadInput


def out_of_paths(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is referred to within `paths` gets a place of its own among the components: paths do not stay as they are."""
    moved: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = []
    count = 0

    def rewritten(node: Any) -> Any:
        nonlocal count
        count += 1
        if count > 2 * MAX_NODES:
            raise BadInput("document.too_large", "its references into paths unfold to too much.", field="paths")
        if isinstance(node, list):
            return [rewritten(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        made = {key: rewritten(value) for key, value in node.items()}
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/paths/"):
            try:
                target = lookup(document, reference)
            except ValueError:
                return made  # leads nowhere; who uses it will hear so
            name = (
                re.sub(r"\W", "_", reference.rsplit("/", 1)[1])
                + "_"
                + hashlib.sha256(reference.encode()).hexdigest()[:12]
            )
            if name not in moved:
                moved[name] = None
                waiting.append((name, target))
            made["$ref"] = f"#/components/x-moved/{name}"
        return made

    whole = {key: rewritten(value) if key in ("paths", "components") else value for key, value in document.items()}
    while waiting:
        name, target = waiting.pop()
        moved[name] = rewritten(target)
    return whole | {"components": {**(whole.get("components") or {}), "x-moved": moved}} if moved else whole


def reachable(document: Mapping[str, Any]) -> dict[str, Any]:
    """The components that the kept operations lead to, and the security schemes."""
    kept: dict[str, Any] = {}
    schemes = (document.get("components") or {}).get("securitySchemes")
    if schemes:
        kept["securitySchemes"] = schemes
    waiting = list(_references(document["paths"]))
    done: set[str] = set()
    while waiting:
        reference = waiting.pop()
        if reference in done:
            continue
        done.add(reference)
        try:
            target = lookup(document, reference)
        except ValueError:
            continue  # in an example: operations that need it are not here
        parts = [unquote(p).replace("~1", "/").replace("~0", "~") for p in reference[2:].split("/")]
        if parts[0] == "components" and len(parts) >= 3:
            if parts[2] in kept.get(parts[1], {}):
                continue
            whole = document["components"][parts[1]][parts[2]]
            kept.setdefault(parts[1], {})[parts[2]] = whole
            waiting += _references(whole)
        else:
            waiting += _references(target)
    return kept


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
