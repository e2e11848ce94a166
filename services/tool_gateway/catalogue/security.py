"""Credentials of a document's operations: from `x-viox.credential`, else from its own `security` requirements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from services.tool_gateway.catalogue import limits
from services.tool_gateway.catalogue.schema import deref
from services.tool_gateway.catalogue.tools import Credential, OAuth

Alternatives = tuple[tuple[Credential, ...], ...]


def credentials_of(
    document: Mapping[str, Any], vendor: Mapping[str, Any], operation: Mapping[str, Any]
) -> Alternatives:
    """Ways to prove who we are, best first; an empty one means none is needed. Raises ValueError or KeyError."""
    own = operation.get("x-viox") or {}
    if "credential" in own or "credential" in vendor:
        given = own["credential"] if "credential" in own else vendor["credential"]
        listed = given if isinstance(given, list) else [given]
        return tuple(() if one.get("scheme") == "none" else (_explicit(one, vendor),) for one in listed)
    requirements = operation.get("security", document.get("security")) or []
    schemes = (document.get("components") or {}).get("securitySchemes") or {}
    found = []
    problems = []
    for requirement in requirements:
        try:
            found.append(
                tuple(_declared(document, vendor, n, deref(document, schemes[n]), s) for n, s in requirement.items())
            )
        except (KeyError, ValueError) as error:
            problems.append(f"security scheme {error}" if isinstance(error, KeyError) else str(error))
    if problems and not found:
        raise ValueError(problems[0])
    return tuple(sorted(found, key=lambda one: not one))


def secret_names(prefix: str, scheme_name: str, scheme: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the secrets that a security scheme needs, for instance NORTHWIND_API_KEY. Raises ValueError."""
    upper = _upper(scheme_name)
    base = upper if upper == prefix or upper.startswith(f"{prefix}_") else f"{prefix}_{upper}"
    kind, http = str(scheme.get("type", "")), str(scheme.get("scheme", "")).lower()
    if kind == "apiKey":
        return (base,)
    if kind == "http" and http == "bearer":
        return (base,)
    if kind == "http" and http == "basic":
        return (f"{base}_USER", f"{base}_PASSWORD")
    if kind == "oauth2" and "clientCredentials" in (scheme.get("flows") or {}):
        return (f"{base}_CLIENT_ID", f"{base}_CLIENT_SECRET")
    if kind == "oauth2" and "authorizationCode" in (scheme.get("flows") or {}):
        return (f"{base}_CLIENT_ID", f"{base}_CLIENT_SECRET", f"{base}_REFRESH_TOKEN")
    raise ValueError(f"security scheme {scheme_name!r} ({kind} {http}".rstrip() + ") cannot be used unattended")


def _declared(
    document: Mapping[str, Any], vendor: Mapping[str, Any], name: str, scheme: Mapping[str, Any], scopes: Any
) -> Credential:
    secrets = secret_names(_upper(vendor["vendor"]), name, scheme)
    if scheme["type"] == "apiKey":
        if scheme["in"] not in ("header", "query", "cookie"):
            raise ValueError(f"security scheme {name!r} is in {scheme['in']!r}")
        return Credential(scheme["in"], secrets, _checked(scheme["in"], scheme["name"]))
    if scheme["type"] == "http":
        return Credential("bearer" if scheme["scheme"].lower() == "bearer" else "basic", secrets)
    flows = scheme["flows"]
    flow = flows.get("clientCredentials") or flows["authorizationCode"]
    grant: Any = "client_credentials" if "clientCredentials" in flows else "refresh_token"
    url = flow["tokenUrl"] if grant == "client_credentials" else flow.get("refreshUrl") or flow["tokenUrl"]
    url = urljoin(_base(document, vendor), url)
    check_agreed(vendor, url, "the token endpoint")
    setting = f"{_upper(vendor['vendor'])}_TOKEN_URL"
    return Credential("oauth2", secrets, oauth=OAuth(grant, url, setting, "basic", tuple(scopes or ())))


def _base(document: Mapping[str, Any], vendor: Mapping[str, Any]) -> str:
    """What relative URLs of a document begin with: its server, as the specification has it, else where it came from."""
    server = str((document.get("servers") or [{}])[0].get("url", ""))
    return urljoin(str(vendor.get("source", "")), server)


def check_agreed(vendor: Mapping[str, Any], url: str, what: str) -> None:
    """Raises ValueError unless an imported document may have `what` at this URL: on its hosts, not less safe than its server."""
    hosts, parts = vendor.get("hosts"), urlsplit(url)
    if hosts is not None and parts.hostname not in hosts:
        raise ValueError(f"{what} is on {parts.hostname}, which is none of the document's hosts")
    if vendor.get("https_only") and parts.scheme != "https":
        raise ValueError(f"{what} is plain {parts.scheme}, while the document's own is https")


def _checked(scheme: str, name: str) -> str:
    """What a credential is sent under. Raises ValueError."""
    return name if scheme == "query" else limits.header_name(name)


def _explicit(given: Mapping[str, Any], vendor: Mapping[str, Any]) -> Credential:
    oauth = given.get("oauth")
    if oauth and oauth["token_url"].startswith("http"):
        check_agreed(vendor, oauth["token_url"], "the token endpoint")
    return Credential(
        given["scheme"],
        tuple(given["secrets"]),
        _checked(given["scheme"], given.get("name", "Authorization")),
        given.get("prefix", ""),
        OAuth(
            oauth["grant"],
            oauth["token_url"],
            oauth.get("token_url_setting"),
            oauth.get("authentication", "basic"),
            tuple(oauth.get("scopes", ())),
        )
        if oauth
        else None,
    )


def _upper(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).upper().strip("_")
