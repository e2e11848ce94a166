"""Live pages: a stream says that something changed, and the page fetches itself again.

The stream carries nothing but a mark. A page has the mark of what it shows, so that what changed between its making and the
stream's begin is told at once; so is what changed while a browser was away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from services.console.sessions import COOKIE
from shared.operations import overview

EVERY_SECONDS = 1.0
PING_ROUNDS = 15  # then something is said, so that proxies keep the connection
SESSION_ROUNDS = 30  # then it is looked whether the session still stands


async def events(request: Request) -> Response:
    """`/events?of=RUN&after=MARK`: of one run, or of everything."""
    of = request.query_params.get("of")
    try:
        run = UUID(of) if of else None
    except ValueError:
        return PlainTextResponse("no such run\n", 400)
    after = request.headers.get("last-event-id") or request.query_params.get("after", "")
    headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(request, run, after), headers=headers)


async def _stream(request: Request, run: UUID | None, seen: str) -> AsyncIterator[str]:
    console, rounds = request.app.state.console, 0
    yield "retry: 2000\n\n"
    while not await request.is_disconnected():
        try:
            mark = await overview.pulse(console.pool, run)
            if rounds % SESSION_ROUNDS == SESSION_ROUNDS - 1 and not await _signed_in(request):
                yield "event: over\ndata: \n\n"
                return
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return  # the browser comes again
        if mark != seen:
            seen = mark
            yield f"id: {mark}\nevent: changed\ndata: \n\n"
        elif rounds % PING_ROUNDS == 0:
            yield ": still here\n\n"
        rounds += 1
        await asyncio.sleep(EVERY_SECONDS)


async def _signed_in(request: Request) -> bool:
    console = request.app.state.console
    name = await console.sessions.person(request.cookies.get(COOKIE))
    return bool(name and console.roster.named(name))


ROUTES = [Route("/events", events)]
