"""The list of runs: its filters are in the address, and people save them under a name."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console import saved
from services.console.forms import back, form_of, who
from services.console.views import page
from shared.bus.topics import AGENTS
from shared.errors import BadInput
from shared.operations import overview, paging, store

ROWS = 50
LISTING = "runs"
FILTERS = ("q", "agent", "status", "type", "since", "failed")
SPANS = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}


async def listing(request: Request) -> Response:
    console, person, given = request.app.state.console, who(request), request.query_params
    wanted, kept = _filter(given), _kept(given)
    mark = await overview.pulse(console.pool)
    items, following = await overview.runs(
        console.pool, wanted, given.get("cursor") or None, ROWS, content=person.reads
    )
    return await page(
        request,
        "runs.html",
        "runs",
        "Runs",
        live={"of": "", "after": mark} if not given.get("cursor") else None,
        items=items,
        more=f"/runs?{urlencode({**kept, 'cursor': following})}" if following else None,
        given=kept,
        query=urlencode(kept),
        views=await saved.views(console.pool, person.name, LISTING),
        first_page=not given.get("cursor"),
        agents=AGENTS,
        states=store.RUN_STATES,
        spans=SPANS,
    )


def _kept(given: Mapping[str, str]) -> dict[str, str]:
    """The filters among what an address or a form says, always in the same order."""
    return {key: given[key] for key in FILTERS if given.get(key)}


def _filter(given: Mapping[str, str]) -> overview.RunFilter:
    agent, status = given.get("agent") or None, given.get("status") or None
    if agent and agent not in AGENTS:
        raise BadInput("filter.unknown", f"{agent!r} is no agent.", field="agent")
    if status and status not in store.RUN_STATES:
        raise BadInput("filter.unknown", f"{status!r} is no status.", field="status")
    return overview.RunFilter(
        agent,
        status,
        given.get("type") or None,
        given.get("q") or None,
        paging.parse_moment(given.get("since") or None, field="since"),
        bool(given.get("failed")),
    )


async def save_view(request: Request) -> Response:
    """Keep the filters of the list under a name. Whoever may look may do it."""
    form = await form_of(request)
    kept = _kept(dict(parse_qsl(form.get("query", ""))))
    _filter(kept)
    query = urlencode(kept)
    await saved.save(request.app.state.console.pool, who(request).name, LISTING, form.get("name", ""), query)
    return back(f"/runs?{query}", "saved")


async def forget_view(request: Request) -> Response:
    form = await form_of(request)
    await saved.forget(request.app.state.console.pool, who(request).name, LISTING, form.get("name", ""))
    return back("/runs", "unsaved")


ROUTES = [
    Route("/runs", listing),
    Route("/views", save_view, methods=["POST"]),
    Route("/views/forget", forget_view, methods=["POST"]),
]
