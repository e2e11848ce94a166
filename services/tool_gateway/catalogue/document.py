"""One OpenAPI document as tools: what the specification says, and what `x-viox` adds to it.

`info.x-viox` holds what is true of the whole document, an operation's `x-viox` names the tool, its effect and what a
schema cannot say (docs/tools.md lists the keys). A tool's arguments are its parameters and its body's properties in one
flat object; a body that is no plain object, or whose names collide with parameters, is one argument called `body`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from services.tool_gateway.answers.marks import joined
from services.tool_gateway.answers.paths import parts as path_parts
from services.tool_gateway.catalogue import limits, media
from services.tool_gateway.catalogue.arguments import (
    QUERY_EXPANSION,
    Arguments,
    Named,
    check_path,
    fitting_path,
    fixed_query,
    named,
    parameters_of,
)
from services.tool_gateway.catalogue.bodies import body_of
from services.tool_gateway.catalogue.schema import Bundle, Schemas, for_models
from services.tool_gateway.catalogue.schema.checks import validator
from services.tool_gateway.catalogue.security import Alternatives, check_agreed, credentials_of
from services.tool_gateway.catalogue.sensitive import Sensitive, argument_schema, response_schemas
from services.tool_gateway.catalogue.servers import server_of
from services.tool_gateway.catalogue.tools import (
    Absence,
    Address,
    Amount,
    Answered,
    Effect,
    Idempotency,
    Rate,
    Settle,
    Success,
    Tool,
)
from services.tool_gateway.wire.keys import check_form
from shared.errors import BadInput

NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
METHODS = ("get", "put", "post", "delete", "patch")


def read_tools(document: Mapping[str, Any], name: str) -> list[Tool]:
    """All tools of a document that carries `x-viox`. Raises BadInput naming document and operation at fault."""
    try:
        vendor = document["info"]["x-viox"]
        paths = document["paths"].items()
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput("catalogue.invalid", f"{name} lacks {error}.", field="info.x-viox") from error
    tools = []
    schemas, sensitive = Schemas(document), Sensitive(document)
    for path, method, item in operations(paths):
        try:
            tools.append(read_tool(document, vendor, path, method, item, schemas, sensitive))
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
    if isinstance(error, KeyError):
        return f"lacks {error}"
    if isinstance(error, TypeError | AttributeError):
        return f"it is not as OpenAPI has it ({error})"
    return str(error) or type(error).__name__


def read_tool(
    document: Mapping[str, Any],
    vendor: Mapping[str, Any],
    path: str,
    method: str,
    item: Any,
    schemas: Schemas | None = None,
    sensitive: Sensitive | None = None,
) -> Tool:
    """One operation of a document with these `schemas`, and what is `sensitive` of them.

    Raises ValueError, KeyError or TypeError that says what is wrong.
    """
    operation = item[method]
    own = operation["x-viox"]
    name, effect = own["tool"], own["effect"]
    if not NAME.match(name):
        raise ValueError(f"tool name {name!r} does not match {NAME.pattern}")
    idempotency = own.get("idempotency", vendor.get("idempotency") if effect == "keyed" else None)
    _check_effect(effect, own, idempotency)
    bundle = Bundle(document, schemas)
    credentials = credentials_of(document, vendor, operation)
    headers = {**vendor.get("headers", {}), **own.get("headers", {})}
    path = QUERY_EXPANSION.sub("", path)
    given, query = fixed_query(path, parameters_of(document, item, operation))
    if not _ours(document):
        path, given = fitting_path(path, given, lambda told: bundle.note("", told))
    made = Arguments(bundle, ours=_ours(document))
    made.add(given, without=_filled(credentials, headers, idempotency))
    check_path(path, made.parameters)
    key = idempotency["name"] if idempotency and idempotency["in"] == "body" else None
    body = body_of(document, bundle, operation, vendor, made, ours=_ours(document), key=key)
    schema = _schema(made, bundle, is_open=body is not None and body.beside is not None)
    server = server_of(document, item, operation, vendor)
    if server.url:
        check_agreed(vendor, server.url, "its server")
    accept, answer = media.accepted(document, operation, ours=_ours(document))
    tool = Tool(
        name=name,
        vendor=vendor["vendor"],
        method=method.upper(),
        path=path,
        base_url=server.url,
        base_url_setting=own.get("base_url_setting", vendor.get("base_url_setting")),
        effect=effect,
        description=" ".join(str(operation.get("description") or operation.get("summary") or "").split())[:1000],
        input_schema=schema,
        model_schema=for_models(schema),
        parameters=tuple(made.parameters),
        body=body,
        credentials=credentials,
        headers={limits.header_name(name): _header(value) for name, value in headers.items()},
        base_path=server.path,
        query=query,
        accept=accept,
        answer=answer,
        risk=tuple(own.get("risk", ())),
        rate=_rate({**vendor.get("rate", {}), **own.get("rate", {})}),
        own_rate=_rate({"key": f"tool:{name}", **own["own_rate"]}) if "own_rate" in own else None,
        success=_success(own.get("success", vendor.get("success"))),
        projection=tuple(own.get("projection", ())),
        empty_statuses=frozenset(own.get("empty_statuses", ())),
        harmless_statuses=frozenset(own.get("harmless_statuses", vendor.get("harmless_statuses", ()))),
        error_paths=tuple(vendor.get("error_paths", ())),
        idempotency=_idempotency(idempotency) if idempotency else None,
        settle=_settle({**vendor.get("look_ups", {}), **own["settle"]}) if "settle" in own else None,
        address=_address(own["address"]) if "address" in own else None,
        probe=own.get("probe"),
        amount=_amount(own["amount"], own.get("projection", ())) if "amount" in own else None,
        counterparties=tuple(own.get("counterparties", ())),
        references=tuple(own.get("references", ())),
        connector=vendor.get("connector", "http"),
        # Who would bring the end of another vendor's call, or put its question to people?
        deferred=bool(own.get("deferred")) and vendor.get("connector") == "office",
        question=bool(own.get("question")) and vendor.get("connector") == "office",
        max_argument_bytes=int(own.get("max_argument_bytes", Tool.__dataclass_fields__["max_argument_bytes"].default)),
        max_answer_bytes=limits.answer_bytes(own.get("max_answer_bytes", vendor.get("max_answer_bytes"))),
        timeout_seconds=limits.seconds(own.get("timeout_seconds", vendor.get("timeout_seconds", 20))),
        validator=validator(schema),
        notes=tuple(bundle.notes),
    )
    return _discreet(tool, document, vendor, operation, given, sensitive or Sensitive(document))


def _discreet(
    tool: Tool,
    document: Mapping[str, Any],
    vendor: Mapping[str, Any],
    operation: Mapping[str, Any],
    given: list[dict[str, Any]],
    sensitive: Sensitive,
) -> Tool:
    """The tool with its sensitive places. Raises ValueError for a path that leads nowhere, and when the gateway itself would
    have to read what is taken out."""
    own, answers = operation["x-viox"], response_schemas(document, operation)
    arguments = argument_schema(document, operation, given, tool)
    made = replace(
        tool,
        redact=joined(
            sensitive.of_schemas(answers),
            sensitive.of_paths(_paths(own, "redact"), answers),
            sensitive.of_paths(_paths(vendor, "redact")),
        ),
        redact_arguments=joined(
            sensitive.of_schemas(arguments), sensitive.of_paths(_paths(own, "redact_arguments"), arguments)
        ),
    )
    read = [made.success.path] if made.success else []
    read += [made.idempotency.busy.path] if made.idempotency and made.idempotency.busy else []
    for path in read:
        if made.redact.hides(path_parts(path)):
            raise ValueError(f"redact: {path!r} says whether a call succeeded, and cannot be taken out")
    if made.amount and (said := made.amount.answered):
        for path in (said.path, said.currency):
            if made.redact.hides(path_parts(path)):
                raise ValueError(f"redact: {path!r} says what was moved, and cannot be taken out")
    return made


def _paths(given: Mapping[str, Any], key: str) -> list[str]:
    paths = given.get(key, [])
    if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
        raise ValueError(f"{key} is a list of JSON paths")
    return paths


def _filled(credentials: Alternatives, headers: Mapping[str, Any], idempotency: Mapping[str, Any] | None) -> set[Named]:
    """Where something of ours goes no argument may: it would be there twice, or a model would be asked for a secret."""
    found = {named(c.scheme, c.name) for one in credentials for c in one if c.scheme in ("header", "query", "cookie")}
    found |= {named("header", name) for name in headers}
    return found | ({named(idempotency["in"], str(idempotency["name"]))} if idempotency else set())


def _schema(made: Arguments, bundle: Bundle, *, is_open: bool) -> dict[str, Any]:
    """What a tool's arguments must be."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": made.properties,
        "required": made.required,
        "additionalProperties": is_open,
    }
    if made.together:
        schema["dependentRequired"] = made.together
    if bundle.defs:
        schema["$defs"] = bundle.defs
    return schema


