"""Which page is where."""

from __future__ import annotations

from starlette.routing import BaseRoute

from services.console.pages import (
    again,
    agents,
    approvals,
    briefings,
    calls,
    letters,
    memory,
    now,
    proofs,
    run,
    runs,
    settings,
    tools,
    unknowns,
)

ROUTES: list[BaseRoute] = [
    *now.ROUTES,
    *runs.ROUTES,
    *run.ROUTES,
    *again.ROUTES,
    *calls.ROUTES,
    *proofs.ROUTES,
    *approvals.ROUTES,
    *unknowns.ROUTES,
    *letters.ROUTES,
    *agents.ROUTES,
    *tools.ROUTES,
    *memory.ROUTES,
    *briefings.ROUTES,
    *settings.ROUTES,
]
