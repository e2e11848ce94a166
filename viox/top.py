"""`viox top`: what runs, what waits and why, and what did not go well, drawn again every few seconds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shared.business import read_business
from shared.money import as_written
from shared.operations import approvals, cases, overview, words
from shared.operations.sentences import agent_name
from shared.store.pool import is_transient
from viox import deployment, output

if TYPE_CHECKING:
    from rich.console import RenderableType

LISTED = 12
HOURS = 24  # within which what did not go well is shown


async def watch(every: float) -> int:
    """Draw until Ctrl-C. Where Postgres goes away the last picture stays, and says so."""
    pool = await deployment.pool()
    zone = read_business(deployment.profile("VIOX_BUSINESS")).zone
    seen: dict[str, Any] = {}
    try:
        with Live(screen=True, auto_refresh=False) as live:
            while True:
                try:
                    seen = await snapshot(pool, zone)
                except Exception as error:
                    if not is_transient(error):
                        raise
                    seen = seen | {"problem": "Postgres does not answer; this is what it said last"}
                live.update(picture(seen), refresh=True)
                await asyncio.sleep(every)
    except asyncio.CancelledError:
        return output.OK
    finally:
        await pool.close()


async def once(*, as_json: bool) -> int:
    """One picture, as text or as a document."""
    pool = await deployment.pool()
    try:
        seen = await snapshot(pool, read_business(deployment.profile("VIOX_BUSINESS")).zone)
    finally:
        await pool.close()
    output.emit(seen) if as_json else Console(file=sys.stdout, highlight=False).print(picture(seen))
    return output.OK


async def snapshot(pool: Any, zone: ZoneInfo) -> dict[str, Any]:
    """{at, services, counts, today, waiting, running, troubled}: what is going on at this moment."""
    now = datetime.now(UTC)
    today = datetime.combine(now.astimezone(zone).date(), time(), zone).astimezone(UTC)
    waiting, _ = await approvals.listed(pool, state="waiting", agent=None, cursor=None, limit=LISTED)
    return {
        "at": now.isoformat(timespec="seconds"),
        "services": [
            {name: one[name] for name in ("name", "ready")} for one in (deployment.state() or {}).get("services", [])
        ],
        "counts": await overview.counts(pool),
        "today": await overview.day(pool, today),
        "waiting": [cases.summary(one, content=True) for one in waiting],
        "running": await overview.open_runs(pool, LISTED, content=True),
        "troubled": await overview.troubled(pool, now - timedelta(hours=HOURS), LISTED // 2, content=True),
    }


# -- drawn ---------------------------------------------------------------------------------------------------------------


def picture(seen: Mapping[str, Any]) -> RenderableType:
    """The snapshot for a terminal. What comes from outside is text, and never markup or control characters."""
    if "at" not in seen:
        return Text(str(seen.get("problem", "")))
    now = datetime.fromisoformat(seen["at"])
    parts: list[RenderableType] = [_head(seen)]
    if seen.get("problem"):
        parts.append(Text(seen["problem"], style="bold red"))
    waiting = [(one, one["headline"], f"asked {_span(one['asked_at'], now)} ago") for one in seen["waiting"]]
    running = [(one, one["title"], _how_it_stands(one, now)) for one in seen["running"]]
    troubled = [(one, one["title"], _what_failed(one)) for one in seen["troubled"]]
    return Group(
        *parts,
        _table("Waiting for a person", waiting, "nothing waits"),
        _table("Running", running, "nothing runs"),
        _table(f"Did not go well in {HOURS} hours", troubled, "everything went well"),
    )


def _head(seen: Mapping[str, Any]) -> Text:
    counts, today = seen["counts"], seen["today"]
    down = [one["name"] for one in seen["services"] if not one["ready"]]
    services = f"{', '.join(down)} not ready" if down else "all services ready" if seen["services"] else "no stack here"
    money = ", ".join(as_written(moved, currency) for moved, currency in today["money"]) or "no money"
    head = Text(f"VioX OS  {seen['at'][:19].replace('T', ' ')} UTC  ", style="bold")
    head.append(services, style="bold red" if down else "green")
    head.append(
        f"\nto decide {counts['approvals']}  outcome unknown {counts['unknowns']}  dead letters {counts['letters']}\n"
        f"today: {today['begun']} runs, {today['calls']} calls ({today['failed']} failed), {money} moved, "
        f"{today['tokens']} tokens for ${today['cost_microusd'] / 1e6:.2f}",
        style="not bold",
    )
    return head


def _table(title: str, rows: Iterable[tuple[Mapping[str, Any], str, str]], empty: str) -> Table:
    """Rows of (whose agent it is, what, how it stands)."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, expand=True)
    table.add_column(width=14, no_wrap=True)
    table.add_column(ratio=3, no_wrap=True)
    table.add_column(ratio=2, no_wrap=True)
    drawn = [[_text(agent_name(one["agent"])), _text(what), _text(how)] for one, what, how in rows]
    for row in drawn or [[Text(""), Text(empty, style="dim"), Text("")]]:
        table.add_row(*row)
    return table


def _text(cell: str) -> Text:
    return Text(" ".join(output.harmless(cell).split()), overflow="ellipsis")


def _how_it_stands(run: Mapping[str, Any], now: datetime) -> str:
    return f"{run['status']}, {run['why']}, for {_span(run['started_at'], now)}"


def _what_failed(run: Mapping[str, Any]) -> str:
    calls = [f"{call['tool']} {words.call_state(call)}" for call in run["failures"][:2]]
    return ", ".join(calls) or str(run["why"])


def _span(since: Any, now: datetime) -> str:
    at = since if isinstance(since, datetime) else datetime.fromisoformat(str(since).replace("Z", "+00:00"))
    seconds = max(0, int((now - at).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
