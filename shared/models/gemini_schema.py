"""Gemini's Schema: one type, enums of texts, `anyOf` alone in its place; no references, constants or tuples."""

from __future__ import annotations

from typing import Any

import orjson

from shared.models.schema_parts import DEEPEST, Schema, as_list, merged, resolved

FORMATS = {"string": {"date-time", "enum"}, "integer": {"int32", "int64"}, "number": {"float", "double"}}
BOUNDS = ("minimum", "maximum", "minItems", "maxItems")
KEYWORDS_OF = {
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"format", "pattern", "minLength", "maxLength"},
    "number": {"format", "minimum", "maximum"},
    "integer": {"format", "minimum", "maximum"},
}
DESCRIBED = {
    "pattern": "Pattern: {}.",
    "format": "Format: {}.",
    "minLength": "At least {} characters.",
    "maxLength": "At most {} characters.",
    "exclusiveMinimum": "More than {}.",
    "exclusiveMaximum": "Less than {}.",
    "multipleOf": "A multiple of {}.",
    "minProperties": "At least {} members.",
    "maxProperties": "At most {} members.",
    "default": "Default: {}.",
}


class GeminiSchema:
    """Rewrites one tool's schema. What has no keyword is said in the description."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def top(self) -> Schema:
        made = self._schema(self._root, 0)
        return made if made.get("properties") else {"type": "object", "properties": {}}

    def _schema(self, given: Any, depth: int) -> Schema:
        if not isinstance(given, dict) or depth > DEEPEST:
            return {"type": "string"} if not isinstance(given, dict) else {"type": "object"}
        node = self._flat(given, depth)
        alternatives = self._alternatives(node)
        if alternatives is None:
            return self._single(node, depth)
        kinds = [one for one in alternatives if one.get("type") != "null"]
        nullable = len(kinds) < len(alternatives) or node.get("nullable") is True
        made = [self._schema(one, depth + 1) for one in kinds]
        made = [one for n, one in enumerate(made) if one not in made[:n]]
        if not made:
            return _described({"type": "string", "nullable": True}, [node.get("description"), "Always null."])
        if nullable:
            made = [one | {"nullable": True} for one in made]
        if text := node.get("description"):
            made[0] = _described(made[0], [text])
        return made[0] if len(made) == 1 else {"anyOf": made}

    def _flat(self, given: Schema, depth: int) -> Schema:
        """The node with its reference and `allOf` taken in."""
        node = dict(given)
        for _ in range(DEEPEST):
            if "$ref" not in node:
                break
            target = resolved(node.pop("$ref"), self._root)
            node = (target if isinstance(target, dict) else {}) | node
        if parts := [part for part in as_list(node.pop("allOf", None)) if isinstance(part, dict)]:
            flat = [self._flat(part, depth + 1) for part in parts] if depth < DEEPEST else []
            combined = merged({"allOf": [node, *flat]}, self._root, demand=True, depth=depth)
            for part in flat:
                node = part | node
            if combined["properties"]:
                node |= combined
        return node

    def _alternatives(self, node: Schema) -> list[Schema] | None:
        """The schemas that a value may fit one of, each whole; None when there is only one."""
        base = {k: v for k, v in node.items() if k not in ("anyOf", "oneOf", "type", "description", "nullable")}
        for key in ("anyOf", "oneOf"):
            options = [o for o in as_list(node.get(key)) if isinstance(o, dict)]
            if options and not all(o.keys() <= {"required", "not", "description"} for o in options):
                kept = ({"type": node["type"]} if "type" in node else {}) | base
                return [_joined(kept, option) for option in options]
        kinds = node.get("type")
        if isinstance(kinds, list):
            return [_of_kind(base, kind) for kind in kinds] if kinds else None
        return None

    def _single(self, node: Schema, depth: int) -> Schema:
        kind = node["type"] if isinstance(node.get("type"), str) else _kind_of(node)
        told: list[str | None] = [node.get("description")]
        made: Schema = {"type": kind if kind != "null" else "string"}
        if node.get("nullable") is True or kind == "null":
            made["nullable"] = True
        self._values(node, made, told)
        if kind == "object":
            self._object(node, made, depth)
        elif kind == "array":
            self._array(node, made, depth)
        for bound in BOUNDS:
            if bound in KEYWORDS_OF.get(kind, ()) and _is_number(node.get(bound)):
                made[bound] = node[bound]
        self._tell(node, made, kind, told)
        return _described(made, told)

    def _values(self, node: Schema, made: Schema, told: list[str | None]) -> None:
        """Allowed values: as `enum` when all are texts, else in words."""
        values = [node["const"]] if "const" in node else as_list(node.get("enum"))
        if not values:
            return
        texts = list(dict.fromkeys(v for v in values if isinstance(v, str) and v))
        if made["type"] == "string" and len(texts) == len([v for v in values if v is not None]) and texts:
            made["enum"] = texts
            if None in values:
                made["nullable"] = True
            return
        shown = ", ".join(orjson.dumps(v).decode() for v in values[:50])
        told.append(f"Always {shown}." if len(values) == 1 else f"One of {shown}.")

    def _object(self, node: Schema, made: Schema, depth: int) -> None:
        properties = node.get("properties")
        if isinstance(properties, dict) and properties:
            made["properties"] = {n: self._schema(v, depth + 1) for n, v in properties.items() if v is not False}
            required = [n for n in dict.fromkeys(as_list(node.get("required"))) if n in made["properties"]]
            if required:
                made["required"] = required

    def _array(self, node: Schema, made: Schema, depth: int) -> None:
        items = node.get("items")
        places = as_list(node.get("prefixItems")) or as_list(items)
        kinds = [self._schema(one, depth + 1) for one in places]
        if isinstance(items, dict) and items:
            kinds.append(self._schema(items, depth + 1))
        different = [one for n, one in enumerate(kinds) if one not in kinds[:n]]
        made["items"] = (
            {"anyOf": different} if len(different) > 1 else different[0] if different else {"type": "string"}
        )
        if places and items is False:
            made["maxItems"] = len(places)

    def _tell(self, node: Schema, made: Schema, kind: str, told: list[str | None]) -> None:
        """In words what Gemini has no keyword for."""
        if node.get("format") in FORMATS.get(kind, ()):
            made["format"] = node["format"]
        for keyword, sentence in DESCRIBED.items():
            given = node.get(keyword)
            if given is None or keyword in made or isinstance(given, bool | dict | list):
                continue
            if (keyword, given) != ("minLength", 1):
                told.append(sentence.format(given))


def _of_kind(base: Schema, kind: Any) -> Schema:
    """The schema narrowed to one of its types: keywords and values of the other types go."""
    foreign = set().union(*KEYWORDS_OF.values()) - KEYWORDS_OF.get(kind, set())
    made = {k: v for k, v in base.items() if k not in foreign} | {"type": kind}
    if isinstance(made.get("enum"), list):
        fitting = [v for v in made["enum"] if _fits(v, kind)]
        made = made | {"enum": fitting} if fitting else {k: v for k, v in made.items() if k != "enum"}
    return made


def _joined(base: Schema, option: Schema) -> Schema:
    """An alternative together with what holds for all of them."""
    made = base | option
    if "properties" in base and "properties" in option:
        made["properties"] = base["properties"] | option["properties"]
    if "required" in base and "required" in option:
        made["required"] = [*base["required"], *option["required"]]
    return made


def _kind_of(node: Schema) -> str:
    """The type of a schema that names none."""
    if "properties" in node or "additionalProperties" in node:
        return "object"
    if "items" in node or "prefixItems" in node:
        return "array"
    values = [node["const"]] if "const" in node else as_list(node.get("enum"))
    return next((k for k in ("boolean", "integer", "number") if values and all(_fits(v, k) for v in values)), "string")


def _fits(value: Any, kind: Any) -> bool:
    match value:
        case None:
            return bool(kind == "null")
        case bool():
            return bool(kind == "boolean")
        case int():
            return kind in ("integer", "number")
        case float():
            return bool(kind == "number")
        case str():
            return bool(kind == "string")
        case _:
            return kind in ("object", "array")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _described(made: Schema, told: list[Any]) -> Schema:
    """The schema with these sentences in its description."""
    texts = [t.strip() for t in (*told, made.get("description")) if isinstance(t, str) and t.strip()]
    text = " ".join(t if t[-1] in ".!?:" else f"{t}." for t in texts[:-1]) + (f" {texts[-1]}" if texts else "")
    return made | {"description": text.strip()} if texts else made
