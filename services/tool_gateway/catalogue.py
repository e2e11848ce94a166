"""The catalogue: tools read from OpenAPI documents plus `x-viox`, ready to be judged and called.

A document is one vendor (or one endpoint family of the business). Vendor-wide `x-viox` under `info` gives the base-URL
setting, credentials, rate and error paths; an operation's `x-viox` gives the tool's name, effect and what else a
schema cannot say. A tool's arguments are its parameters and its body's properties in one flat object.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import jsonschema_rs
import yaml

from shared.bus.topics import AGENTS
from shared.errors import BadInput

Effect = Literal["read", "idempotent", "keyed", "once"]
NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
METHODS = ("get", "put", "post", "delete", "patch")
HERE = Path(__file__).parent / "catalogue"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One path, query or header parameter. `setting` fills it from the deployment's settings instead of the model;
    `default` is sent when the model leaves it out."""

    name: str
    place: Literal["path", "query", "header"]
    required: bool
    setting: str | None = None
    default: Any = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second under a key; `{argument}` in the key is filled from the arguments. `pause_seconds` after a 429."""

    key: str
    per_second: float
    burst: int
    pause_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Success:
    """Condition on a 2xx body: the value at `path` is (not) one of these. A 200 that says no is a failure."""

    path: str
    one_of: tuple[Any, ...] | None = None
    none_of: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Look-up that decides an unknown call: call `tool` with `arguments`, find an item whose `match` paths agree.

    Values that begin with `$.` are read from the unknown call's own arguments. `unique` names the item's id, so that an
    item that belongs to another call is not taken for ours. Absence counts only `lag_seconds` after the call's lease.
    """

    tool: str
    arguments: dict[str, Any]
    items: str
    match: dict[str, Any]
    unique: str
    lag_seconds: float
    created: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Calling this tool opens a conversation with an address: whoever answers is routed to the caller's thread."""

    channel: str
    argument: str


@dataclass(frozen=True, slots=True)
class Credential:
    """How requests of a document prove who we are. Values are names of secrets, never secrets."""

    scheme: Literal["bearer", "basic", "header", "none"]
    secrets: tuple[str, ...] = ()
    header: str = "Authorization"


