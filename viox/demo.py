"""`viox demo`: start everything, publish a morning's events, watch, sum up, check against the vendors' own state."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sandbox
import sandbox.scenarios
from sandbox.scenarios.morning import OPERATOR_CALLS, Morning, a_week_later, morning, problems
from services.tool_gateway.catalogue.importer import Wish
from shared.bus import topics
from shared.bus.envelope import Message, parse_json
from shared.bus.events import event_type
from shared.bus.kafka import Producer
from shared.errors import BadInput, Unavailable
from shared.operations import store
from shared.settings import Settings
from viox import clock, demo_owner, deployment, importing, ingress, knowledge, lifecycle, model_turns, output
from viox.demo_owner import Owner
from viox.demo_payment import Payment

DEADLINE_SECONDS = 120.0
OPEN_STATES = ("running", "waiting")
SETTLES_SECONDS = 3.0  # timers that are due now begin runs
TAKEN_UP_SECONDS = 1.0  # agents are told of a new catalogue at once; they read it in milliseconds
CHECKED = ("hubspot", "twilio", "airtable", "mail", "n8n")
ENDPOINTS = Path(sandbox.scenarios.__file__).with_name("northwind.openapi.yaml")
KNOWLEDGE = Path(sandbox.__file__).parent / "profile" / "knowledge.md"
ENDPOINTS_FOR = ("people-ops", "chief-of-staff")
USED = ("airtable", "email", "hubspot", "n8n", "northwind", "quickbooks", "records", "stripe", "twilio")


def run_demo(
    json_file: Path | None, *, keep: bool, seed: int, models: str | None = None, model_faults: Path | None = None
) -> int:
    """Exit code 0 when everything is as it should be."""
    running = deployment.state()
    if running and models not in (None, running.get("models_mode")):
        raise BadInput(
            "option.invalid",
            f"the stack that runs has {lifecycle.models_line(running)}.",
            field="--models",
            remedy="Stop it with `viox down`, or leave the option out.",
        )
    if running is None:
        if not keep and "VIOX_PORT_BASE" not in os.environ:
            os.environ["VIOX_PORT_BASE"] = "0"
        started = time.monotonic()
        wanted = lifecycle.plan(None, None, "embedded", foreground=False, models=models, model_faults=model_faults)
        running = lifecycle.up(wanted)
        output.say(f"everything is up after {time.monotonic() - started:.1f} s (state in {deployment.home()})")
        mine = True
    else:
        output.say("using the stack that runs already")
        mine = False
    output.say(lifecycle.models_line(running))
    try:
        output.say(f"northwind: {asyncio.run(_import_endpoints(running))} of the business's own endpoints are tools")
        asyncio.run(knowledge.add(KNOWLEDGE, "demo", as_json=False))
        plan = replace(morning(seed, running["vendors"]), answer=demo_owner.ANSWER)
        summary = asyncio.run(_Demo(running, plan).run())
    finally:
        if mine and not keep:
            lifecycle.down()
    _print(summary)
    if json_file:
        json_file.write_text(json.dumps(summary, indent=2) + "\n")
    return output.OK if not summary["problems"] else output.ERROR


async def _import_endpoints(stack: dict[str, Any]) -> int:
    """As `viox tools import` does, and until the agents that may use them have them."""
    made, _ = await importing.store(str(ENDPOINTS), Wish("northwind", ENDPOINTS_FOR), by="demo", replace=True)
    pool = await deployment.pool()
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while await pool.fetchval("select count(*) from catalogue where vendor = 'northwind'") < len(made.tools):
            if time.monotonic() > deadline:
                raise Unavailable("catalogue.not_published", "the gateway did not take the endpoints over.")
            await asyncio.sleep(0.1)
    finally:
        await pool.close()
    await asyncio.sleep(TAKEN_UP_SECONDS)
    return len(made.tools)


class _Demo:
    def __init__(self, stack: dict[str, Any], plan: Morning) -> None:
        self._stack = stack
        self._plan = plan
        self._told: dict[str, str] = {}
        self._messages: list[Message] = []

    async def run(self) -> dict[str, Any]:
        pool = await deployment.pool()
        try:
            began = time.monotonic()
            self._owner = Owner(pool, await pool.fetchval("select clock_timestamp()"))
            await self._publish([parse_json(e) for e in self._plan.events])
            await self._until(pool, len(self._plan.events), written_to=set(self._plan.answers))
            await self._publish([parse_json(e) for e in self._plan.replies()])
            await self._until(pool, len(self._messages))
            await self._later(pool, "10m")
            self._payment = Payment(self._stack, pool, lambda: _vendor(self._stack, "twilio", "state")["messages"])
            await self._payment.run()
            self._messages += self._payment.messages
            self._trouble = problems(self._plan, self._vendors())
            await self._later(pool, "7d")
            self._trouble += a_week_later(self._plan, self._vendors())
            return await self._summary(pool, time.monotonic() - began)
        finally:
            await pool.close()

    async def _later(self, pool: Any, span: str) -> None:
        """Move the clock, and wait until what was put off until then is done."""
        output.say(f"  $ viox clock advance {span}")
        await clock.advance(span, as_json=False)
        await asyncio.sleep(SETTLES_SECONDS)
        await self._until(pool, len(self._messages))

    def _vendors(self) -> dict[str, Any]:
        return {name: _vendor(self._stack, name, "state") for name in CHECKED}

    async def _publish(self, messages: Sequence[Message]) -> None:
        """Every other event through `viox publish`'s door, the rest straight onto Kafka, as upstream systems do."""
        self._messages.extend(messages)
        await ingress.publish(messages[::2], None)
        await self._straight_to_kafka(messages[1::2])
        for message in messages:
            output.say(f"  event    {message.type}")

    async def _straight_to_kafka(self, messages: Sequence[Message]) -> None:
        if not self._stack["kafka_settings"]:
            await ingress.publish(messages, None)
            return
        settings = deployment.kafka_settings(topics.UPSTREAM)
        names = {name.removeprefix("VIOX_").lower(): value for name, value in settings.items()}
        producer = Producer(Settings.load(**names), "upstream")
        connecting = asyncio.create_task(producer.run())
        try:
            for number, message in enumerate(messages):
                key, value, headers = message.to_kafka(structured=number % 2 == 0)
                topic = event_type(message.type).topic
                while True:
                    try:
                        await (await producer.send(topic, key, value, headers))
                        break
                    except Exception:  # noqa: BLE001  # not connected yet
                        await asyncio.sleep(0.05)
        finally:
            await producer.stop()
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    async def _until(self, pool: Any, wanted: int, written_to: set[str] | None = None) -> None:
        """Until all runs ended, or, with phone numbers, until each of them has been written to."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            runs = await self._runs(pool)
            self._tell(runs)
            await self._owner.decide()
            if written_to:
                sent = {m["to"] for m in _vendor(self._stack, "twilio", "state")["messages"]}
                if written_to <= sent:
                    return
            elif len(runs) >= wanted and await self._owner.all_ended():
                return
            await asyncio.sleep(0.2)

    def _tell(self, runs: Sequence[dict[str, Any]]) -> None:
        for run in runs:
            if self._told.get(run["run_id"]) == run["status"]:
                continue
            self._told[run["run_id"]] = run["status"]
            if run["status"] not in OPEN_STATES:
                output.say(f"  {run['status']:<8} {run['agent']:<14} {run['tool_calls']:>2} calls  {run['text'] or ''}")

    async def _runs(self, pool: Any) -> list[dict[str, Any]]:
        ids = [m.id for m in self._messages]
        rows = await pool.fetch("select run_id from runs where trigger_id = any($1::text[])", ids)
        return [await store.run(pool, row["run_id"]) for row in rows]

    async def _summary(self, pool: Any, seconds: float) -> dict[str, Any]:
        runs = await self._runs(pool)
        ids = [r["run_id"] for r in runs]
        calls = [
            store.call_document(r)
            for r in await pool.fetch("select * from tool_calls where run_id = any($1::uuid[])", ids)
        ]
        ledger = await pool.fetch(_UNPAIRED, ids)
        asked = {row["vendor"] for row in await pool.fetch(_ASKED, ids)}
        turns = await model_turns.count(pool, ids)
        trouble = [
            *self._run_problems(runs, calls),
            *await self._payment.problems(),
            *model_turns.problems(self._stack, turns),
            *self._trouble,
            *(f"{vendor} was not used" for vendor in USED if vendor not in asked),
            *(
                f"call {row['call_id']} has {row['intents']} intents and {row['outcomes']} outcomes on record"
                for row in ledger
            ),
        ]
        return {
            "seconds": round(seconds, 2),
            "models": sorted({r["model"] for r in runs if r["model"]}),
            "models_mode": self._stack.get("models_mode"),
            "model_turns": turns,
            "events": len(self._messages),
            "runs": dict(Counter(f"{r['agent']} {r['status']}" for r in runs)),
            "tool_calls": len(calls),
            "call_states": dict(Counter(c["state"] for c in calls)),
            "latency_ms": _latencies(calls),
            "failures": [
                {"call_id": c["call_id"], "tool": c["tool"], "error": c["error"]} for c in calls if c["error"]
            ],
            "waiting": [w for r in runs for w in r["waiting_for"]],
            "read_on": self._payment.told().splitlines(),
            "problems": trouble,
        }

    def _run_problems(self, runs: Sequence[dict[str, Any]], calls: Sequence[dict[str, Any]]) -> list[str]:
        trouble = [f"run {r['run_id']} ({r['agent']}) is {r['status']}" for r in runs if r["status"] != "finished"]
        if len(runs) != len(self._messages):
            trouble.append(f"{len(self._messages)} events made {len(runs)} runs")
        operator = [r for r in runs if r["trigger"]["type"] == "viox.client.signed"]
        made = sum(c["run_id"] == operator[0]["run_id"] for c in calls) if operator else 0
        if made != OPERATOR_CALLS:
            trouble.append(f"the client's base took {made} calls instead of {OPERATOR_CALLS}")
        emails = {f"lead:{lead['email']}" for lead in self._plan.leads}
        replies = [r for r in runs if r["trigger"]["type"] == "com.twilio.message.received" and r["agent"] == "closer"]
        if len(replies) != len(self._plan.answers) or any(r["conversation_id"] not in emails for r in replies):
            trouble.append("an answer by text message did not continue its lead's conversation")
        return trouble


_ASKED = "select distinct vendor from tool_calls where run_id = any($1::uuid[]) and state = 'succeeded'"
_UNPAIRED = """
select c.call_id, count(*) filter (where l.phase = 'intent') as intents, count(*) filter (where l.phase = 'outcome') as outcomes
from tool_calls c left join ledger_entries l using (call_id) where c.run_id = any($1::uuid[]) and c.state in ('succeeded', 'failed') and c.attempt > 0
group by c.call_id
having count(*) filter (where l.phase = 'intent') = 0 or count(*) filter (where l.phase = 'outcome') = 0
"""


def _vendor(stack: dict[str, Any], name: str, what: str) -> Any:
    with urllib.request.urlopen(f"{stack['vendors'][name]}/_sandbox/{what}", timeout=5) as answer:  # noqa: S310  # loopback
        return json.load(answer)


def _latencies(calls: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
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
    say(
        f"\n{summary['events']} events, {sum(summary['runs'].values())} runs, {summary['tool_calls']} tool calls "
        f"in {summary['seconds']} s; models: {', '.join(summary['models'])}"
    )
    say(model_turns.sentence(summary["model_turns"]))
    output.table(["agent and status", "runs"], sorted(summary["runs"].items()), empty="no runs")
    say()
    rows = [(tool, v["count"], v["p50"], v["p99"]) for tool, v in summary["latency_ms"].items()]
    output.table(["tool", "calls", "p50 ms", "p99 ms"], rows, empty="no calls")
    say(f"\ncalls: {', '.join(f'{n} {state}' for state, n in summary['call_states'].items())}")
    for failure in summary["failures"]:
        say(f"  failed: {failure['tool']} {failure['error']['message']}")
    say(f"waiting: {', '.join(w['id'] for w in summary['waiting']) or 'nothing'}")
    for line in summary["read_on"]:
        say(line)
    if summary["problems"]:
        say("\nNOT as it should be:")
        for problem in summary["problems"]:
            say(f"  {problem}")
    else:
        say("\nChecked against the vendors' own state: every effect is there, once.")
