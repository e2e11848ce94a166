"""Memory: what is remembered about whom, who says so, who else it is; forgetting, and saying who is the same, in a person's name."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import back, fields_of, may_approve, may_read
from services.console.views import page
from shared.errors import BadInput
from shared.operations import links, memory, overview

ROWS, CLAIMS = 100, 10


async def show(request: Request) -> Response:
    may_read(request)
    console, given = request.app.state.console, request.query_params
    entity, text = given.get("entity", "").strip(), given.get("q", "").strip()
    items, forgotten, following = list[dict[str, Any]](), list[dict[str, Any]](), None
    if entity:
        items, following, forgotten = await memory.remembered(console.pool, entity, given.get("cursor") or None, ROWS)
    linked = await links.links_of(console.pool, entity) if entity else []
    others = await links.connected(console.pool, entity) if entity else []
    known = [] if entity else await overview.entities(console.pool, text or None, ROWS)
    claims = [] if entity or text else await links.claimed(console.pool, CLAIMS)
    return await page(
        request,
        "memory.html",
        "memory",
        entity or "Memory",
        entity=entity,
        items=items,
        forgotten=forgotten,
        others=[one | {"link": _direct(linked, one["entity"])} for one in others],
        denied=[one for one in linked if one["state"] == "denied" and not one["ended_at"]],
        ended=[one for one in linked if one["ended_at"]],
        entities=known,
        claims=claims,
        most=CLAIMS,
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
    others, together = await links.connected(console.pool, entity), bool(form.get("with_linked"))
    gone = await memory.forget(
        console.pool, entity, None if form.get("everything") else ticked, person, reason, with_linked=together
    )
    await console.sessions.record(person.name, "forget", entity, {"items": len(gone)})
    kept = [one for one in others if not (together and one["state"] == "confirmed")]
    if not kept:
        return back(f"/memory?entity={quote(entity)}", "forgotten")
    return back(f"/memory?q={quote(kept[0]['entity'])}", "left")


async def link(request: Request) -> Response:
    """A person's word: the two are the same person, or they are not."""
    person, console = may_approve(request), request.app.state.console
    form = dict(await fields_of(request))
    entity, other = form.get("entity", "").strip(), form.get("other", "").strip()
    word: links.Word = "confirmed" if form.get("word") == "confirmed" else "denied"
    made = await links.say(console.pool, entity, other, word, person, form.get("reason"))
    await console.sessions.record(person.name, "link", entity, {"link": made["id"], "state": word})
    return back(f"/memory?entity={quote(entity)}", "linked" if word == "confirmed" else "unlinked")


def _direct(linked: list[dict[str, Any]], entity: str) -> dict[str, Any] | None:
    return next((one for one in linked if one["entity"] == entity and not one["ended_at"]), None)


ROUTES = [
    Route("/memory", show),
    Route("/memory/forget", forget, methods=["POST"]),
    Route("/memory/link", link, methods=["POST"]),
]
