"""Pages from templates: text is always escaped, a name that is not given is an error, and times are the business's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.console import shown
from services.console.forms import DONE
from shared.errors import VioxError
from shared.operations import overview

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters.update(shown.FILTERS)
NAVIGATION = (
    ("now", "/", "Now"),
    ("runs", "/runs", "Runs"),
    ("approvals", "/approvals", "Approvals"),
    ("unknowns", "/unknowns", "Unknown"),
    ("letters", "/dead-letters", "Dead letters"),
    ("agents", "/agents", "Agents"),
    ("tools", "/tools", "Tools"),
    ("memory", "/memory", "Memory"),
    ("briefings", "/briefings", "Briefings"),
    ("settings", "/settings", "Settings"),
)


async def page(request: Request, template: str, section: str, title: str, status: int = 200, **values: Any) -> Response:
    """A page of somebody who is signed in."""
    console, person = request.app.state.console, request.state.person
    counts = await overview.counts(console.pool)
    live = values.pop("live", None)
    frame = {
        "person": person,
        "business": console.business.name or "Your business",
        "section": section,
        "title": title,
        "navigation": NAVIGATION,
        "counts": {"approvals": counts["approvals"], "unknowns": counts["unknowns"], "letters": counts["letters"]},
        "done": DONE.get(request.query_params.get("done", "")),
        "live": live,
        "emulated": console.emulated,
        "offline": console.models_mode == "offline",
        "clock": shown.Clock(console.zone),
        "search": request.query_params.get("q", "") if section == "runs" else "",
    }
    return HTMLResponse(_PAGES.get_template(template).render(**frame, **values), status)


def bare(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page of nobody yet."""
    business = request.app.state.console.business.name or "Your business"
    return HTMLResponse(_PAGES.get_template(template).render(business=business, **values), status)


async def problem(request: Request, status: int, message: str, remedy: str | None) -> Response:
    """What went wrong, on a page with the navigation where somebody is signed in and the database answers."""
    told = message[:1].upper() + message[1:]
    back = request.headers.get("referer") or "/"
    back = back if back.startswith(str(request.base_url)) else "/"
    if getattr(request.state, "person", None) is None or status >= 500:
        return bare(request, "problem_bare.html", status, message=told, remedy=remedy, back=back)
    try:
        return await page(
            request,
            "problem.html",
            "",
            "That did not work",
            status,
            code=status,
            message=told,
            remedy=remedy,
            back=back,
        )
    except (VioxError, OSError):
        return bare(request, "problem_bare.html", status, message=told, remedy=remedy, back=back)
