"""What is going on: counts, the day's figures, runs with what they are about and why they stand as they do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from shared.bus.envelope import headers_from_json, parse_record
from shared.bus.topics import AGENTS
from shared.errors import VioxError
from shared.operations import paging, store, titles, words
from shared.operations.sentences import doing, vendor_name
from shared.runs import run_document
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
_HEX = re.compile(r"[0-9a-f]{1,32}")
FIRST_STRETCH, LONGEST_STRETCH = timedelta(days=1), timedelta(days=3_650)
AMONG = 2_000  # of the last things learned
NO_TEXT = "\\\\"  # a pattern of one backslash: who may not read texts finds runs by their ids only


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What a listing of runs is cut down to."""

    agent: str | None = None
    status: str | None = None
    type: str | None = None
    text: str | None = None
    since: datetime | None = None
    failed: bool = False


async def counts(pool: Any) -> dict[str, int]:
    """How much waits for somebody: approvals, unknowns, dead letters."""
    return dict(await pool.fetchrow(SQL["counts"]))


async def pulse(pool: Any, run: UUID | None = None) -> str:
    """A mark that changes when what a page shows did: of everything, or of one run."""
    found = await (pool.fetchval(SQL["pulse_of_run"], run) if run else pool.fetchval(SQL["pulse"]))
    return str(found or "")


async def day(pool: Any, since: datetime) -> dict[str, Any]:
    """What was done since a moment, what it cost, and what money moved today."""
    figures = dict(await pool.fetchrow(*SQL.bind("day", since=since)))
    moved = await pool.fetch(SQL["money"], since)
    return figures | {"money": [(row["moved"], row["currency"]) for row in moved]}


async def runs(
    pool: Any, wanted: RunFilter, cursor: str | None, limit: int, *, content: bool
) -> tuple[list[dict[str, Any]], str | None]:
    """Runs, newest first, each with `title` and `why`. Without `content` no text is searched in but ids."""
    at, last = paging.cursor_of(cursor, UUID)
    text = wanted.text.strip() if wanted.text and wanted.text.strip() else None
    given: dict[str, Any] = {"agent": wanted.agent, "status": wanted.status, "type": wanted.type, "since": wanted.since}
    given |= {"at": at, "last": last, "limit": limit + 1}
    if text is not None:
        low, high = _ids(text)
        pattern = _pattern(text) if content else NO_TEXT
        bound = SQL.bind("runs_by_text", **given, failed=wanted.failed, text=pattern, low=low, high=high)
        rows = await pool.fetch(*bound)
    elif wanted.failed:
        rows = await _failed(pool, given)
    else:
        rows = await pool.fetch(*SQL.bind("runs", **given))
    following = paging.next_of(rows[limit - 1], "started_at", "run_id") if len(rows) > limit else None
    return await told(pool, rows[:limit], content=content), following


async def _failed(pool: Any, given: dict[str, Any]) -> list[Any]:
    """Runs that did not go well, newest first. They are looked for backwards in stretches of time, each longer than the one
    before: whether a run went well takes a look at all its calls, and is worked out for no more runs than are shown."""
    wanted, found = dict(given), list[Any]()
    limit, status, span = wanted.pop("limit"), wanted.pop("status"), FIRST_STRETCH
    begin = wanted["at"] or datetime.now(UTC)
    oldest = wanted["since"] or begin - LONGEST_STRETCH
    while len(found) < limit:
        start = max(begin - span, oldest)
        bound = SQL.bind("may_have_failed", **wanted, limit=limit, **{"from": start})
        rows = await pool.fetch(*bound)
        if rows:
            wanted |= {"at": rows[-1]["started_at"], "last": rows[-1]["run_id"]}
            found += await pool.fetch(*SQL.bind("failed_of", runs=[row["run_id"] for row in rows], status=status))
        if len(rows) < limit:
            if start == oldest:
                break
            span *= 4
    return found[:limit]


