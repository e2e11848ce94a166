"""Signing in at a provider of OpenID Connect: a whole way there and back, and everything that must not let anybody in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.net import free_ports
from sandbox.postgres import Postgres
from services.console.oidc import Provider
from shared.errors import BadInput
from shared.store.pool import open_pool
from tests.integration.console.world import served

CLIENT, SECRET = "the-console", "a-secret-of-the-client"
KEY, OTHER = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
PEOPLE = [
    {"name": "Dana", "roles": ["owner"], "email": "dana@example.com"},
    {"name": "Lee", "roles": ["viewer"], "login": "lee-at-the-provider", "email": "lee@example.com"},
]


class Upstream:
    """A provider that lets everybody in as `claims` says, and can be told to get things wrong."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"email": "dana@example.com", "email_verified": True}
        self.key, self.algorithm = KEY, "RS256"
        self.without: tuple[str, ...] = ()
        self.asked: dict[str, dict[str, str]] = {}
        self.url = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/.well-known/openid-configuration", self.describe),
            web.get("/keys", self.keys),
            web.get("/authorize", self.authorize),
            web.post("/token", self.token),
        ]

    async def describe(self, request: web.Request) -> web.Response:
        at = {name: f"{self.url}/{path}" for name, path in (("jwks_uri", "keys"), ("token_endpoint", "token"))}
        return web.json_response({"issuer": self.url, "authorization_endpoint": f"{self.url}/authorize"} | at)

    async def keys(self, request: web.Request) -> web.Response:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return web.json_response({"keys": [public | {"kid": "one", "use": "sig"}]})

    async def authorize(self, request: web.Request) -> web.Response:
        code, asked = secrets.token_hex(8), dict(request.query)
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert asked["code_challenge_method"] == "S256"
        self.asked[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self.asked.pop(str(form["code"]), None)  # a code is worth something once
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        fits = asked and asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not fits or form["client_secret"] != SECRET or not asked:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        base = {"iss": self.url, "aud": CLIENT, "sub": "42", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = {name: value for name, value in (base | self.claims).items() if name not in self.without}
        return web.json_response({"id_token": self.signed(claims), "access_token": "x", "token_type": "Bearer"})

    def signed(self, claims: dict[str, Any]) -> str:
        key: Any = self.key
        if self.algorithm == "none":
            key = None
        elif self.algorithm == "HS256":  # with the public key as if it were a shared secret
            parts = [json.dumps({"alg": "HS256", "kid": "one"}), json.dumps(claims)]
            head = ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)
            pem = KEY.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            mac = hmac.digest(pem, head.encode(), "sha256")
            return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        return jwt.encode(claims, key, algorithm=self.algorithm, headers={"kid": "one"})


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    made, app, (port,) = Upstream(), web.Application(), free_ports(1)
    app.add_routes(made.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    made.url = f"http://127.0.0.1:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


class Place:
    """A console, the provider it trusts, and its database."""

    def __init__(self, url: str, provider: Upstream, admin: Any, people: Path) -> None:
        self.url, self.provider, self.admin, self.people = url, provider, admin, people

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[aiohttp.ClientSession]:
        headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
        async with aiohttp.ClientSession(
            self.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers
        ) as client:
            yield client

    async def enter(self, path: str = "/sign-in/provider") -> tuple[int, str]:
        async with self.browser() as client, client.get(path) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def place(request: Any, postgres: Postgres, admin: Any, tmp_path: Path) -> AsyncIterator[Place]:
    people, dsn = tmp_path / "people.yaml", postgres.dsn("viox_console")
    people.write_text(json.dumps({"people": PEOPLE}))
    pool = await open_pool(dsn, application="test console", size=4)
    try:
        async with upstream() as provider:
            values = {
                "VIOX_OIDC_ISSUER": provider.url,
                "VIOX_OIDC_CLIENT_ID": CLIENT,
                "VIOX_OIDC_CLIENT_SECRET": SECRET,
                "VIOX_OIDC_NAME": "Example",
            } | getattr(request, "param", {})
            async with served(pool, dsn, people, values) as url:
                yield Place(url, provider, admin, people)
    finally:
        await pool.close()


async def test_somebody_signs_in_and_lands_where_they_were_going(place: Place) -> None:
    async with place.browser() as client:
        async with client.get("/unknowns") as door:
            text = await door.text()
            assert "Sign in with Example" in text
            assert 'name="token"' not in text, "nobody has one"
        async with client.get("/sign-in/provider?next=/unknowns") as answer:
            assert answer.url.path == "/unknowns"
            assert "Dana · owner" in await answer.text()
    assert await place.admin.fetchval("select person from console_acts where act = 'sign-in'") == "Dana"


@pytest.mark.parametrize("place", [{"VIOX_OIDC_CLAIM": "preferred_username"}], indirect=True)
async def test_another_claim_is_somebodys_login(place: Place) -> None:
    place.provider.claims = {"preferred_username": "lee-at-the-provider"}
    assert "Lee · viewer" in (await place.enter())[1]
    place.provider.claims = {"preferred_username": "lee@example.com"}
    assert (await place.enter())[0] == 403


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"claims": {"email": "mallory@example.com", "email_verified": True}}, "nobody here is mallory@example.com"),
        ({"claims": {"email": "dana@example.com"}}, "has not verified your mail address"),
        ({"claims": {"email": "dana@example.com", "email_verified": "true"}}, "has not verified your mail address"),
        ({"claims": {"email": "lee@example.com", "email_verified": True}}, "nobody here is lee@example.com"),
        ({"add": {"iss": "https://evil.example"}}, "does not hold"),
        ({"add": {"aud": "another-client"}}, "does not hold"),
        ({"add": {"aud": [CLIENT, "another-client"]}}, "for somebody else"),
        ({"add": {"azp": "another-client"}}, "for somebody else"),
        ({"add": {"exp": 1_000_000_000}}, "does not hold"),
        ({"add": {"nonce": "of another sign-in"}}, "another sign-in"),
        ({"without": ("nonce",)}, "another sign-in"),
        ({"without": ("exp",)}, "does not hold"),
        ({"without": ("email",)}, "does not say your email"),
        ({"key": OTHER}, "does not hold"),
        ({"algorithm": "none"}, "does not hold"),
        ({"algorithm": "HS256"}, "does not hold"),
    ],
)
async def test_what_does_not_hold_lets_nobody_in(place: Place, wrong: dict[str, Any], told: str) -> None:
    for name in ("claims", "key", "algorithm", "without"):
        if name in wrong:
            setattr(place.provider, name, wrong[name])
    place.provider.claims |= wrong.get("add", {})
    status, text = await place.enter()
    assert (status, told in text) == (403, True), text
    assert await place.admin.fetchval("select count(*) from console_sessions") == 0
    assert await place.admin.fetchval("select count(*) from console_failures") == 1


