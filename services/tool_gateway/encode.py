"""From arguments to the bytes of a request, and the redacted copy of it that the ledger keeps.

Secrets enter here and nowhere else: the ledger's copy shows `{"$secret": NAME}` in their place.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from services.tool_gateway.catalogue import Credential, Tool
from shared.errors import BadInput

USER_AGENT = "viox-gateway/0.1"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to be sent: exact method, URL, headers and body; `shown` are the headers without secrets."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    shown: list[tuple[str, str]]
    body: bytes


class Secrets:
    """Named values: credentials and the deployment's own facts. Reading one that is missing names it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            raise BadInput(
                "credential.missing", f"{name} is not set.", field=name,
                remedy=f"Set {name} in the gateway's environment or secrets.",
            ) from None  # fmt: skip

    def all(self) -> Mapping[str, str]:
        return self._values

    def or_none(self, name: str | None) -> str | None:
        return self._values.get(name) if name else None


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets) -> Prepared:
    """Build the request of one call. Raises BadInput naming a credential or setting that is missing."""
    base = (secrets.or_none(tool.base_url_setting) or tool.base_url).rstrip("/")
    path = tool.path
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    for parameter in tool.parameters:
        value = (
            secrets.get(parameter.setting) if parameter.setting else arguments.get(parameter.name, parameter.default)
        )
        if value is None:
            continue
        match parameter.place:
            case "path":
                path = path.replace("{" + parameter.name + "}", _segment(parameter.name, _text(value)))
            case "query":
                query += _pairs(parameter.name, value)
            case "header":
                headers.append((parameter.name, _text(value)))
    body, content_type = _body(tool, arguments, secrets)
    url = base + path + ("?" + urlencode(query) if query else "")
    host = url.split("/", 3)[2]
    plain = [
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("Accept", "application/json"),
        *tool.headers.items(),
        *headers,
    ]
    if content_type:
        plain.append(("Content-Type", content_type))
    if body or tool.method in ("POST", "PUT", "PATCH"):
        plain.append(("Content-Length", str(len(body))))
    secret, shown = _authorization(tool.credential, secrets)
    return Prepared(tool.method, url, plain + secret, plain + shown, body)


def _segment(name: str, text: str) -> str:
    """One path segment. Dots alone would be taken for "here" and "above" on the way, whatever the encoding."""
    if text in ("", ".", ".."):
        raise BadInput("tool.invalid_arguments", f"{name}: {text!r} cannot be part of a path.", field=name,
                       remedy="Give the id of a record.")  # fmt: skip
    return quote(text, safe="")


def _body(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets) -> tuple[bytes, str | None]:
    if tool.body is None:
        return b"", None
    values = {name: secrets.get(setting) for name, setting in tool.body_defaults.items()}
    values |= {name: arguments[name] for name in arguments if name in tool.body_properties}
    if tool.body == "json":
        return orjson.dumps(values), "application/json"
    pairs = [pair for name, value in values.items() for pair in _pairs(name, value)]
    return urlencode(pairs).encode(), "application/x-www-form-urlencoded"


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    """Lists become repeated names (form style, exploded)."""
    return [(name, _text(item)) for item in value] if isinstance(value, list) else [(name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _authorization(credential: Credential, secrets: Secrets) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    names = credential.secrets
    shown = orjson.dumps({"$secret": "+".join(names)}).decode()
    match credential.scheme:
        case "bearer":
            return [(credential.header, f"Bearer {secrets.get(names[0])}")], [(credential.header, f"Bearer {shown}")]
        case "basic":
            pair = ":".join(secrets.get(name) for name in names)
            return (
                [(credential.header, "Basic " + base64.b64encode(pair.encode()).decode())],
                [(credential.header, f"Basic {shown}")],
            )
        case "header":
            return [(credential.header, secrets.get(names[0]))], [(credential.header, shown)]
        case _:
            return [], []