@dataclass(frozen=True, slots=True)
class Tool:
    """One callable operation."""

    name: str
    vendor: str
    method: str
    path: str
    base_url: str
    base_url_setting: str | None
    effect: Effect
    description: str
    input_schema: dict[str, Any]
    parameters: tuple[Parameter, ...]
    body: Literal["json", "form"] | None
    body_properties: frozenset[str]
    body_defaults: dict[str, str]
    credential: Credential
    headers: dict[str, str]
    risk: tuple[str, ...] = ()
    rate: Rate | None = None
    success: Success | None = None
    projection: tuple[str, ...] = ()
    empty_statuses: frozenset[int] = frozenset()
    harmless_statuses: frozenset[int] = frozenset()
    error_paths: tuple[str, ...] = ()
    settle: Settle | None = None
    address: Address | None = None
    timeout_seconds: float = 20.0
    validator: Any = field(default=None, compare=False)

    def problem_with(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """None when the arguments fit, else an error a model can repair: where, what is wrong, what is allowed."""
        error = next(iter(self.validator.iter_errors(arguments)), None)
        if error is None:
            return None
        where = ".".join(str(part) for part in error.instance_path) or "arguments"
        return {
            "code": "tool.invalid_arguments",
            "message": f"{where}: {error.message}",
            "field": where,
            "remedy": f"Call {self.name} again with arguments that fit its schema.",
        }


class Catalogue:
    """All tools of a deployment, by name."""

    def __init__(self, tools: Iterable[Tool], grants: Mapping[str, frozenset[str]]) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self._grants = grants
        for agent, names in grants.items():
            for name in names - self.tools.keys():
                raise BadInput(
                    "tool.not_found", f"{agent} is granted {name!r}, which no document of the catalogue has.",
                    field=f"services/{agent.replace('-', '_')}/tools.yaml", remedy="Correct the name, or add the tool.",
                )  # fmt: skip
        for tool in self.tools.values():
            if tool.settle and tool.settle.tool not in self.tools:
                raise BadInput("tool.not_found", f"{tool.name} is settled by unknown {tool.settle.tool!r}.")

    def granted(self, agent: str, tool: str) -> bool:
        return tool in self._grants.get(agent, frozenset())

    def granted_to(self, tool: str) -> list[str]:
        return sorted(agent for agent, names in self._grants.items() if tool in names)


def load(paths: Iterable[Path] = (), grants: Mapping[str, frozenset[str]] | None = None) -> Catalogue:
    """Read our vendors' documents and further ones. Raises BadInput naming file and operation at fault."""
    tools = [tool for file in sorted(HERE.glob("*.yaml")) for tool in read_document(file)]
    given = dict(grants if grants is not None else read_grants())
    for file in (f for p in paths for f in _files(p)):
        added = read_document(file)
        for agent in _granted_by(file):
            given[agent] = given.get(agent, frozenset()) | {tool.name for tool in added}
        tools += added
    return Catalogue(tools, given)


def _granted_by(file: Path) -> list[str]:
    """A business's own document may say itself whom its tools are for: `granted_to` under info.x-viox."""
    named = yaml.safe_load(file.read_text())["info"]["x-viox"].get("granted_to", [])
    for agent in named:
        if agent not in AGENTS:
            raise BadInput(
                "agent.unknown", f"{file.name} grants to {agent!r}, which is no agent.", field="info.x-viox.granted_to"
            )
    return list(named)


def with_rates(found: Catalogue, settings: Mapping[str, str]) -> Catalogue:
    """Rates follow the plan a business pays for: `<VENDOR>_RATE_PER_SECOND` replaces a vendor's. Raises BadInput."""
    tools = []
    for tool in found.tools.values():
        name = f"{tool.vendor.upper()}_RATE_PER_SECOND"
        if name in settings and tool.rate:
            try:
                rate = float(settings[name])
            except ValueError:
                rate = 0.0
            if rate <= 0:
                raise BadInput(
                    "settings.invalid", f"{settings[name]!r} is not a rate.", field=name, remedy="For instance 19."
                )
            tools.append(replace(tool, rate=replace(tool.rate, per_second=rate, burst=max(1, round(rate)))))
        else:
            tools.append(tool)
    return Catalogue(tools, found._grants)


def read_grants(services: Path | None = None) -> dict[str, frozenset[str]]:
    """Each agent's tools.yaml, read as data. An agent without one is granted nothing."""
    found: dict[str, frozenset[str]] = {}
    for file in sorted((services or Path(__file__).parent.parent).glob("*/tools.yaml")):
        listed = (yaml.safe_load(file.read_text()) or {}).get("grants") or []
        found[file.parent.name.replace("_", "-")] = frozenset(listed)
    return found


def read_document(file: Path) -> list[Tool]:
    """The tools of one OpenAPI document."""
    document = yaml.safe_load(file.read_text())
    try:
        vendor = document["info"]["x-viox"]
    except (KeyError, TypeError) as error:
        raise BadInput("catalogue.invalid", f"{file.name} lacks {error}.", field="info.x-viox") from error
    tools = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                try:
                    tools.append(_tool(document, vendor, path, method, item))
                except (KeyError, TypeError, ValueError) as error:
                    raise BadInput(
                        "catalogue.invalid", f"{file.name}: {method.upper()} {path}: {error!r}.", field=f"paths.{path}",
                        remedy="Every operation needs x-viox with tool and effect.",
                    ) from error  # fmt: skip
    return tools


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]


