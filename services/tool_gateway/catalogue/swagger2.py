"""Swagger 2.0 as OpenAPI 3.0: many small vendors still publish it.

Only the form changes: what a document says wrongly in 2.0 it says wrongly in 3.0, and whoever reads that tells. There is
no maintained converter for Python that works without a service on the internet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
MOVED = {
    "#/definitions/": "#/components/schemas/",
    "#/parameters/": "#/components/parameters/",
    "#/responses/": "#/components/responses/",
}
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
# What a parameter says of its value, which 3.0 has in a schema.
VALUE_KEYS = (
    "type",
    "format",
    "items",
    "default",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "enum",
    "multipleOf",
)
STYLES: dict[str, dict[str, Any]] = {
    "csv": {"style": "form", "explode": False},
    "multi": {"style": "form", "explode": True},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "tsv": {"style": "tabDelimited", "explode": False},  # 3.0 has no such thing, and says so when it is read
}
FLOWS = {
    "implicit": "implicit",
    "password": "password",
    "application": "clientCredentials",
    "accessCode": "authorizationCode",
}
KEPT = ("info", "tags", "externalDocs", "security", "paths")


def is_swagger2(document: Mapping[str, Any]) -> bool:
    """Whether this is Swagger 2.0, and not one of its forerunners."""
    return str(document.get("swagger", "")).strip() in ("2.0", "2")


def converted(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same document as OpenAPI 3.0. Parts that are not what 2.0 has stay as they are."""
    made: dict[str, Any] = {"openapi": "3.0.3"}
    made |= {key: value for key, value in document.items() if key in KEPT or key.startswith("x-")}
    made["servers"] = _servers(document, document.get("schemes"))
    made["components"] = {
        "schemas": _object(document.get("definitions")),
        "parameters": {
            name: _parameter(given)
            for name, given in _object(document.get("parameters")).items()
            if isinstance(given, Mapping) and given.get("in") not in ("body", "formData")
        },
        "responses": {
            name: _response(given, _types(document.get("produces")) or [JSON])
            for name, given in _object(document.get("responses")).items()
        },
        "securitySchemes": {n: _scheme(one) for n, one in _object(document.get("securityDefinitions")).items()},
    }
    made["paths"] = {path: _path(document, item) for path, item in _object(document.get("paths")).items()}
    found: dict[str, Any] = _pointing(made)
    return found


