"""Which page is where."""

from __future__ import annotations

from starlette.routing import BaseRoute

from services.console.pages import (
    agents,
    approvals,
    briefings,
    calls,
    letters,
    memory,
    now,
    runs,
    settings,
    tools,
    unknowns,
)

ROUTES: list[BaseRoute] = [
    *now.ROUTES,
    *runs.ROUTES,
    *calls.ROUTES,
    *approvals.ROUTES,
    *unknowns.ROUTES,
    *letters.ROUTES,
    *agents.ROUTES,
    *tools.ROUTES,
    *memory.ROUTES,
    *briefings.ROUTES,
    *settings.ROUTES,
]
