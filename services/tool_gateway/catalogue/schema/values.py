"""Values and types that contradict each other: which of the two the author meant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
# What people call a type, and the format that goes with it.
NAMES: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("str", "text", "char", "varchar", "password", "enum"), ("string", None)),
    **dict.fromkeys(("date",), ("string", "date")),
    **dict.fromkeys(("datetime", "date-time", "date_time", "timestamp"), ("string", "date-time")),
    **dict.fromkeys(("uuid", "guid"), ("string", "uuid")),
    **dict.fromkeys(("email",), ("string", "email")),
    **dict.fromkeys(("uri", "url"), ("string", "uri")),
    **dict.fromkeys(("file", "binary"), ("string", "binary")),
    **dict.fromkeys(("byte", "base64"), ("string", "byte")),
    **dict.fromkeys(("int", "int32", "int64", "long", "short"), ("integer", None)),
    **dict.fromkeys(("float", "double", "decimal", "numeric", "num"), ("number", None)),
    **dict.fromkeys(("bool",), ("boolean", None)),
    **dict.fromkeys(("list", "tuple", "set"), ("array", None)),
    **dict.fromkeys(("dict", "map", "hash", "json"), ("object", None)),
    **dict.fromkeys(("none", "nil"), ("null", None)),
}
EXACT = 2.0**53  # up to here a float is one whole number
TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def type_named(name: Any) -> tuple[str, str | None] | None:
    """(type, format) that somebody meant by a type's name; None when it says nothing."""
    if name is None:
        return "null", None  # `null` without quotes
    if not isinstance(name, str):
        return None
    plain = name.strip().lower()
    return (plain, None) if plain in TYPES else NAMES.get(plain)


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of a type of JSON Schema."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "integer":
            return isinstance(value, int | float) and not isinstance(value, bool) and value == math.floor(value)
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)


def as_type(value: Any, kind: str) -> Any:
    """The value as the type has it: `true` as text, "10" as a number. Raises ValueError when it is none."""
    if fits(value, kind):
        return value
    if kind == "string" and not isinstance(value, dict | list | None):
        return orjson.dumps(value).decode()
    if kind in ("integer", "number") and isinstance(value, str):
        found = number(value)
        if fits(found, kind):
            return found
    if kind == "boolean" and isinstance(value, str) and value.strip().lower() in TRUTHS:
        return TRUTHS[value.strip().lower()]
    raise ValueError(f"{value!r} is no {kind}")


def number(given: Any) -> int | float:
    """A finite number out of one or its text. Raises ValueError."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise ValueError(f"{given!r} is no number")
    found = float(given)
    if not math.isfinite(found):
        raise ValueError(f"{given!r} is no number")
    if isinstance(given, int):
        return given
    return int(found) if found.is_integer() and abs(found) < EXACT else found


def truth(given: Any) -> bool | None:
    """A truth value out of one or its text, else None."""
    if isinstance(given, bool):
        return given
    return TRUTHS.get(given.strip().lower()) if isinstance(given, str) else None


def agreeing(schema: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The schema with values of `enum`, `const` and `default` that fit its type, and what had to be changed.

    A value that does not fit the type can never be given, so that the author meant its text, or its number. Where
    nothing can be made of it, the type gives way. A list of values beside an array is about its items.
    """
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not kinds:
        return schema, None
    made, changed = dict(schema), None
    if "default" in made and not _fits_any(made["default"], kinds):
        try:
            made["default"] = _as_any(made["default"], kinds)
        except ValueError:
            del made["default"]
    for key in ("enum", "const"):
        values = made.get(key) if key == "enum" else [made[key]] if key in made else None
        if not isinstance(values, list) or all(_fits_any(value, kinds) for value in values):
            continue
        changed = f"{key} has values that are no {' or '.join(kinds)}"
        fitting = [found for value in values for found in _readings(value, kinds)]
        if None in values and kinds != ["null"] and "null" not in kinds:
            made["type"], fitting = [*kinds, "null"], [*fitting, None]
        if not [value for value in fitting if value is not None]:
            return _about_items(made, key, values, kinds), changed
        made[key] = distinct(fitting) if key == "enum" else fitting[0]
    return made, changed


def _about_items(made: dict[str, Any], key: str, values: list[Any], kinds: list[str]) -> dict[str, Any]:
    items = made.get("items")
    if "array" in kinds and not any(isinstance(value, dict | list) for value in values):
        rest = {name: value for name, value in made.items() if name != key}
        return rest | {"items": (items if isinstance(items, dict) else {}) | {"enum": values}}
    return {name: value for name, value in made.items() if name != "type"}


def _fits_any(value: Any, kinds: list[str]) -> bool:
    return any(fits(value, kind) for kind in kinds)


def _as_any(value: Any, kinds: list[str]) -> Any:
    for kind in kinds:
        try:
            return as_type(value, kind)
        except ValueError:
            continue
    raise ValueError(f"{value!r} is no {' or '.join(kinds)}")


def _readings(value: Any, kinds: list[str]) -> list[Any]:
    try:
        return [_as_any(value, kinds)]
    except ValueError:
        return []


def distinct(values: list[Any]) -> list[Any]:
    """Each value once, true and 1 apart."""
    return list({orjson.dumps(value): value for value in values}.values())
