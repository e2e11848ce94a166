"""`viox demo`: start everything, play a business day, sum up, check against the vendors' own state."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sandbox
import sandbox.scenarios
from sandbox.scenarios import building, care, clients, hiring, letters, money, owner, sales, telephone, trouble, upkeep
from sandbox.scenarios.story import Part, State, blind
from services.tool_gateway.catalogue.importer import Wish
from shared.business import Business, read_business
from shared.errors import BadInput, Unavailable
from viox import demo_left, deployment, importing, knowledge, lifecycle, model_turns, output
from viox.demo_day import SQL, Conductor, Played

SCENARIOS = Path(sandbox.scenarios.__file__).parent
ENDPOINTS = SCENARIOS / "northwind.openapi.yaml"
BUSINESS = SCENARIOS / "business.yaml"
KNOWLEDGE = Path(sandbox.__file__).parent / "profile" / "knowledge.md"
ENDPOINTS_FOR = ("people-ops", "chief-of-staff")
IMPORT_SECONDS = 120.0
TAKEN_UP_SECONDS = 1.0  # agents are told of a new catalogue at once; they read it in milliseconds
USED = (
    "airtable elevenlabs email hubspot memory n8n office people quickbooks records stripe twilio".split()  # noqa: SIM905
)
FAILED = ("failed", "blocked", "cancelled")


def the_day() -> list[Part]:
    """The parts, as the story tells them."""
    return [
        sales.Sales(),
        telephone.Telephone(),
        money.Money(),
        care.Care(),
        letters.Letters(),
        owner.Request(),
        hiring.Hiring(),
        building.Building(),
        clients.Clients(),
        trouble.TakeOver(),
        trouble.Failures(),
        trouble.Night(),
        upkeep.Contacts(),
        upkeep.Automations(),
        owner.Briefing(),
    ]


def run_demo(
    json_file: Path | None,
    *,
    keep: bool,
    seed: int,
    models: str | None = None,
    model_faults: Path | None = None,
    replicas: str | None = None,
    broker: str | None = None,
) -> int:
    """Exit code 0 when everything is as it should be."""
    running = deployment.state()
    if running:
        _check_running(running, models, replicas, broker)
        output.say("using the stack that runs already")
    mine = running is None
    if running is None:
        running = _start(keep=keep, models=models, model_faults=model_faults, replicas=replicas, broker=broker)
    output.say(lifecycle.models_line(running))
    try:
        output.say(f"northwind: {asyncio.run(_import_endpoints())} of the business's own endpoints are tools")
        asyncio.run(knowledge.add(KNOWLEDGE, "demo", as_json=False))
        summary = asyncio.run(_play(running, seed))
        if mine and keep:
            asyncio.run(demo_left.leave(running))
    finally:
        if mine and not keep:
            lifecycle.down()
    _print(summary)
    if mine and keep:
        demo_left.tell(running)
    if json_file:
        json_file.write_text(json.dumps(summary, indent=2, default=str) + "\n")
    return output.OK if not summary["problems"] else output.ERROR


def _check_running(running: Mapping[str, Any], models: str | None, replicas: str | None, broker: str | None) -> None:
    """Raises BadInput for options that the stack that runs does not have."""
    told = {
        "--models": models not in (None, running.get("models_mode")) and lifecycle.models_line(dict(running)),
        "--replicas": replicas and "its own replicas",
        "--broker": broker not in (None, running.get("broker")) and f"the {running.get('broker')} broker",
    }
    for option, has in told.items():
        if has:
            remedy = "Stop it with `viox down`, or leave the option out."
            raise BadInput("option.invalid", f"the stack that runs has {has}.", field=option, remedy=remedy)


def _start(
    *, keep: bool, models: str | None, model_faults: Path | None, replicas: str | None, broker: str | None
) -> dict[str, Any]:
    if not keep and "VIOX_PORT_BASE" not in os.environ:
        os.environ["VIOX_PORT_BASE"] = "0"
    os.environ.setdefault("VIOX_BUSINESS", str(BUSINESS))
    started = time.monotonic()
    wanted = lifecycle.plan(
        None, replicas, broker or "embedded", foreground=False, models=models, model_faults=model_faults
    )
    running = lifecycle.up(wanted)
    output.say(f"everything is up after {time.monotonic() - started:.1f} s (state in {deployment.home()})")
    return running


async def _import_endpoints() -> int:
    """As `viox tools import` does, and until the agents that may use them have them."""
    made, _ = await importing.store(str(ENDPOINTS), Wish("northwind", ENDPOINTS_FOR), by="demo", replace=True)
    pool = await deployment.pool()
    try:
        deadline = time.monotonic() + IMPORT_SECONDS
        while await pool.fetchval("select count(*) from catalogue where vendor = 'northwind'") < len(made.tools):
            if time.monotonic() > deadline:
                raise Unavailable("catalogue.not_published", "the gateway did not take the endpoints over.")
            await asyncio.sleep(0.1)
    finally:
        await pool.close()
    await asyncio.sleep(TAKEN_UP_SECONDS)
    return len(made.tools)


async def _play(stack: dict[str, Any], seed: int) -> dict[str, Any]:
    business = read_business(deployment.profile("VIOX_BUSINESS"))
    parts = [one for one in the_day() if _fits(one, business)]
    pool = await deployment.pool()
    try:
        began = time.monotonic()
        conductor = Conductor(stack, pool, seed, ZoneInfo(business.time_zone))
        played, state = await conductor.run(parts)
        return await _summary(conductor, played, state, time.monotonic() - began)
    finally:
        await pool.close()


def _fits(part: Part, business: Business) -> bool:
    lacking = [one for one in part.needs if not getattr(business, one)]
    if lacking:
        output.say(f"left out: {part.title}, because the business of this stack has no {' and '.join(lacking)}")
    return not lacking


# -- summing up --------------------------------------------------------------------------------------------------------------


async def _summary(conductor: Conductor, played: Sequence[Played], state: State, seconds: float) -> dict[str, Any]:
    runs, calls = state["record"]["runs"], state["record"]["calls"]
    turns = await model_turns.count(conductor.pool, [one["run_id"] for one in runs])
    checks = [row for one in played for row in _checks(one, state)]
    return {
        "seconds": round(seconds, 2),
        "halts": conductor.halts,
        "parts": {one.part.title: round(one.seconds, 1) for one in played},
        "models": sorted({one["model"] for one in runs if one["model"]}),
        "models_mode": conductor.stack.get("models_mode"),
        "model_turns": turns,
        "events": conductor.published,
        "runs": dict(Counter(f"{one['agent']} {one['status']}" for one in runs)),
        "tool_calls": len(calls),
        "call_states": dict(Counter(one["state"] for one in calls)),
        "latency_ms": _latencies(calls),
        "failures": [{name: one[name] for name in ("call_id", "tool", "error")} for one in calls if one["error"]],
        "waiting": [one for run in runs if run["status"] == "waiting" for one in run["waiting_for"]],
        "checks": checks,
        "problems": [
            *conductor.trouble,
            *(f"{one.part.title}: not seen: {one.trouble}" for one in played if one.trouble),
            *(
                f"{row['part']}: {row['says']}: {row['seen']!r}, not {row['wanted']!r}"
                for row in checks
                if not row["holds"]
            ),
            *(f"{one.part.title}: {told}" for one in played for told in _blind(one, state)),
            *await _of_record(conductor, runs, calls, [*USED, *(name for one in played for name in one.part.uses)]),
            *model_turns.problems(conductor.stack, turns),
        ],
    }


def _checks(one: Played, state: State) -> list[dict[str, Any]]:
    """Those of a part; of one that was not played to its end, that it was not."""
    try:
        found = one.part.checks(state)
    except AttributeError:  # what it would look for has never been
        told = "it was played so far that it can be checked"
        return [{"part": one.part.title, "says": told, "holds": False, "seen": one.trouble, "wanted": None}]
    return [
        {"part": one.part.title, "says": c.says, "holds": c.holds, "seen": c.seen, "wanted": c.wanted} for c in found
    ]


def _blind(one: Played, state: State) -> list[str]:
    return [] if one.trouble else blind(one.part, state)


async def _of_record(conductor: Conductor, runs: Sequence[Any], calls: Sequence[Any], used: Sequence[str]) -> list[str]:
    """What the record must have, whatever the day was; `used` are the vendors that the day has to do with."""
    since = conductor.since
    asked = {one["vendor"] for one in calls if one["state"] == "succeeded"}
    unpaired = await conductor.pool.fetch(*SQL.bind("demo_unpaired", since=since))
    letters = await conductor.pool.fetch(*SQL.bind("demo_dead_letters", since=since))
    return [
        *(
            f"run {one['run_id']} ({one['agent']}) is {one['status']}: {one['text']}"
            for one in runs
            if one["status"] != "finished"
        ),
        *(f"{vendor} was not used" for vendor in used if vendor not in asked),
        *(
            f"call {one['call_id']} is {one['state']}"
            for one in calls
            if one["state"] in ("requested", "executing", "unknown")
        ),
        *(
            f"call {row['call_id']} has {row['intents']} intents and {row['outcomes']} outcomes on record"
            for row in unpaired
        ),
        *(f"dead letter {row['dead_letter_id']}: {row['error']}" for row in letters),
    ]


def _latencies(calls: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    by_tool: dict[str, list[float]] = {}
    for call in calls:
        if call["latency_ms"] is not None:
            by_tool.setdefault(call["tool"], []).append(call["latency_ms"])
    return {
        tool: {"count": len(v), "p50": round(_quantile(v, 0.5), 1), "p99": round(_quantile(v, 0.99), 1)}
        for tool, v in sorted(by_tool.items())
    }


def _quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def _print(summary: dict[str, Any]) -> None:
    say = output.say
    say("\nChecked in the vendors' own state and on record:")
    rows = [(one["part"], "yes" if one["holds"] else "NO", one["says"]) for one in summary["checks"]]
    output.table(["part", "", "check"], rows, empty="nothing")
    say(
        f"\n{summary['events']} events and tasks, {sum(summary['runs'].values())} runs, {summary['tool_calls']} tool calls "
        f"in {summary['seconds']} s; models: {', '.join(summary['models'])}"
    )
    say(model_turns.sentence(summary["model_turns"]))
    output.table(["agent and status", "runs"], sorted(summary["runs"].items()), empty="no runs")
    say(f"\ncalls: {', '.join(f'{n} {state}' for state, n in summary['call_states'].items())}")
    for tool, number in Counter(f"{one['tool']}: {one['error']['message']}" for one in summary["failures"]).items():
        say(f"  {number} x {tool}")
    say(f"waiting: {', '.join(one['id'] for one in summary['waiting']) or 'nothing'}")
    if summary["problems"]:
        say("\nNOT as it should be:")
        for problem in summary["problems"]:
            say(f"  {problem}")
    else:
        say("\nEvery effect is there, once. Each check fails where nothing happened, or all of it twice.")
