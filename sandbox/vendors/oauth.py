"""OAuth2 token endpoints: codes, access tokens that expire, refresh tokens that rotate, revocation, all on record.

GET  /_sandbox/oauth        {"grants": [...], "lifetime", "rotates"}: every call of a token endpoint, in order
POST /_sandbox/oauth        {"lifetime"?: seconds, "rotates"?: bool, "expire"?: true}: expire = end all access tokens now
POST /_sandbox/oauth/code   {"redirect_uri"?}: a code, as if the owner of the account had just agreed
"""

from __future__ import annotations

import abc
import base64
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass
class Access:
    """An access token: which consent it came from and when it ends."""

    consent: str
    ends: float

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()


class OAuth(abc.ABC):
    """The authorization server of one vendor. A consent is what the account's owner gave; tokens descend from it.

    Refresh tokens are signed: an emulator that was restarted, and knows nothing, still knows its own, as a vendor would.
    """

    prefixes: tuple[str, ...]
    """Paths that prove themselves by the client's credentials, not by an access token."""
    first_lifetime: float
    first_rotates: bool

    def __init__(self, client_id: str, client_secret: str, refresh_token: str) -> None:
        self.client_id, self.client_secret, self._first = client_id, client_secret, refresh_token
        self.reset()

    # -- for vendors -------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def add_vendor_routes(self, app: web.Application) -> None:
        """The vendor's own paths."""

    @abc.abstractmethod
    def credentials(self, request: web.Request, form: Mapping[str, Any]) -> tuple[str, str]:
        """Client id and secret, from where this vendor wants them."""

    @abc.abstractmethod
    def refusal(self, request: web.Request, code: str, text: str) -> web.Response:
        """A refusal in the vendor's shape; `code` is OAuth's own."""

    @abc.abstractmethod
    def extras(self, request: web.Request) -> dict[str, Any]:
        """What this vendor adds to a token answer."""

    # -- for emulators -----------------------------------------------------------------------------------------------

    def add_routes(self, app: web.Application) -> None:
        app.add_routes(
            [
                web.get("/_sandbox/oauth", self._show),
                web.post("/_sandbox/oauth", self._set),
                web.post("/_sandbox/oauth/code", self._agree),
            ]
        )
        self.add_vendor_routes(app)

    def reset(self) -> None:
        self.lifetime, self.rotates = self.first_lifetime, self.first_rotates
        self.codes: dict[str, str] = {}
        self.access: dict[str, Access] = {}
        self.refresh: dict[str, str] = {self._first: uuid.uuid4().hex}
        self.consents = set(self.refresh.values())  # all that this process has met, ended ones included
        self.grants: list[dict[str, Any]] = []

    def owns(self, request: web.Request) -> bool:
        """True for requests that need no access token because they are about tokens."""
        return request.path.startswith(self.prefixes)

    def bearer(self, request: web.Request) -> Access | None:
        """The access token of a request, expired or not; None when it was never issued or is revoked."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.access.get(token) if scheme == "Bearer" else None

    # -- endpoints ---------------------------------------------------------------------------------------------------

    async def token(self, request: web.Request) -> web.Response:
        """POST of a form: authorization_code or refresh_token."""
        form = await request.post()
        kind = str(form.get("grant_type", ""))
        answer = self._wrong_client(request, form) or self._granted(request, kind, form)
        self.grants.append({"at": time.time(), "grant_type": kind, "granted": answer.status == 200})
        answer.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
        return answer

    async def revoke(self, request: web.Request) -> web.Response:
        """POST of a token, as a form or as JSON. Ends the consent it belongs to, with all its tokens."""
        form: Mapping[str, Any] = await request.post()
        if request.content_type == "application/json":
            form = json.loads(await request.text())
        if problem := self._wrong_client(request, form):
            return problem
        token = str(form.get("token", ""))
        issued = self.access.get(token)
        consent = issued.consent if issued else self.refresh.get(token)
        if consent is None:
            return self.refusal(request, "invalid_request", "the token is not known")
        self.refresh = {token: of for token, of in self.refresh.items() if of != consent}
        self.access = {token: of for token, of in self.access.items() if of.consent != consent}
        return web.Response(status=200)

    def _granted(self, request: web.Request, kind: str, form: Mapping[str, Any]) -> web.Response:
        if kind not in ("authorization_code", "refresh_token"):
            return self.refusal(request, "unsupported_grant_type", f"grant_type {kind} is not supported")
        refresh = str(form.get("refresh_token")) if kind == "refresh_token" else None
        consent = self._redeemed(form) if refresh is None else self._consent_of(refresh)
        if consent is None:
            return self.refusal(request, "invalid_grant", "Incorrect or expired " + kind.replace("_", " "))
        return web.json_response(self._issue(consent, refresh) | self.extras(request))

    def _redeemed(self, form: Mapping[str, Any]) -> str | None:
        """A new consent for a code, which works once and only with the redirect_uri it was issued for."""
        wanted = self.codes.pop(str(form.get("code")), None)
        return uuid.uuid4().hex if wanted is not None and wanted in ("", form.get("redirect_uri")) else None

    def _consent_of(self, refresh: str) -> str | None:
        """Whose refresh token this is: one of this process, or one issued before it began."""
        if refresh in self.refresh:
            return self.refresh[refresh]
        _, consent, number, _ = refresh.split("-") if refresh.count("-") == 3 else ("", "", "", "")
        if consent in self.consents or not hmac.compare_digest(self._signed(consent, number), refresh):
            return None
        self.consents.add(consent)
        return consent

    def _signed(self, consent: str, number: str) -> str:
        proof = hmac.new(self.client_secret.encode(), f"{consent}-{number}".encode(), "sha256").hexdigest()
        return f"RT-{consent}-{number}-{proof}"

    def _issue(self, consent: str, used: str | None) -> dict[str, Any]:
        access, refresh = uuid.uuid4().hex, used
        if refresh is None or self.rotates:
            self.refresh.pop(refresh or "", None)
            refresh = self._signed(consent, uuid.uuid4().hex)
            self.refresh[refresh] = consent
            self.consents.add(consent)
        self.access[access] = Access(consent, time.monotonic() + self.lifetime)
        return {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": int(self.lifetime),
            "token_type": "bearer",
        }

    def _wrong_client(self, request: web.Request, form: Mapping[str, Any]) -> web.Response | None:
        has, wanted = ":".join(self.credentials(request, form)), f"{self.client_id}:{self.client_secret}"
        if hmac.compare_digest(has.encode(), wanted.encode()):
            return None
        return self.refusal(request, "invalid_client", "the client's id or secret is wrong")

    # -- controls ----------------------------------------------------------------------------------------------------

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response({"grants": self.grants, "lifetime": self.lifetime, "rotates": self.rotates})

    async def _set(self, request: web.Request) -> web.Response:
        given = await request.json()
        self.lifetime = float(given.get("lifetime", self.lifetime))
        self.rotates = bool(given.get("rotates", self.rotates))
        if given.get("expire"):
            for access in self.access.values():
                access.ends = time.monotonic()
        return await self._show(request)

    async def _agree(self, request: web.Request) -> web.Response:
        code = uuid.uuid4().hex
        self.codes[code] = (await request.json()).get("redirect_uri", "") if request.can_read_body else ""
        return web.json_response({"code": code})


class IntuitOAuth(OAuth):
    """Intuit: discovery, Basic client credentials, 1 hour; the latest refresh token is the only one that works."""

    prefixes = ("/.well-known/", "/oauth2/", "/v2/oauth2/")
    first_lifetime = 3600.0
    first_rotates = True

    def add_vendor_routes(self, app: web.Application) -> None:
        for name in ("openid_configuration", "openid_sandbox_configuration"):
            app.add_routes([web.get(f"/.well-known/{name}{end}", self.discover) for end in ("", "/")])
        app.add_routes(
            [web.post("/oauth2/v1/tokens/bearer", self.token), web.post("/v2/oauth2/tokens/revoke", self.revoke)]
        )

    async def discover(self, request: web.Request) -> web.Response:
        base = str(request.url.origin())
        return web.json_response(
            {
                "issuer": f"{base}/op/v1",
                "authorization_endpoint": f"{base}/connect/oauth2",
                "token_endpoint": f"{base}/oauth2/v1/tokens/bearer",
                "revocation_endpoint": f"{base}/v2/oauth2/tokens/revoke",
                "jwks_uri": f"{base}/op/v1/jwks",
                "userinfo_endpoint": f"{base}/v1/openid_connect/userinfo",
                "response_types_supported": ["code"],
                "scopes_supported": ["openid", "com.intuit.quickbooks.accounting"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            }
        )

    def credentials(self, request: web.Request, form: Mapping[str, Any]) -> tuple[str, str]:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(given).decode().partition(":")
        except ValueError:
            return "", ""
        return (name, secret) if scheme == "Basic" else ("", "")

    def refusal(self, request: web.Request, code: str, text: str) -> web.Response:
        status = 401 if code == "invalid_client" else 400
        return web.json_response({"error": code, "error_description": text}, status=status)

    def extras(self, request: web.Request) -> dict[str, Any]:
        return {"x_refresh_token_expires_in": 100 * 24 * 3600}


class HubSpotOAuth(OAuth):
    """HubSpot: credentials in the form, 30 minutes; v1 and v3 paths. A refresh answers with the same refresh token."""

    prefixes = ("/oauth/",)
    first_lifetime = 1800.0
    first_rotates = False

    def __init__(self, client_id: str, client_secret: str, refresh_token: str, hub_id: int) -> None:
        super().__init__(client_id, client_secret, refresh_token)
        self.hub_id = hub_id

    def add_vendor_routes(self, app: web.Application) -> None:
        for version in ("v1", "v3", "2026-09"):
            app.add_routes([web.post(f"/oauth/{version}/token", self.token)])
        app.add_routes(
            [
                web.post("/oauth/v3/introspect", self.introspect),
                web.post("/oauth/v3/revoke", self.revoke),
                web.get("/oauth/v1/access-tokens/{token}", self.about_access),
                web.get("/oauth/v1/refresh-tokens/{token}", self.about_refresh),
                web.delete("/oauth/v1/refresh-tokens/{token}", self.forget_refresh),
            ]
        )

    async def introspect(self, request: web.Request) -> web.Response:
        form = await request.post()
        if problem := self._wrong_client(request, form):
            return problem
        token = str(form.get("token", ""))
        if token in self.refresh:
            return web.json_response({"active": True, "token_use": "refresh_token"} | self._about())
        access = self.access.get(token)
        if access is None or access.left <= 0:
            return web.json_response({"active": False})
        return web.json_response(
            {"active": True, "token_use": "access_token", "expires_in": int(access.left)} | self._about()
        )

    async def about_access(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        access = self.access.get(token)
        if access is None or access.left <= 0:
            raise web.HTTPNotFound
        return web.json_response(
            self._about() | {"token": token, "expires_in": int(access.left), "token_type": "access", "app_id": 1}
        )

    async def about_refresh(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        if token not in self.refresh:
            raise web.HTTPNotFound
        return web.json_response(self._about() | {"token": token, "token_type": "refresh", "client_id": self.client_id})

    async def forget_refresh(self, request: web.Request) -> web.Response:
        """Ends the refresh token only; access tokens live on until they expire."""
        self.refresh.pop(request.match_info["token"], None)
        return web.Response(status=204)

    def credentials(self, request: web.Request, form: Mapping[str, Any]) -> tuple[str, str]:
        return str(form.get("client_id", "")), str(form.get("client_secret", ""))

    def refusal(self, request: web.Request, code: str, text: str) -> web.Response:
        if "/v1/" not in request.path:
            return web.json_response({"error": code, "error_description": text}, status=400)
        status = {"invalid_grant": "BAD_REFRESH_TOKEN", "invalid_client": "BAD_CLIENT_ID"}.get(code, "BAD_REQUEST")
        return web.json_response(
            {
                "status": status,
                "message": text,
                "correlationId": str(uuid.uuid4()),
                "error": code,
                "error_description": text,
            },
            status=400,
        )

    def extras(self, request: web.Request) -> dict[str, Any]:
        return {} if "/v1/" in request.path else {"token_use": "access_token"} | self._about()

    def _about(self) -> dict[str, Any]:
        return {"hub_id": self.hub_id, "user_id": 1, "scopes": ["oauth", "crm.objects.contacts.read"]}