def _object(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _types(given: Any) -> list[str]:
    """Media types that a document, or one operation, lists."""
    listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return [one for one in listed if isinstance(one, str)]


def _pointing(node: Any) -> Any:
    """References to where things are in 3.0; schemas in 3.0's words."""
    if isinstance(node, list):
        return [_pointing(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    made = {key: _pointing(value) for key, value in node.items()}
    if isinstance(reference := made.get("$ref"), str):
        made["$ref"] = _moved(reference)
    if "x-nullable" in made and "nullable" not in made:
        made["nullable"] = made["x-nullable"]
    if made.get("type") == "file":
        made |= {"type": "string", "format": "binary"}
    return made


def _moved(reference: str) -> str:
    for old, new in MOVED.items():
        if reference.startswith(old):
            return new + reference.removeprefix(old)
    return reference


def _servers(document: Mapping[str, Any], schemes: Any) -> list[dict[str, Any]]:
    """Host and path, under https where it is offered. Without a host they are where the document is."""
    host, base = str(document.get("host") or "").strip(), "/" + str(document.get("basePath") or "").strip().strip("/")
    offered = [scheme for scheme in _types(schemes) if scheme in ("http", "https")]
    ordered = sorted(offered or ["https"], key=lambda scheme: scheme != "https")
    path = "" if base == "/" else base
    return [{"url": f"{scheme}://{host}{path}"} for scheme in ordered[:1]] if host else [{"url": path or "/"}]


def _path(document: Mapping[str, Any], item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    shared = _resolved(document, item.get("parameters"))
    made = {key: value for key, value in item.items() if key not in METHODS and key != "parameters"}
    plain = [_parameter(one) for one in shared if not _is_body(one)]
    if plain:
        made["parameters"] = plain
    for method in METHODS:
        if method in item:
            made[method] = _operation(document, item[method], [one for one in shared if _is_body(one)])
    return made


def _operation(document: Mapping[str, Any], operation: Any, shared: list[Any]) -> Any:
    if not isinstance(operation, Mapping):
        return operation
    gone = ("consumes", "produces", "parameters", "responses", "schemes")
    made = {key: value for key, value in operation.items() if key not in gone}
    own = _resolved(document, operation.get("parameters"))
    if plain := [_parameter(one) for one in own if not _is_body(one)]:
        made["parameters"] = plain
    consumes = _types(operation.get("consumes")) or _types(document.get("consumes"))
    if body := _body(list(_effective(shared, [one for one in own if _is_body(one)])), consumes):
        made["requestBody"] = body
    produces = _types(operation.get("produces")) or _types(document.get("produces")) or [JSON]
    made["responses"] = {
        str(status): _response(one, produces) for status, one in _object(operation.get("responses")).items()
    }
    if operation.get("schemes"):
        made["servers"] = _servers(document, operation["schemes"])
    return made


def _resolved(document: Mapping[str, Any], given: Any) -> list[Any]:
    """Parameters, where they are referred to themselves: a body is no parameter in 3.0."""
    listed = given if isinstance(given, list) else []
    return [_followed(document, one) for one in listed]


def _followed(document: Mapping[str, Any], one: Any) -> Any:
    reference = one.get("$ref") if isinstance(one, Mapping) else None
    if not isinstance(reference, str) or not reference.startswith("#/parameters/"):
        return one
    name = reference.removeprefix("#/parameters/").replace("~1", "/").replace("~0", "~")
    found = _object(document.get("parameters")).get(name)
    return found if isinstance(found, Mapping) and _is_body(found) else one


def _is_body(parameter: Any) -> bool:
    return isinstance(parameter, Mapping) and parameter.get("in") in ("body", "formData")


def _effective(shared: list[Any], own: list[Any]) -> Iterator[Any]:
    """An operation's own in the place of a path's of the same name."""
    names = {(one.get("in"), one.get("name")) for one in own}
    has_body = any(one.get("in") == "body" for one in own)
    for one in shared:
        replaced = has_body if one.get("in") == "body" else (one.get("in"), one.get("name")) in names
        if not replaced:
            yield one
    yield from own


def _parameter(given: Any) -> Any:
    """A parameter that is one in 3.0 too."""
    if not isinstance(given, Mapping) or "$ref" in given:
        return given
    made = {key: value for key, value in given.items() if key not in (*VALUE_KEYS, "collectionFormat", "x-nullable")}
    made["schema"] = _value(given)
    if given.get("type") == "array":
        made |= _style(given)
    return made


def _value(given: Mapping[str, Any]) -> dict[str, Any]:
    keys = (*VALUE_KEYS, "x-nullable", "x-viox-setting", "x-viox-default", "x-viox-json-text")
    made = {key: given[key] for key in keys if key in given}
    if isinstance(items := made.get("items"), Mapping):
        made["items"] = {key: value for key, value in items.items() if key != "collectionFormat"}
    return made


def _style(given: Mapping[str, Any]) -> dict[str, Any]:
    """How a list is written. In paths and headers there are only commas."""
    style = STYLES.get(str(given.get("collectionFormat", "csv")), STYLES["csv"])
    return {"style": "simple", "explode": False} if given.get("in") in ("path", "header") else style


def _body(given: list[Any], consumes: list[str]) -> dict[str, Any] | None:
    """What 2.0 describes as parameters in `body` or `formData`."""
    whole = next((one for one in given if one["in"] == "body"), None)
    if whole is not None:
        schema = whole.get("schema", {})
        types = [one for one in consumes if one not in (FORM, MULTIPART)] or consumes or [JSON]
        content = {kind: {"schema": schema} for kind in types}
        return {"content": content} | {key: whole[key] for key in ("description", "required") if key in whole}
    fields = [one for one in given if "name" in one]
    return _form(fields, consumes) if fields else None


def _form(fields: list[Any], consumes: list[str]) -> dict[str, Any]:
    has_file = any(one.get("type") == "file" for one in fields)
    types = [one for one in consumes if one.split(";")[0].strip().lower() in (FORM, MULTIPART)]
    if has_file:
        types = [MULTIPART]
    properties = {
        one["name"]: _value(one) | ({"description": one["description"]} if "description" in one else {})
        for one in fields
    }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required := [one["name"] for one in fields if one.get("required")]:
        schema["required"] = required
    encoding = {one["name"]: _style(one) for one in fields if one.get("type") == "array"}
    content = {"schema": schema} | ({"encoding": encoding} if encoding else {})
    return {"content": dict.fromkeys(types or [FORM], content)} | ({"required": True} if required else {})


def _response(given: Any, produces: list[str]) -> Any:
    if not isinstance(given, Mapping) or "$ref" in given:
        return given
    made: dict[str, Any] = {"description": str(given.get("description", ""))}
    if "schema" in given:
        made["content"] = {kind: {"schema": given["schema"]} for kind in produces}
    return made


def _scheme(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    if given.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if given.get("type") != "oauth2":
        return given
    flow = {key: given[key] for key in ("authorizationUrl", "tokenUrl", "scopes") if key in given}
    return {"type": "oauth2", "flows": {FLOWS.get(str(given.get("flow")), str(given.get("flow"))): flow}}
