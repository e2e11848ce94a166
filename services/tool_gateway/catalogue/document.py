"""One OpenAPI document as tools: what the specification says, and what `x-viox` adds to it.

`info.x-viox` holds what is true of the whole document, an operation's `x-viox` names the tool, its effect and what a
schema cannot say (docs/tools.md lists the keys). A tool's arguments are its parameters and its body's properties in one
flat object; a body that is no plain object, or whose names collide with parameters, is one argument called `body`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args
from urllib.parse import urljoin, urlsplit

import jsonschema_rs

from services.tool_gateway.catalogue import limits
from services.tool_gateway.catalogue.schema import Bundle, deref, for_models
from services.tool_gateway.catalogue.security import check_agreed, credentials_of
from services.tool_gateway.catalogue.tools import (
    Absence,
    Address,
    Body,
    Effect,
    Idempotency,
    Parameter,
    Rate,
    Settle,
    Success,
    Tool,
)
from shared.errors import BadInput

NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
ARGUMENT = re.compile(r"[^a-zA-Z0-9_.-]")
METHODS = ("get", "put", "post", "delete", "patch")
BODY_KINDS = {
    "application/json": "json",
    "application/x-www-form-urlencoded": "form",
    "multipart/form-data": "multipart",
    "text/plain": "text",
}
NOT_PLAIN = ("oneOf", "anyOf", "not", "if", "patternProperties", "dependentSchemas", "dependentRequired")
IGNORED_HEADERS = limits.FRAMING | {"accept", "content-type", "authorization", "cookie"}
DEFAULT_STYLES: dict[str, Any] = {"path": "simple", "header": "simple", "query": "form", "cookie": "form"}
# An engine that never goes back, and nothing that grows too large for it: a document must not hold up the gateway.
PATTERNS = jsonschema_rs.RegexOptions(size_limit=3_000_000)
MAX_PARAMETERS = 500
MAX_PARTS = 1_000
FILE = {
    "type": "object",
    "description": "A file: its name, and its content as text or as base64.",
    "properties": {
        "filename": {"type": "string", "minLength": 1, "maxLength": 200},
        "content_type": {"type": "string"},
        "text": {"type": "string"},
        "base64": {"type": "string", "contentEncoding": "base64"},
    },
    "required": ["filename"],
    "oneOf": [{"required": ["text"]}, {"required": ["base64"]}],
    "additionalProperties": False,
}


def read_tools(document: Mapping[str, Any], name: str) -> list[Tool]:
    """All tools of a document that carries `x-viox`. Raises BadInput naming document and operation at fault."""
    try:
        vendor = document["info"]["x-viox"]
        paths = document["paths"].items()
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput("catalogue.invalid", f"{name} lacks {error}.", field="info.x-viox") from error
    tools = []
    for path, method, item in operations(paths):
        try:
            tools.append(read_tool(document, vendor, path, method, item))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(
                "catalogue.invalid",
                f"{name}: {method.upper()} {path}: {reason(error)}.",
                field=f"paths.{path}",
                remedy="Every operation needs x-viox with tool and effect.",
            ) from error
    return tools


def operations(paths: Any) -> Iterator[tuple[str, str, Any]]:
    """(path, method, path item) of every operation."""
    for path, item in paths:
        for method in METHODS:
            if isinstance(item, Mapping) and method in item:
                yield path, method, item


def reason(error: Exception) -> str:
    """Why something could not be read, in words."""
    return f"lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


def read_tool(document: Mapping[str, Any], vendor: Mapping[str, Any], path: str, method: str, item: Any) -> Tool:
    """One operation. Raises ValueError, KeyError or TypeError that says what is wrong with it."""
    operation = item[method]
    own = operation["x-viox"]
    name, effect = own["tool"], own["effect"]
    if not NAME.match(name):
        raise ValueError(f"tool name {name!r} does not match {NAME.pattern}")
    idempotency = own.get("idempotency", vendor.get("idempotency") if effect == "keyed" else None)
    _check_effect(effect, own, idempotency)
    bundle = Bundle(document)
    given = [p for p in _parameters(document, item, operation) if not _is_key(p, idempotency)]
    parameters, properties, required = _arguments(document, bundle, given)
    _check_path(path, parameters)
    body = _body(document, bundle, operation, vendor, properties, required)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    if bundle.defs:
        schema["$defs"] = bundle.defs
    url = base_url(document, item, operation)
    if url:
        check_agreed(vendor, url, "its server")
    accept, answer = _accept(document, operation)
    return Tool(
        name=name,
        vendor=vendor["vendor"],
        method=method.upper(),
        path=path,
        base_url=url,
        base_url_setting=own.get("base_url_setting", vendor.get("base_url_setting")),
        effect=effect,
        description=" ".join(str(operation.get("description") or operation.get("summary") or "").split())[:1000],
        input_schema=schema,
        model_schema=for_models(schema),
        parameters=parameters,
        body=body,
        credentials=credentials_of(document, vendor, operation),
        headers={
            limits.header_name(key): _header(value)
            for key, value in {**vendor.get("headers", {}), **own.get("headers", {})}.items()
        },
        accept=accept,
        answer=answer,
        risk=tuple(own.get("risk", ())),
        rate=_rate({**vendor.get("rate", {}), **own.get("rate", {})}),
        success=_success(own.get("success", vendor.get("success"))),
        projection=tuple(own.get("projection", ())),
        empty_statuses=frozenset(own.get("empty_statuses", ())),
        harmless_statuses=frozenset(own.get("harmless_statuses", vendor.get("harmless_statuses", ()))),
        error_paths=tuple(vendor.get("error_paths", ())),
        idempotency=_idempotency(idempotency) if idempotency else None,
        settle=_settle({**vendor.get("look_ups", {}), **own["settle"]}) if "settle" in own else None,
        address=Address(**own["address"]) if "address" in own else None,
        probe=own.get("probe"),
        connector=vendor.get("connector", "http"),
        max_argument_bytes=int(own.get("max_argument_bytes", Tool.__dataclass_fields__["max_argument_bytes"].default)),
        max_answer_bytes=limits.answer_bytes(own.get("max_answer_bytes", vendor.get("max_answer_bytes"))),
        timeout_seconds=limits.seconds(own.get("timeout_seconds", vendor.get("timeout_seconds", 20))),
        validator=_validator(schema),
    )


def _validator(schema: dict[str, Any]) -> Any:
    """Checks arguments. Regular expressions that only other dialects know are left to the vendor to check."""
    try:
        return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, pattern_options=PATTERNS)
    except ValueError:
        return jsonschema_rs.Draft202012Validator(_without_patterns(schema), validate_formats=True)


def _without_patterns(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_patterns(v) for k, v in node.items() if not (k == "pattern" and isinstance(v, str))}
    return [_without_patterns(item) for item in node] if isinstance(node, list) else node


def base_url(document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    """The first server's URL with its variables' defaults, or "" when only a setting can tell."""
    servers = operation.get("servers") or item.get("servers") or document.get("servers") or []
    if not servers:
        return ""
    url = str(servers[0]["url"])
    for variable, about in (servers[0].get("variables") or {}).items():
        url = url.replace("{" + variable + "}", str(about["default"]))
    url = urljoin(str(document["info"].get("x-viox", {}).get("source", "")), url).rstrip("/")
    check_base_url(url)
    return url


def check_base_url(url: str) -> None:
    """Raises ValueError when a server's URL is not one we would call."""
    parts = urlsplit(url)
    if "{" in url:
        raise ValueError(f"server {url!r} has a variable without a default")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"server {url!r} is not an absolute http(s) URL")
    _ = parts.port  # raises ValueError when it is none
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"server {url!r} must have neither user, query nor fragment")
    if any(part in (".", "..") for part in parts.path.replace("%2e", ".").replace("%2E", ".").split("/")):
        raise ValueError(f"server {url!r} has a path that climbs")


def _check_path(path: str, parameters: tuple[Parameter, ...]) -> None:
    if not path.startswith("/") or "?" in path or "#" in path:
        raise ValueError("the path must begin with / and have neither query nor fragment")
    if any(part in (".", "..", "") for part in path.split("/")[1:-1]) or path.endswith(("/..", "/.")):
        raise ValueError("the path has an empty or climbing segment")
    known = {p.name for p in parameters if p.place == "path"}
    for name in re.findall(r"\{([^}]*)\}", path):
        if name not in known:
            raise ValueError(f"no parameter is given for {{{name}}} of the path")


def _parameters(document: Mapping[str, Any], item: Any, operation: Any) -> list[dict[str, Any]]:
    """Path item's and operation's parameters; an operation's replaces one of the same name and place."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for raw in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
        given = deref(document, raw)
        if given["in"] == "header" and given["name"].lower() in IGNORED_HEADERS:
            continue
        if given["in"] == "header":
            limits.header_name(given["name"])
        found[given["name"], given["in"]] = given
    return list(found.values())


def _arguments(
    document: Mapping[str, Any], bundle: Bundle, given: list[dict[str, Any]]
) -> tuple[tuple[Parameter, ...], dict[str, Any], list[str]]:
    """Parameters with the schema properties and required names that they become."""
    parameters: list[Parameter] = []
    properties: dict[str, Any] = {}
    required: list[str] = []
    if len(given) > MAX_PARAMETERS:
        raise ValueError(f"it has more than {MAX_PARAMETERS} parameters")
    for one in given:
        place = one["in"]
        if place not in DEFAULT_STYLES:
            raise ValueError(f"parameter {one['name']!r} is in {place!r}")
        argument = free_name(one.get("x-viox-argument", one["name"]), properties)
        content = one.get("content")
        schema = next(iter(content.values())).get("schema", {}) if content else one.get("schema", {})
        style = one.get("style", DEFAULT_STYLES[place])
        if place == "query":
            limits.query_style(style)
        plain = deref(document, schema)
        parameters.append(
            Parameter(
                name=one["name"],
                argument=argument,
                place=place,
                required=bool(one.get("required")) or place == "path",
                style=style,
                explode=bool(one.get("explode", style in ("form", "deepObject"))),
                as_json=bool(content),
                reserved=bool(one.get("allowReserved")),
                setting=one.get("x-viox-setting"),
                default=plain.get("default") if _ours(document) else None,
            )
        )
        if "x-viox-setting" in one or "x-viox-hidden" in one:
            continue
        made = bundle.take(schema)
        properties[argument] = _described(made, one.get("description"))
        if parameters[-1].required and parameters[-1].default is None:
            required.append(argument)
    return tuple(parameters), properties, required


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """A name that models' providers accept as a key and that is not taken yet."""
    plain = ARGUMENT.sub("_", name)[:60] or "_"
    found, number = plain, 2
    while found in taken:
        found, number = f"{plain}_{number}", number + 1
    return found


