"""Credentials of a document's operations: from `x-viox.credential`, else from its own `security` requirements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from services.tool_gateway.catalogue import limits
from services.tool_gateway.catalogue.naming import setting_word
from services.tool_gateway.catalogue.schema import Unresolvable, deref
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
    found: list[tuple[Credential, ...]] = []
    problems: list[str] = []
    for requirement in _requirements(document, operation):
        try:
            found.append(tuple(_of_scheme(document, vendor, name, scopes) for name, scopes in requirement.items()))
        except ValueError as error:
            problems.append(str(error))
    if problems and not found:
        raise ValueError(problems[0])
    return tuple(sorted(found, key=lambda one: not one))


def _requirements(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = operation.get("security", document.get("security")) or []
    listed = [given] if isinstance(given, Mapping) else given
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        raise ValueError("its security is not a list of objects that name security schemes")
    return listed


def _of_scheme(document: Mapping[str, Any], vendor: Mapping[str, Any], name: str, scopes: Any) -> Credential:
    """The credential of a scheme by its name. Raises ValueError that says what is at fault, and what can be done."""
    schemes = (document.get("components") or {}).get("securitySchemes") or {}
    if name not in schemes:
        known = f"; it has {', '.join(sorted(schemes)[:5])}" if schemes else ""
        raise ValueError(
            f"security scheme {name!r} is not defined in the document's components.securitySchemes{known}. "
            "Define it in an overlay (--overlay)"
        )
    scheme = deref(document, schemes[name])
    try:
        if not isinstance(scheme, Mapping):
            raise TypeError
        return _declared(document, vendor, name, scheme, scopes)
    except Unresolvable:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        told = f"lacks {error}" if isinstance(error, KeyError) else "is not as OpenAPI has it"
        raise ValueError(f"security scheme {name!r} {told}. Correct it in an overlay (--overlay)") from error


def secret_names(prefix: str, scheme_name: str, scheme: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the secrets that a security scheme needs, for instance NORTHWIND_API_KEY. Raises ValueError."""
    upper = setting_word(scheme_name)
    base = upper if upper == prefix or upper.startswith(f"{prefix}_") else f"{prefix}_{upper}".rstrip("_")
    kind, http = str(scheme.get("type", "")), str(scheme.get("scheme", "")).lower()
    flows = scheme.get("flows") or {}
    if kind == "apiKey":
        return (base,)
    if kind == "http" and http == "bearer":
        return (base,)
    if kind == "http" and http == "basic":
        return (f"{base}_USER", f"{base}_PASSWORD")
    if kind == "oauth2" and "clientCredentials" in flows:
        return (f"{base}_CLIENT_ID", f"{base}_CLIENT_SECRET")
    if kind == "oauth2" and "authorizationCode" in flows:
        return (f"{base}_CLIENT_ID", f"{base}_CLIENT_SECRET", f"{base}_REFRESH_TOKEN")
    how = " ".join(part for part in (kind, http, ", ".join(map(str, flows))) if part)
    raise ValueError(
        f"security scheme {scheme_name!r} ({how}) cannot be used unattended. "
        "If there is a token or key as well, name it as x-viox.credential in an overlay (--overlay)"
    )


def _declared(
    document: Mapping[str, Any], vendor: Mapping[str, Any], name: str, scheme: Mapping[str, Any], scopes: Any
) -> Credential:
    secrets = secret_names(setting_word(vendor["vendor"]), name, scheme)
    if scheme["type"] == "apiKey":
        if scheme["in"] not in ("header", "query", "cookie"):
            raise ValueError(f"security scheme {name!r} is in {scheme['in']!r}, which is none of header, query, cookie")
        return Credential(scheme["in"], secrets, _checked(scheme["in"], scheme["name"]))
    if scheme["type"] == "http":
        return Credential("bearer" if scheme["scheme"].lower() == "bearer" else "basic", secrets)
    flows = scheme["flows"]
    flow = flows.get("clientCredentials") or flows.get("authorizationCode") or {}
    grant: Any = "client_credentials" if "clientCredentials" in flows else "refresh_token"
    given = flow.get("tokenUrl") if grant == "client_credentials" else flow.get("refreshUrl") or flow.get("tokenUrl")
    url = _token_url(document, given)
    if url:
        check_agreed(vendor, url, f"the token endpoint of security scheme {name!r}")
    setting = f"{setting_word(vendor['vendor'])}_TOKEN_URL"
    listed = [str(scope) for scope in scopes] if isinstance(scopes, list) else []
    return Credential("oauth2", secrets, oauth=OAuth(grant, url, setting, "basic", tuple(listed)))


def _token_url(document: Mapping[str, Any], given: Any) -> str:
    """The token endpoint's absolute URL; "" when the document does not say, so that only the setting can.

    A relative one is seen from the document's server, as the specification has it.
    """
    text = str(given or "").strip()
    server = str((document.get("servers") or [{}])[0].get("url", ""))
    if not text or "{" in text:
        return ""
    try:
        whole = urljoin(server, text)
        parts = urlsplit(whole)
    except ValueError:
        return ""
    return whole if parts.scheme in ("http", "https") and parts.hostname else ""


def check_agreed(vendor: Mapping[str, Any], url: str, what: str) -> None:
    """Raises ValueError unless an imported document may have `what` at this URL: on its hosts, not less safe than its server."""
    hosts, parts = vendor.get("hosts"), urlsplit(url)
    if hosts is not None and parts.hostname not in hosts:
        raise ValueError(
            f"{what} is on {parts.hostname}, which is none of the document's hosts. "
            f"Agree to it with --allow-host {parts.hostname}"
        )
    if vendor.get("https_only") and parts.scheme != "https":
        raise ValueError(
            f"{what} is plain {parts.scheme}, while the document's own is https. Give the right URL in an overlay"
        )


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
