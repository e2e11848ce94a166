"""Settings, to look at: the business, its people, budgets, vendors, models, and what people did here."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import back, form_of, may_approve, who
from services.console.views import page
from shared.operations import budgets, overview, store


async def show(request: Request) -> Response:
    console = request.app.state.console
    pool, person = console.pool, who(request)
    tools = await store.tools(pool)
    counted: dict[str, int] = {}
    for one in tools:
        counted[one["vendor"]] = counted.get(one["vendor"], 0) + 1
    sees_acts = bool(person.roles & {"owner", "auditor"})
    return await page(
        request,
        "settings.html",
        "settings",
        "Settings",
        profile=console.business,
        people=list(console.roster.read()),
        budgets=sorted(await budgets.listed(pool, None, 100), key=_part_used, reverse=True),
        vendors=sorted(counted.items()),
        models=await overview.models_of(pool),
        acts=await console.sessions.acts(None, 40) if sees_acts else None,
        hours=console.sessions.hours,
        models_mode=console.models_mode,
    )


def _part_used(one: dict[str, Any]) -> float:
    """How much of a budget is used up: those that are nearly are shown first."""
    most = float(one["raised_to"])
    return float(one["used"]) / most if most else 1.0


async def raise_budget(request: Request) -> Response:
    """As `viox budgets raise` does it."""
    person, console = may_approve(request), request.app.state.console
    form = await form_of(request)
    name, to, scope = form.get("name", ""), form.get("to", "").strip(), form.get("scope", "").strip()
    raised, _ = await budgets.raise_(console.pool, name, person, to, scope or None, form.get("measure") or None)
    await console.sessions.record(person.name, "raise", name, raised)
    return back("/settings", "raised")


ROUTES = [Route("/settings", show), Route("/budgets/raise", raise_budget, methods=["POST"])]
