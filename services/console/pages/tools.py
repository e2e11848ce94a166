"""Tools: who may use which, how their calls went, and the last errors of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import who
from services.console.views import page
from shared.errors import NotFound
from shared.operations import overview, store


def _week() -> datetime:
    return datetime.now(UTC) - timedelta(days=7)


async def listing(request: Request) -> Response:
    console, given = request.app.state.console, request.query_params
    text, vendor = given.get("q", "").strip().lower(), given.get("vendor", "")
    everything = await store.tools(console.pool)
    unused = bool(given.get("all")) or bool(text) or bool(vendor)
    shown = [
        one
        for one in everything
        if (not text or text in one["tool"].lower())
        and (not vendor or one["vendor"] == vendor)
        and (unused or one["granted_to"] or one["ruled_by"])
    ]
    day = datetime.now(UTC) - timedelta(days=1)
    use = await overview.tool_use(console.pool, [one["tool"] for one in shown], day)
    return await page(
        request,
        "tools.html",
        "tools",
        "Tools",
        items=[one | {"use": use.get(one["tool"])} for one in shown],
        total=len(everything),
        vendors=sorted({one["vendor"] for one in everything}),
        given={"q": given.get("q", ""), "vendor": vendor, "all": bool(given.get("all"))},
    )


async def tool(request: Request) -> Response:
    console, name = request.app.state.console, request.path_params["tool"]
    found = next((one for one in await store.tools(console.pool) if one["tool"] == name), None)
    if found is None:
        raise NotFound("tool.not_found", f"there is no tool {name!r}.", field="tool")
    use = (await overview.tool_use(console.pool, [name], _week())).get(name)
    return await page(
        request,
        "tool.html",
        "tools",
        name,
        tool=found,
        use=use,
        standing=await console.gateway.standing(name),
        asks=console.gateway.known,
        errors=await overview.tool_errors(console.pool, name, _week()),
        content=who(request).reads,
    )


ROUTES = [Route("/tools", listing), Route("/tools/{tool}", tool)]
