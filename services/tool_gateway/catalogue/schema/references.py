"""References: what they lead to in the document, and odd ones written as plain pointers into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urljoin

CONTAINERS = ("$defs", "definitions")


class Unresolvable(ValueError):
    """A reference that leads nowhere, out of the document, or round in a circle."""


def lookup(document: Mapping[str, Any], reference: Any) -> Any:
    """What a local `$ref` points to. Raises Unresolvable."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise Unresolvable(
            f"$ref {reference!r} leads out of the document. Bundle its files into one document first "
            "(for instance with `redocly bundle`)"
        )
    target: Any = document
    for raw in reference[2:].split("/"):
        part = unquote(raw).replace("~1", "/").replace("~0", "~")  # a pointer in a URL's fragment
        if isinstance(target, Mapping) and part in target:
            target = target[part]
        elif isinstance(target, list) and part.isdigit() and int(part) < len(target):
            target = target[int(part)]
        else:
            raise Unresolvable(f"$ref {reference!r} leads nowhere")
    return target


def deref(document: Mapping[str, Any], node: Any) -> Any:
    """The node itself, or what its `$ref` leads to."""
    seen: set[str] = set()
    while isinstance(node, Mapping) and "$ref" in node:
        if node["$ref"] in seen:
            raise Unresolvable(f"$ref {node['$ref']!r} leads round in a circle")
        seen.add(node["$ref"])
        node = lookup(document, node["$ref"])
    return node


def with_plain_references(document: dict[str, Any]) -> dict[str, Any]:
    """Write every reference that is no pointer from the document's root as one, in place, where it is clear which.

    JSON Schema has `$defs` in a schema, anchors, `$id` and `#` for the schema itself; people write the bare name of a
    schema. What stays unclear is left as it is, and whoever needs it is told that it leads nowhere.
    """
    places = list(_places(document))
    marks: dict[str, str] = {}
    for place in places:
        for mark in place.marks():
            marks.setdefault(mark, place.pointer)
    for place in places:
        node = place.node
        for key in ("$dynamicRef", "$recursiveRef"):
            if isinstance(node.get(key), str) and "$ref" not in node:
                node["$ref"] = node.pop(key)
        if isinstance(reference := node.get("$ref"), str):
            node["$ref"] = _plain(document, place, reference, marks)
    return document


class _Place:
    """A mapping of the document, where it is, and which schemas it is in."""

    __slots__ = ("base", "node", "outer", "pointer", "root")

    def __init__(self, node: dict[str, Any], pointer: str, outer: _Place | None, root: str, base: str) -> None:
        self.node, self.pointer, self.outer, self.root, self.base = node, pointer, outer, root, base

    def marks(self) -> Iterator[str]:
        """What others may call this place: its anchors and its `$id`."""
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := self.node.get(key), str):
                yield f"#{name}"
        if isinstance(name := self.node.get("$id"), str):
            yield name.rstrip("#")
            yield self.base


def _places(document: dict[str, Any]) -> Iterator[_Place]:
    """Every mapping once; shared ones where they are met first."""
    seen: set[int] = set()
    stack: list[tuple[Any, str, _Place | None, str, str, str]] = [(document, "#", None, "#", "", "")]
    while stack:
        node, pointer, outer, root, base, key = stack.pop()
        if id(node) in seen or not isinstance(node, dict | list):
            continue
        seen.add(id(node))
        if isinstance(node, list):
            stack += [(item, f"{pointer}/{n}", outer, root, base, "") for n, item in enumerate(node)]
            continue
        if key == "schema" or (pointer.startswith("#/components/schemas/") and pointer.count("/") == 3):
            root = pointer
        if isinstance(node.get("$id"), str):
            root, base = pointer, _joined(base, node["$id"].rstrip("#"))
        here = _Place(node, pointer, outer, root, base)
        yield here
        # Only what has something to find is looked through later.
        inner = here if any(name in node for name in CONTAINERS) else outer
        stack += [
            (value, f"{pointer}/{_escaped(name)}", inner, root, base, name)
            for name, value in node.items()
            if isinstance(value, dict | list)
        ]


def _plain(document: dict[str, Any], place: _Place, reference: str, marks: Mapping[str, str]) -> str:
    if reference.startswith("#/"):
        return reference if _leads(document, reference) else _nearby(document, place, reference)
    if reference in ("#", ""):
        return place.root
    head, _, tail = reference.partition("#")
    for name in (reference, head, _joined(place.base, head)) if head else (reference,):
        if name in marks:
            return marks[name] if name == reference or not tail else f"{marks[name]}{tail}"
    named = f"#/components/schemas/{_escaped(reference)}"
    return named if _leads(document, named) else reference


def _nearby(document: dict[str, Any], place: _Place, reference: str) -> str:
    """The same pointer from one of the schemas around, or among the components."""
    outer = place if any(name in place.node for name in CONTAINERS) else place.outer
    while outer is not None:
        if _leads(outer.node, reference):
            return outer.pointer + reference[1:]
        outer = outer.outer
    for container in CONTAINERS:
        if reference.startswith(f"#/{container}/"):
            named = "#/components/schemas/" + reference.removeprefix(f"#/{container}/")
            return named if _leads(document, named) else reference
    return reference


def _leads(document: Mapping[str, Any], reference: str) -> bool:
    try:
        lookup(document, reference)
    except Unresolvable:
        return False
    return True


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("%", "%25")


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference
