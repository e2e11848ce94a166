"""Parameters of an operation: what the model is asked for, what is filled in, and what a path fixes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from services.tool_gateway.catalogue import limits, naming
from services.tool_gateway.catalogue.schema import Bundle, deref
from services.tool_gateway.catalogue.tools import Parameter

IGNORED_HEADERS = limits.FRAMING | {"accept", "content-type", "authorization", "cookie"}
DEFAULT_STYLES: dict[str, Any] = {"path": "simple", "header": "simple", "query": "form", "cookie": "form"}
MAX_PARAMETERS = 500
VARIABLE = re.compile(r"\{([^}]*)\}")
QUERY_EXPANSION = re.compile(r"\{[?&][\w.,*-]+\}")  # RFC 6570; parameters say the same in OpenAPI's way
EXPANSION = re.compile(r"[+#./;]?([\w.$@-]+)(?:\*|:.*)?")  # a variable of RFC 6570, or with a router's pattern
Named = tuple[str, str]  # a parameter's place and name; a header's in small letters
Pairs = tuple[tuple[str, str], ...]


def named(place: str, name: str) -> Named:
    """What makes two parameters the same one: headers' names do not depend on case."""
    return place, name.lower() if place == "header" else name


def parameters_of(document: Mapping[str, Any], item: Any, operation: Any) -> list[dict[str, Any]]:
    """Path item's and operation's parameters; an operation's replaces one of the same name and place."""
    found: dict[Named, dict[str, Any]] = {}
    for raw in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
        given = deref(document, raw)
        if not isinstance(given, Mapping):
            raise ValueError(f"{str(given)[:40]!r} is no parameter")
        key = named(given["in"], str(given["name"]))
        if key[0] == "header" and key[1] in IGNORED_HEADERS:
            continue
        if given["in"] == "header":
            limits.header_name(given["name"])
        found[key] = dict(given)
    return list(found.values())


class Arguments:
    """The arguments of a tool as they are put together: parameters first, then what is in the body."""

    def __init__(self, bundle: Bundle, *, ours: bool) -> None:
        self._bundle, self._ours = bundle, ours
        self.parameters: list[Parameter] = []
        self.properties: dict[str, Any] = {}
        self.required: list[str] = []
        self.together: dict[str, list[str]] = {}

    def add(self, given: list[dict[str, Any]], without: Collection[Named]) -> None:
        """Parameters, but for those that are filled in by something else. Raises ValueError."""
        if len(given) > MAX_PARAMETERS:
            raise ValueError(f"it has more than {MAX_PARAMETERS} parameters")
        for one in given:
            if named(one["in"], str(one["name"])) not in without:
                self._add(one)

    def _add(self, one: dict[str, Any]) -> None:
        name, place = str(one["name"]), one["in"]
        if place not in DEFAULT_STYLES:
            raise ValueError(f"parameter {name!r} is in {place!r}")
        argument = naming.argument_name(one.get("x-viox-argument", name), self.properties)
        content = one.get("content")
        schema = next(iter(content.values())).get("schema", {}) if content else one.get("schema", {})
        style = one.get("style", DEFAULT_STYLES[place])
        if place == "query":
            limits.query_style(style)
        plain = self._bundle.resolved(schema, argument)
        parameter = Parameter(
            name=name,
            argument=argument,
            place=place,
            required=bool(one.get("required")) or place == "path",
            style=style,
            explode=bool(one.get("explode", style in ("form", "deepObject"))),
            as_json=bool(content),
            reserved=bool(one.get("allowReserved")),
            setting=one.get("x-viox-setting"),
            default=plain.get("default") if isinstance(plain, dict) and self._ours else None,
        )
        self.parameters.append(parameter)
        if "x-viox-setting" in one or "x-viox-hidden" in one:
            return
        about = str(one.get("description") or "")
        if not naming.is_readable(name) and "x-viox-argument" not in one:
            about = f"{name}: {about}" if about else name  # what the argument is called says nothing any more
        self.properties[argument] = described(self._bundle.take(schema, argument), about)
        if parameter.required and parameter.default is None:
            self.required.append(argument)


def described(schema: Any, about: Any) -> Any:
    """The schema with a description."""
    if not about or not isinstance(schema, dict):
        return schema
    return {"allOf": [schema], "description": str(about)} if "$ref" in schema else {**schema, "description": str(about)}


def fixed_query(path: str, given: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Pairs]:
    """What a path has after `?`: the parameters without those it fixes, and the fixed pairs. Raises ValueError.

    `?action=list` is sent as it is. `?q={term}` says where a parameter goes: it is one of the query.
    """
    _, mark, query = path.partition("?")
    if not mark:
        return given, ()
    pairs: list[tuple[str, str]] = []
    known = {named(one["in"], str(one["name"])): one for one in given}
    for name, value in parse_qsl(query, keep_blank_values=True):
        inner = VARIABLE.findall(value)
        if not inner:
            pairs.append((name, value))
            known.pop(("query", name), None)
        elif value != "{" + inner[0] + "}" or VARIABLE.search(name):
            raise ValueError(f"the path's {name}={value} has a variable within a text")
        elif found := known.pop(("path", inner[0]), None):
            moved = {key: kept for key, kept in found.items() if key not in ("style", "explode")}
            known["query", name] = moved | {"in": "query", "name": name, "required": True}
        elif ("query", inner[0]) not in known and ("query", name) not in known:
            raise ValueError(f"no parameter is given for {{{inner[0]}}} of the path")
    return list(known.values()), tuple(pairs)


def fitting_path(
    path: str, given: list[dict[str, Any]], note: Callable[[str], None]
) -> tuple[str, list[dict[str, Any]]]:
    """A path and its parameters as their author meant them, where the two do not name each other.

    Other letter case or separators and `:id`, `{id:regex}`, `{+id}` mean the parameter that is described. A variable that
    nobody describes is a text; a parameter that has no place in the path is not asked for.
    """
    before, mark, query = path.partition("?")
    left = {str(one["name"]): one for one in given if one["in"] == "path"}
    for name in sorted(left, key=len, reverse=True):
        before = re.sub(rf"(?<=/):{re.escape(name)}(?=/|\Z)", "{" + name + "}", before)
    written = [name for name in VARIABLE.findall(before) if left.pop(name, None) is None]
    undescribed: list[dict[str, Any]] = []
    for variable in written:
        if (plain := EXPANSION.fullmatch(variable)) is None:
            continue
        meant = next((name for name in left if _letters(name) == _letters(plain[1])), plain[1])
        before = before.replace("{" + variable + "}", "{" + meant + "}")
        if left.pop(meant, None) is None and ("path", meant) not in {(one["in"], str(one["name"])) for one in given}:
            undescribed.append({"name": meant, "in": "path", "required": True, "schema": {"type": "string"}})
            note(f"{{{meant}}} of the path is not described: any text is taken")
    for name in left:
        note(f"the path has no {{{name}}}: it is not asked for")
    kept = [one for one in given if one["in"] != "path" or str(one["name"]) not in left]
    return before + mark + query, kept + undescribed


def _letters(name: str) -> str:
    """Without what people write differently in two places."""
    return "".join(c for c in name.lower() if c.isalnum())


def check_path(path: str, parameters: Collection[Parameter]) -> None:
    """Raises ValueError when a path could lead elsewhere, or has a variable that nothing fills."""
    before = path.partition("?")[0]
    if not before.startswith("/") or "#" in path:
        raise ValueError("the path must begin with / and have no fragment (#)")
    if any(part in (".", "..", "") for part in before.split("/")[1:-1]) or before.endswith(("/..", "/.")):
        raise ValueError("the path has an empty or climbing segment")
    known = {p.name for p in parameters if p.place == "path"}
    for name in VARIABLE.findall(before):
        if name not in known:
            raise ValueError(f"no parameter is given for {{{name}}} of the path")
