"""Briefings: what the Chief of Staff told the business, newest first."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import who
from services.console.views import page
from shared.operations import overview


async def listing(request: Request) -> Response:
    console = request.app.state.console
    items = await overview.briefings(console.pool, 30)
    return await page(request, "briefings.html", "briefings", "Briefings", items=items, content=who(request).reads)


ROUTES = [Route("/briefings", listing)]
