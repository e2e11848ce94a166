"""`oneOf` as its author meant it: a discriminator names the alternative, and alternatives that cannot be told apart are
no reason to refuse what fits them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from services.tool_gateway.catalogue.schema import values
from services.tool_gateway.catalogue.schema.references import Unresolvable

MOST = 40  # alternatives that are compared with one another
DEEP = 4


class Schemas(Protocol):
    """Where alternatives can be looked into."""

    def resolved(self, node: Any) -> Any:
        """A schema in plain words, through references."""

    def plain(self, node: Any) -> Any:
        """The same, as a reference where it is one."""


def told_apart(schemas: Schemas, source: Any, made: Mapping[str, Any]) -> dict[str, Any]:
    """`oneOf` and `anyOf` of a schema in a form that accepts what the vendor can tell apart; None for those that go."""
    key = "oneOf" if "oneOf" in made else "anyOf"
    branches: list[Any] = made[key]
    given = source.get("discriminator") if isinstance(source, Mapping) else None
    if given is not None and (pinned := _by_discriminator(schemas, given, branches)) is not None:
        branches = pinned
    elif key == "anyOf" or not _overlap(schemas, branches):
        return {}
    if key == "anyOf" or "anyOf" not in made:
        return {"oneOf": made["oneOf"] if key == "anyOf" and "oneOf" in made else None, "anyOf": branches}
    return {"oneOf": None, "allOf": [*made.get("allOf", []), {"anyOf": branches}]}


def _by_discriminator(schemas: Schemas, given: Any, branches: list[Any]) -> list[Any] | None:
    """The branches, each with the values of the property that name it. None when they say nothing."""
    name = given.get("propertyName") if isinstance(given, Mapping) else given
    mapping = given.get("mapping") if isinstance(given, Mapping) else None
    if not isinstance(name, str):
        return None
    mapped = mapping if isinstance(mapping, Mapping) else {}
    made = []
    for branch in branches:
        found = _naming(schemas, branch, name, mapped)
        made.append({"allOf": [branch], "properties": {name: {"enum": found}}} if found else branch)
    return made


def _naming(schemas: Schemas, branch: Any, name: str, mapped: Mapping[str, Any]) -> list[Any]:
    """Values of the discriminator that mean this branch: mapped to it, else its name; never one that it refuses."""
    plain = schemas.plain(branch)
    if not isinstance(plain, dict):
        return []
    own = _property(schemas, branch, name, 0)
    reference = plain.get("$ref")
    called = reference.rsplit("/", 1)[-1] if isinstance(reference, str) else None
    if plain == {"type": "null"} or (called is None and own is None):
        return []
    wanted: list[Any] = [value for value, target in mapped.items() if called and _last(target) == called]
    wanted = wanted or ([called] if called else [])
    allowed = own.get("enum", [own["const"]] if "const" in own else None) if own else None
    kind = own.get("type") if own else None
    if isinstance(kind, str):
        wanted = [value for one in wanted for value in _as(one, kind)]
    if allowed is None:
        return wanted
    return [value for value in wanted if value in allowed]


def _as(value: Any, kind: str) -> list[Any]:
    try:
        return [values.as_type(value, kind)]
    except ValueError:
        return []


def _last(target: Any) -> str:
    """The schema's name in a mapping's value: a reference, or the name itself."""
    return str(target).rsplit("/", 1)[-1].rsplit("#", 1)[-1].removesuffix(".yaml").removesuffix(".json")


def _property(schemas: Schemas, node: Any, name: str, depth: int) -> dict[str, Any] | None:
    """How a schema, or a part of it, describes one property."""
    found = _resolved(schemas, node)
    if found is None or depth > DEEP:
        return None
    if name in found.get("properties", {}):
        inner = _resolved(schemas, found["properties"][name])
        if inner is not None and (inner.keys() & {"enum", "const"} or "allOf" not in found):
            return inner
    inherited = [_property(schemas, part, name, depth + 1) for part in found.get("allOf", [])[:MOST]]
    known = [one for one in inherited if one is not None]
    pinned = [one for one in known if one.keys() & {"enum", "const"}]
    return next(iter(pinned or known), None) or _resolved(schemas, found.get("properties", {}).get(name))


def _resolved(schemas: Schemas, node: Any) -> dict[str, Any] | None:
    if node is None:
        return None
    try:
        found = schemas.resolved(node)
    except Unresolvable:
        return None
    return found if isinstance(found, dict) else None


# -- which alternatives can be told apart ----------------------------------------------------------------------------------


def _overlap(schemas: Schemas, branches: list[Any]) -> bool:
    """Whether what is meant for one alternative may fit another as well, however it is given."""
    if len(branches) > MOST:
        return True
    shapes = [_Shape(schemas, branch, 0) for branch in branches]
    return any(one.takes(other, 0) for one in shapes for other in shapes if one is not other)


class _Shape:
    """What must be the case for a value to fit a schema, roughly: in doubt it fits."""

    def __init__(self, schemas: Schemas, node: Any, depth: int) -> None:
        self._schemas = schemas
        self.types: set[str] = set(values.TYPES)
        self.values: set[bytes] | None = None
        self.properties: dict[str, Any] = {}
        self.required: set[str] = set()
        self.closed = False
        self._add(node, depth)

    def _add(self, node: Any, depth: int) -> None:
        plain = _resolved(self._schemas, node)
        if plain is None or depth > DEEP:
            return
        if "type" in plain:
            kinds = {plain["type"]} if isinstance(plain["type"], str) else set(plain["type"])
            self.types &= kinds | ({"integer"} if "number" in kinds else set())
        allowed = plain.get("enum", [plain["const"]] if "const" in plain else None)
        if allowed is not None:
            found = {orjson.dumps(value) for value in allowed}
            self.values = found if self.values is None else self.values & found
        self.properties |= plain.get("properties", {})
        self.required |= set(plain.get("required", ()))
        self.closed = self.closed or plain.get("additionalProperties") is False
        for part in plain.get("allOf", [])[:MOST]:
            self._add(part, depth + 1)

    def takes(self, other: _Shape, depth: int) -> bool:
        """Whether what has no more than the other demands may fit this one too."""
        if self.values is not None and other.values is not None and not self.values & other.values:
            return False
        if not self.types & other.types - {"null"}:
            return False
        if self.types & other.types - {"null", "object"} and not (self.required or other.required):
            return True
        if not self.required <= other.required or (self.closed and not other.required <= self.properties.keys()):
            return False
        if depth > DEEP:
            return True
        return all(
            _Shape(self._schemas, self.properties[name], depth).takes(
                _Shape(self._schemas, other.properties[name], depth), depth + 1
            )
            for name in other.required
            if name in self.properties and name in other.properties
        )
