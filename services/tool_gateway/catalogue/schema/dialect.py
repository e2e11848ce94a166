"""One schema object, as people write it, as JSON Schema 2020-12 has it: OpenAPI 3.0's words, older drafts', mistakes.

Only what an object says itself is looked at, not the schemas inside. What could not be taken at its word is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema_rs

from services.tool_gateway.catalogue.schema import patterns, values

Say = Callable[[str], None]
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
COMBINING = ("$ref", "allOf", "anyOf", "oneOf", "not", "if")
PAIRS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def plain(schema: Any, *, modern: bool, say: Say = lambda _: None) -> dict[str, Any] | bool:
    """The schema as an object of 2020-12 or a truth value. `modern`: what stands beside `$ref` counts (3.1)."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping):
        return _shorthand(schema, say)
    if isinstance(schema.get("$ref"), str):
        return _beside_reference(schema, modern, say)
    made = _keywords(schema, say)
    _arrays(schema, made)
    _types(schema, made, say)
    _limits(made, say)
    made, changed = values.agreeing(made)
    if changed:
        say(f"{changed}: read as what can be given")
    _texts(schema, made, say)
    _names(schema, made, say)
    made = _nullable(schema, made)
    return {"type": made["type"], **made} if "type" in made else made  # what is read first says what it is


def _shorthand(schema: Any, say: Say) -> dict[str, Any]:
    """`name:` with nothing behind it is any value; `name: string` is a type."""
    found = values.type_named(schema) if isinstance(schema, str) else None
    if found is None:
        if schema is not None:
            say(f"{str(schema)[:40]!r} is no schema: any value is taken")
        return {}
    return {"type": found[0]} | ({"format": found[1]} if found[1] else {})


def _beside_reference(schema: Mapping[str, Any], modern: bool, say: Say) -> dict[str, Any] | bool:
    """A reference alone, or as one of what has to be met. In 3.0 only what forbids nothing counts beside it."""
    reference = {"$ref": schema["$ref"]}
    counted = {key: value for key, value in schema.items() if key != "$ref"}
    if not modern:
        counted = {key: counted[key] for key in ("description", "nullable", "x-nullable") if key in counted}
    beside = plain(counted, modern=modern, say=say)
    null = isinstance(beside, dict) and (_is_nullable(schema) and "type" not in counted)
    rest = dict(beside) if isinstance(beside, dict) else {}
    if not rest and not null:
        return reference
    if null:
        return (
            {"anyOf": [reference, {"type": "null"}], **rest} if "anyOf" not in rest else rest | {"allOf": [reference]}
        )
    return rest | {"allOf": [reference, *rest.get("allOf", [])]}


# -- keywords: what each may be; None where it says nothing ----------------------------------------------------------------


def _schema(given: Any) -> Any:
    word = values.truth(given) if isinstance(given, str) else None
    return given if word is None else word


def _schemas(given: Any) -> Any:
    listed = [given] if isinstance(given, Mapping) else given
    return listed if isinstance(listed, list) and listed else None


def _named_schemas(given: Any) -> Any:
    return dict(given) if isinstance(given, Mapping) else {} if given is None else None


def _name_lists(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return None
    lists = {key: named for key, named in given.items() if isinstance(named, list)}
    return {key: list(dict.fromkeys(name for name in named if isinstance(name, str))) for key, named in lists.items()}


def _count(given: Any) -> Any:
    found = values.number(given)
    return int(found) if 0 <= found < values.EXACT and found == int(found) else None


def _step(given: Any) -> Any:
    found = values.number(given)
    return found if found > 0 else None


def _bound(given: Any) -> Any:
    return given if isinstance(given, bool) else values.number(given)


def _enum(given: Any) -> Any:
    if isinstance(given, Mapping):
        return None
    return values.distinct(given if isinstance(given, list) else [given]) or None


def _text(given: Any) -> Any:
    return None if given is None or isinstance(given, dict | list) else str(given)


READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(SUBSCHEMAS, _schema),
    **dict.fromkeys(LISTS, _schemas),
    **dict.fromkeys(MAPS, _named_schemas),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _bound),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _count),
    **dict.fromkeys(("title", "description", "format", "contentEncoding", "contentMediaType"), _text),
    "pattern": _text,
    "multipleOf": _step,
    "enum": _enum,
    "uniqueItems": values.truth,
    "dependentRequired": _name_lists,
}


def _keywords(schema: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """What the schema says that JSON Schema knows, each in a form that it may have. The rest says nothing of values."""
    made: dict[str, Any] = {}
    for key, value in schema.items():
        read = READ.get(key)
        if read is None:
            if key in ("const", "default"):
                made[key] = value
            continue
        try:
            found = read(value)
        except (ValueError, OverflowError):
            found = None
        if found is not None or (key == "items" and value is None):
            made[key] = found
        elif value is not None:
            say(f"{key} {str(value)[:40]!r} is not checked")
    return made


def _arrays(schema: Mapping[str, Any], made: dict[str, Any]) -> None:
    """A tuple, as it was written before 2020-12; an array whose items are left blank."""
    if isinstance(made.get("items"), list):
        tuple_, rest = made.pop("items"), schema.get("additionalItems")
        made |= ({"prefixItems": tuple_} if tuple_ else {}) | ({"items": rest} if rest is not None and tuple_ else {})
    if "items" in made and made["items"] is None:
        made["items"] = {}


def _types(schema: Mapping[str, Any], made: dict[str, Any], say: Say) -> None:
    """Types by their names in JSON Schema, each once. Where one is unknown every type may be given."""
    given = schema.get("type", ...)
    if given is ... or given is None:
        # Blank in a list of alternatives it was meant as the type.
        made |= {"type": "null"} if given is None and set(schema) <= {"type", "description", "title"} else {}
        return
    found = [values.type_named(name) for name in (given if isinstance(given, list) else [given])]
    if None in found or not found:
        if given != "any":
            say(f"type {str(given)[:40]!r} is unknown: every type is taken")
        return
    kinds = list(dict.fromkeys(one[0] for one in found if one))
    formats = [one[1] for one in found if one and one[1]]
    made["type"] = kinds[0] if len(kinds) == 1 else kinds
    if formats and "format" not in made:
        made["format"] = formats[0]
    if "null" in kinds and isinstance(made.get("enum"), list) and len(kinds) > 1 and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]


