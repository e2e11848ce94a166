"""What providers say about the schemas of tools. A keyword too many, and they refuse the whole request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

PROPERTY_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
GEMINI_KEYWORDS = {
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "prefixItems",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "anyOf",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "default",
    "propertyOrdering",
    "additionalProperties",
}


def problem_with(schema: Any, provider: str) -> str | None:
    """What the provider says of a tool's schema; None when it takes it."""
    return _problem(json.dumps(schema, sort_keys=True), provider)


@lru_cache(maxsize=4096)  # agents send the same tools with every request
def _problem(text: str, provider: str) -> str | None:
    schema = json.loads(text)
    if not isinstance(schema, dict):
        return "Input should be an object"
    if schema.get("type") != "object":
        return "type: Input should be 'object'"
    if found := [key for key in ("oneOf", "allOf", "anyOf", "enum", "not") if key in schema]:
        return f"input_schema does not support {found[0]} at the top level"
    if not jsonschema_rs.meta.is_valid(schema):
        return "JSON schema is invalid. It must match JSON Schema draft 2020-12"
    checks = {"anthropic": _property_names, "gemini": _gemini}
    return checks.get(provider, _arrays)(schema)


def _property_names(schema: Mapping[str, Any]) -> str | None:
    for node in _nodes(schema):
        for name in node.get("properties", {}):
            if not PROPERTY_NAME.fullmatch(name):
                return "properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"
    return None


def _arrays(schema: Mapping[str, Any]) -> str | None:
    for node in _nodes(schema):
        kinds = node.get("type")
        if "array" in (kinds if isinstance(kinds, list) else [kinds]) and "items" not in node:
            return "array schema missing items"
    return None


def _gemini(schema: Mapping[str, Any]) -> str | None:
    for node in _nodes(schema):
        if unknown := sorted(node.keys() - GEMINI_KEYWORDS):
            return f'Unknown name "{unknown[0]}": Cannot find field.'
        if not isinstance(node.get("type", ""), str):
            return "type: Proto field is not repeating, cannot start list."
        if any(not isinstance(value, str) or not value for value in node.get("enum", ())):
            return "enum[0]: cannot be empty, and must be strings"
        if node.get("type") == "array" and "items" not in node:
            return "items: missing field."
        if missing := [name for name in node.get("required", ()) if name not in node.get("properties", {})]:
            return f"required[0]: property is not defined: {missing[0]}"
    return None


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    """All schemas within a schema."""
    if isinstance(node, list):
        for one in node:
            yield from _nodes(one)
    elif isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key == "properties":
                for inner in value.values():
                    yield from _nodes(inner)
            elif key in ("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties"):
                yield from _nodes(value)
