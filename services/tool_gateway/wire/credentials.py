"""Secrets and what is made of them. They come from the environment, from files and from a mounted folder, live in this
process only, and join a request while it is being sent. What is kept of a request shows `{"$secret": NAME}` instead.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote_plus

import orjson

from services.tool_gateway.catalogue.tools import Credential
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import BadInput
from shared.redaction import Redactions

MARKED = re.compile(r'\{"\$secret":"[^"]+"\}$')
COOKIE_VALUE = re.compile(r'[!#-+\--:<-\[\]-~]*|"[!#-+\--:<-\[\]-~]*"')  # RFC 6265, 4.1.1
Headers = list[tuple[str, str]]
TokenOf = Callable[[Credential], Awaitable[str]]


class Secrets:
    """Named values: credentials and the deployment's own facts. Reading one that is missing names it.

    NAME in the environment, else the file that NAME_FILE names, else the file NAME in the folder VIOX_SECRETS_DIR. Files
    are read anew each time, so that a rotated secret is used at once.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get(self, name: str) -> str:
        found = self.or_none(name)
        if found is None:
            raise BadInput(
                "credential.missing",
                f"{name} is not set.",
                field=name,
                remedy=f"Set {name} in the gateway's environment, {name}_FILE, or a file {name} in VIOX_SECRETS_DIR.",
            )
        return found

    def or_none(self, name: str | None) -> str | None:
        if not name:
            return None
        if given := self._values.get(name):
            return given
        if file := self._values.get(f"{name}_FILE"):
            return _read(Path(file), f"{name}_FILE")
        if folder := self._values.get("VIOX_SECRETS_DIR"):
            path = Path(folder) / name
            return _read(path, "VIOX_SECRETS_DIR") if path.is_file() else None
        return None

    def choose(self, alternatives: tuple[tuple[Credential, ...], ...]) -> tuple[Credential, ...]:
        """The first alternative that has all its secrets; one that needs none comes last. Raises BadInput naming what lacks."""
        for one in alternatives:
            if all(self.or_none(name) is not None for credential in one for name in credential.secrets):
                return one
        for credential in alternatives[0] if alternatives else ():
            for name in credential.secrets:
                self.get(name)
        return ()


def _read(path: Path, field: str) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            "credential.unreadable", f"{path}: {error}.", field=field, remedy="Check path and rights."
        ) from error


async def apply_credentials(
    prepared: Prepared, secrets: Secrets, token_of: TokenOf, redactions: Redactions
) -> tuple[str, Headers]:
    """URL and headers as they go out, credentials included. `redactions` learns what must not come back."""
    url, headers = prepared.url, list(prepared.headers)
    for credential in prepared.auth:
        value = await token_of(credential) if credential.scheme == "oauth2" else _plain(credential, secrets)
        redactions.tell("+".join(credential.secrets), value)
        tell_secrets(credential, secrets, redactions)
        url, headers = _joined(credential, value, url, headers)
    return url, headers


def tell_secrets(credential: Credential, secrets: Secrets, redactions: Redactions) -> None:
    """What a credential is made of. User names and client ids stay, as greetings and addresses have them, too: unless
    there is no password, because then the name is the key."""
    first, *others = [(name, secrets.or_none(name)) for name in credential.secrets]
    if credential.scheme not in ("basic", "oauth2") or not any(value for _, value in others):
        others.append(first)
    for name, value in others:
        redactions.tell(name, value or "")


def redacted(prepared: Prepared) -> tuple[str, Headers]:
    """URL and headers as the ledger keeps them: names of secrets in the place of secrets."""
    url, headers = prepared.url, list(prepared.headers)
    for credential in prepared.auth:
        url, headers = _joined(credential, _marker(credential), url, headers)
    return url, headers


def again(prepared: Prepared, url: str, headers: Headers, body: bytes) -> Prepared:
    """The request that the ledger kept, to be sent byte for byte once more with today's credentials."""
    marked, _ = redacted(prepared)
    tail = marked[len(prepared.url) :]
    cookies = [_joined(c, _marker(c), "", [])[1][0][1] for c in prepared.auth if c.scheme == "cookie"]
    plain = []
    for name, value in headers:
        if name == "Cookie":
            for mine in reversed(cookies):
                value = value.removesuffix(mine).removesuffix("; ")
        if (value or name != "Cookie") and not MARKED.search(value):
            plain.append((name, value))
    return replace(prepared, url=url.removesuffix(tail) if tail else url, headers=plain, body=body)


def _marker(credential: Credential) -> str:
    return orjson.dumps({"$secret": "+".join(credential.secrets)}).decode()


def _plain(credential: Credential, secrets: Secrets) -> str:
    if credential.scheme == "cookie":
        return _cookie_value(credential, secrets.get(credential.secrets[0]))
    if credential.scheme == "basic":
        return base64.b64encode(":".join(secrets.get(n) for n in credential.secrets).encode()).decode()
    return secrets.get(credential.secrets[0])


def _cookie_value(credential: Credential, value: str) -> str:
    """As it is: servers do not decode cookies. Raises BadInput for what would end the value."""
    if not COOKIE_VALUE.fullmatch(value):
        raise BadInput(
            "credential.invalid",
            "it cannot be sent as a cookie: a space, quote, comma, semicolon, backslash or other character is in it.",
            field=credential.secrets[0],
            remedy="Set it to the cookie's value alone, as the vendor's server set it.",
        )
    return value


def _joined(credential: Credential, value: str, url: str, headers: Headers) -> tuple[str, Headers]:
    match credential.scheme:
        case "basic":
            return url, [*headers, (credential.name, f"Basic {value}")]
        case "bearer" | "oauth2":
            return url, [*headers, (credential.name, f"Bearer {value}")]
        case "header":
            return url, [*headers, (credential.name, credential.prefix + value)]
        case "cookie":
            mine = f"{credential.name}={value}"
            others = [v for k, v in headers if k == "Cookie"]
            return url, [*((k, v) for k, v in headers if k != "Cookie"), ("Cookie", "; ".join([*others, mine]))]
        case "query":
            return f"{url}{'&' if '?' in url else '?'}{quote_plus(credential.name)}={quote_plus(value)}", headers
