"""Request bodies: an object's properties as arguments of their own, or all of it as one argument.

Forms are objects of any shape, open and composed ones too. In multipart a binary text is a file, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.tool_gateway.catalogue import limits, media, naming
from services.tool_gateway.catalogue.arguments import Arguments, described
from services.tool_gateway.catalogue.files import properties_with_files, with_files
from services.tool_gateway.catalogue.schema import Bundle, deref
from services.tool_gateway.catalogue.tools import Body, Style

NOT_PLAIN = ("oneOf", "anyOf", "not", "if", "patternProperties", "dependentSchemas", "dependentRequired")
COMPOSED = ("allOf", "anyOf", "oneOf", "patternProperties", "$ref")
MAX_PARTS = 1_000
OPEN = (
    "takes fields that the document does not describe (it does not say additionalProperties: false); "
    "one that is called nearly like a described one is refused as a typing mistake"
)


def body_of(
    document: Mapping[str, Any],
    bundle: Bundle,
    operation: Mapping[str, Any],
    vendor: Mapping[str, Any],
    made: Arguments,
    *,
    ours: bool,
    key: str | None = None,
) -> Body | None:
    """The body, its arguments added to those made so far; `key` names the property that the idempotency key fills.

    Raises ValueError when it cannot be written.
    """
    request = deref(document, operation.get("requestBody")) or {}
    content = request.get("content") or {}
    if not content:
        if key:
            raise ValueError(f"its idempotency key {key} is in a body that it does not have")
        return None
    media_type, kind = media.for_body(content)
    offered = content[media_type] if isinstance(content[media_type], Mapping) else {}
    raw = offered.get("schema", {})
    is_form = kind in ("form", "multipart")
    if is_form and _is_empty(bundle.resolved(raw, "body")):
        return None
    styles, types = _encodings(offered)
    body = Body(
        kind,
        media_type.strip(),
        styles=styles,
        types=types,
        style=("deepObject", True) if vendor.get("form_style") == "deepObject" else None,
    )
    flat = None if kind == "text" else flat_of(bundle, raw)
    if key and (flat is None or key not in flat["properties"]):
        raise ValueError(f"its body has no property {key} for the idempotency key")
    if flat is None or any(naming.PLAIN_ARGUMENT.search(n) or n in made.properties for n in flat["properties"]):
        return _whole(bundle, body, raw, flat, request, made, key)
    if kind == "multipart":
        flat = {**flat, "properties": properties_with_files(bundle, flat["properties"], types)}
    return _spread(bundle, body, flat, request, made, ours=ours, key=key)


def _whole(
    bundle: Bundle,
    body: Body,
    raw: Any,
    flat: dict[str, Any] | None,
    request: Mapping[str, Any],
    made: Arguments,
    key: str | None,
) -> Body:
    """All of it under one name."""
    schema = raw
    if key and flat is not None:
        schema = _object(_without(flat, key)) | ({} if flat["open"] else {"additionalProperties": False})
    if body.kind in ("form", "multipart"):
        schema = _as_object(bundle, schema)
    if body.kind == "multipart":
        schema = with_files(bundle, schema, body.types)
    argument = naming.argument_name("body", made.properties)
    made.properties[argument] = described(bundle.take(schema, "body"), request.get("description"))
    needed = bool(request.get("required"))
    if needed:
        made.required.append(argument)
    return replace(body, argument=argument, required=needed)


def _spread(
    bundle: Bundle,
    body: Body,
    flat: dict[str, Any],
    request: Mapping[str, Any],
    made: Arguments,
    *,
    ours: bool,
    key: str | None,
) -> Body:
    """Each property an argument of its own."""
    flat = _without(flat, key) if key else flat
    given = {k: v for k, v in flat["properties"].items() if isinstance(v, Mapping)}
    settings = {k: v["x-viox-setting"] for k, v in given.items() if "x-viox-setting" in v}
    defaults = {k: v["x-viox-default"] for k, v in given.items() if "x-viox-default" in v}
    taken = bundle.take(_object(flat))
    beside = frozenset(p.argument for p in made.parameters) if flat["open"] and not ours else None
    if beside is not None:  # what is not described may be given, but for what is not a call's to give
        refused = {
            *beside,
            *settings,
            *(flat["properties"].keys() - taken["properties"].keys()),
            *([key] if key else ()),
        }
        made.properties.update({name: False for name in sorted(refused) if name not in made.properties})
        bundle.note("", OPEN)
    shown = [name for name in taken["properties"] if name not in settings]
    made.properties.update({name: taken["properties"][name] for name in shown})
    needed = [name for name in taken.get("required", ()) if name not in settings and name not in defaults]
    required = _is_required(request, needed, ours=ours) or bool(settings or defaults or key)
    if required:
        made.required += needed
    elif needed:  # without a body it is complete as well
        made.together.update({name: [n for n in needed if n != name] for name in shown})
    return replace(
        body,
        properties=frozenset(taken["properties"]),
        settings=settings,
        defaults=defaults,
        as_text=frozenset(k for k, v in given.items() if v.get("x-viox-json-text")),
        beside=beside,
        required=required,
    )


def _is_required(request: Mapping[str, Any], needed: list[str], *, ours: bool) -> bool:
    """Authors often forget to say so of a body whose properties are required; `required: false` is never an oversight."""
    said = request.get("required")
    return bool(said) or (said is None and (ours or bool(needed)))


def _object(flat: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": flat["properties"], "required": flat["required"]}


def _without(flat: Mapping[str, Any], key: str) -> dict[str, Any]:
    properties = {name: schema for name, schema in flat["properties"].items() if name != key}
    return {**flat, "properties": properties, "required": [name for name in flat["required"] if name != key]}


def _as_object(bundle: Bundle, schema: Any) -> Any:
    """A form's fields have names: what is given must be an object. Raises ValueError when it cannot be one."""
    plain = bundle.resolved(schema, "body")
    kind = plain.get("type") if isinstance(plain, Mapping) else None
    if kind is None or (isinstance(kind, list) and "object" in kind):
        return {"type": "object", "allOf": [schema]}
    if kind not in ("object", ["object"]):
        raise ValueError(f"a form whose schema is of type {kind} cannot be written: its fields need names")
    return schema


