"""Now: what waits for somebody, what did not go well, what runs, what the day was so far, whether all is healthy."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.console import shown
from services.console.forms import who
from services.console.views import page
from shared.errors import VioxError
from shared.operations import approvals, cases, conversations, identify, overview, store

LISTED = 8


async def now(request: Request) -> Response:
    console, person = request.app.state.console, who(request)
    pool, reads = console.pool, person.reads
    mark = await overview.pulse(pool)
    midnight = since_midnight(console.zone)
    waiting, _ = await approvals.listed(pool, state="waiting", agent=None, cursor=None, limit=LISTED)
    content = reads or person.approves
    running = await overview.open_runs(pool, LISTED * 2, content=content)
    troubled = await overview.troubled(pool, datetime.now(UTC) - timedelta(hours=24), LISTED, content=reads)
    unknown, _ = await store.calls(
        pool, agent=None, tool=None, state="unknown", since=None, run_id=None, cursor=None, limit=LISTED, failed=False
    )
    counts = await overview.counts(pool)
    day = await overview.day(pool, midnight)
    held = await conversations.held(pool)
    opening = opening_sentence(counts, day, len(troubled), [one for one in running if one["status"] == "running"])
    return await page(
        request,
        "now.html",
        "now",
        "Now",
        live={"of": "", "after": mark},
        opening=opening,
        waiting=[cases.summary(one, content=content) for one in reversed(waiting)],
        running=running,
        troubled=troubled,
        unknown=unknown,
        day=day,
        held=held,
        health=sorted(
            console.health.states.values(), key=lambda one: (one.ready is not False, one.name != "gateway", one.name)
        ),
    )


def since_midnight(zone: ZoneInfo) -> datetime:
    today = datetime.now(zone).date()
    return datetime.combine(today, time(), zone).astimezone(UTC)


def opening_sentence(counts: dict[str, int], day: dict[str, Any], troubled: int, running: list[Any]) -> str:
    """One sentence: what waits, what is unknown, what did not go well, and that the rest ran."""
    parts: list[str] = []
    if waits := counts["approvals"]:
        parts.append(f"{shown.counted(waits)} {'thing waits' if waits == 1 else 'things wait'} for a person")
    if unknown := counts["unknowns"]:
        parts.append(f"{shown.counted(unknown)} {'outcome is' if unknown == 1 else 'outcomes are'} unknown")
    if letters := counts["letters"]:
        parts.append(f"{shown.counted(letters)} {'message' if letters == 1 else 'messages'} could not be handled")
    if troubled:
        parts.append(f"{shown.counted(troubled)} {'run' if troubled == 1 else 'runs'} did not go well")
    if not day["begun"] and not parts:
        return "Nothing has happened yet today."
    rest = f"{shown.plural(len(running), 'run')} under way" if running else "everything else ran"
    if not parts:
        return f"Nothing waits for you; {rest if running else 'everything ran'}."
    text = f"{', '.join(parts)}; {rest}."
    return text[:1].upper() + text[1:]


async def search(request: Request) -> Response:
    """An id goes to its page; anything else is looked for among runs."""
    from urllib.parse import quote

    text, pool = request.query_params.get("q", "").strip(), request.app.state.console.pool
    if text.startswith("apr_"):
        return RedirectResponse(f"/approvals/{quote(text)}", 303)
    for find, path in ((identify.call, "/calls/"), (identify.run, "/runs/")):
        if len(text) >= 8 and ("." in text) == (path == "/calls/"):
            try:
                return RedirectResponse(f"{path}{await find(pool, text)}", 303)
            except VioxError:
                continue
    return RedirectResponse(f"/runs?q={quote(text)}" if text else "/runs", 303)


ROUTES = [Route("/", now), Route("/search", search)]
