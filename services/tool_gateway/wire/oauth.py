"""OAuth 2.0 access tokens: fetched, refreshed before they end, shared by all replicas, encrypted at rest.

A refresh token may be good for one use only, so one replica refreshes at a time: it holds the token's row while it asks,
and whoever waited for the row finds the new token there. What a request is made of and what an answer means is oauthlib's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from cryptography.fernet import InvalidToken, MultiFernet
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error, WebApplicationClient

from services.tool_gateway.catalogue.tools import Credential
from services.tool_gateway.wire.box import KEY_NAME, box_of
from services.tool_gateway.wire.credentials import Secrets, tell_secrets
from services.tool_gateway.wire.transport import NotSent, Wire
from shared.errors import VioxError
from shared.redaction import Redactions
from shared.store.pool import Pool
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
EARLY = timedelta(seconds=90)
PERMANENT = ("credential.refused", "credential.missing", "credential.unreadable", "settings.invalid")
LOCK = "insert into oauth_tokens (name) values ($1) on conflict (name) do update set name = excluded.name returning *"
WRITE = """update oauth_tokens set sealed = $2, expires_at = $3, seed_sha256 = $4, refreshed_at = now(), problem = null
           where name = $1"""
FAILED = "update oauth_tokens set problem = $2 where name = $1"


@dataclass(frozen=True, slots=True)
class _Token:
    access: str
    refresh: str | None
    expires_at: datetime
    seed: str

    def good(self, seed: str) -> bool:
        return self.seed == seed and self.expires_at > datetime.now(UTC) + EARLY


class Tokens:
    """Access tokens of all OAuth credentials of a deployment."""

    def __init__(self, secrets: Secrets, pool: Pool, wire: Wire) -> None:
        self._secrets = secrets
        self._pool = pool
        self._wire = wire
        self._known: dict[str, _Token] = {}
        self._refused: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, credential: Credential, redactions: Redactions) -> str:
        """An access token that is good for a while. Raises NotSent, because without one nothing is sent.

        `redactions` learns what the token is made of and fetched with.
        """
        tell_secrets(credential, self._secrets, redactions)
        try:
            return await self._get(credential, redactions)
        except NotSent:
            raise
        except VioxError as error:
            unsent = NotSent(error.code, error.message, field=error.field, remedy=error.remedy)
            unsent.final = error.code in PERMANENT
            raise unsent from error

    def refused(self, credential: Credential, token: str) -> bool:
        """The vendor did not take this token: ask for another, which a neighbour may have fetched by now.

        False when renewing has brought the same token again.
        """
        known = self._known.get(_name(credential))
        if known is not None and known.access == token:
            if token in self._refused:
                return False
            self._refused.add(token)
            del self._known[_name(credential)]
        return True

    async def _get(self, credential: Credential, redactions: Redactions) -> str:
        name, seed = _name(credential), self._seed(credential)
        async with self._locks.setdefault(name, asyncio.Lock()):
            known = self._known.get(name)
            if known is None or not known.good(seed):
                known = self._known[name] = await self._fetch(credential, name, seed, redactions)
            return known.access

    async def _fetch(self, credential: Credential, name: str, seed: str, redactions: Redactions) -> _Token:
        """The token of the table, or a new one put there. The row is ours from here to the commit."""
        box = box_of(self._secrets)
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                row = await connection.fetchrow(LOCK, name)
                stored = _opened(box, row)
                _tell(stored, name, redactions)
                if stored and stored.good(seed) and stored.access not in self._refused:
                    return stored
                refresh = stored.refresh if stored and stored.seed == seed else None
                try:
                    with redactions.errors():
                        made = await self._ask(credential, refresh, seed)
                except VioxError as error:
                    problem = _with_lost(error, row, stored)
                else:
                    sealed = box.encrypt(json.dumps({"access": made.access, "refresh": made.refresh}).encode())
                    await connection.execute(WRITE, name, sealed, made.expires_at, seed)
                    _tell(made, name, redactions)
                    log.info("credential.renewed", credential=name, until=made.expires_at.isoformat("T", "seconds"))
                    return made
            await connection.execute(FAILED, name, problem.message)
        raise problem

    async def _ask(self, credential: Credential, refresh: str | None, seed: str) -> _Token:
        """One request to the token endpoint. Raises VioxError saying what it refused."""
        oauth = credential.oauth
        assert oauth is not None  # noqa: S101  # an oauth2 credential has it
        url = self._secrets.or_none(oauth.token_url_setting) or oauth.token_url
        if not url.startswith("http"):
            url = self._secrets.get(oauth.token_url_setting or "")
        client_id, client_secret = (self._secrets.get(name) for name in credential.secrets[:2])
        given: dict[str, str] = (
            {"client_id": client_id, "client_secret": client_secret} if oauth.authentication == "form" else {}
        )
        if oauth.grant == "refresh_token":
            client: Any = WebApplicationClient(client_id)
            token = refresh or self._secrets.get(credential.secrets[2])
            body = client.prepare_refresh_body(refresh_token=token, **given)
        else:
            client = BackendApplicationClient(client_id)
            body = client.prepare_request_body(scope=list(oauth.scopes) or None, include_client_id=False, **given)
        headers = [
            ("Host", httpx2.URL(url).netloc.decode()),
            ("Accept", "application/json"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", str(len(body))),
        ]
        if oauth.authentication == "basic":
            pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
            headers.append(("Authorization", f"Basic {pair}"))
        request = httpx2.Request(
            "POST", url, headers=headers, content=body.encode(), extensions={"timeout": {"read": 15.0}}
        )
        answer = await self._wire.handle_async_request(request)
        return _answered(client, credential, answer, refresh, seed)

    def _seed(self, credential: Credential) -> str:
        """What the operator gave us to begin with: another refresh token, client or secret replaces what is stored."""
        return hashlib.sha256("\0".join(self._secrets.get(name) for name in credential.secrets).encode()).hexdigest()


def _answered(client: Any, credential: Credential, answer: httpx2.Response, refresh: str | None, seed: str) -> _Token:
    text = answer.extensions["viox.body"].decode("utf-8", "replace")
    if answer.status_code >= 500 or answer.status_code == 429:
        raise VioxError("credential.unavailable", f"the token endpoint answers {answer.status_code}.")
    try:
        return _token(client.parse_request_body_response(text), refresh, seed)
    except OAuth2Error as error:
        said = f"the token endpoint refuses: {error.error} {error.description or ''}".strip()[:600] + "."
        raise _refusal(credential, str(error.error), said) from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise VioxError(
            "credential.unavailable", f"the token endpoint answers {answer.status_code} and no token."
        ) from error


def _token(given: Any, refresh: str | None, seed: str) -> _Token:
    """Raises ValueError, TypeError, AttributeError or OverflowError when it is none."""
    expires = datetime.now(UTC) + timedelta(seconds=float(given.get("expires_in") or 3600))
    access, following = given["access_token"], given.get("refresh_token") or refresh
    if not isinstance(access, str) or not isinstance(following, str | None) or not access.isprintable():
        raise ValueError("not text")
    return _Token(access, following, expires, seed)


def _refusal(credential: Credential, code: str, said: str) -> VioxError:
    """What was refused by its setting's name: the refresh token for invalid_grant, else the client, else any of them."""
    names = credential.secrets
    if code == "invalid_grant" and len(names) > 2:
        remedy = f"Authorise VioX OS anew at the vendor and set {names[2]} to the new refresh token."
        return VioxError("credential.refused", said, field=names[2], remedy=remedy)
    named = ", ".join(names[:2] if code == "invalid_client" else names)
    return VioxError("credential.refused", said, field=named, remedy=f"Correct {named} in the gateway's environment.")


