"""Agents: where their work stands, what they spent; pausing them, giving them tasks, taking a conversation over."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.console import drawing
from services.console.forms import back, form_of, may_operate, who
from services.console.pages.now import since_midnight
from services.console.views import page
from shared.bus.topics import AGENTS, canonical_agent
from shared.errors import BadInput, NotFound
from shared.operations import conversations, overview, store, tasks

SOURCE = "/viox/cli"  # a task of a person: the same whether it is typed here or in the command line


async def listing(request: Request) -> Response:
    console = request.app.state.console
    mark = await overview.pulse(console.pool)
    figures = await overview.agents(console.pool, since_midnight(console.zone))
    held = await conversations.held(console.pool)
    return await page(
        request,
        "agents.html",
        "agents",
        "Agents",
        live={"of": "", "after": mark},
        items=[_item(name, figures.get(name), held, console.health.states.get(name)) for name in AGENTS],
        held=held,
    )


def _item(name: str, figures: dict[str, Any] | None, held: list[dict[str, Any]], health: Any) -> dict[str, Any]:
    none = {"running": 0, "today": 0, "tokens": 0, "cost_microusd": 0, "last_at": None, "model": None}
    paused = next((one for one in held if one["kind"] == "paused" and one["id"] in ("all", f"agent:{name}")), None)
    return {"name": name, "paused": paused, "health": health} | (figures or none)


async def agent(request: Request) -> Response:
    console, name = request.app.state.console, _named(request)
    mark = await overview.pulse(console.pool)
    figures = await overview.agents(console.pool, since_midnight(console.zone))
    held = await conversations.held(console.pool)
    standing = await overview.standing_at(console.pool, name)
    graph = await console.health.graph(name)
    items, _ = await overview.runs(console.pool, overview.RunFilter(agent=name), None, 12, content=who(request).reads)
    tools = [one for one in await store.tools(console.pool) if name in one["granted_to"] or name in one["ruled_by"]]
    return await page(
        request,
        "agent.html",
        "agents",
        _title(name),
        live={"of": "", "after": mark},
        item=_item(name, figures.get(name), held, console.health.states.get(name)),
        picture=drawing.draw(graph, standing) if graph else None,
        standing=standing,
        items=items,
        tools=tools,
        taken=[one for one in held if one["kind"] == "person"],
    )


def _named(request: Request) -> str:
    name = canonical_agent(request.path_params["agent"])
    if name is None:
        raise NotFound("agent.unknown", f"there is no agent {request.path_params['agent']!r}.", field="agent")
    return name


def _title(name: str) -> str:
    from shared.operations.sentences import agent_name

    return agent_name(name)


async def ask(request: Request) -> Response:
    """Give it a task, and watch what comes of it."""
    person, console, name = may_operate(request), request.app.state.console, _named(request)
    form = await form_of(request)
    conversation = form.get("conversation", "").strip() or None
    run_id = await tasks.give(console.pool, name, form.get("text", ""), conversation, SOURCE)
    await console.sessions.record(person.name, "ask", str(run_id), {"agent": name})
    return RedirectResponse(f"/asked/{run_id}?agent={name}", 303)


async def asked(request: Request) -> Response:
    """Until the agent has taken a task up there is no run to show."""
    from uuid import UUID

    console = request.app.state.console
    try:
        run_id = UUID(request.path_params["run_id"])
    except ValueError:
        raise NotFound("run.not_found", "there is no such run.", field="run") from None
    try:
        await store.run(console.pool, run_id)
    except NotFound:
        return await page(request, "asked.html", "agents", "Asked", run_id=run_id, live={"of": "", "after": ""})
    return RedirectResponse(f"/runs/{run_id}", 303)


async def pause(request: Request) -> Response:
    return await _hold(request, "pause")


async def resume(request: Request) -> Response:
    return await _hold(request, "resume")


async def _hold(request: Request, act: str) -> Response:
    person, console = may_operate(request), request.app.state.console
    form = await form_of(request)
    given = form.get("scope", "")
    if not given:
        raise BadInput("scope.missing", "say what.", field="scope")
    if act == "pause":
        scope = await conversations.pause(console.pool, given, person.name)
    else:
        scope = await conversations.resume(console.pool, given)
    await console.sessions.record(person.name, act, scope)
    kind, _, name = scope.partition(":")
    path = {"agent": f"/agents/{name}", "tool": f"/tools/{name}"}.get(kind, "/agents" if kind == "all" else "/tools")
    return back(path, "paused" if act == "pause" else "resumed")


async def take_over(request: Request) -> Response:
    person, console = may_operate(request), request.app.state.console
    form = await form_of(request)
    await conversations.take_over(console.pool, form.get("conversation", ""), form.get("agent") or None, person)
    await console.sessions.record(person.name, "take-over", form.get("conversation", ""))
    return back(_inside(form.get("back")), "taken")


async def give_back(request: Request) -> Response:
    person, console = may_operate(request), request.app.state.console
    form = await form_of(request)
    await conversations.give_back(console.pool, form.get("conversation", ""), form.get("agent") or None)
    await console.sessions.record(person.name, "give-back", form.get("conversation", ""))
    return back(_inside(form.get("back")), "given")


def _inside(given: str | None) -> str:
    return given if given and given.startswith("/runs/") and "?" not in given and "\n" not in given else "/agents"


ROUTES = [
    Route("/agents", listing),
    Route("/agents/{agent}", agent),
    Route("/agents/{agent}/ask", ask, methods=["POST"]),
    Route("/asked/{run_id}", asked),
    Route("/pause", pause, methods=["POST"]),
    Route("/resume", resume, methods=["POST"]),
    Route("/take-over", take_over, methods=["POST"]),
    Route("/give-back", give_back, methods=["POST"]),
]