def _tool(document: dict[str, Any], vendor: dict[str, Any], path: str, method: str, item: dict[str, Any]) -> Tool:
    operation = item[method]
    own = operation["x-viox"]
    name, effect = own["tool"], own["effect"]
    if not NAME.match(name):
        raise ValueError(f"tool name {name!r} does not match {NAME.pattern}")
    if effect not in get_args(Effect):
        raise ValueError(f"effect {effect!r} is none of {get_args(Effect)}")
    given = [_resolved(document, p) for p in [*item.get("parameters", []), *operation.get("parameters", [])]]
    parameters = tuple(_parameter(p) for p in given)
    body, schema = _body(document, operation)
    defaults = {k: v["x-viox-setting"] for k, v in schema.get("properties", {}).items() if "x-viox-setting" in v}
    input_schema = _input_schema(given, schema, defaults)
    return Tool(
        name=name,
        vendor=vendor["vendor"],
        method=method.upper(),
        path=path,
        base_url=(item.get("servers") or document["servers"])[0]["url"].rstrip("/"),
        base_url_setting=own.get("base_url_setting", vendor.get("base_url_setting")),
        effect=effect,
        description=" ".join(str(operation.get("description") or operation.get("summary", "")).split()),
        input_schema=input_schema,
        parameters=parameters,
        body=body,
        body_properties=frozenset(schema.get("properties", {})),
        body_defaults=defaults,
        credential=_credential(vendor.get("credential", {})),
        headers=dict(vendor.get("headers", {})),
        risk=tuple(own.get("risk", ())),
        rate=_rate({**vendor.get("rate", {}), **own.get("rate", {})}),
        success=_success(own.get("success")),
        projection=tuple(own.get("projection", ())),
        empty_statuses=frozenset(own.get("empty_statuses", ())),
        harmless_statuses=frozenset(own.get("harmless_statuses", vendor.get("harmless_statuses", ()))),
        error_paths=tuple(vendor.get("error_paths", ())),
        settle=Settle(**own["settle"]) if "settle" in own else None,
        address=Address(**own["address"]) if "address" in own else None,
        timeout_seconds=float(own.get("timeout_seconds", vendor.get("timeout_seconds", 20))),
        validator=jsonschema_rs.Draft202012Validator(input_schema, validate_formats=True),
    )


def _parameter(given: dict[str, Any]) -> Parameter:
    return Parameter(
        given["name"],
        given["in"],
        bool(given.get("required")),
        given.get("x-viox-setting"),
        given["schema"].get("default"),
    )


def _body(document: dict[str, Any], operation: dict[str, Any]) -> tuple[Literal["json", "form"] | None, dict[str, Any]]:
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, kind in (("application/json", "json"), ("application/x-www-form-urlencoded", "form")):
        if media_type in content:
            return kind, _resolved(document, content[media_type]["schema"])  # type: ignore[return-value]
    return None, {}


def _input_schema(given: list[dict[str, Any]], body: dict[str, Any], defaults: Mapping[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in given:
        if "x-viox-setting" in parameter:
            continue
        schema = dict(parameter["schema"])
        if about := parameter.get("description"):
            schema["description"] = about
        properties[parameter["name"]] = schema
        if parameter.get("required"):
            required.append(parameter["name"])
    for name, schema in body.get("properties", {}).items():
        if name not in defaults:
            properties[name] = schema
    required += [name for name in body.get("required", []) if name not in defaults]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _resolved(document: dict[str, Any], node: Any, seen: tuple[str, ...] = ()) -> Any:
    """A deep copy with local `$ref`s put in place."""
    if isinstance(node, list):
        return [_resolved(document, item, seen) for item in node]
    if not isinstance(node, dict):
        return copy.copy(node)
    if "$ref" in node:
        reference = node["$ref"]
        if reference in seen or not reference.startswith("#/"):
            raise ValueError(f"cannot resolve {reference!r}")
        target: Any = document
        for part in reference[2:].split("/"):
            target = target[part]
        return _resolved(document, target, (*seen, reference))
    return {key: _resolved(document, value, seen) for key, value in node.items()}


def _credential(given: dict[str, Any]) -> Credential:
    return Credential(
        given.get("scheme", "none"), tuple(given.get("secrets", ())), given.get("header", "Authorization")
    )


def _rate(given: dict[str, Any]) -> Rate | None:
    return Rate(**given) if given else None


def _success(given: dict[str, Any] | None) -> Success | None:
    if given is None:
        return None
    one_of, none_of = given.get("one_of"), given.get("none_of")
    return Success(given["path"], tuple(one_of) if one_of else None, tuple(none_of) if none_of else None)


def extra_documents(setting: str | None) -> list[Path]:
    """Paths of the setting VIOX_CATALOGUE (files or folders, separated as in PATH). Raises BadInput when one is missing."""
    paths = [Path(part) for part in (setting or "").split(os.pathsep) if part]
    for path in paths:
        if not path.exists():
            raise BadInput("settings.invalid", f"{path} does not exist.", field="VIOX_CATALOGUE")
    return paths
