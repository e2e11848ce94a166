"""JSON Schemas out of OpenAPI documents: one self-contained form that checks arguments, one without references for models.

OpenAPI 3.0's dialect (`nullable`, boolean `exclusiveMinimum`) is turned into JSON Schema 2020-12. Properties that only
answers carry (`readOnly`) are left out. Model providers differ in what they accept of `$ref`; none refuses a tree, so
they are shown one in which recursion ends after some levels in an object of any shape.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

MODEL_SCHEMA_BYTES = 40_000  # what one tool may cost in a prompt
LONGEST_DESCRIPTION = 400
DROPPED = frozenset(
    {
        "example",
        "examples",
        "discriminator",
        "xml",
        "externalDocs",
        "readOnly",
        "writeOnly",
        "deprecated",
        "nullable",
        "$schema",
        "$id",
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$comment",
        "$defs",
        "definitions",
    }
)
SUBSCHEMAS = (
    "items",
    "additionalProperties",
    "not",
    "contains",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contentSchema",
)
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAPS = ("properties", "patternProperties", "dependentSchemas")
BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
)
DEEPEST = 60
MAX_WEIGHT = 400_000  # of one tool's arguments: objects, and about 20 bytes of text each


class Unresolvable(ValueError):
    """A reference that leads nowhere, out of the document, or round in a circle."""


def lookup(document: Mapping[str, Any], reference: Any) -> Any:
    """What a local `$ref` points to. Raises Unresolvable."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise Unresolvable(f"$ref {reference!r} leads out of the document")
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


class Bundle:
    """Collects the definitions that schemas of one tool refer to."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self._waiting: deque[tuple[str, str]] = deque()
        self.defs: dict[str, Any] = {}
        self._left = MAX_WEIGHT

    def take(self, schema: Any) -> Any:
        """The schema with its references pointing into `defs`. Raises Unresolvable."""
        made = self._taken(schema, 0)
        while self._waiting:  # one after another: chains of references are longer than a stack is deep
            name, reference = self._waiting.popleft()
            self.defs[name] = self._taken(lookup(self._document, reference), 0)
        return made

    def _taken(self, schema: Any, depth: int) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise Unresolvable(f"{schema!r} is not a schema")
        if depth > DEEPEST:
            raise Unresolvable(f"schemas nested deeper than {DEEPEST} levels")
        if "$ref" in schema:
            return {"$ref": f"#/$defs/{self._name(schema['$ref'])}"}
        made = {key: value for key, value in schema.items() if key not in DROPPED and not key.startswith("x-")}
        self._weigh(made)
        for key in SUBSCHEMAS:
            if isinstance(made.get(key), Mapping):
                made[key] = self._taken(made[key], depth + 1)
        if isinstance(made.get("items"), list):  # a tuple, as it was written before 2020-12
            made["prefixItems"] = made.pop("items")
        for key in LISTS:
            if key in made:
                made[key] = [self._taken(item, depth + 1) for item in made[key]]
        for key in MAPS:
            if key in made:
                made[key] = {
                    n: self._taken(s, depth + 1) for n, s in made[key].items() if not _read_only(self._document, s)
                }
        if "required" in made and isinstance(made["required"], list) and "properties" in made:
            hidden = {n for n, s in schema["properties"].items() if _read_only(self._document, s)}
            made["required"] = [name for name in made["required"] if name not in hidden]
        return _modern(made, schema)

    def _weigh(self, made: Mapping[str, Any]) -> None:
        """A place that is spelled in many ways is copied as often, with all that it holds."""
        held = sum(_size(value) for key, value in made.items() if key not in (*SUBSCHEMAS, *LISTS, *MAPS))
        self._left -= 1 + held // 20
        if self._left < 0:
            raise Unresolvable("the arguments' schema unfolds to too much")

    def _name(self, reference: str) -> str:
        if reference not in self._names:
            base = "".join(c if c.isalnum() or c in "_-" else "_" for c in str(reference).rsplit("/", 1)[-1])
            name = base if base not in self.defs else f"{base}_{hashlib.sha256(reference.encode()).hexdigest()[:16]}"
            self._names[reference] = name
            self.defs[name] = {}
            self._waiting.append((name, reference))
        return self._names[reference]


def _size(value: Any) -> int:
    return len(orjson.dumps(value)) if isinstance(value, dict | list) else len(value) if isinstance(value, str) else 1


def _read_only(document: Mapping[str, Any], schema: Any) -> bool:
    if isinstance(schema, Mapping) and schema.get("readOnly") is True:
        return True
    if isinstance(schema, Mapping) and set(schema) == {"$ref"}:
        found = lookup(document, schema["$ref"])
        return isinstance(found, Mapping) and found.get("readOnly") is True
    return False


def _modern(made: dict[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.0 to 2020-12: nullable and exclusive limits; numbers that YAML took for text (1e+09) are numbers."""
    for key in BOUNDS:
        if isinstance(made.get(key), str):
            made[key] = _number(made[key])
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if made.get(exclusive) is True and bound in made:
            made[exclusive] = made.pop(bound)
        elif isinstance(made.get(exclusive), bool):
            made.pop(exclusive)
    if source.get("nullable") is True:
        if isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
            if "enum" in made and None not in made["enum"]:
                made["enum"] = [*made["enum"], None]
        elif "type" not in made and any(key in made for key in LISTS):
            return {"anyOf": [made, {"type": "null"}]}
    return made


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


