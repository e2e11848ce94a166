"""Signing in with a token of VIOX_PEOPLE, and out."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.console.forms import form_of
from services.console.sessions import COOKIE, TooMany
from services.console.views import bare
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


async def ask(request: Request) -> Response:
    return bare(request, "sign_in.html", next=_inside(request.query_params.get("next")), problem=None)


async def enter(request: Request) -> Response:
    console, form = request.app.state.console, await form_of(request)
    address = request.client.host if request.client else "unknown"
    target = _inside(form.get("next"))
    try:
        await console.sessions.check_attempts(address)
    except TooMany as error:
        return bare(request, "sign_in.html", 429, next=target, problem=f"{error.message} {error.remedy}")
    person = console.roster.by_token(form.get("token", ""))
    if person is None:
        await console.sessions.failed(address)
        log.warning("console.sign_in_failed", address=address)
        return bare(request, "sign_in.html", 403, next=target, problem="nobody has this token.")
    secret = await console.sessions.begin(person.name)
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int(console.sessions.hours * 3600),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


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
    Route("/sign-out", leave, methods=["POST"]),
]
