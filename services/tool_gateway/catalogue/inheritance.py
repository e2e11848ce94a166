"""Schemas that others extend (`allOf` with a reference to one that has a discriminator) as the alternatives they stand for.

A base says nothing of what its heirs add. Whoever refers to it means one of them, so that references are led to a schema
that lists them with `oneOf`; the heirs themselves go on extending the base. Documents are changed when they are imported,
because afterwards only what is referred to is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SCHEMAS = "#/components/schemas/"
MOST_HEIRS = 20
MOST_BASES = 200  # of a document: more are a whole class library, whose alternatives would unfold without end
CHOICES = ("oneOf", "anyOf")
Heirs = dict[str, dict[str, None]]


def with_alternatives(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with references to bases leading to what extends them."""
    components = document.get("components")
    schemas = components.get("schemas") if isinstance(components, Mapping) else None
    if not isinstance(schemas, Mapping):
        return dict(document)
    heirs = _heirs(schemas)
    listed = {name: found for name in heirs if (found := _alternatives(name, schemas, heirs))}
    if not listed or len(listed) > MOST_BASES:
        return dict(document)
    names = {name: _free(f"{name}_any", schemas) for name in listed}
    rewriting = _Rewriting({SCHEMAS + name: SCHEMAS + new for name, new in names.items()})
    made = {key: rewriting.of(value) for key, value in document.items() if key != "components"}
    kept = {key: rewriting.of(value) for key, value in components.items() if key != "schemas"}  # type: ignore[union-attr]  # checked
    kept["schemas"] = {name: rewriting.of_named(schema) for name, schema in schemas.items()}
    kept["schemas"] |= {names[name]: found for name, found in listed.items()}
    return made | {"components": kept}


def _heirs(schemas: Mapping[str, Any]) -> Heirs:
    """Names of those that extend each schema themselves."""
    found: Heirs = {}
    for name, schema in schemas.items():
        for base in _extends(schema):
            found.setdefault(base, {})[str(name)] = None
    return found


def _extends(schema: Any) -> Iterator[str]:
    parts = schema.get("allOf") if isinstance(schema, Mapping) else None
    for part in parts if isinstance(parts, list) else ():
        reference = part.get("$ref") if isinstance(part, Mapping) else None
        if isinstance(reference, str) and reference.startswith(SCHEMAS):
            yield reference.removeprefix(SCHEMAS)


def _alternatives(name: str, schemas: Mapping[str, Any], heirs: Heirs) -> dict[str, Any] | None:
    """What a base stands for; None for what is no base, or one of too many."""
    schema = schemas.get(name)
    given = schema.get("discriminator") if isinstance(schema, Mapping) and not schema.keys() & set(CHOICES) else None
    told = given if isinstance(given, Mapping) else {"propertyName": given}
    field = told.get("propertyName")
    if not isinstance(schema, Mapping) or not isinstance(field, str):
        return None
    mapping = told.get("mapping")
    values = {str(value): _named(target) for value, target in mapping.items()} if isinstance(mapping, Mapping) else {}
    values = {value: target for value, target in values.items() if target in schemas}
    below = list(dict.fromkeys(values.values())) or list(_below(name, heirs))
    values |= dict.fromkeys(_left(schema, field, values or dict.fromkeys(below)), name)
    if name in values.values() and name not in below:
        below.append(name)
    if len(below) > MOST_HEIRS:
        return None
    made = {
        "oneOf": [{"$ref": SCHEMAS + one} for one in below],
        "discriminator": {"propertyName": field, "mapping": {value: SCHEMAS + one for value, one in values.items()}},
    }
    return made | {key: schema[key] for key in ("title", "description", "nullable") if key in schema}


def _below(name: str, heirs: Heirs) -> dict[str, None]:
    """All that extend a schema, also through others."""
    found: dict[str, None] = {}
    waiting = list(heirs.get(name, ()))
    while waiting and len(found) <= MOST_HEIRS:
        one = waiting.pop(0)
        if one not in found and one != name:
            found[one] = None
            waiting += heirs.get(one, ())
    return found


def _left(schema: Mapping[str, Any], field: str, covered: Mapping[str, Any]) -> list[str]:
    """Values that the base itself allows and no heir has: they mean the base."""
    properties = schema.get("properties")
    described = properties.get(field) if isinstance(properties, Mapping) else None
    allowed = described.get("enum") if isinstance(described, Mapping) else None
    return [one for one in allowed if isinstance(one, str) and one not in covered] if isinstance(allowed, list) else []


def _named(target: Any) -> str:
    return str(target).removeprefix(SCHEMAS)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


class _Rewriting:
    """References led elsewhere, in copies; what is shared is rewritten once."""

    def __init__(self, moved: Mapping[str, str]) -> None:
        self._moved = moved
        self._done: dict[int, tuple[Any, Any]] = {}

    def of_named(self, schema: Any) -> Any:
        """A component: what it extends stays what it is."""
        made = self.of(schema)
        if not isinstance(made, dict) or not isinstance(parts := schema.get("allOf"), list):
            return made
        kept = [part if isinstance(part, Mapping) and "$ref" in part else self.of(part) for part in parts]
        return {**made, "allOf": kept}

    def of(self, node: Any) -> Any:
        if not isinstance(node, dict | list):
            return node
        if id(node) not in self._done:
            made = [self.of(item) for item in node] if isinstance(node, list) else self._mapping(node)
            self._done[id(node)] = (node, made)  # the node too, so that its id stays its own
        return self._done[id(node)][1]

    def _mapping(self, node: dict[str, Any]) -> dict[str, Any]:
        made = {key: self.of(value) for key, value in node.items()}
        if isinstance(reference := node.get("$ref"), str):
            made["$ref"] = self._moved.get(reference, reference)
        if "discriminator" in node:  # its alternatives are told apart by their names
            made |= {key: node[key] for key in CHOICES if key in node}
        return made