# How a schema is cut until it fits: levels of references followed, whether it is described, levels of nesting.
CUTS = (
    (3, True, DEEPEST),
    (2, True, DEEPEST),
    (1, True, DEEPEST),
    (1, False, DEEPEST),
    (0, False, DEEPEST),
    (0, False, 6),
    (0, False, 4),
    (0, False, 2),
)


def for_models(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema as a tree of bounded size. Raises Unresolvable when even without depth it is too large."""
    defs = schema.get("$defs", {})
    bare = {key: value for key, value in schema.items() if key != "$defs"}
    if not defs and len(orjson.dumps(bare)) <= MODEL_SCHEMA_BYTES:
        return bare
    for levels, described, deepest in CUTS:
        try:
            made: dict[str, Any] = _Tree(defs, described, deepest).of(bare, levels, 0)
        except _TooLarge:
            continue
        if len(orjson.dumps(made)) <= MODEL_SCHEMA_BYTES:
            return made
    raise Unresolvable(f"the arguments' schema has more than the {MODEL_SCHEMA_BYTES:,} bytes that are the limit")


class _TooLarge(Exception):
    """A tree that has grown beyond what could fit."""


class _Tree:
    """Writes a schema without references, as long as it may still fit."""

    def __init__(self, defs: Mapping[str, Any], described: bool, deepest: int) -> None:
        self._defs, self._described, self._deepest = defs, described, deepest
        self._left = MODEL_SCHEMA_BYTES

    def of(self, node: Any, levels: int, depth: int) -> Any:
        """A schema, a list of them, or a value; `levels` of references may still be followed."""
        if isinstance(node, list):
            return [self.of(item, levels, depth) for item in node]
        if not isinstance(node, Mapping):
            return self._verbatim(node)
        self._spend(2)
        if isinstance(node.get("$ref"), str):
            target = self._defs[node["$ref"].rsplit("/", 1)[-1]]
            return self.of(target, levels - 1, depth + 1) if levels > 0 and depth <= DEEPEST else self._stub(target)
        if depth > self._deepest:
            return self._stub(node)
        made: dict[str, Any] = {}
        for key, value in node.items():
            if key == "description" and isinstance(value, str):
                if self._described:
                    made[key] = value[:LONGEST_DESCRIPTION]
            elif key in MAPS and isinstance(value, Mapping):
                self._spend(sum(len(name) for name in value))
                made[key] = {n: self.of(s, levels, depth + 1) for n, s in value.items()}
            elif key in ("enum", "const", "default", "required", "type", "dependentRequired"):
                made[key] = self._verbatim(value)
            else:
                made[key] = self.of(value, levels, depth + 1)
        return made

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TooLarge

    def _verbatim(self, value: Any) -> Any:
        """Shared here, but written out wherever it stands."""
        self._spend(_size(value))
        return value

    def _stub(self, target: Any) -> dict[str, Any]:
        """Where a tree ends: the type, and what it is about."""
        made: dict[str, Any] = {}
        if isinstance(target, Mapping):
            made = {key: self._verbatim(target[key]) for key in ("type", "enum", "format") if key in target}
            if self._described and isinstance(about := target.get("description"), str):
                made["description"] = about[:LONGEST_DESCRIPTION]
        return made
