"""Where a document's operations are called: its servers, with their variables filled in, relative ones too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

NOWHERE = "https://server.invalid"  # stands for a host that only the deployment knows
PLACEHOLDER = re.compile(r"\b(your|my)[-_.]?\w|<|(^|\.)example\.(com|org|net)$|^localhost$|^127\.", re.IGNORECASE)
HOST = re.compile(r":|\.[a-z]{2,}$", re.IGNORECASE)
FEW = 5


@dataclass(frozen=True, slots=True)
class Server:
    """`url` is absolute, or "" when only a setting can tell; `path` follows a host that a setting gives without a path."""

    url: str
    path: str = ""


def server_of(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any], vendor: Mapping[str, Any]
) -> Server:
    """The first server of an operation. Raises ValueError or KeyError when it is not one we would call."""
    own = operation.get("servers") or item.get("servers")
    servers = own or document.get("servers") or []
    path = _checked_path(str(vendor.get("base_path", "")))
    if not servers:
        return Server("", path)
    url = filled(servers[0])
    if not is_relative(url):
        check_base_url(url)
        return Server(url, "" if own else path)
    main = str((document.get("servers") or [{}])[0].get("url", ""))
    return resolved(url, main)


def filled(server: Any) -> str:
    """A server's URL with its variables' defaults. Raises ValueError or KeyError."""
    if not isinstance(server, Mapping):
        raise ValueError(f"server {str(server)[:60]!r} is not an object")
    url = str(server["url"]).strip()
    for variable, about in variables(server):
        if (default := about.get("default")) is not None:
            url = url.replace("{" + variable + "}", str(default))
    return ("https:" + url if url.startswith("//") else url).rstrip("/")


def variables(server: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, description) of the variables that a server's URL really has."""
    given = server.get("variables") if isinstance(server, Mapping) else None
    for name, about in given.items() if isinstance(given, Mapping) else ():
        if isinstance(about, Mapping) and "{" + str(name) + "}" in str(server.get("url", "")):
            yield str(name), about


def is_relative(url: str) -> bool:
    """Whether a host is left open: `/api/v1`, `v2`, nothing at all. `shop.example/v1` is a host without its scheme."""
    if "://" in url or "{" in url:
        return False
    return not HOST.search(url.split("/")[0])


def resolved(url: str, base: str) -> Server:
    """A relative server, as seen from an absolute URL or, where there is none, from nowhere. Raises ValueError."""
    whole = urljoin((base or NOWHERE) + ("" if urlsplit(base).path else "/"), url).rstrip("/")
    check_base_url(whole)
    path = urlsplit(whole).path
    return Server("" if whole.startswith(NOWHERE) else whole, path)


def chosen(document: Mapping[str, Any], source: str, wanted: str | None) -> Server:
    """The first server we would call, or the wanted one; its URL is "" when only the deployment can say.

    A wanted one without a path of its own gets that of a relative server. Raises ValueError.
    """
    problem: Exception | None = None
    found: Server | None = None
    for server in document.get("servers") or []:
        try:
            found = _usable(server, source)
            break
        except (ValueError, KeyError, AttributeError) as error:
            problem = problem or error
    if wanted is not None:
        check_base_url(wanted)
        path = found.path if found else ""
        return Server(wanted.rstrip("/") + ("" if urlsplit(wanted).path.strip("/") else path), path)
    if found is None and problem is not None:
        raise ValueError(f"server lacks {problem}" if isinstance(problem, KeyError) else str(problem))
    return found or Server(urljoin(source, "/").rstrip("/") if source else "")


def _usable(server: Any, source: str) -> Server:
    url = filled(server)
    if is_relative(url):
        return resolved(url, source)
    check_base_url(url)
    return Server(url)


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


def _checked_path(path: str) -> str:
    """Raises ValueError."""
    if path:
        if not path.startswith("/"):
            raise ValueError(f"base_path {path!r} does not begin with /")
        check_base_url(NOWHERE + path)
    return path.rstrip("/")


# -- what an integrator should know of them --------------------------------------------------------------------------------


def remarks(servers: Any, source: str, setting: str) -> Iterator[str]:
    """What is to be filled in, and which servers there are besides the one that is taken."""
    listed = [one for one in servers if isinstance(one, Mapping)] if isinstance(servers, list) else []
    taken = next((one for one in listed if _is_usable(one, source)), None)
    if taken is None:
        return
    for name, about in variables(taken):
        choices = about.get("enum")
        among = f" (of {', '.join(map(str, choices[:FEW]))})" if isinstance(choices, list) and choices else ""
        yield (
            f"the server {taken['url']} has the variable {name}, filled with its default {about.get('default')!r}{among}; "
            f"--base-url or {setting} gives the real one"
        )
    if PLACEHOLDER.search(urlsplit(_shown(taken)).hostname or ""):
        yield f"the server {_shown(taken)} looks like a placeholder; --base-url or {setting} gives the real one"
    if others := [_described(one) for one in listed if one is not taken]:
        more = f" and {len(others) - FEW} more" if len(others) > FEW else ""
        yield (
            f"of {len(listed)} servers {_described(taken)} is taken; --base-url or {setting} takes another: "
            f"{', '.join(others[:FEW])}{more}"
        )


def replaced_path(servers: Any, wanted: str) -> str | None:
    """A remark where a wanted URL without a path takes the place of a server that has one."""
    first = servers[0] if isinstance(servers, list) and servers else None
    path = urlsplit(_shown(first)).path if isinstance(first, Mapping) else ""
    if not path or is_relative(_shown(first)) or urlsplit(wanted).path.strip("/"):
        return None
    return (
        f"the document's server {_shown(first)} has the path {path}, which {wanted} has not: add it where it is needed"
    )


def _is_usable(server: Any, source: str) -> bool:
    try:
        _usable(server, source)
    except (ValueError, KeyError, AttributeError):
        return False
    return True


def _shown(server: Any) -> str:
    try:
        return filled(server)
    except (KeyError, ValueError):
        return str(server.get("url"))


def _described(server: Mapping[str, Any]) -> str:
    about = " ".join(str(server.get("description") or "").split())[:60]
    return f"{_shown(server)} ({about})" if about else _shown(server)