def _ids(text: str) -> tuple[UUID | None, UUID | None]:
    """The first and the last id that begin so; None where none can."""
    digits = text.lower().replace("-", "")
    if not _HEX.fullmatch(digits):
        return None, None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _pattern(text: str | None) -> str | None:
    """For ILIKE: the text anywhere."""
    if text is None:
        return None
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


async def open_runs(pool: Any, limit: int, *, content: bool) -> list[dict[str, Any]]:
    """What runs or waits now."""
    return await told(pool, await pool.fetch(*SQL.bind("open_runs", limit=limit)), content=content)


async def troubled(pool: Any, since: datetime, limit: int, *, content: bool) -> list[dict[str, Any]]:
    """Runs since a moment that did not go well, each with the calls that failed."""
    given = {"agent": None, "status": None, "type": None, "since": since, "at": None, "last": None, "limit": limit}
    found = await told(pool, await _failed(pool, given), content=content)
    rows = await pool.fetch(SQL["failed_calls"], [UUID(one["run_id"]) for one in found])
    by_run: dict[str, list[Any]] = {}
    for row in rows:
        by_run.setdefault(str(row["run_id"]), []).append(row)
    return [one | {"failures": by_run.get(one["run_id"], [])} for one in found]


async def told(pool: Any, rows: Sequence[Any], *, content: bool) -> list[dict[str, Any]]:
    """Runs with what each is about and, of those that are open, what they wait for."""
    ids = [row["run_id"] for row in rows]
    begun = await _begun(pool, ids) if content else {}
    still = [row["run_id"] for row in rows if row["status"] in ("running", "waiting")]
    under_way = await _under_way(pool, still) if still else {}
    return [
        run_document(row)
        | {
            "title": titles.title(row["trigger_type"], begun.get(row["run_id"]), content=content),
            "why": why(row, under_way.get(row["run_id"], [])),
        }
        for row in rows
    ]


async def _begun(pool: Any, runs_: Iterable[UUID]) -> dict[UUID, Any]:
    found: dict[UUID, Any] = {}
    for row in await pool.fetch(SQL["begun_by"], list(runs_)):
        if row["value"] is None:
            continue
        try:
            found[row["run_id"]] = parse_record(row["value"], headers_from_json(row["headers"])).data
        except VioxError:  # what cannot be read became no run, or another's
            continue
    return found