def _with_lost(error: VioxError, row: Any, stored: _Token | None) -> VioxError:
    """A refusal after the stored token could not be opened is most likely the key's fault."""
    if error.code != "credential.refused" or row["sealed"] is None or stored is not None:
        return error
    return VioxError(
        error.code,
        f"{error.message} The stored token was sealed with another {KEY_NAME}.",
        field=KEY_NAME,
        remedy=f"Add the former key to {KEY_NAME}, after the new one and a comma. Or else: {error.remedy}",
    )


def _opened(box: MultiFernet, row: Any) -> _Token | None:
    if row["sealed"] is None:
        return None
    try:
        held = json.loads(box.decrypt(row["sealed"]))
    except InvalidToken:
        # Starting anew from the settings.
        log.warning("credential.sealed_with_another_key", credential=row["name"], setting=KEY_NAME)
        return None
    return _Token(held["access"], held["refresh"], row["expires_at"], row["seed_sha256"])


def _tell(token: _Token | None, name: str, redactions: Redactions) -> None:
    if token is not None:
        redactions.tell(name, token.access)
        redactions.tell(name, token.refresh or "")


def _name(credential: Credential) -> str:
    """A token for each set of scopes, where the client asks for them itself."""
    scopes = credential.oauth.scopes if credential.oauth and credential.oauth.grant == "client_credentials" else ()
    return " ".join(("+".join(credential.secrets), *scopes))