async def test_a_code_is_of_use_only_in_the_browser_that_began_and_once(place: Place) -> None:
    async with place.browser() as mallory, place.browser() as dana:
        async with mallory.get("/sign-in/provider", allow_redirects=False) as begun:
            way = begun.headers["Location"]
        async with mallory.get(way, allow_redirects=False) as sent:
            back = sent.headers["Location"]
        async with dana.get(back) as answer:  # a link that somebody else began
            assert answer.status == 403
            assert "was not begun in this browser" in await answer.text()
        async with dana.get("/sign-in/provider", allow_redirects=False):
            pass
        async with dana.get(back) as answer:
            assert answer.status == 403
            assert "not to what this browser asked" in await answer.text()
        async with mallory.get(back, allow_redirects=False) as first:
            assert first.status == 303
        async with mallory.get(back) as again:
            assert again.status == 403


async def test_who_is_taken_out_of_the_file_is_out_and_a_provider_that_is_silent_is_said(place: Place) -> None:
    async with place.browser() as client:
        async with client.get("/sign-in/provider") as answer:
            assert answer.status == 200
        place.people.write_text(json.dumps({"people": PEOPLE[1:]}))
        async with client.get("/", allow_redirects=False) as answer:
            assert answer.status == 303


@pytest.mark.parametrize("place", [{"VIOX_OIDC_ISSUER": "http://127.0.0.1:9"}], indirect=True)
async def test_a_provider_that_does_not_answer_is_said(place: Place) -> None:
    status, text = await place.enter()
    assert (status, "does not answer" in text) == (503, True)


def test_half_a_configuration_is_refused() -> None:
    with pytest.raises(BadInput, match="client id"):
        Provider.of({"VIOX_OIDC_ISSUER": "https://id.example.com"})
    with pytest.raises(BadInput, match="https"):
        Provider.of({"VIOX_OIDC_ISSUER": "http://id.example.com", "VIOX_OIDC_CLIENT_ID": "x"})
    assert Provider.of({}) is None