def _limits(made: dict[str, Any], say: Say) -> None:
    """Limits of 3.0 (`exclusiveMinimum: true`) as numbers; pairs between which nothing lies are left out."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(made.get(bound), bool):
            del made[bound]
        if isinstance(made.get(exclusive), bool):
            strict = made.pop(exclusive)
            if strict and bound in made:
                made[exclusive] = made.pop(bound)
    for low, high in PAIRS:
        if low in made and high in made and made[low] > made[high]:
            say(f"{low} {made.pop(low)} is more than {high} {made.pop(high)}: neither is checked")


def _texts(schema: Mapping[str, Any], made: dict[str, Any], say: Say) -> None:
    """Patterns in the engine's words. One that it has not, or that refuses the document's own example, is left out."""
    shown = _examples(schema, made)
    if "pattern" in made:
        written = made.pop("pattern")
        found = patterns.constraints(written)
        if found is None:
            say(f"pattern {written[:60]!r} is not checked: it needs another engine")
        elif any(not patterns.matches(found["pattern"], text) for text in shown):
            say(f"pattern {written[:60]!r} is not checked: it refuses the document's own example")
        else:
            made["pattern"] = found["pattern"]
            if "allOf" in found:
                made["allOf"] = [*made.get("allOf", []), *found["allOf"]]
    if "format" in made and any(not of_format(made["format"], text) for text in shown):
        say(f"format {made.pop('format')!r} is not checked: it refuses the document's own example")
    if isinstance(named := made.get("patternProperties"), dict):
        found_names = {name: patterns.written_for_engine(name) for name in named}
        for name in [name for name, found in found_names.items() if found is None]:
            say(f"pattern {name[:60]!r} of names is not checked: it needs another engine")
            made.pop("additionalProperties", None)
        made["patternProperties"] = {found_names[n]: s for n, s in named.items() if found_names[n] is not None}


def _examples(schema: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Texts that the document itself gives for this place."""
    more = schema.get("examples")
    found = [schema.get("example"), made.get("default"), made.get("const"), *(made.get("enum") or [])]
    return [text for text in [*found, *(more if isinstance(more, list) else [])] if isinstance(text, str) and text][:20]


def _names(schema: Mapping[str, Any], made: dict[str, Any], say: Say) -> None:
    """Names that must be given: those listed, each once, and those whose property says `required: true` of itself."""
    given = schema.get("required")
    listed = [given] if isinstance(given, str) and values.truth(given) is None else given
    names = [_name(name) for name in listed if not isinstance(name, dict | list)] if isinstance(listed, list) else []
    for name, inner in made.get("properties", {}).items():
        if isinstance(inner, Mapping) and _says_required(inner):
            say(f"{name} says required of itself: it must be given")
            names.append(name)
    if names:
        made["required"] = list(dict.fromkeys(names))


def _says_required(inner: Mapping[str, Any]) -> bool:
    given = inner.get("required")
    return given is True or (isinstance(given, str) and values.truth(given) is True)


def _name(given: Any) -> str:
    return given if isinstance(given, str) else str(values.as_type(given, "string")) if given is not None else "null"


def _is_nullable(schema: Mapping[str, Any]) -> bool:
    return values.truth(schema.get("nullable")) is True or values.truth(schema.get("x-nullable")) is True


def _nullable(schema: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """What may be null besides."""
    if not _is_nullable(schema):
        return made
    if any(key in made for key in COMBINING):
        told: dict[str, Any] = {key: made.pop(key) for key in ("title", "description", "default") if key in made}
        made |= {"discriminator": schema["discriminator"]} if "discriminator" in schema else {}
        return {"anyOf": [made, {"type": "null"}], **told}
    if "type" in made:
        kinds = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*kinds, "null"] if "null" not in kinds else kinds
    if "const" in made:
        made["enum"] = [made.pop("const")]
    if "enum" in made and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    return made


# -- formats ---------------------------------------------------------------------------------------------------------------

TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:([0-5]\d|60)(\.\d+)?)?(\s?([Zz]|[+-]\d\d(:?\d\d)?))?")
UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")
# Stricter in the specification than in any vendor's document: `10:30` is a time, ids are written without hyphens.
FORMATS: dict[str, Callable[[str], bool]] = {
    "time": lambda text: TIME.fullmatch(text) is not None,
    "uuid": lambda text: UUID.fullmatch(text) is not None,
    "regex": lambda _: True,
}
_validators: dict[str, Any] = {}
KNOWN_FORMATS = (
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uri-template",
    "uuid",
    "json-pointer",
    "relative-json-pointer",
)


def of_format(name: str, text: str) -> bool:
    """Whether a text is of a format, as it is checked in arguments. Unknown formats fit everything."""
    if name not in KNOWN_FORMATS:
        return True
    if name not in _validators:
        _validators[name] = jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True, formats=FORMATS)
    return bool(_validators[name].is_valid(text))
