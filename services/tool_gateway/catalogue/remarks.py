"""What an integrator should know of an imported operation although it was imported: what is still to be filled in or said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.tool_gateway.catalogue.idempotency import is_key_name, mentions_key
from services.tool_gateway.catalogue.schema import deref
from services.tool_gateway.catalogue.tools import Credential, Tool

IDENTITY_HEADERS = ("authorization", "proxy-authorization", "cookie")
SECRET_NAMES = re.compile(
    r"(^|[-_])("
    r"(api|access|auth|authentication|session|private|subscription|app|client|security|master)[-_]?(key|token|secret)"
    r"|secret([-_]?key)?|password|bearer|jwt)$|^(x[-_])?token$",
    re.IGNORECASE,
)
DESCRIBE = "Describe the credential in an overlay (components.securitySchemes and security, or x-viox.credential)"


def of_operation(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any], tool: Tool
) -> Iterator[str]:
    """Sentences, the same for every operation of which the same is true."""
    yield from _ignored_headers(document, item, operation, tool)
    yield from _secrets_asked_for(tool)
    yield from _token_urls(tool)
    yield from _keys_in_prose(tool)


def _ignored_headers(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any], tool: Tool
) -> Iterator[str]:
    covered = {header for one in tool.credentials for credential in one for header in _headers(credential)}
    covered |= {name.lower() for name in tool.headers}
    for raw in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
        given = deref(document, raw)
        name = str(given["name"])
        if given["in"] == "header" and name.lower() in IDENTITY_HEADERS and name.lower() not in covered:
            yield (
                f"the header {name} is described as a parameter, where it is not taken from, and no credential fills it: "
                f"requests go without. {DESCRIBE}"
            )


def _headers(credential: Credential) -> set[str]:
    if credential.scheme == "cookie":
        return {"cookie"}
    return set() if credential.scheme == "query" else {credential.name.lower()}


def _secrets_asked_for(tool: Tool) -> Iterator[str]:
    for parameter in tool.parameters:
        asked = isinstance(tool.input_schema["properties"].get(parameter.argument), dict)
        if asked and parameter.place != "path" and SECRET_NAMES.search(parameter.name):
            yield (
                f"the {parameter.place} parameter {parameter.name} looks like a credential, and a model is asked for it. "
                f"{DESCRIBE}"
            )


def _token_urls(tool: Tool) -> Iterator[str]:
    for credential in (credential for one in tool.credentials for credential in one):
        if credential.oauth and not credential.oauth.token_url:
            setting = credential.oauth.token_url_setting
            yield (
                f"the sign-in with {credential.secrets[0]} has a blank or incomplete tokenUrl in the document: "
                f"{setting} or an overlay gives it"
            )


def _keys_in_prose(tool: Tool) -> Iterator[str]:
    """A key that only a description calls so is not taken for one: an effect could happen twice."""
    if tool.effect != "once" or tool.idempotency:
        return
    places = {p.argument: (p.place, p.name) for p in tool.parameters if p.place in ("header", "query")}
    for argument, schema in tool.input_schema["properties"].items():
        place, name = places.get(argument, ("body", argument))
        if isinstance(schema, Mapping) and mentions_key(schema.get("description")) and not is_key_name(name):
            yield (
                f"{name} speaks of idempotency; if a key goes there, say so in an overlay: "
                f"x-viox {{effect: keyed, idempotency: {{in: {place}, name: {name}}}}}"
            )
