"""Dead letters: messages that could not be handled, and having them handled again, one or all that a filter finds."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import back, form_of, may_operate
from services.console.views import page
from shared.errors import BadInput, Conflict
from shared.operations import dead_letters, identify, overview, store

ROWS = 50
MOST_AT_ONCE = 500
FILTERS = ("service", "code", "topic")


async def listing(request: Request) -> Response:
    console, given = request.app.state.console, request.query_params
    kept = {name: given[name] for name in (*FILTERS, "state") if given.get(name)}
    mark = await overview.pulse(console.pool)
    items, following = await _found(console.pool, kept, given.get("cursor") or None, ROWS)
    narrowed = {name: kept[name] for name in FILTERS if name in kept}
    dead = 0
    if narrowed:
        found, _ = await _found(console.pool, narrowed | {"state": "dead"}, None, MOST_AT_ONCE)
        dead = len(found)
    return await page(
        request,
        "letters.html",
        "letters",
        "Dead letters",
        live={"of": "", "after": mark},
        items=items,
        given=kept,
        narrowed=narrowed,
        dead=dead,
        more=f"/dead-letters?{urlencode({**kept, 'cursor': following})}" if following else None,
    )


async def _found(
    pool: Any, given: dict[str, str], cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    return await overview.letters(
        pool,
        state=given.get("state"),
        service=given.get("service"),
        code=given.get("code"),
        topic=given.get("topic"),
        cursor=cursor,
        limit=limit,
    )


async def redrive(request: Request) -> Response:
    person, console = may_operate(request), request.app.state.console
    letter = await identify.dead_letter(console.pool, request.path_params["letter_id"])
    await store.redrive(console.pool, letter)
    await console.sessions.record(person.name, "redrive", str(letter))
    return back("/dead-letters", "redriven")


async def redrive_filtered(request: Request) -> Response:
    """All that a filter finds. Never on an empty filter, and never another number than the person was shown."""
    person, console = may_operate(request), request.app.state.console
    form = await form_of(request)
    narrowed = {name: form[name] for name in FILTERS if form.get(name)}
    if not narrowed:
        raise BadInput(
            "filter.empty", "an empty filter would take every letter.", field="filter", remedy="Choose some."
        )
    found, _ = await _found(console.pool, narrowed | {"state": "dead"}, None, MOST_AT_ONCE)
    if form.get("count") != str(len(found)):
        told = f"the filter finds {len(found)} by now, not {form.get('count')}."
        raise Conflict("filter.changed", told, field="count", remedy="Look at the list again.")
    redriven, refused = await dead_letters.redrive_all(
        console.pool, [UUID(str(one["dead_letter_id"])) for one in found]
    )
    detail = {"filter": narrowed, "redriven": len(redriven), "refused": len(refused)}
    await console.sessions.record(person.name, "redrive", "filter", detail)
    if refused:
        told = f"{len(redriven)} are handled again; {len(refused)} may not be: {refused[0]['message']}"
        raise Conflict("dead_letter.some_refused", told, field="filter")
    return back("/dead-letters", "redriven")


ROUTES = [
    Route("/dead-letters", listing),
    Route("/dead-letters/redrive", redrive_filtered, methods=["POST"]),
    Route("/dead-letters/{letter_id}/redrive", redrive, methods=["POST"]),
]
