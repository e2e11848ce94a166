"""From arguments to the request of a call, as it will be sent but for its credentials, which are added while sending."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any
from urllib.parse import urlsplit

import orjson

from services.tool_gateway.catalogue.document import check_base_url
from services.tool_gateway.catalogue.tools import Body, Parameter, Tool
from services.tool_gateway.connectors import postgres, smtp
from services.tool_gateway.wire import styles
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.numbers import with_integers
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import BadInput

USER_AGENT = "viox-gateway/0.1"
CONNECTORS = {"smtp": smtp.prepare, "postgres": postgres.prepare}


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, *, key: str = "") -> Prepared:
    """Build the request of one call; `key` makes a repeat of it harmless where the vendor supports that.

    Raises BadInput naming a setting or credential that is missing, or an argument that cannot be written.
    """
    try:
        return CONNECTORS.get(tool.connector, _http)(tool, with_integers(arguments), secrets, key)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # Whoever sends many calls must not stumble over one of them.
        raise BadInput(
            "tool.invalid_arguments",
            f"they cannot be written: {type(error).__name__}.",
            field=tool.name,
            remedy="Give plainer arguments.",
        ) from error


def _http(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    base = _base(tool, secrets)
    path, query, headers, cookies = tool.path, [], [], []
    for parameter in tool.parameters:
        value = _value(parameter, arguments, secrets)
        if value is None:
            continue
        match parameter.place:
            case "path":
                path = path.replace("{" + parameter.name + "}", _segment(parameter, value))
            case "query":
                pairs = styles.pairs(parameter.name, value, parameter.style, parameter.explode)
                _check_names(parameter.argument, value, pairs, _query_names(tool) - {parameter.name})
                query += [(name, text, parameter.reserved) for name, text in pairs]
            case "header":
                headers.append((parameter.name, styles.header(value, parameter.explode)))
            case "cookie":
                cookies += styles.pairs(parameter.name, value, "form", parameter.explode)
    if tool.idempotency and key:
        if tool.idempotency.place == "query":
            query.append((tool.idempotency.name, key, False))
        else:
            headers.append((tool.idempotency.name, key))
    if cookies:
        headers.append(("Cookie", styles.cookies(cookies)))
    body, content_type = _body(tool.body, arguments, secrets) if tool.body else (b"", None)
    url = base + path + ("?" + styles.query(query) if query else "")
    plain = [
        ("Host", urlsplit(url).netloc),
        ("User-Agent", USER_AGENT),
        ("Accept", tool.accept),
        *((name, text) for name, given in tool.headers.items() if (text := _header(given, secrets)) is not None),
        *headers,
    ]
    if content_type:
        plain.append(("Content-Type", content_type))
    if body or tool.method in ("POST", "PUT", "PATCH"):
        plain.append(("Content-Length", str(len(body))))
    for name, text in plain:
        if any(c in text for c in "\r\n\0"):
            raise BadInput("tool.invalid_arguments", f"{name}: line breaks cannot be sent in a header.", field=name)
    return Prepared(tool.method, url, plain, body, secrets.choose(tool.credentials))


def _base(tool: Tool, secrets: Secrets) -> str:
    given = secrets.or_none(tool.base_url_setting)
    if given is None:
        return tool.base_url.rstrip("/") or secrets.get(tool.base_url_setting or f"{tool.vendor.upper()}_BASE_URL")
    try:
        check_base_url(given)
    except ValueError:  # not its text, which holds the password of a URL that has one
        raise BadInput(
            "settings.invalid",
            "not an absolute http(s) URL without user, query and fragment.",
            field=tool.base_url_setting,
            remedy="A user and password are secrets of the tool's credential.",
        ) from None
    return given.rstrip("/")


def _value(parameter: Parameter, arguments: Mapping[str, Any], secrets: Secrets) -> Any:
    if parameter.setting:
        found = secrets.or_none(parameter.setting)
        value = found if found is not None else parameter.default
        return secrets.get(parameter.setting) if value is None and parameter.required else value
    value = arguments.get(parameter.argument, parameter.default)
    return orjson.dumps(value).decode() if parameter.as_json and value is not None else value


def _header(given: str | tuple[str, str | None], secrets: Secrets) -> str | None:
    return given if isinstance(given, str) else secrets.or_none(given[0]) or given[1]


def _segment(parameter: Parameter, value: Any) -> str:
    """One path segment. Dots alone would be taken for "here" and "above" on the way, whatever the encoding."""
    text = styles.path_segment(parameter, value)
    if text in ("", ".", ".."):
        raise BadInput(
            "tool.invalid_arguments",
            f"{parameter.argument}: {text!r} cannot be part of a path.",
            field=parameter.argument,
            remedy="Give the id of a record.",
        )
    return text


def _body(body: Body, arguments: Mapping[str, Any], secrets: Secrets) -> tuple[bytes, str | None]:
    if body.argument is not None:
        if body.argument not in arguments:
            return b"", None
        values = arguments[body.argument]
    else:
        values = {name: secrets.get(setting) for name, setting in body.settings.items()}
        values |= {name: value for name, value in body.defaults.items() if name not in arguments}
        values |= {name: arguments[name] for name in arguments if _is_in(body, name)}
        values |= {name: orjson.dumps(values[name]).decode() for name in body.as_text if name in values}
    match body.kind:
        case "json":
            return orjson.dumps(values), body.media_type if "*" not in body.media_type else "application/json"
        case "text":
            return str(values).encode(), body.media_type
        case "multipart":
            return _multipart(values)
        case "form":
            found = [pair for name, value in values.items() for pair in _form(body, name, value)]
            return styles.query([(name, text, False) for name, text in found]).encode(), body.media_type


def _is_in(body: Body, argument: str) -> bool:
    return argument in body.properties or (body.beside is not None and argument not in body.beside)


def _form(body: Body, name: str, value: Any) -> list[tuple[str, str]]:
    pairs = styles.pairs(name, value, *body.styles.get(name, body.style))
    _check_names(name, value, pairs, body.properties - {name})
    return pairs


def _query_names(tool: Tool) -> set[str]:
    """What is said in the query by parameters, credentials and the key."""
    names = {p.name for p in tool.parameters if p.place == "query"}
    names |= {c.name for one in tool.credentials for c in one if c.scheme == "query"}
    return names | ({tool.idempotency.name} if tool.idempotency and tool.idempotency.place == "query" else set())


def _check_names(argument: str, value: Any, pairs: list[tuple[str, str]], others: AbstractSet[str]) -> None:
    """The keys of an object that is written in form style become names: not those of others."""
    if isinstance(value, dict) and (wrong := {name for name, _ in pairs} & others):
        raise BadInput(
            "tool.invalid_arguments",
            f"{argument}: {sorted(wrong)[0]!r} is not for it to say.",
            field=argument,
            remedy="Leave it out.",
        )


def _multipart(values: Mapping[str, Any]) -> tuple[bytes, str]:
    """RFC 7578. The boundary follows from the content, so that the same call has the same bytes again."""
    parts: list[tuple[str, bytes]] = []
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            parts.append(_part(name, item))
    boundary = "viox-" + hashlib.sha256(b"\0".join(head.encode() + b"\0" + raw for head, raw in parts)).hexdigest()[:32]
    body = (
        b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + raw + b"\r\n" for head, raw in parts)
        + f"--{boundary}--\r\n".encode()
    )
    return body, f"multipart/form-data; boundary={boundary}"


def _part(name: str, value: Any) -> tuple[str, bytes]:
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, dict) and "filename" in value and ("text" in value or "base64" in value):
        kind = str(value.get("content_type") or "application/octet-stream")
        if any(c in kind for c in "\r\n"):
            raise BadInput("tool.invalid_arguments", "content_type: line breaks cannot be sent.", field=name)
        raw = value["text"].encode() if "text" in value else _decoded(name, value["base64"])
        return f'{head}; filename="{_quoted(value["filename"])}"\r\nContent-Type: {kind}', raw
    if isinstance(value, dict):
        return f"{head}\r\nContent-Type: application/json", orjson.dumps(value)
    return head, styles.text(value).encode()


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadInput("tool.invalid_arguments", f"{name}: not base64.", field=name) from error


def _quoted(text: str) -> str:
    """As HTML has it for form data: quotes and line breaks percent-encoded."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
