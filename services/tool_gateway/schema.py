"""JSON Schemas out of OpenAPI documents: one self-contained form that checks arguments, one without references for models.

OpenAPI 3.0's dialect (`nullable`, boolean `exclusiveMinimum`) is turned into JSON Schema 2020-12. Properties that only
answers carry (`readOnly`) are left out. Model providers differ in what they accept of `$ref`; none refuses a tree, so
they are shown one in which recursion ends after some levels in an object of any shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

MODEL_SCHEMA_BYTES = 40_000  # what one tool may cost in a prompt
LONGEST_DESCRIPTION = 400
DROPPED = frozenset({"example", "examples", "discriminator", "xml", "externalDocs", "readOnly", "writeOnly", "deprecated",
                     "nullable", "$schema", "$id", "$anchor", "$dynamicAnchor", "$comment"})  # fmt: skip
SUBSCHEMAS = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else",
              "unevaluatedProperties", "unevaluatedItems")  # fmt: skip
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAPS = ("properties", "patternProperties", "dependentSchemas")
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
          "maxItems")  # fmt: skip
DEEPEST = 60


class Unresolvable(ValueError):
    """A reference that leads nowhere, out of the document, or round in a circle."""


def lookup(document: Mapping[str, Any], reference: Any) -> Any:
    """What a local `$ref` points to. Raises Unresolvable."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise Unresolvable(f"$ref {reference!r} leads out of the document")
    target: Any = document
    for raw in reference[2:].split("/"):
        part = raw.replace("~1", "/").replace("~0", "~")
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
        self.defs: dict[str, Any] = {}

    def take(self, schema: Any, depth: int = 0) -> Any:
        """The schema with its references pointing into `defs`."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise Unresolvable(f"{schema!r} is not a schema")
        if depth > DEEPEST:
            raise Unresolvable(f"schemas nested deeper than {DEEPEST} levels")
        if "$ref" in schema:
            return {"$ref": f"#/$defs/{self._name(schema['$ref'])}"}
        made = {key: value for key, value in schema.items() if key not in DROPPED and not key.startswith("x-")}
        for key in SUBSCHEMAS:
            if isinstance(made.get(key), Mapping):
                made[key] = self.take(made[key], depth + 1)
        for key in LISTS:
            if key in made:
                made[key] = [self.take(item, depth + 1) for item in made[key]]
        for key in MAPS:
            if key in made:
                made[key] = {
                    n: self.take(s, depth + 1) for n, s in made[key].items() if not _read_only(self._document, s)
                }
        if "required" in made and isinstance(made["required"], list) and "properties" in made:
            hidden = {n for n, s in schema["properties"].items() if _read_only(self._document, s)}
            made["required"] = [name for name in made["required"] if name not in hidden]
        return _modern(made, schema)

    def _name(self, reference: str) -> str:
        if reference not in self._names:
            base = "".join(c if c.isalnum() or c in "_-" else "_" for c in str(reference).rsplit("/", 1)[-1])
            name = base
            while name in self.defs:
                name += "_"
            self._names[reference] = name
            self.defs[name] = {}
            self.defs[name] = self.take(lookup(self._document, reference))
        return self._names[reference]


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


def for_models(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema as a tree of bounded size. Raises Unresolvable when even without depth it is too large."""
    defs = schema.get("$defs", {})
    bare = {key: value for key, value in schema.items() if key != "$defs"}
    if not defs and len(orjson.dumps(bare)) <= MODEL_SCHEMA_BYTES:
        return bare
    for levels, described in ((3, True), (2, True), (1, True), (1, False), (0, False)):
        made: dict[str, Any] = _tree(bare, defs, levels, described, 0)
        size = len(orjson.dumps(made))
        if size <= MODEL_SCHEMA_BYTES:
            return made
    raise Unresolvable(f"the arguments' schema has {size:,} bytes; {MODEL_SCHEMA_BYTES:,} is the limit")


def _tree(node: Any, defs: Mapping[str, Any], levels: int, described: bool, depth: int) -> Any:
    if isinstance(node, list):
        return [_tree(item, defs, levels, described, depth) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[-1]]
        if levels <= 0 or depth > DEEPEST:
            return _stub(target, described)
        return _tree(target, defs, levels - 1, described, depth + 1)
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key == "description" and isinstance(value, str):
            if described:
                made[key] = value[:LONGEST_DESCRIPTION]
        elif key in MAPS and isinstance(value, Mapping):
            made[key] = {n: _tree(s, defs, levels, described, depth + 1) for n, s in value.items()}
        elif key in ("enum", "const", "default", "required", "type"):
            made[key] = value
        else:
            made[key] = _tree(value, defs, levels, described, depth + 1)
    return made


def _stub(target: Any, described: bool) -> dict[str, Any]:
    """Where a tree ends: the type, and what it is about."""
    made: dict[str, Any] = {}
    if isinstance(target, Mapping):
        made = {key: target[key] for key in ("type", "enum", "format") if key in target}
        if described and isinstance(about := target.get("description"), str):
            made["description"] = about[:LONGEST_DESCRIPTION]
    return made
