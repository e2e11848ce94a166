"""Runs: the list with its filters in the address, and one run as a story, a tree, a log and what it cost."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import back, may_operate, who
from services.console.pages.calls import call_values
from services.console.views import page
from shared.bus.topics import AGENTS
from shared.errors import BadInput
from shared.operations import conversations, family, identify, overview, paging, store, story

ROWS = 50
VIEWS = ("story", "tree", "log", "cost")
SPANS = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}


async def listing(request: Request) -> Response:
    console, person, given = request.app.state.console, who(request), request.query_params
    wanted = _filter(given)
    mark = await overview.pulse(console.pool)
    items, following = await overview.runs(
        console.pool, wanted, given.get("cursor") or None, ROWS, content=person.reads
    )
    kept = {
        key: value
        for key, value in given.items()
        if key in ("q", "agent", "status", "type", "since", "failed") and value
    }
    return await page(
        request,
        "runs.html",
        "runs",
        "Runs",
        live={"of": "", "after": mark} if not given.get("cursor") else None,
        items=items,
        more=f"/runs?{urlencode({**kept, 'cursor': following})}" if following else None,
        given=kept,
        first_page=not given.get("cursor"),
        agents=AGENTS,
        states=store.RUN_STATES,
        spans=SPANS,
    )


def _filter(given: Any) -> overview.RunFilter:
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


async def run(request: Request) -> Response:
    console, person, given = request.app.state.console, who(request), request.query_params
    pool, view = console.pool, given.get("view") or "story"
    if view not in VIEWS:
        raise BadInput("view.unknown", f"{view!r} is no view of a run.", field="view")
    found = await store.run(pool, await identify.run(pool, request.path_params["run_id"]))
    run_id = UUID(found["run_id"])
    mark = await overview.pulse(pool, run_id)
    steps, calls = await overview.story_of(pool, found)
    lines = story.story(found, steps, calls, content=person.reads)
    related = await family.family(pool, run_id)
    chosen = given.get("call") or _first_failed(lines)
    held = await conversations.held(pool)
    return await page(
        request,
        "run.html",
        "runs",
        await overview.title(pool, found, content=person.reads),
        live={"of": found["run_id"], "after": mark},
        run=found,
        lines=lines,
        view=view,
        views=VIEWS,
        chosen=chosen,
        call=await call_values(request, chosen) if chosen and view == "story" else None,
        embedded=True,
        tree=_tree(related) if len(related) > 1 else [],
        turns=[step for step in steps if step["kind"] == "model"],
        steps=steps,
        calls=calls,
        parent=next((one for one in related if one["run_id"] == found["parent_run_id"]), None),
        taken=[one for one in held if one["kind"] == "person" and one["id"] == found["conversation_id"]],
        why=overview.why(found, [call for call in calls if call["state"] in ("requested", "approved", "executing")]),
        is_open=found["status"] in ("running", "waiting") and not found["merged_into"],
    )


def _first_failed(lines: list[story.Line]) -> str | None:
    """The first call that did not go well: it is shown before anybody chooses."""
    return next((line.call for line in lines if line.call and line.tone in ("failed", "unknown", "waits")), None)


def _tree(runs: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """(depth, run) of those who gave each other tasks, parents first."""
    known = {one["run_id"] for one in runs}
    below: dict[str | None, list[dict[str, Any]]] = {}
    for one in runs:
        parent = one["parent_run_id"] if one["parent_run_id"] in known - {one["run_id"]} else None
        below.setdefault(parent, []).append(one)
    found: list[tuple[int, dict[str, Any]]] = []

    def walk(parent: str | None, depth: int) -> None:
        for one in below.pop(parent, []):
            found.append((depth, one))
            walk(one["run_id"], depth + 1)

    walk(None, 0)
    return found


async def cancel(request: Request) -> Response:
    person, console = may_operate(request), request.app.state.console
    run_id = await identify.run(console.pool, request.path_params["run_id"])
    await store.cancel(console.pool, run_id)
    await console.sessions.record(person.name, "cancel", str(run_id))
    return back(f"/runs/{run_id}", "cancelled")


ROUTES = [
    Route("/runs", listing),
    Route("/runs/{run_id}", run),
    Route("/runs/{run_id}/cancel", cancel, methods=["POST"]),
]
