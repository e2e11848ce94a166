"""JSON values as Cedar has them: the types of a tool's arguments, and the arguments in those types. Pure.

    string → String    boolean → Bool    integer → Long (64 bits)    object → record of its named properties
    array → {count: Long, items: Set} (a set knows neither order nor repeats; items where they are all of one such type)

Numbers with a fraction, alternatives, and what a schema does not name have no type here. Null is as good as absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.tool_gateway.policy.reads import Path

SIMPLE = {"string": "String", "boolean": "Bool", "integer": "Long"}
LONGEST_SET = 1_000
MOST = 2**63
DEEPEST = 12


class NoType(ValueError):
    """A schema, or a value, that Cedar has nothing for."""


def quoted(text: str) -> str:
    """A string literal of Cedar, whose escapes are not JSON's."""
    made = "".join(
        character if " " <= character <= "~" and character not in '"\\' else f"\\u{{{ord(character):x}}}"
        for character in text
    )
    return f'"{made}"'


def record_type(schema: Mapping[str, Any], paths: Iterable[Path], defs: Mapping[str, Any]) -> str | None:
    """The record type of what `paths` name of an object; None when it has nothing of that.

    Raises NoType when a path leads to something that has no type here.
    """
    wanted: dict[str, set[Path]] = {}
    for path in paths:
        if path:
            wanted.setdefault(path[0], set()).add(path[1:])
    plain = _resolved(schema, defs)
    properties, required = plain.get("properties") or {}, plain.get("required") or ()
    parts = [
        f"{quoted(name)}{'' if _is_there(name, properties[name], required, defs) else '?'}: {_type(properties[name], rest, defs, 0)}"
        for name, rest in sorted(wanted.items())
        if name in properties
    ]
    return "{" + ", ".join(parts) + "}" if parts else None


def projected(value: Any, schema: Mapping[str, Any], paths: Iterable[Path], defs: Mapping[str, Any]) -> dict[str, Any]:
    """What `paths` name of an object, in Cedar's types. Raises NoType for a value that has none."""
    wanted: dict[str, set[Path]] = {}
    for path in paths:
        if path:
            wanted.setdefault(path[0], set()).add(path[1:])
    properties = _resolved(schema, defs).get("properties") or {}
    return {
        name: _value(value[name], properties[name], rest, defs)
        for name, rest in wanted.items()
        if name in properties and isinstance(value, Mapping) and value.get(name) is not None
    }


def _is_there(name: str, schema: Any, required: Iterable[str], defs: Mapping[str, Any]) -> bool:
    kinds = _kinds(_resolved(schema, defs))
    return name in required and "null" not in kinds


def _resolved(schema: Any, defs: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any]:
    """A schema without its reference, and without an `allOf` of one part."""
    if not isinstance(schema, Mapping) or depth > DEEPEST:
        return {}
    if isinstance(reference := schema.get("$ref"), str):
        return _resolved(defs.get(reference.removeprefix("#/$defs/")), defs, depth + 1)
    parts = schema.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and "type" not in schema:
        return {**_resolved(parts[0], defs, depth + 1), **{k: v for k, v in schema.items() if k != "allOf"}}
    return schema


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type")
    return [given] if isinstance(given, str) else list(given or ())


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = [kind for kind in _kinds(schema) if kind != "null"]
    if len(kinds) != 1 or any(word in schema for word in ("oneOf", "anyOf", "not")):
        raise NoType("alternatives and values of several types cannot be read by a policy")
    return kinds[0]


def _type(schema: Any, paths: Iterable[Path], defs: Mapping[str, Any], depth: int) -> str:
    plain, paths = _resolved(schema, defs), [path for path in paths if path]
    kind = _kind(plain)
    if kind in SIMPLE:
        return SIMPLE[kind]
    if kind == "object" and paths and (made := record_type(plain, paths, defs)):
        return made
    if kind == "array" and depth < DEEPEST:
        items = SIMPLE.get(_simple_kind(plain.get("items"), defs))
        return '{"count": Long' + (f', "items": Set<{items}>' if items else "") + "}"
    raise NoType(f"a value of type {kind} cannot be read by a policy")


def _simple_kind(schema: Any, defs: Mapping[str, Any]) -> str:
    try:
        return _kind(_resolved(schema, defs))
    except NoType:
        return ""


def _value(value: Any, schema: Any, paths: Iterable[Path], defs: Mapping[str, Any]) -> Any:
    plain, paths = _resolved(schema, defs), [path for path in paths if path]
    match _kind(plain):
        case "string" if isinstance(value, str):
            return _text(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" if isinstance(value, int | float) and not isinstance(value, bool):
            return _long(value)
        case "object" if isinstance(value, Mapping):
            return projected(value, plain, paths, defs)
        case "array" if isinstance(value, list):
            made: dict[str, Any] = {"count": len(value)}
            if _simple_kind(plain.get("items"), defs) in SIMPLE:
                if len(value) > LONGEST_SET:
                    raise NoType(f"a list of more than {LONGEST_SET} items cannot be judged")
                made["items"] = [_value(item, plain["items"], (), defs) for item in value if item is not None]
            return made
    raise NoType(f"{type(value).__name__} cannot be judged")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NoType("a text with half a character cannot be judged") from error
    return value


def _long(value: float) -> int:
    if value != int(value) or not -MOST <= value < MOST:
        raise NoType(f"{value} is no whole number of 64 bits")
    return int(value)
