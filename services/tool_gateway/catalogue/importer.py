"""Any OpenAPI document as tools: what can be used is annotated with `x-viox`, what cannot is listed with its reason.

The result is a document like our own, read by the same code. Nothing is granted that was not asked for, credentials go
only to hosts that were agreed to, and what a document says of itself in `x-viox` counts only when the integrator trusts it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import unquote, urljoin, urlsplit

import orjson

from services.tool_gateway.catalogue.claims import without_claims
from services.tool_gateway.catalogue.document import base_url, check_base_url, operations, read_tool, reason
from services.tool_gateway.catalogue.overlay import apply_overlay
from services.tool_gateway.catalogue.schema import Schemas, deref, lookup
from services.tool_gateway.catalogue.tools import Effect, Tool
from services.tool_gateway.catalogue.yaml12 import MAX_NODES
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
KEY_HEADERS = ("idempotency-key", "x-idempotency-key")


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
    """A document made ready for the catalogue. `ignored`: where it said `x-viox` of itself and was not heard."""

    name: str
    document: dict[str, Any]
    tools: list[Tool]
    skipped: list[Skipped]
    ignored: list[str]

    def notes(self) -> dict[str, list[str]]:
        """Where the document could not be taken at its word, and the tools that it concerns."""
        found: dict[str, list[str]] = {}
        for tool in self.tools:
            for note in tool.notes:
                found.setdefault(note, []).append(tool.name)
        return found

    def secrets(self) -> list[str]:
        """Settings that the tools need before they can be called; of alternative credentials those of the first."""
        needed = {n for t in self.tools for c in (t.credentials[0] if t.credentials else ()) for n in c.secrets}
        needed |= {t.base_url_setting for t in self.tools if not t.base_url and t.base_url_setting}
        return sorted(needed)


def import_document(original: Mapping[str, Any], source: str, wish: Wish) -> Import:
    """Make a document ready. Raises BadInput when nothing of it can be used, or the wish does not fit it."""
    _check(wish)
    source = source.partition("?")[0]  # what follows may be a token
    document, ignored = (dict(original), []) if wish.trusted else without_claims(original)
    document = apply_overlay(document, wish.overlay) if wish.overlay else document
    document = {key: value for key, value in document.items() if key not in ("webhooks", "tags", "externalDocs")}
    document = _out_of_paths(document)
    prefix = wish.name.upper().replace("-", "_")
    server = _server(document, source, wish)
    document["servers"] = [{"url": server}] if server else []
    main = urlsplit(server).hostname if server else None
    hosts = sorted({h for h in (main, *wish.hosts) if h})
    about = {
        "vendor": wish.name,
        "base_url_setting": f"{prefix}_BASE_URL",
        "source": source or "file",
        "hosts": hosts,
        "https_only": server.startswith("https:"),
        "granted_to": sorted(set(wish.grants)),
        "error_paths": ERROR_PATHS,
        "rate": {"key": wish.name, "per_second": 10, "burst": 20},
    }
    info = document["info"]
    ours = ("vendor", "source", "hosts", "https_only", "granted_to", "connector")
    given = info.get("x-viox") or {}
    if not isinstance(given, Mapping):
        raise BadInput("document.invalid", "it is not an object.", field="info.x-viox")
    about |= {key: value for key, value in given.items() if key not in ours}
    title, version = (str(info.get(key, "")) for key in ("title", "version"))
    document["info"] = {"title": title, "version": version, "x-viox": about}
    made = Import(wish.name, document, [], [], ignored)
    _take_operations(made, wish)
    unused = set(wish.effects) - _names_used(made)
    if unused:
        raise BadInput(
            "option.invalid",
            f"no operation is called {sorted(unused)[0]!r}.",
            field="--effect",
            remedy="Name a tool, an operationId or 'METHOD /path'.",
        )
    if not made.tools:
        why = made.skipped[0].reason if made.skipped else "it has no operations"
        raise BadInput("document.unusable", f"no operation can be imported: {why}.", field="SOURCE")
    document["components"] = _reachable(document)
    return made


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


def _server(document: Mapping[str, Any], source: str, wish: Wish) -> str:
    """The first server we would call, absolute; "" when only the deployment can say. Raises BadInput."""
    if wish.base_url:
        try:
            check_base_url(wish.base_url)
        except ValueError as error:
            raise BadInput("option.invalid", f"{error}.", field="--base-url") from error
        return wish.base_url.rstrip("/")
    problems = []
    for server in document.get("servers") or []:
        try:
            one = {"servers": [server], "info": {"x-viox": {"source": source}}}
            return base_url(one, {}, {})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            relative = isinstance(server, Mapping) and str(server.get("url", "")).startswith("/") and not source
            if not relative:
                problems.append(reason(error))
    if problems:
        raise BadInput(
            "document.server", f"{problems[0]}.", field="servers", remedy="Give the right one with --base-url."
        )
    return urljoin(source, "/").rstrip("/") if source else ""


def _take_operations(made: Import, wish: Wish) -> None:
    document = made.document
    kept: dict[str, Any] = {}
    names: set[str] = set()
    schemas = Schemas(document)
    size = 0
    for path, item, problem in _items(document):
        if problem:
            made.skipped.append(Skipped("*", path, problem))
            continue
        for _, method, _ in operations([(path, item)]):
            try:
                annotated = _annotated(document, wish, path, method, item, names)
                trial = {"parameters": item.get("parameters") or [], "servers": item.get("servers"), method: annotated}
                tool = read_tool(document, document["info"]["x-viox"], path, method, trial, schemas)
                _check_settings(tool, wish)
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
            place = kept.setdefault(path, {"parameters": trial["parameters"]})
            if item.get("servers"):
                place["servers"] = item["servers"]
            place[method] = annotated
        for method in ("head", "options", "trace"):
            if method in item:
                made.skipped.append(Skipped(method.upper(), path, f"{method.upper()} says nothing a model could use"))
    document["paths"] = kept


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
    document: Mapping[str, Any], wish: Wish, path: str, method: str, item: Mapping[str, Any], names: set[str]
) -> dict[str, Any]:
    """The operation with its `x-viox`, without what is of no use here."""
    operation = item[method]
    dropped = ("responses", "callbacks", "tags", "externalDocs", "x-codeSamples", "x-code-samples")
    made = {key: value for key, value in operation.items() if key not in dropped}
    made["responses"] = _answers(document, operation)
    own = dict(operation.get("x-viox") or {})
    wanted = str(operation.get("operationId") or f"{method}_{path}")
    tool = own.get("tool") or _tool_name(wish.name, wanted, f"{method} {path}", names)
    if not tool.startswith(f"{wish.name}_"):
        raise ValueError(f"its tool is called {tool!r}; tools of this document begin with {wish.name}_")
    called = (tool, operation.get("operationId"), f"{method.upper()} {path}")
    chosen = next((effect for name, effect in wish.effects.items() if name in called), None)
    key = _key_parameter(document, item, operation)
    effect = chosen or own.get("effect") or ("keyed" if key and method == "post" else EFFECTS[method])
    if key and effect == "keyed":
        made["parameters"] = [p for p in made.get("parameters") or [] if deref(document, p).get("name") != key]
        own.setdefault("idempotency", {"in": "header", "name": key})
    if effect == "keyed" and "idempotency" not in own:
        raise ValueError("effect keyed: the operation has no idempotency header; say where in an overlay")
    if not made.get("description") and not made.get("summary"):
        made["summary"] = f"{method.upper()} {path}"
    if operation.get("deprecated"):
        made["summary"] = f"(deprecated) {made.get('summary', '')}".strip()
    made["x-viox"] = {"risk": RISKS.get(effect, ["changes_state"])} | own | {"tool": tool, "effect": effect}
    return made


def _answers(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    """Of the responses only what kinds of content they have."""
    found = {}
    for status, raw in (operation.get("responses") or {}).items():
        content = (deref(document, raw) or {}).get("content") or {}
        found[str(status)] = (
            {"description": "", "content": {kind: {} for kind in content}} if content else {"description": ""}
        )
    return found


def _key_parameter(document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any]) -> str | None:
    """The header in which the operation takes an idempotency key, if it does."""
    for raw in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
        given = deref(document, raw)
        if given.get("in") == "header" and str(given.get("name", "")).lower() in KEY_HEADERS:
            return str(given["name"])
    return None


def _tool_name(prefix: str, wanted: str, place: str, taken: set[str]) -> str:
    plain = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_-]", "_", f"{prefix}_{wanted}")).strip("_")
    if len(plain) <= 64 and plain not in taken:
        return plain
    digest = hashlib.sha256(f"{wanted} {place}".encode()).hexdigest()[:6]
    shorter = f"{plain[:57]}_{digest}"
    if shorter in taken:
        raise ValueError(f"two operations are called {wanted!r}")
    return shorter


def _out_of_paths(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is referred to within `paths` gets a place of its own among the components: paths do not stay as they are."""
    moved: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = []
    count = 0

    def rewritten(node: Any) -> Any:
        nonlocal count
        count += 1
        if count > 2 * MAX_NODES:
            raise BadInput("document.too_large", "its references into paths unfold to too much.", field="paths")
        if isinstance(node, list):
            return [rewritten(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        made = {key: rewritten(value) for key, value in node.items()}
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/paths/"):
            try:
                target = lookup(document, reference)
            except ValueError:
                return made  # leads nowhere; who uses it will hear so
            name = (
                re.sub(r"\W", "_", reference.rsplit("/", 1)[1])
                + "_"
                + hashlib.sha256(reference.encode()).hexdigest()[:12]
            )
            if name not in moved:
                moved[name] = None
                waiting.append((name, target))
            made["$ref"] = f"#/components/x-moved/{name}"
        return made

    whole = {key: rewritten(value) if key in ("paths", "components") else value for key, value in document.items()}
    while waiting:
        name, target = waiting.pop()
        moved[name] = rewritten(target)
    return whole | {"components": {**(whole.get("components") or {}), "x-moved": moved}} if moved else whole


def _names_used(made: Import) -> set[str]:
    used: set[str] = set()
    for path, method, item in operations(made.document["paths"].items()):
        operation = item[method]
        used |= {operation["x-viox"]["tool"], str(operation.get("operationId")), f"{method.upper()} {path}"}
    return used


def _reachable(document: Mapping[str, Any]) -> dict[str, Any]:
    """The components that the kept operations lead to, and the security schemes."""
    kept: dict[str, Any] = {}
    schemes = (document.get("components") or {}).get("securitySchemes")
    if schemes:
        kept["securitySchemes"] = schemes
    waiting = list(_references(document["paths"]))
    done: set[str] = set()
    while waiting:
        reference = waiting.pop()
        if reference in done:
            continue
        done.add(reference)
        try:
            target = lookup(document, reference)
        except ValueError:
            continue  # in an example: operations that need it are not here
        parts = [unquote(p).replace("~1", "/").replace("~0", "~") for p in reference[2:].split("/")]
        if parts[0] == "components" and len(parts) >= 3:
            if parts[2] in kept.get(parts[1], {}):
                continue
            whole = document["components"][parts[1]][parts[2]]
            kept.setdefault(parts[1], {})[parts[2]] = whole
            waiting += _references(whole)
        else:
            waiting += _references(target)
    return kept


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
