"""Files in multipart forms: what a binary text becomes there, so that a model can give one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.tool_gateway.catalogue.schema import Bundle

FILE = {
    "type": "object",
    "description": "A file: its name, and its content as text or as base64.",
    "properties": {
        "filename": {"type": "string", "minLength": 1, "maxLength": 200},
        "content_type": {"type": "string"},
        "text": {"type": "string"},
        "base64": {"type": "string", "contentEncoding": "base64"},
    },
    "required": ["filename"],
    "oneOf": [{"required": ["text"]}, {"required": ["base64"]}],
    "additionalProperties": False,
}
BRANCHES = ("allOf", "anyOf", "oneOf")
DEEPEST = 8
# As media types of an encoding they mean a file even where the schema says no more than "text" or nothing.
BINARY_TYPES = ("image/", "audio/", "video/", "font/", "application/octet-stream", "application/pdf", "application/zip")


def with_files(bundle: Bundle, schema: Any, types: Mapping[str, str], depth: int = 0) -> Any:
    """An object's schema with files among its properties, in all its parts. `types`: media types of its properties."""
    plain = bundle.resolved(schema)
    if not isinstance(plain, dict) or depth > DEEPEST:
        return schema
    made = dict(plain)
    if "properties" in plain:
        made["properties"] = properties_with_files(bundle, plain["properties"], types)
    if isinstance(other := plain.get("additionalProperties"), Mapping):
        made["additionalProperties"] = _file_or(bundle, other, 0)
    for key in BRANCHES:
        if key in plain:
            made[key] = [with_files(bundle, part, types, depth + 1) for part in plain[key]]
    return made if made != plain else schema


def properties_with_files(bundle: Bundle, properties: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """The same of properties alone."""
    return {name: _property(bundle, one, types.get(name, "")) for name, one in properties.items()}


def _property(bundle: Bundle, schema: Any, media_type: str) -> Any:
    plain = bundle.resolved(schema) if media_type.startswith(BINARY_TYPES) else None
    if isinstance(plain, Mapping) and set(plain) <= {"description", "title", "type"}:
        return _file(plain) if plain.get("type", "string") == "string" else _file_or(bundle, schema, 0)
    return _file_or(bundle, schema, 0)


def _file_or(bundle: Bundle, schema: Any, depth: int) -> Any:
    """A file where the schema is a binary text, in lists and alternatives too; else the schema as it is."""
    plain = bundle.resolved(schema)
    if not isinstance(plain, dict) or depth > DEEPEST:
        return schema
    if _is_binary(plain):
        return _file(plain)
    made = dict(plain)
    if "items" in plain:
        made["items"] = _file_or(bundle, plain["items"], depth + 1)
    for key in BRANCHES:
        if key in plain:
            made[key] = [_file_or(bundle, part, depth + 1) for part in plain[key]]
    return made if made != plain else schema


def _is_binary(plain: Mapping[str, Any]) -> bool:
    kind = plain.get("type", "string")
    kinds = kind if isinstance(kind, list) else [kind]
    if "string" not in kinds or "contentEncoding" in plain:
        return False  # text that somebody has encoded is text
    return plain.get("format") in ("binary", "byte") or "contentMediaType" in plain


def _file(plain: Mapping[str, Any]) -> Any:
    """A file, or nothing where null may be given."""
    made = FILE | {"description": f"{plain['description']} {FILE['description']}"} if plain.get("description") else FILE
    kind = plain.get("type")
    return {"anyOf": [made, {"type": "null"}]} if isinstance(kind, list) and "null" in kind else made