def _described(schema: Any, about: Any) -> Any:
    if not about or not isinstance(schema, dict):
        return schema
    return {"allOf": [schema], "description": str(about)} if "$ref" in schema else {**schema, "description": str(about)}


def _body(
    document: Mapping[str, Any],
    bundle: Bundle,
    operation: Any,
    vendor: Mapping[str, Any],
    properties: dict[str, Any],
    required: list[str],
) -> Body | None:
    request = deref(document, operation.get("requestBody")) or {}
    content = request.get("content") or {}
    if not content:
        return None
    media_type, kind = _media(content)
    described = content[media_type]
    raw = described.get("schema", {})
    schema = deref(document, raw)
    flat = _flat(document, schema)
    if kind in ("form", "multipart") and _empty(schema):
        return None
    style = ("deepObject", True) if vendor.get("form_style") == "deepObject" else ("form", True)
    styles = {
        name: (limits.query_style(e["style"]), bool(e.get("explode", e["style"] == "form")))
        for name, e in (described.get("encoding") or {}).items()
        if isinstance(e, Mapping) and "style" in e
    }
    if flat is None or any(ARGUMENT.search(n) or n in properties for n in flat["properties"]) or kind == "text":
        if kind in ("form", "multipart") and flat is None:
            raise ValueError(f"a {media_type} body whose schema is not an object")
        whole = bundle.take(_with_files(document, {**flat, "type": "object"}) if kind == "multipart" and flat else raw)
        argument = free_name("body", properties)
        properties[argument] = _described(whole, request.get("description"))
        if request.get("required"):
            required.append(argument)
        return Body(kind, media_type, argument=argument, styles=styles, style=style)  # type: ignore[arg-type]
    if kind == "multipart":
        flat = _with_files(document, flat)
    settings = {k: v["x-viox-setting"] for k, v in flat["properties"].items() if "x-viox-setting" in v}
    defaults = {k: v["x-viox-default"] for k, v in flat["properties"].items() if "x-viox-default" in v}
    as_text = frozenset(k for k, v in flat["properties"].items() if v.get("x-viox-json-text"))
    taken = bundle.take({"type": "object", "properties": flat["properties"], "required": flat["required"]})
    properties.update({k: v for k, v in taken["properties"].items() if k not in settings})
    required += [k for k in taken["required"] if k not in settings and k not in defaults and k in taken["properties"]]
    return Body(kind, media_type, None, frozenset(taken["properties"]), settings, defaults, styles, style, as_text)  # type: ignore[arg-type]


def _media(content: Mapping[str, Any]) -> tuple[str, str]:
    """The media type we would rather send, and its kind."""
    for wanted, kind in BODY_KINDS.items():
        for media_type in content:
            plain = media_type.split(";")[0].strip().lower()
            if plain == wanted or (kind == "json" and plain.startswith("application/") and plain.endswith("+json")):
                return media_type, kind
    for media_type in content:
        if media_type.split(";")[0].strip() in ("*/*", "application/*"):
            return media_type, "json"
    raise ValueError(f"a body of type {', '.join(content)} cannot be written")


