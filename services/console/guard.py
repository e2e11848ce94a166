"""What stands before every page: security headers, no writes from other sites, and nobody who is not signed in."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.sessions import COOKIE
from shared.store.acting import acting

OPEN = ("/healthz", "/readyz", "/metrics", "/sign-in", "/static/")
MOST_BYTES = 1_000_000  # of a form
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types viox"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if refusal := await self._refusal(scope):
            await refusal(scope, receive, with_headers)
            return
        person = scope.get("state", {}).get("person")
        with acting(person.name) if person and scope["method"] == "POST" else nullcontext():
            await self._app(scope, receive, with_headers)

    async def _refusal(self, scope: Scope) -> Response | None:
        """Who may not come in, or is sent elsewhere first. Who may is `request.state.person`."""
        request = Request(scope)
        if request.method not in ("GET", "HEAD") and not same_origin(request.headers):
            return PlainTextResponse("This request did not come from a page of the console.\n", 403)
        if refusal := _size_refused(request):
            return refusal
        if scope["path"].startswith(OPEN):
            return None
        person = await _who(request)
        if person is not None:
            request.state.person = person
            return None
        if request.method in ("GET", "HEAD") and request.headers.get("sec-fetch-dest", "document") == "document":
            wanted = scope["path"] + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(wanted)}", 303)
        return PlainTextResponse("You are not signed in any more. Load the page again.\n", 401)


def _size_refused(request: Request) -> Response | None:
    """Browsers say how long a form is. A body of no said length could be endless, and anybody may send one to sign in."""
    length = request.headers.get("content-length")
    if length is None:
        chunked = "transfer-encoding" in request.headers
        return PlainTextResponse("Say how long the body is: Content-Length.\n", 411) if chunked else None
    if not (length.isascii() and length.isdecimal()):
        return PlainTextResponse("Content-Length is no number.\n", 400)
    return PlainTextResponse("That is too much.\n", 413) if int(length) > MOST_BYTES else None


async def _who(request: Request) -> Any:
    console = request.app.state.console
    name = await console.sessions.person(request.cookies.get(COOKIE))
    return console.roster.named(name) if name else None


def same_origin(headers: Headers) -> bool:
    """Browsers say where a request comes from; one that says neither is no page of ours."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return bool(origin) and urlsplit(origin).netloc == headers.get("host")
