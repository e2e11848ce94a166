"""Memory: what is remembered about whom, who says so, and forgetting it in a person's name."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import back, fields_of, may_approve, may_read
from services.console.views import page
from shared.errors import BadInput
from shared.operations import memory, overview

ROWS = 100


async def show(request: Request) -> Response:
    may_read(request)
    console, given = request.app.state.console, request.query_params
    entity, text = given.get("entity", "").strip(), given.get("q", "").strip()
    items, forgotten, following = list[dict[str, Any]](), list[dict[str, Any]](), None
    if entity:
        items, following, forgotten = await memory.remembered(console.pool, entity, given.get("cursor") or None, ROWS)
    known = [] if entity else await overview.entities(console.pool, text or None, ROWS)
    return await page(
        request,
        "memory.html",
        "memory",
        entity or "Memory",
        entity=entity,
        items=items,
        forgotten=forgotten,
        entities=known,
        text=text,
        more=f"/memory?entity={quote(entity)}&cursor={following}" if following else None,
    )


async def forget(request: Request) -> Response:
    """What is ticked, or everything about somebody when they say so."""
    person, console = may_approve(request), request.app.state.console
    fields = await fields_of(request)
    form = dict(fields)
    entity, reason = form.get("entity", ""), form.get("reason", "").strip() or None
    ticked = [value for name, value in fields if name == "item"]
    if not ticked and not form.get("everything"):
        raise BadInput("memory.nothing", "nothing is ticked.", field="item", remedy="Tick what is to be forgotten.")
    gone = await memory.forget(console.pool, entity, None if form.get("everything") else ticked, person, reason)
    await console.sessions.record(person.name, "forget", entity, {"items": len(gone)})
    return back(f"/memory?entity={quote(entity)}", "forgotten")


ROUTES = [Route("/memory", show), Route("/memory/forget", forget, methods=["POST"])]
