"""From arguments to the request of a call, as it will be sent but for its credentials, which are added while sending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from services.tool_gateway.answers.marks import REDACTED
from services.tool_gateway.catalogue.servers import check_base_url
from services.tool_gateway.catalogue.tools import Parameter, Tool
from services.tool_gateway.connectors import apis, imap, memory, office, people, postgres, smtp
from services.tool_gateway.wire import bodies, styles
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.numbers import with_integers
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import BadInput, VioxError

Headers = list[tuple[str, str]]
USER_AGENT = "viox-gateway/0.1"
CONNECTORS = {
    "smtp": smtp.prepare,
    "imap": imap.prepare,
    "postgres": postgres.prepare,
    "memory": memory.prepare,
    "office": office.prepare,
    "people": people.prepare,
    "apis": apis.prepare,
}


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


def shown(tool: Tool, arguments: Mapping[str, Any], prepared: Prepared, secrets: Secrets, *, key: str = "") -> Prepared:
    """The request as it may be kept: made of the arguments without what is sensitive in them. The same where nothing is."""
    hidden, count = tool.redact_arguments.redacted(arguments)
    if not count:
        return prepared
    try:
        return prepare(tool, hidden, secrets, key=key)
    except VioxError:  # where a text cannot stand in the place of what it hides
        return replace(prepared, url=tool.base_url + tool.path, headers=[], body=REDACTED.encode())


def _http(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    key_value = tool.idempotency.of(key) if tool.idempotency and key else None
    path, query, headers = _parameters(tool, arguments, secrets)
    body_key = {}
    if tool.idempotency and key_value is not None:
        match tool.idempotency.place:
            case "query":
                query.append((tool.idempotency.name, str(key_value), False))
            case "header":
                headers.append((tool.idempotency.name, str(key_value)))
            case "body":
                body_key = {tool.idempotency.name: key_value}
    body, content_type = bodies.written(tool.body, arguments, secrets, body_key) if tool.body else (b"", None)
    url = _base(tool, secrets) + path + ("?" + styles.query(query) if query else "")
    plain = [
        ("Host", urlsplit(url).netloc),
        ("User-Agent", USER_AGENT),
        ("Accept", tool.accept),
        *([("Content-Type", content_type)] if content_type else []),
        *((name, text) for name, given in tool.headers.items() if (text := _header(given, secrets)) is not None),
        *headers,
        # What is sent with every method but GET, body or not.
        *([("Content-Length", str(len(body)))] if body or tool.method != "GET" else []),
    ]
    for name, text in plain:
        if any(c in text for c in "\r\n\0"):
            raise BadInput("tool.invalid_arguments", f"{name}: line breaks cannot be sent in a header.", field=name)
    return Prepared(tool.method, url, _once(plain), body, secrets.choose(tool.credentials))


def _parameters(
    tool: Tool, arguments: Mapping[str, Any], secrets: Secrets
) -> tuple[str, list[tuple[str, str, bool]], Headers]:
    """Path, query with whether its reserved characters stay, and headers."""
    path, cookies, headers = tool.path.partition("?")[0], list[tuple[str, str]](), Headers()
    query = [(name, text, False) for name, text in tool.query]
    for parameter in tool.parameters:
        value = _value(parameter, arguments, secrets)
        if value is None:
            continue
        match parameter.place:
            case "path":
                path = path.replace("{" + parameter.name + "}", _segment(parameter, value))
            case "query":
                pairs = styles.pairs(parameter.name, value, parameter.style, parameter.explode)
                bodies.check_names(parameter.argument, value, pairs, _query_names(tool) - {parameter.name})
                query += [(name, text, parameter.reserved) for name, text in pairs]
            case "header":
                headers.append((parameter.name, styles.header(value, parameter.explode)))
            case "cookie":
                cookies += styles.pairs(parameter.name, value, "form", parameter.explode)
    if cookies:
        headers.append(("Cookie", styles.cookies(cookies)))
    return path, query, headers


def _once(headers: Headers) -> Headers:
    """A header that is no list is sent once: what comes later takes the place of what came before."""
    found: dict[str, tuple[str, str]] = {}
    for name, text in headers:
        found[name.lower()] = (name, text)
    return list(found.values())


def _base(tool: Tool, secrets: Secrets) -> str:
    """The server's URL. A host that the setting gives without a path is followed by the document's own."""
    given = secrets.or_none(tool.base_url_setting)
    if given is None and tool.base_url:
        return tool.base_url.rstrip("/")
    if given is None:
        given = secrets.get(tool.base_url_setting or f"{tool.vendor.upper()}_BASE_URL")
    try:
        check_base_url(given)
    except ValueError:  # not its text, which holds the password of a URL that has one
        raise BadInput(
            "settings.invalid",
            "not an absolute http(s) URL without user, query and fragment.",
            field=tool.base_url_setting,
            remedy="A user and password are secrets of the tool's credential.",
        ) from None
    return given.rstrip("/") + ("" if urlsplit(given).path.strip("/") else tool.base_path)


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


def _query_names(tool: Tool) -> set[str]:
    """What is said in the query by parameters, credentials and the key."""
    names = {p.name for p in tool.parameters if p.place == "query"}
    names |= {name for name, _ in tool.query}
    names |= {c.name for one in tool.credentials for c in one if c.scheme == "query"}
    return names | ({tool.idempotency.name} if tool.idempotency and tool.idempotency.place == "query" else set())
