"""From arguments to the bytes of a request's body: JSON, forms, multipart, text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import orjson

from services.tool_gateway.catalogue.media import is_json
from services.tool_gateway.catalogue.tools import Body
from services.tool_gateway.wire import styles
from services.tool_gateway.wire.credentials import Secrets
from shared.errors import BadInput

Pairs = list[tuple[str, str]]


def written(
    body: Body, arguments: Mapping[str, Any], secrets: Secrets, key: Mapping[str, Any]
) -> tuple[bytes, str | None]:
    """(bytes, Content-Type); nothing of both when no body is to be sent. `key`: the idempotency key, by its property."""
    values = _values(body, arguments, secrets)
    if key:
        values = {**(values if isinstance(values, Mapping) else {}), **key}
    elif values is None:
        return b"", None
    match body.kind:
        case "json":
            return orjson.dumps(values), body.media_type if "*" not in body.media_type else "application/json"
        case "text":
            return str(values).encode(), body.media_type
        case "multipart":
            return _multipart(body, values)
        case "form":
            others = values.keys() | body.properties
            found = [pair for name, value in values.items() for pair in _form(body, name, value, others - {name})]
            return styles.query([(name, text, False) for name, text in found]).encode(), body.media_type


def _values(body: Body, arguments: Mapping[str, Any], secrets: Secrets) -> Any:
    """What the body says; None when it is left out."""
    if body.argument is not None:
        return arguments.get(body.argument) if body.argument in arguments else None
    given = {name: value for name, value in arguments.items() if _is_in(body, name)}
    if not given and not body.required:
        return None
    values = {name: secrets.get(setting) for name, setting in body.settings.items()}
    values |= {name: value for name, value in body.defaults.items() if name not in arguments}
    values |= given
    return values | {name: orjson.dumps(values[name]).decode() for name in body.as_text if name in values}


def _is_in(body: Body, argument: str) -> bool:
    return argument in body.properties or (body.beside is not None and argument not in body.beside)


def _form(body: Body, name: str, value: Any, others: AbstractSet[str]) -> Pairs:
    """A field of a form. Where no style is said an object is JSON under its own name, and of a list every item."""
    if isinstance(value, dict | list) and name not in body.styles:
        if name in body.types and is_json(body.types[name]):
            return [(name, orjson.dumps(value).decode())]
        if body.style is None and isinstance(value, dict):
            return [(name, orjson.dumps(value).decode())]
    pairs = styles.pairs(name, value, *body.styles.get(name, body.style or ("form", True)))
    check_names(name, value, pairs, others)
    return pairs


def check_names(argument: str, value: Any, pairs: Pairs, others: AbstractSet[str]) -> None:
    """The keys of an object that is written in form style become names: not those of others. Raises BadInput."""
    if isinstance(value, dict) and (wrong := {name for name, _ in pairs} & others):
        raise BadInput(
            "tool.invalid_arguments",
            f"{argument}: its {sorted(wrong)[0]!r} would be taken for another field of that name.",
            field=argument,
            remedy="Leave it out.",
        )


def _multipart(body: Body, values: Mapping[str, Any]) -> tuple[bytes, str]:
    """RFC 7578. The boundary follows from the content, so that the same call has the same bytes again.

    Null is not sent: a part without content would be an empty text or file.
    """
    parts: list[tuple[str, bytes]] = []
    for name, value in values.items():
        media_type = body.types.get(name, "")
        if name in body.styles and isinstance(value, dict | list):
            pairs = styles.pairs(name, value, *body.styles[name])
            check_names(name, value, pairs, (values.keys() | body.properties) - {name})
            parts += [_part(field, text, "") for field, text in pairs]
        elif isinstance(value, list) and not is_json(media_type):
            parts += [_part(name, item, media_type) for item in value if item is not None]
        elif value is not None:
            parts.append(_part(name, value, media_type))
    boundary = "viox-" + hashlib.sha256(b"\0".join(head.encode() + b"\0" + raw for head, raw in parts)).hexdigest()[:32]
    whole = (
        b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + raw + b"\r\n" for head, raw in parts)
        + f"--{boundary}--\r\n".encode()
    )
    return whole, f"multipart/form-data; boundary={boundary}"


def _part(name: str, value: Any, media_type: str) -> tuple[str, bytes]:
    """One part: a file, JSON, or a text. `media_type` is what the document says of it, "" for nothing."""
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    concrete = "" if "*" in media_type else media_type
    if isinstance(value, dict) and "filename" in value and ("text" in value or "base64" in value):
        kind = str(value.get("content_type") or concrete or "application/octet-stream")
        if any(c in kind for c in "\r\n"):
            raise BadInput("tool.invalid_arguments", "content_type: line breaks cannot be sent.", field=name)
        raw = value["text"].encode() if "text" in value else _decoded(name, value["base64"])
        return f'{head}; filename="{_quoted(value["filename"])}"\r\nContent-Type: {kind}', raw
    if isinstance(value, dict | list):
        return f"{head}\r\nContent-Type: {concrete or 'application/json'}", orjson.dumps(value)
    typed = f"\r\nContent-Type: {concrete}" if concrete else ""
    return head + typed, (
        orjson.dumps(value) if is_json(concrete) and not isinstance(value, str) else styles.text(value).encode()
    )


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadInput("tool.invalid_arguments", f"{name}: not base64.", field=name) from error


def _quoted(text: str) -> str:
    """As HTML has it for form data: quotes and line breaks percent-encoded."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
