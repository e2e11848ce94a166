"""Valid requests made out of an OpenAPI 3.0 document, and the schemas of its answers, for tests of who serves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

FORMATS = {"date-time": "2026-02-02T09:00:00Z", "date": "2026-02-02", "email": "some@northwind.example"}
FILE = ("picture.png", b"\x89PNG", "image/png")
METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True)
class Operation:
    """One operation with everything its path gives it."""

    method: str
    path: str
    what: dict[str, Any]
    parameters: list[dict[str, Any]]
    security: list[dict[str, Any]]


class Document:
    """An OpenAPI document with its references followed on demand."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root

    def at(self, node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            found: Any = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def operations(self) -> Iterator[Operation]:
        for path, item in self.root["paths"].items():
            for method in METHODS:
                if what := item.get(method):
                    own = [self.at(p) for p in item.get("parameters", []) + what.get("parameters", [])]
                    security = what.get("security", self.root["security"])
                    yield Operation(method.upper(), path, what, own, security)

    def sample(self, schema: Any) -> Any:
        """A value the schema allows: its example, else the simplest there is. Read-only fields are left out."""
        schema = self.at(schema)
        if "example" in schema:
            return schema["example"]
        if "enum" in schema:
            return schema["enum"][0]
        if "allOf" in schema:
            parts = [self.sample(part) for part in schema["allOf"]]
            return {name: value for part in parts for name, value in part.items()}
        for choice in ("oneOf", "anyOf"):
            if choice in schema:
                return self.sample(schema[choice][0])
        match schema.get("type"):
            case "array":
                return [self.sample(schema["items"])]
            case "integer" | "number":
                return max(schema.get("minimum", 1), schema.get("multipleOf", 1))
            case "boolean":
                return True
            case "string":
                return FORMATS.get(schema.get("format", ""), "some")
        fields = schema.get("properties", {})
        recursive = {n for n, f in fields.items() if self.at(self.at(f).get("items", {})) is schema}
        return {n: self.sample(f) for n, f in fields.items() if n not in recursive and not self.at(f).get("readOnly")}

    def schema_of(self, node: Any) -> dict[str, Any]:
        """JSON Schema of an OpenAPI 3.0 schema: `nullable` becomes a type, references point into `components`."""
        return {"components": self._plain(self.root["components"]), "allOf": [self._plain(node)]}

    def _plain(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        made = {k: self._plain(v) for k, v in node.items() if k not in ("nullable", "exclusiveMinimum", "example")}
        return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


def request(document: Document, operation: Operation, base: str) -> dict[str, Any]:
    """Arguments of `httpx2.request` for a valid call: every parameter that has an example or must be there, and a body."""
    path, query, headers = operation.path, [], {}
    for parameter, given in parameters(document, operation):
        name = parameter["name"]
        value = json.dumps(given) if "content" in parameter else given
        match parameter["in"]:
            case "path":
                path = path.replace(f"{{{name}}}", _path(parameter, value))
            case "query":
                query += _query(parameter, value)
            case "header":
                headers[name] = str(value)
            case "cookie":
                headers["Cookie"] = f"{name}={value}"
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
    sent = _body(document, body(document, operation))
    headers |= sent.pop("headers", {})
    return {"method": operation.method, "url": f"{base}{path}{'?' * bool(text)}{text}", "headers": headers} | sent


def parameters(document: Document, operation: Operation) -> Iterator[tuple[dict[str, Any], Any]]:
    """Parameters that have an example or must be there, each with its value."""
    for parameter in operation.parameters:
        if "content" in parameter:
            (content,) = parameter["content"].values()
            yield parameter, content["example"]
        elif "example" in parameter or parameter.get("required"):
            yield parameter, parameter["example"] if "example" in parameter else document.sample(parameter["schema"])


def body(document: Document, operation: Operation) -> tuple[str, dict[str, Any], Any] | None:
    """Media type, its content object and a value of the operation's body: plain JSON where it is offered."""
    what = document.at(operation.what.get("requestBody"))
    if what is None:
        return None
    kind, content = min(what["content"].items(), key=lambda offered: offered[0] != "application/json")
    examples = [e["value"] for e in content.get("examples", {}).values()]
    return kind, content, content.get("example") or (examples[0] if examples else document.sample(content["schema"]))


def _path(parameter: dict[str, Any], value: Any) -> str:
    match parameter.get("style", "simple"):
        case "label":
            return "".join(f".{item}" for item in value)
        case "matrix":
            return "".join(f";{name}={item}" for name, item in value.items())
    return ",".join(value) if isinstance(value, list) else quote(str(value))


def _query(parameter: dict[str, Any], value: Any) -> list[tuple[str, str]]:
    name, style = parameter["name"], parameter.get("style", "form")
    if style == "deepObject":
        return [(f"{name}[{key}]", item) for key, item in value.items()]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list) and not parameter.get("explode", style == "form"):
        return [(name, {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}[style].join(value))]
    return [(name, str(item)) for item in (value if isinstance(value, list) else [value])]


def _body(document: Document, given: tuple[str, dict[str, Any], Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    kind, content, value = given
    if kind == "multipart/form-data":
        return {"files": [part for name, item in value.items() for part in _parts(document, content, name, item)]}
    if kind == "application/x-www-form-urlencoded":
        return {"data": {name: str(v).lower() if isinstance(v, bool) else v for name, v in value.items()}}
    text = value if kind == "text/plain" else json.dumps(value)
    return {"content": text.encode(), "headers": {"Content-Type": kind}}


def is_file(document: Document, content: dict[str, Any], name: str) -> bool:
    """Is this field of a multipart body a file, or a list of files?"""
    field = document.at(document.at(content["schema"])["properties"][name])
    return bool(document.at(field.get("items", field)).get("format") == "binary")


def _parts(document: Document, content: dict[str, Any], name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_file(document, content, name):
        yield name, FILE
    elif isinstance(value, dict):
        yield name, (None, json.dumps(value), "application/json")
    else:
        yield name, (None, str(value))