def _encodings(offered: Mapping[str, Any]) -> tuple[dict[str, tuple[Style, bool]], dict[str, str]]:
    """(styles, media types) of a form's properties. Where a style is said the media type does not count.

    Any of style, explode and allowReserved makes it a matter of styles, with `form` where none is named.
    """
    styles: dict[str, tuple[Style, bool]] = {}
    types: dict[str, str] = {}
    encoding = offered.get("encoding")
    for name, one in encoding.items() if isinstance(encoding, Mapping) else ():
        if not isinstance(one, Mapping):
            continue
        if any(key in one for key in ("style", "explode", "allowReserved")):
            style = limits.query_style(one.get("style", "form"))
            styles[name] = (style, bool(one.get("explode", style in ("form", "deepObject"))))
        first = str(one.get("contentType") or "").split(",")[0].strip()
        if media.WRITABLE.fullmatch(first):
            types[name] = first
    return styles, types


def flat_of(bundle: Bundle, schema: Any, depth: int = 0, seen: list[None] | None = None) -> dict[str, Any] | None:
    """Properties and required names of a plain object, `allOf` put together; None when it is anything else.

    `open`: nothing is said of names that it does not describe, so that they may be given.
    """
    seen = [] if seen is None else seen
    seen.append(None)
    plain = bundle.resolved(schema, "body") if depth <= 10 and len(seen) <= MAX_PARTS else None
    if not isinstance(plain, dict) or any(key in plain for key in NOT_PLAIN):
        return None
    if plain.get("type", "object") not in ("object", ["object"]):
        return None
    if (other := plain.get("additionalProperties")) not in (None, False) or "unevaluatedProperties" in plain:
        return None
    properties, required, is_open = (
        dict(plain.get("properties") or {}),
        list(plain.get("required") or []),
        other is None,
    )
    for part in plain.get("allOf") or []:
        inner = flat_of(bundle, part, depth + 1, seen)
        if inner is None:
            return None
        for name, found in inner["properties"].items():
            both = name in properties and properties[name] != found
            properties[name] = {"allOf": [properties[name], found]} if both else found
        required += [name for name in inner["required"] if name not in required]
        is_open = is_open and inner["open"]
    if not depth and not properties:
        return None
    # A part may require what another part describes.
    return {"properties": properties, "required": list(dict.fromkeys(required)), "open": is_open}


def _is_empty(schema: Any) -> bool:
    """An object that is said to have nothing in it. One of which nothing is said may hold anything."""
    if not isinstance(schema, Mapping) or schema.get("type") not in ("object", None):
        return False
    if any(key in schema for key in COMPOSED) or schema.get("properties") or schema.get("required"):
        return False
    other = schema.get("additionalProperties")
    return other is False or (other is None and "properties" in schema)
