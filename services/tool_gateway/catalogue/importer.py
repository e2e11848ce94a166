"""Any OpenAPI document as tools: what can be used is annotated with `x-viox`, what cannot is listed with its reason.

The result is a document like our own, read by the same code. Nothing is granted that was not asked for, credentials go
only to hosts that were agreed to, and what a document says of itself in `x-viox` counts only when the integrator trusts it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import urlsplit

import orjson

from services.tool_gateway.catalogue import servers
from services.tool_gateway.catalogue.claims import without_claims
from services.tool_gateway.catalogue.document import operations, read_tool, reason
from services.tool_gateway.catalogue.idempotency import Place, key_of
from services.tool_gateway.catalogue.inheritance import with_alternatives
from services.tool_gateway.catalogue.media import response_content
from services.tool_gateway.catalogue.naming import tool_name
from services.tool_gateway.catalogue.overlay import apply_overlay
from services.tool_gateway.catalogue.reachable import out_of_paths, reachable
from services.tool_gateway.catalogue.remarks import of_operation
from services.tool_gateway.catalogue.schema import Schemas, deref
from services.tool_gateway.catalogue.sensitive import Sensitive, response_schemas
from services.tool_gateway.catalogue.servers import Server
from services.tool_gateway.catalogue.tools import Effect, Tool
from shared.bus.topics import AGENTS
from shared.errors import BadInput

DOCUMENT_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,30}$")
EFFECTS = {"get": "read", "put": "idempotent", "delete": "idempotent", "post": "once", "patch": "once"}
RISKS = {"read": ["reads_private", "reads_untrusted"]}
# Where public APIs say what was wrong; the first that is there is shown.
ERROR_PATHS = [
    "message",
    "error.message",
    "error_description",
    "error",
    "detail",
    "title",
    "errors.0.message",
    "errors.0.detail",
    "errors.0",
    "description",
    "msg",
]
MAX_SCHEMA_BYTES = 50_000_000
FEW = 3
OURS = ("vendor", "source", "hosts", "https_only", "granted_to", "connector")
DROPPED = ("responses", "callbacks", "tags", "externalDocs", "x-codeSamples", "x-code-samples")


@dataclass(frozen=True, slots=True)
class Wish:
    """What an integrator says of an import. `effects` is by tool, operationId or `METHOD /path`.

    `trusted`: the document's own `x-viox` counts as if an overlay said it.
    """

    name: str
    grants: Sequence[str] = ()
    effects: Mapping[str, str] = field(default_factory=dict)
    overlay: Mapping[str, Any] | None = None
    hosts: Sequence[str] = ()
    base_url: str | None = None
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """An operation that did not become a tool."""

    method: str
    path: str
    reason: str


@dataclass(slots=True)
class Import:
    """A document made ready for the catalogue. `ignored`: where it said `x-viox` of itself and was not heard.

    `remarks`: what should be known of it, each with the operations it is about (none: of the whole document).
    """

    name: str
    document: dict[str, Any]
    tools: list[Tool]
    skipped: list[Skipped]
    ignored: list[str]
    remarks: dict[str, list[str]] = field(default_factory=dict)

    def remark(self, text: str, operation: str | None = None) -> None:
        """Keep a remark once, with all operations it is about."""
        about = self.remarks.setdefault(text, [])
        if operation and operation not in about:
            about.append(operation)

    def notes(self) -> dict[str, list[str]]:
        """Where the document could not be taken at its word, and the tools that it concerns."""
        found: dict[str, list[str]] = {}
        for tool in self.tools:
            for note in tool.notes:
                found.setdefault(note, []).append(tool.name)
        return found

    def secrets(self) -> list[str]:
        """Settings that the tools need before they can be called; of alternative credentials those of the first."""
        first = [c for t in self.tools for c in (t.credentials[0] if t.credentials else ())]
        needed = {name for credential in first for name in credential.secrets}
        needed |= {
            c.oauth.token_url_setting for c in first if c.oauth and not c.oauth.token_url and c.oauth.token_url_setting
        }
        needed |= {t.base_url_setting for t in self.tools if not t.base_url and t.base_url_setting}
        return sorted(needed)


def import_document(original: Mapping[str, Any], source: str, wish: Wish) -> Import:
    """Make a document ready. Raises BadInput when nothing of it can be used, or the wish does not fit it."""
    _check(wish)
    source = source.partition("?")[0]  # what follows may be a token
    document, ignored = (dict(original), []) if wish.trusted else without_claims(original)
    document = apply_overlay(document, wish.overlay) if wish.overlay else document
    document = {key: value for key, value in document.items() if key not in ("webhooks", "tags", "externalDocs")}
    document = with_alternatives(out_of_paths(document))
    given, setting = document.get("servers"), f"{wish.name.upper().replace('-', '_')}_BASE_URL"
    server = _server(document, source, wish)
    document["servers"] = [{"url": server.url}] if server.url else []
    document["info"] = _info(document["info"], source, wish, server, setting)
    made = Import(wish.name, document, [], [], ignored)
    for remark in _of_servers(given, server, source, wish, setting):
        made.remark(remark)
    _take_operations(made, wish)
    _check_used(made, wish)
    document["components"] = reachable(document)
    return made


def _server(document: Mapping[str, Any], source: str, wish: Wish) -> Server:
    try:
        return servers.chosen(document, source, wish.base_url)
    except ValueError as error:
        if wish.base_url is not None:
            raise BadInput("option.invalid", f"{error}.", field="--base-url") from error
        raise BadInput(
            "document.server", f"{error}.", field="servers", remedy="Give the right one with --base-url."
        ) from error


def _of_servers(given: Any, server: Server, source: str, wish: Wish, setting: str) -> Iterator[str]:
    if wish.base_url is None:
        yield from servers.remarks(given, source, setting)
    elif told := servers.replaced_path(given, wish.base_url):
        yield told
    if server.path:
        yield (
            f"the document's server is the path {server.path}: a --base-url or {setting} without a path is followed by it, "
            "one with a path is taken as it is"
        )


def _info(info: Mapping[str, Any], source: str, wish: Wish, server: Server, setting: str) -> dict[str, Any]:
    """`info` with the `x-viox` of the whole document."""
    main = urlsplit(server.url).hostname if server.url else None
    about: dict[str, Any] = {
        "vendor": wish.name,
        "base_url_setting": setting,
        "source": source or "file",
        "hosts": sorted({h for h in (main, *wish.hosts) if h}),
        "https_only": server.url.startswith("https:"),
        "granted_to": sorted(set(wish.grants)),
        "error_paths": ERROR_PATHS,
        "rate": {"key": wish.name, "per_second": 10, "burst": 20},
    } | ({"base_path": server.path} if server.path else {})
    given = info.get("x-viox") or {}
    if not isinstance(given, Mapping):
        raise BadInput("document.invalid", "it is not an object.", field="info.x-viox")
    about |= {key: value for key, value in given.items() if key not in OURS}
    return {"title": str(info.get("title", "")), "version": str(info.get("version", "")), "x-viox": about}


def _check_used(made: Import, wish: Wish) -> None:
    """Raises BadInput when an option names no operation, or nothing can be used."""
    unused = set(wish.effects) - _names_used(made)
    if made.tools and unused:
        raise BadInput(
            "option.invalid",
            f"no operation is called {sorted(unused)[0]!r}.",
            field="--effect",
            remedy="Name a tool, an operationId or 'METHOD /path'.",
        )
    if not made.tools:
        counted = Counter(skipped.reason for skipped in made.skipped).most_common(FEW)
        why = "; ".join(f"{reason} ({count} operations)" if count > 1 else reason for reason, count in counted)
        raise BadInput("document.unusable", f"no operation can be imported: {why or 'it has none'}.", field="SOURCE")


def _check(wish: Wish) -> None:
    if not DOCUMENT_NAME.match(wish.name):
        raise BadInput("option.invalid", f"{wish.name!r} does not match {DOCUMENT_NAME.pattern}.", field="--name")
    for agent in wish.grants:
        if agent not in AGENTS:
            raise BadInput(
                "agent.unknown", f"{agent!r} is no agent.", field="--grant", remedy=f"One of {', '.join(AGENTS)}."
            )
    for name, effect in wish.effects.items():
        if effect not in get_args(Effect):
            raise BadInput(
                "option.invalid",
                f"{name}: effect {effect!r}.",
                field="--effect",
                remedy=f"One of {', '.join(get_args(Effect))}.",
            )


def _take_operations(made: Import, wish: Wish) -> None:
    document = made.document
    kept: dict[str, Any] = {}
    names: set[str] = set()
    schemas, sensitive = Schemas(document), Sensitive(document)
    size = 0
    for path, item, problem in _items(document):
        if problem:
            made.skipped.append(Skipped("*", path, problem))
            continue
        for _, method, _ in operations([(path, item)]):
            place = kept.get(path) or _shared(item)
            try:
                operation, tool = _taken(made, wish, path, method, item, names, schemas, sensitive)
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                made.skipped.append(Skipped(method.upper(), path, reason(error)))
                continue
            size += len(orjson.dumps(tool.input_schema))
            if size > MAX_SCHEMA_BYTES:
                raise BadInput(
                    "document.too_large",
                    f"its tools' arguments take more than {MAX_SCHEMA_BYTES:,} bytes to describe.",
                    field="paths",
                    remedy="Take out with an overlay what is not needed.",
                )
            names.add(tool.name)
            made.tools.append(tool)
            kept[path] = place | {method: operation}
        for method in ("head", "options", "trace"):
            if method in item:
                made.skipped.append(Skipped(method.upper(), path, f"{method.upper()} says nothing a model could use"))
    document["paths"] = kept


def _shared(item: Mapping[str, Any]) -> dict[str, Any]:
    """What all operations of a path have in common."""
    common: dict[str, Any] = {"parameters": item.get("parameters") or []}
    return common | ({"servers": item["servers"]} if item.get("servers") else {})


def _taken(
    made: Import,
    wish: Wish,
    path: str,
    method: str,
    item: Mapping[str, Any],
    names: set[str],
    schemas: Schemas,
    sensitive: Sensitive,
) -> tuple[dict[str, Any], Tool]:
    """An operation as it is kept, and its tool. Raises what says why there is none."""
    document, vendor = made.document, made.document["info"]["x-viox"]
    annotated = _annotated(made, wish, path, method, item, names, sensitive)
    tool = read_tool(document, vendor, path, method, _shared(item) | {method: annotated}, schemas, sensitive)
    _check_settings(tool, wish)
    place = f"{method.upper()} {path}"
    for text in of_operation(document, item, item[method], tool):
        made.remark(text, place)
    own = item[method].get("servers") or item.get("servers")
    for text in servers.remarks(own, vendor["source"], str(vendor["base_url_setting"])):
        made.remark(text, place)
    return annotated, tool


def settings_of(tool: Tool) -> set[str]:
    """Names of all settings and secrets that a tool reads."""
    credentials = [credential for one in tool.credentials for credential in one]
    named = {name for credential in credentials for name in credential.secrets}
    named |= {c.oauth.token_url_setting for c in credentials if c.oauth and c.oauth.token_url_setting}
    named |= {p.setting for p in tool.parameters if p.setting} | set(tool.body.settings.values() if tool.body else ())
    named |= {given[0] for given in tool.headers.values() if not isinstance(given, str)}
    return named | ({tool.base_url_setting} if tool.base_url_setting else set())


def _check_settings(tool: Tool, wish: Wish) -> None:
    """A document gets its own settings and secrets, and those that our overlay names; never VIOX OS's own."""
    ours = set(words(wish.overlay))
    for name in sorted(settings_of(tool)):
        if name.startswith("VIOX_"):
            raise ValueError(f"it wants {name}, which is nobody's but VioX OS's own")
        if name not in ours and not name.startswith(wish.name.upper().replace("-", "_") + "_"):
            raise ValueError(f"it wants the setting {name}, which is not its own; an overlay may say so")
    if tool.rate and tool.rate.key.split(":")[0] != wish.name:
        raise ValueError(f"its rate's key {tool.rate.key!r} does not begin with {wish.name}")


