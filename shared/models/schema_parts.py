"""Parts of JSON Schemas, for those who rewrite them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
DEEPEST = 12  # levels; recursive schemas end there


def merged(schema: Any, root: Schema, *, demand: bool, depth: int) -> Schema:
    """Properties of an object and of everything combined into it; required are only those of parts that always hold."""
    found: Schema = {"properties": {}, "required": []}
    if not isinstance(schema, dict) or depth > DEEPEST:
        return found
    parts = [(part, demand) for part in as_list(schema.get("allOf"))]
    parts += [(part, False) for key in ("anyOf", "oneOf") for part in as_list(schema.get(key))]
    if "$ref" in schema:
        parts.append((resolved(schema["$ref"], root), demand))
    for part, demanded in parts:
        inner = merged(part, root, demand=demanded, depth=depth + 1)
        found["properties"] = inner["properties"] | found["properties"]
        found["required"] += inner["required"]
    if isinstance(schema.get("properties"), dict):
        found["properties"] = found["properties"] | schema["properties"]
    if demand:
        found["required"] += [n for n in as_list(schema.get("required")) if isinstance(n, str)]
    found["required"] = list(dict.fromkeys(found["required"]))
    return found


def nodes(node: Any) -> Iterator[Schema]:
    if isinstance(node, list):
        for one in node:
            yield from nodes(one)
    elif isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key == "properties" and isinstance(value, dict):
                for inner in value.values():
                    yield from nodes(inner)
            elif key not in ("enum", "const", "default", "examples", "required"):
                yield from nodes(value)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def resolved(reference: Any, root: Schema) -> Any:
    """What a `#/…` reference points to; an open schema when it points nowhere."""
    found: Any = root
    for part in str(reference).removeprefix("#").strip("/").split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or part not in found:
            return {}
        found = found[part]
    return found