def _ours(document: Mapping[str, Any]) -> bool:
    """Written for this catalogue, so that its defaults are meant to be sent and its silences mean the usual."""
    return "source" not in document["info"]["x-viox"]


def _header(given: Any) -> str | tuple[str, str | None]:
    return (given["setting"], given.get("default")) if isinstance(given, Mapping) else str(given)


def _rate(given: dict[str, Any]) -> Rate | None:
    return limits.rate(given) if given else None


def _amount(given: Mapping[str, Any], projection: Sequence[str]) -> Amount:
    """Raises ValueError where what an answer says was moved is not among what is kept of it."""
    if "answered" not in given:
        return Amount(**given)
    said = Answered(**given["answered"])
    for path in (said.path, said.currency):
        if projection and path not in projection:
            raise ValueError(f"amount.answered: {path!r} is not in the projection, so that it is not kept")
    return Amount(**{**given, "answered": said})


def _check_effect(effect: str, own: Mapping[str, Any], idempotency: Any) -> None:
    if effect not in get_args(Effect):
        raise ValueError(f"effect {effect!r} is none of {', '.join(get_args(Effect))}")
    if effect == "keyed" and not idempotency:
        raise ValueError("effect keyed needs idempotency {in, name}: where the vendor reads the key")
    if effect != "read" and "probe" in own:
        raise ValueError("a probe only reads")


def _idempotency(given: Mapping[str, Any]) -> Idempotency:
    if given["in"] not in ("header", "query", "body"):
        raise ValueError(f"idempotency is in {given['in']!r}; one of header, query, body")
    if given["in"] == "header":
        limits.header_name(given["name"])
    form, prefix = check_form(str(given.get("form", "id"))), str(given.get("prefix", ""))
    return Idempotency(
        given["in"], given["name"], float(given.get("hours", 24)), _success(given.get("busy")), form, prefix
    )


def _address(given: dict[str, Any]) -> Address:
    return Address(**given | {"copies": tuple(given.get("copies", ()))})


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