def words(node: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(node, str):
        yield node
    for inner in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from words(inner)


def _items(document: Mapping[str, Any]) -> Iterator[tuple[str, Any, str | None]]:
    for path, raw in document["paths"].items():
        if path.startswith("x-"):
            continue
        try:
            item = deref(document, raw)
        except ValueError as error:
            yield path, {}, str(error)
            continue
        yield path, item, None if isinstance(item, Mapping) else "not a path item"


def _annotated(
    made: Import, wish: Wish, path: str, method: str, item: Mapping[str, Any], names: set[str], sensitive: Sensitive
) -> dict[str, Any]:
    """The operation with its `x-viox`, without what is of no use here."""
    document, operation = made.document, item[method]
    if not isinstance(operation, Mapping):
        raise ValueError("it is not an object")
    kept = {key: value for key, value in operation.items() if key not in DROPPED}
    own = dict(operation.get("x-viox") or {})
    schemas = response_schemas(document, operation)
    whole = "redact" in own or bool(sensitive.of_schemas(schemas))
    kept["responses"] = _answers(document, operation, whole=whole)
    wanted = str(operation.get("operationId") or f"{method}_{path}")
    tool = own.get("tool") or tool_name(wish.name, wanted, method, path, names)
    if not tool.startswith(f"{wish.name}_"):
        raise ValueError(f"its tool is called {tool!r}; tools of this document begin with {wish.name}_")
    called = (tool, operation.get("operationId"), f"{method.upper()} {path}")
    chosen = next((effect for name, effect in wish.effects.items() if name in called), None)
    idempotency, unfit = key_of(document, item, operation, own.get("idempotency"))
    takes_key = idempotency is not None and EFFECTS[method] == "once"
    effect = chosen or own.get("effect") or ("keyed" if takes_key else EFFECTS[method])
    if idempotency is not None:
        own["idempotency"] = idempotency
    elif effect == "keyed":
        raise ValueError("effect keyed: the operation has no idempotency key; say where in an overlay")
    for one in unfit:
        made.remark(f"no key of ours has the shape of the idempotency key {one.name}: none is sent", called[-1])
    kept["parameters"] = [*(operation.get("parameters") or []), *(_hidden(one) for one in unfit if one.place != "body")]
    if not kept.get("description") and not kept.get("summary"):
        kept["summary"] = f"{method.upper()} {path}"
    if operation.get("deprecated"):
        kept["summary"] = f"(deprecated) {kept.get('summary', '')}".strip()
    kept["x-viox"] = {"risk": RISKS.get(effect, ["changes_state"])} | own | {"tool": tool, "effect": effect}
    return kept


def _hidden(one: Place) -> dict[str, Any]:
    """A parameter that nobody fills."""
    return {**one.about, "required": False, "x-viox-hidden": True}


def _answers(document: Mapping[str, Any], operation: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    """Of the responses only what kinds of content they have: nothing else of them is needed to make a request. Their schemas
    are (`whole`) where they say what is sensitive."""
    given = operation.get("responses")
    found: dict[str, Any] = {}
    for status, raw in given.items() if isinstance(given, Mapping) else ():
        kinds = response_content(document, raw)
        content = {kind: _schema_alone(document, raw, kind) if whole else {} for kind in kinds}
        found[str(status)] = {"description": ""} | ({"content": content} if kinds else {})
    return found


def _schema_alone(document: Mapping[str, Any], raw: Any, kind: str) -> dict[str, Any]:
    described = deref(document, raw)["content"][kind]
    schema = described.get("schema") if isinstance(described, Mapping) else None
    return {"schema": schema} if isinstance(schema, Mapping) else {}


def _names_used(made: Import) -> set[str]:
    used: set[str] = set()
    for path, method, item in operations(made.document["paths"].items()):
        operation = item[method]
        used |= {operation["x-viox"]["tool"], str(operation.get("operationId")), f"{method.upper()} {path}"}
    return used