async def _under_way(pool: Any, runs_: list[UUID]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {}
    for row in await pool.fetch(SQL["open_calls"], runs_):
        found.setdefault(row["run_id"], []).append(row)
    return found


def why(run: Mapping[str, Any], under_way: Sequence[Mapping[str, Any]]) -> str:
    """Why a run stands as it does, in a few words."""
    if run["merged_into"]:
        return "joined a run of its conversation"
    if run["waiting_for"]:
        kinds = {
            "approval": "a person's approval",
            "unknown": f"a call with {words.UNKNOWN}",
            "paused": "the end of a pause",
            "person": "whoever has the conversation",
            "budget": "more of a budget",
            "timer": "a timer",
            "task": "a colleague's answer",
        }
        named = dict.fromkeys(kinds.get(one["kind"], one["kind"]) for one in run["waiting_for"])
        return ", ".join(named)
    if under_way:
        last = under_way[-1]
        if last["not_before"] and last["attempt"]:
            return f"{vendor_name(last['vendor'])}, retry {last['attempt']}"
        deed = doing(last["tool"], last["vendor"]).base
        return f"{deed}{f', {len(under_way)} calls' if len(under_way) > 1 else ''}"
    if run["status"] == "running":
        return "thinking"
    if run["failed_calls"]:
        return f"{run['failed_calls']} of {run['tool_calls']} calls failed"
    error = run["error"] or {}
    return str(error.get("code") or "") if run["status"] in ("failed", "blocked") else ""


async def story_of(pool: Any, run: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """(steps, calls) of a run, with those of the run that it joined."""
    return await store.story(pool, UUID(run["run_id"]), run["agent"])


async def title(pool: Any, run: dict[str, Any], *, content: bool) -> str:
    begun = await _begun(pool, [UUID(run["run_id"])]) if content else {}
    return titles.title(run["trigger"]["type"], begun.get(UUID(run["run_id"])), content=content)


async def last_alike(pool: Any, call: Mapping[str, Any]) -> Any:
    """The agent's call of this tool before this one, or None."""
    at = datetime.fromisoformat(str(call["created_at"]).replace("Z", "+00:00"))
    return await pool.fetchrow(SQL["last_alike"], call["tool"], call["agent"], at, call["call_id"])


async def agents(pool: Any, since: datetime) -> dict[str, dict[str, Any]]:
    """Where each agent stands, what it spent, and its model."""
    models = await models_of(pool)
    rows = await pool.fetch(*SQL.bind("agents", since=since))
    return {row["agent"]: dict(row) | {"model": models.get(row["agent"])} for row in rows}


async def models_of(pool: Any) -> dict[str, str]:
    """With which model each agent's last turns were answered."""
    rows = await pool.fetch(*SQL.bind("model_of", agents=list(AGENTS)))
    return {row["agent"]: row["model"] for row in rows}


async def standing_at(pool: Any, agent: str) -> dict[str, list[str]]:
    """node → the open runs of an agent that stand there."""
    found: dict[str, list[str]] = {}
    for row in await pool.fetch(SQL["standing_at"], agent):
        found.setdefault(row["node"] or "", []).append(str(row["run_id"]))
    return found


async def tool_use(pool: Any, tools: Sequence[str], since: datetime) -> dict[str, dict[str, Any]]:
    """How calls of these tools went that began since a moment and are over."""
    rows = await pool.fetch(*SQL.bind("tool_use", tools=list(tools), since=since))
    return {row["tool"]: dict(row) for row in rows}


async def calls_of_tool(
    pool: Any, tool: str, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Calls of one tool, newest first."""
    at, last = paging.cursor_of(cursor, str)
    rows = await pool.fetch(*SQL.bind("calls_of_tool", tool=tool, at=at, last=last, limit=limit + 1))
    following = paging.next_of(rows[limit - 1], "created_at", "call_id") if len(rows) > limit else None
    return [store.call_document(row) for row in rows[:limit]], following


async def tool_errors(pool: Any, tool: str, since: datetime) -> list[Any]:
    return list(await pool.fetch(SQL["tool_errors"], tool, since))


async def entities(pool: Any, text: str | None, limit: int) -> list[dict[str, Any]]:
    """About whom or what something is remembered."""
    if text:
        rows = await pool.fetch(*SQL.bind("entities_like", text=_pattern(text), limit=limit))
    else:
        rows = await pool.fetch(*SQL.bind("entities", among=AMONG, limit=limit))
    return [dict(row) for row in rows]


async def briefings(pool: Any, limit: int) -> list[dict[str, Any]]:
    return [run_document(row) for row in await pool.fetch(*SQL.bind("briefings", limit=limit))]


async def letters(
    pool: Any,
    *,
    state: str | None,
    service: str | None,
    code: str | None,
    topic: str | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """Dead letters of a filter, newest first."""
    at, last = paging.cursor_of(cursor, UUID)
    bound = SQL.bind("letters", state=state, service=service, code=code, topic=topic, at=at, last=last, limit=limit + 1)
    rows = await pool.fetch(*bound)
    following = paging.next_of(rows[limit - 1], "created_at", "dead_letter_id") if len(rows) > limit else None
    return [dict(row) for row in rows[:limit]], following


async def look_ups(pool: Any, calls: Sequence[str]) -> dict[str, list[Any]]:
    """What look-ups and late answers said of calls."""
    found: dict[str, list[Any]] = {}
    for row in await pool.fetch(SQL["look_ups"], list(calls)):
        found.setdefault(row["call_id"], []).append(row)
    return found