def _flat(
    document: Mapping[str, Any], schema: Any, depth: int = 0, seen: list[None] | None = None
) -> dict[str, Any] | None:
    """Properties and required names of a plain object, `allOf` put together; None when it is anything else."""
    seen = [] if seen is None else seen
    seen.append(None)
    if (
        not isinstance(schema, Mapping)
        or depth > 10
        or len(seen) > MAX_PARTS
        or any(key in schema for key in NOT_PLAIN)
    ):
        return None
    if schema.get("type", "object") not in ("object", ["object"]) or schema.get("nullable"):
        return None
    properties = dict(schema.get("properties") or {})
    required = list(schema.get("required") or [])
    for part in schema.get("allOf") or []:
        inner = _flat(document, deref(document, part), depth + 1, seen)
        if inner is None:
            return None
        properties = {**inner["properties"], **properties}
        required += [name for name in inner["required"] if name not in required]
    if schema.get("additionalProperties") not in (None, False):
        return None
    if depth:
        return {"properties": properties, "required": required}  # a part may require what another part describes
    if not properties:
        return None
    return {"properties": properties, "required": [name for name in dict.fromkeys(required) if name in properties]}


def _empty(schema: Any) -> bool:
    """An object that can have nothing in it."""
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "object"
        and not schema.get("properties")
        and not schema.get("additionalProperties")
        and not any(key in schema for key in ("allOf", "anyOf", "oneOf"))
    )


def _with_files(document: Mapping[str, Any], flat: dict[str, Any]) -> dict[str, Any]:
    def file_or(schema: Any) -> Any:
        plain = deref(document, schema)
        if plain.get("type") == "array":
            return {**plain, "items": file_or(plain.get("items", {}))}
        binary = plain.get("format") in ("binary", "byte") or "contentMediaType" in plain
        return FILE if plain.get("type", "string") == "string" and binary else schema

    return {**flat, "properties": {name: file_or(schema) for name, schema in flat["properties"].items()}}


def _accept(document: Mapping[str, Any], operation: Any) -> tuple[str, Any]:
    """What answers we ask for, and whether they must be JSON. A vendor's document that lists none speaks JSON."""
    kinds: list[str] = []
    for status, raw in (operation.get("responses") or {}).items():
        if str(status).startswith("2") or status == "default":
            kinds += deref(document, raw).get("content") or {}
    if not kinds:
        return "application/json", "json" if _ours(document) else "any"
    json = next((k for k in kinds if "json" in k), None)
    if json is None:
        return kinds[0], "any"
    return json, "json" if all("json" in k for k in kinds) else "any"


def _ours(document: Mapping[str, Any]) -> bool:
    """Written for this catalogue, so that its defaults are meant to be sent and its silences mean the usual."""
    return "source" not in document["info"]["x-viox"]


def _header(given: Any) -> str | tuple[str, str | None]:
    return (given["setting"], given.get("default")) if isinstance(given, Mapping) else str(given)


def _rate(given: dict[str, Any]) -> Rate | None:
    return limits.rate(given) if given else None


def _check_effect(effect: str, own: Mapping[str, Any], idempotency: Any) -> None:
    if effect not in get_args(Effect):
        raise ValueError(f"effect {effect!r} is none of {', '.join(get_args(Effect))}")
    if effect == "keyed" and not idempotency:
        raise ValueError("effect keyed needs idempotency {in, name}: where the vendor reads the key")
    if effect != "read" and "probe" in own:
        raise ValueError("a probe only reads")


def _is_key(parameter: Mapping[str, Any], idempotency: Any) -> bool:
    """Where the key goes nothing else may: an argument of this name would be a second one."""
    if not idempotency or parameter["in"] != idempotency["in"]:
        return False
    return str(parameter["name"]).lower() == str(idempotency["name"]).lower()


def _idempotency(given: Mapping[str, Any]) -> Idempotency:
    if given["in"] == "header":
        limits.header_name(given["name"])
    return Idempotency(given["in"], given["name"], float(given.get("hours", 24)), _success(given.get("busy")))


def _settle(given: dict[str, Any]) -> Settle:
    made = dict(given)
    for name in ("rewritten", "prepends"):
        made[name] = tuple(given.get(name, ()))
    if absence := given.get("absence"):
        made["absence"] = Absence(**absence)
    return Settle(**made)


def _success(given: dict[str, Any] | None) -> Success | None:
    if given is None:
        return None
    one_of, none_of = given.get("one_of"), given.get("none_of")
    return Success(
        given["path"], tuple(one_of) if one_of else None, tuple(none_of) if none_of else None, bool(given.get("absent"))
    )
