"""One run: as a story, a tree of tasks, bars along time, a log, and what it cost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console import tracing
from services.console.forms import back, may_operate, who
from services.console.pages.calls import call_values
from services.console.views import page
from shared.errors import BadInput
from shared.operations import archived, conversations, family, identify, overview, store, story
from shared.operations.waterfall import waterfall
from shared.runtime.forks import fork_of
from shared.runtime.history import Step

VIEWS = ("story", "tree", "waterfall", "log", "cost")


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
        bars=waterfall(found, steps, calls, content=person.reads) if view == "waterfall" else None,
        forked=_forked(run_id, steps),
        trace=await tracing.of_run(console, found),
        archived=await archived.of_run(pool, run_id, found["agent"]),
        parent=next((one for one in related if one["run_id"] == found["parent_run_id"]), None),
        taken=[one for one in held if one["kind"] == "person" and one["id"] == found["conversation_id"]],
        why=overview.why(found, [call for call in calls if call["state"] in ("requested", "approved", "executing")]),
        is_open=found["status"] in ("running", "waiting") and not found["merged_into"],
    )


def _forked(run_id: UUID, steps: list[Any]) -> dict[str, Any] | None:
    """What the fork among its steps says: of which run it is, from which step on."""
    return fork_of([Step(run_id, row["step"], row["kind"], row["body"]) for row in steps])


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


ROUTES = [Route("/runs/{run_id}", run), Route("/runs/{run_id}/cancel", cancel, methods=["POST"])]
