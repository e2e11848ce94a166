"""Signing in with a token of VIOX_PEOPLE, or at a provider of OpenID Connect; and out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.console.forms import form_of
from services.console.oidc import Begun, Refused
from services.console.sessions import COOKIE, TooMany
from services.console.views import bare
from shared.errors import NotFound, Unavailable
from shared.people import Person
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
WAY = "viox_sign_in"  # the cookie of a browser that is at the provider
WAY_SECONDS = 600
BACK = "/sign-in/provider/back"


async def ask(request: Request) -> Response:
    return _door(request, _inside(request.query_params.get("next")))


def _door(request: Request, target: str, problem: str | None = None, status: int = 200) -> Response:
    console = request.app.state.console
    provider = console.provider.name if console.provider else None
    tokens = console.roster.tokens or provider is None
    return bare(request, "sign_in.html", status, next=target, problem=problem, provider=provider, tokens=tokens)


async def enter(request: Request) -> Response:
    console, form = request.app.state.console, await form_of(request)
    target = _inside(form.get("next"))
    try:
        await console.sessions.check_attempts(_address(request))
    except TooMany as error:
        return _door(request, target, f"{error.message} {error.remedy}", 429)
    person = console.roster.by_token(form.get("token", ""))
    if person is None:
        return await _failed(request, target, "nobody has this token.")
    return await _entered(request, person, target)


async def _failed(request: Request, target: str, problem: str) -> Response:
    address = _address(request)
    await request.app.state.console.sessions.failed(address)
    log.warning("console.sign_in_failed", address=address)
    return _door(request, target, problem, 403)


async def _entered(request: Request, person: Person, target: str) -> Response:
    console = request.app.state.console
    answer = RedirectResponse(target, 303)
    age = int(console.sessions.hours * 3600)
    _keep(request, answer, COOKIE, await console.sessions.begin(person.name), age)
    return answer


def _keep(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


async def to_provider(request: Request) -> Response:
    provider, begun = _provider(request), Begun.new(_inside(request.query_params.get("next")))
    try:
        answer = RedirectResponse(await provider.way(begun, _back(request)), 303)
    except Unavailable as error:
        return _door(request, begun.target, f"{error.message} {error.remedy or ''}", 503)
    _keep(request, answer, WAY, begun.cookie(), WAY_SECONDS)
    return answer


async def from_provider(request: Request) -> Response:
    """The browser comes back with a code, which is worth something once, and only with what this browser kept."""
    console, provider, target = request.app.state.console, _provider(request), "/"
    try:
        await console.sessions.check_attempts(_address(request))
        begun = Begun.read(request.cookies.get(WAY))
        target = _inside(begun.target)
        claim = await provider.who(begun, request.query_params, _back(request))
        person = console.roster.by_claim(provider.claim, claim)
        if person is None:
            raise Refused("oidc.stranger", f"nobody here is {claim}.", remedy="Ask an owner.")
    except TooMany as error:
        answer = _door(request, target, f"{error.message} {error.remedy}", 429)
    except Refused as error:
        answer = await _failed(request, target, f"{error.message} {error.remedy or ''}")
    except Unavailable as error:
        answer = _door(request, target, f"{error.message} {error.remedy or ''}", 503)
    else:
        answer = await _entered(request, person, target)
    answer.delete_cookie(WAY)
    return answer


def _provider(request: Request) -> Any:
    """Raises NotFound where none is set up."""
    provider = request.app.state.console.provider
    if provider is None:
        raise NotFound("oidc.none", "no provider is set up to sign in with.", remedy="Sign in with a token.")
    return provider


def _back(request: Request) -> str:
    """Where the provider sends browsers back to; it has to know this very address."""
    outside = request.app.state.console.address or str(request.base_url)
    return outside.rstrip("/") + BACK


async def leave(request: Request) -> Response:
    await request.app.state.console.sessions.end(request.cookies.get(COOKIE))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _inside(given: str | None) -> str:
    """A path of ours to go to next, never another site's."""
    target = given or "/"
    parts = urlsplit(target)
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return target if inside and not any(ord(c) < 32 for c in target) else "/"


ROUTES = [
    Route("/sign-in", ask, methods=["GET"]),
    Route("/sign-in", enter, methods=["POST"]),
    Route("/sign-in/provider", to_provider, methods=["GET"]),
    Route(BACK, from_provider, methods=["GET"]),
    Route("/sign-out", leave, methods=["POST"]),
]
