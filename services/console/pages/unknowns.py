"""Calls whose outcome nobody knows: what was looked up, and a person's word that settles them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import back, form_of, may_operate, who
from services.console.views import page
from shared.operations import identify, overview, store, story, unknowns

ROWS = 50


async def listing(request: Request) -> Response:
    console, given = request.app.state.console, request.query_params
    mark = await overview.pulse(console.pool)
    items, following = await store.calls(
        console.pool,
        agent=None,
        tool=None,
        state="unknown",
        since=None,
        run_id=None,
        cursor=given.get("cursor") or None,
        limit=ROWS,
        failed=False,
    )
    evidence = await overview.look_ups(console.pool, [one["call_id"] for one in items])
    content = who(request).reads
    return await page(
        request,
        "unknowns.html",
        "unknowns",
        "Outcome unknown",
        live={"of": "", "after": mark},
        items=[
            one
            | {
                "sentence": story.sentence(one["agent"], one | {"vendor": None}, content=content),
                "evidence": evidence.get(one["call_id"], []),
            }
            for one in items
        ],
        content=content,
        more=f"/unknowns?cursor={following}" if following else None,
    )


async def settle(request: Request) -> Response:
    person, console = may_operate(request), request.app.state.console
    form = await form_of(request)
    result = unknowns.result_of(form.get("result", "").strip() or None, field="result")
    call_id = await identify.call(console.pool, request.path_params["call_id"])
    await unknowns.settle(console.pool, call_id, form.get("as", ""), result, person.name)
    await console.sessions.record(person.name, "settle", call_id, {"as": form.get("as")})
    return back(f"/calls/{call_id}", "settled")


ROUTES = [Route("/unknowns", listing), Route("/calls/{call_id}/settle", settle, methods=["POST"])]
