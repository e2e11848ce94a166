"""Signing in at a provider of OpenID Connect: authorization code with PKCE, state and nonce, and an ID token that is checked.

What a provider says of itself is read once; its keys again when a token names one that is not known. PyJWT checks the token;
which algorithms it may have is said here, so that neither `none` nor a shared secret is ever taken for a signature.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp

from shared.errors import BadInput, Unavailable, VioxError

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
SECONDS = 10.0
LEEWAY_SECONDS = 60  # clocks differ
KEYS_SECONDS = 30.0  # between two looks for a key that is not known
EMAIL = "email"


class Refused(VioxError):
    """Somebody came back from the provider whom the console does not let in."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a browser keeps between its way to the provider and back."""

    state: str
    nonce: str
    verifier: str
    target: str

    @classmethod
    def new(cls, target: str) -> Begun:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, target)

    @classmethod
    def read(cls, cookie: str | None) -> Begun:
        """Raises Refused for a cookie that is gone or not ours."""
        try:
            state, nonce, verifier, target = json.loads(base64.urlsafe_b64decode((cookie or "").encode()))
            return cls(str(state), str(nonce), str(verifier), str(target))
        except (ValueError, TypeError) as error:
            told = "this way to sign in was not begun in this browser, or too long ago."
            raise Refused("oidc.not_begun", told, remedy="Begin again.") from error

    def cookie(self) -> str:
        parts = [self.state, self.nonce, self.verifier, self.target]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


class Provider:
    """One provider, as the settings name it."""

    def __init__(self, issuer: str, client: str, secret: str | None, claim: str, name: str) -> None:
        self.issuer, self.claim, self.name = issuer.rstrip("/"), claim, name
        self._client, self._secret = client, secret
        self._about: dict[str, Any] = {}
        self._keys: dict[str | None, Any] = {}
        self._looked = -KEYS_SECONDS

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Provider | None:
        """None where no issuer is named. Raises BadInput when half of it is."""
        issuer, client = values.get("VIOX_OIDC_ISSUER"), values.get("VIOX_OIDC_CLIENT_ID")
        if not issuer:
            return None
        if not client:
            raise BadInput("settings.missing", "the console's client id is not set.", field="VIOX_OIDC_CLIENT_ID")
        if find_spec("jwt") is None:
            told, remedy = "PyJWT, which checks ID tokens, is not installed.", "pip install 'pyjwt[crypto]'"
            raise BadInput("settings.missing", told, field="VIOX_OIDC_ISSUER", remedy=remedy)
        parts = urlsplit(issuer)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
            raise BadInput("settings.invalid", f"{issuer!r} is not https.", field="VIOX_OIDC_ISSUER")
        claim, name = values.get("VIOX_OIDC_CLAIM") or EMAIL, values.get("VIOX_OIDC_NAME") or str(parts.hostname)
        return cls(issuer, client, values.get("VIOX_OIDC_CLIENT_SECRET") or None, claim, name)

    async def way(self, begun: Begun, back: str) -> str:
        """Where a browser goes to sign in. Raises Unavailable."""
        about = await self._described()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": back,
            "scope": "openid email profile",
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        where = about["authorization_endpoint"]
        return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"

    async def who(self, begun: Begun, given: Mapping[str, str], back: str) -> str:
        """The value of the claim that says who came back. Raises Refused or Unavailable."""
        if not hmac.compare_digest(given.get("state", "").encode(), begun.state.encode()):
            raise Refused("oidc.state", "the answer is not to what this browser asked.", remedy="Begin again.")
        if "code" not in given:
            raise Refused("oidc.declined", f"{self.name} did not let you in: {given.get('error', 'no code')[:100]}.")
        if given.get("iss", self.issuer).rstrip("/") != self.issuer:
            raise Refused("oidc.issuer", "the answer came from another provider.", remedy="Begin again.")
        claims = await self._claims(await self._token(given["code"], begun, back), begun.nonce)
        return self._named(claims)

    def _named(self, claims: Mapping[str, Any]) -> str:
        value = claims.get(self.claim)
        if not isinstance(value, str) or not value:
            raise Refused("oidc.claim", f"{self.name} does not say your {self.claim}.")
        if self.claim == EMAIL and claims.get("email_verified") is not True:
            raise Refused("oidc.unverified", f"{self.name} has not verified your mail address.")
        return value

    async def _token(self, code: str, begun: Begun, back: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": begun.verifier,
            "client_id": self._client,
        }
        if self._secret:
            form["client_secret"] = self._secret
        answer = await self._fetched("POST", (await self._described())["token_endpoint"], form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Refused("oidc.no_token", f"{self.name} gave no ID token.", remedy="Begin again.")
        return token

    async def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError(f"{header.get('alg')} is not taken")
            claims: dict[str, Any] = jwt.decode(
                token,
                key=(await self._key(header.get("kid"))).key,
                algorithms=[header["alg"]],
                audience=self._client,
                issuer=[self.issuer, f"{self.issuer}/"],
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Refused("oidc.token", f"the ID token does not hold: {error}.", remedy="Begin again.") from error
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise Refused("oidc.nonce", "the ID token is for another sign-in.", remedy="Begin again.")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._client:
            raise Refused("oidc.audience", "the ID token is for somebody else.", remedy="Begin again.")
        return claims

    async def _key(self, kid: str | None) -> Any:
        """The key that a token names. Raises Refused when there is none, also after another look."""
        if kid not in self._keys and time.monotonic() - self._looked > KEYS_SECONDS:
            self._looked = time.monotonic()
            self._keys = await self._published()
        if kid in self._keys:
            return self._keys[kid]
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        raise Refused("oidc.key", f"{self.name} does not publish the key of the ID token.", remedy="Begin again.")

    async def _published(self) -> dict[str | None, Any]:
        import jwt

        answer = await self._fetched("GET", (await self._described())["jwks_uri"])
        found: dict[str | None, Any] = {}
        for one in answer.get("keys", []):
            try:
                if one.get("use", "sig") == "sig" and one.get("kty") != "oct":
                    found[one.get("kid")] = jwt.PyJWK.from_dict(one)
            except (jwt.PyJWTError, AttributeError):  # of a kind that is not known here
                continue
        return found

    async def _described(self) -> dict[str, Any]:
        """What the provider says of itself. Raises Unavailable where it is another's."""
        if not self._about:
            about = await self._fetched("GET", f"{self.issuer}/.well-known/openid-configuration")
            needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if str(about.get("issuer", "")).rstrip("/") != self.issuer or not all(one in about for one in needed):
                raise Unavailable("oidc.other", f"{self.issuer} describes another provider.", field="VIOX_OIDC_ISSUER")
            self._about = about
        return self._about

    async def _fetched(self, method: str, url: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(SECONDS),
                aiohttp.ClientSession() as session,
                session.request(method, url, data=form, allow_redirects=False) as answer,
            ):
                found = json.loads(await answer.read())
                if answer.status == 200 and isinstance(found, dict):
                    return found
                refused = answer.status in (400, 401)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable("oidc.silent", f"{self.name} does not answer.", remedy="Try again.") from error
        if refused and form is not None:
            raise Refused("oidc.code", f"{self.name} does not take the code.", remedy="Begin again.")
        raise Unavailable("oidc.silent", f"{self.name} does not answer as it should.", remedy="Try again.")
