"""Judging a sweep from the outside: what really happened at the vendors against what the record says. Pure after `collect`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Found:
    """Everything the verdict rests on."""

    runs: list[Any]
    calls: list[Any]
    emitted: set[str]
    steps: dict[str, list[tuple[int, str]]]
    """Run → number and kind of its steps, in order."""
    intents: set[str]
    outcomes: set[str]
    incidents: int
    effects: Counter[tuple[str, str]]
    inbox_pending: int
    dead_letters: int
    settled: Counter[str] = field(default_factory=Counter)
    """How calls of unknown outcome were settled."""


async def collect(pool: Any, *effects: list[dict[str, Any]]) -> Found:
    """Read the record and the emulators' effects."""
    steps = await pool.fetch("select run_id, step, kind, body from steps order by run_id, step")
    emitted = {
        f"{row['run_id']}.{row['step']}.{index}"
        for row in steps
        if row["kind"] in ("plan", "model")
        for index, call in enumerate(_json(row["body"])["calls"])
        if call["tool"] != "answer"  # of a question: no call
    }
    numbered: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in steps:
        numbered[str(row["run_id"])].append((row["step"], row["kind"]))
    ledger = await pool.fetch("select call_id, phase, detail from ledger_entries")
    return Found(
        runs=[
            dict(row) | {"waiting_for": _json(row["waiting_for"])}
            for row in await pool.fetch(
                "select run_id, status, trigger_id, conversation_id, waiting_for, text from run_overview"
            )
        ],
        calls=[
            dict(row) | {"arguments": _json(row["arguments"])} for row in await pool.fetch("select * from tool_calls")
        ],
        emitted=emitted,
        steps=numbered,
        intents={row["call_id"] for row in ledger if row["phase"] == "intent"},
        outcomes={row["call_id"] for row in ledger if row["phase"] in ("outcome", "settled")},
        incidents=sum(row["phase"] == "incident" for row in ledger),
        effects=Counter(_effect(e) for vendor in effects for e in vendor),
        inbox_pending=await pool.fetchval("select count(*) from inbox where state = 'pending'"),
        dead_letters=await pool.fetchval("select count(*) from dead_letters"),
        settled=Counter(_settled(_json(row["detail"])) for row in ledger if row["phase"] == "settled"),
    )


def _json(value: Any) -> Any:
    import orjson

    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _settled(detail: dict[str, Any]) -> str:
    """In words: found at the vendor, or proven absent and done then."""
    return "absent, then done" if detail.get("absent") else f"found: {detail.get('state')}"


def _effect(effect: dict[str, Any]) -> tuple[str, str]:
    """(tool, what makes the effect recognisable): every lead of a sweep has its own texts."""
    if effect["operation"] == "send":
        return "twilio_send_message", effect["to"] + effect["body"]
    if effect["operation"] == "deliver":
        return "email_send", "".join(effect["to"]) + effect["subject"]
    if effect["operation"] != "create":
        return "hubspot_update_contact", str(effect.get("id"))
    properties = effect["properties"]
    marks = {"contacts": "email", "deals": "dealname", "notes": "hs_note_body", "tasks": "hs_task_subject"}
    tool = f"hubspot_create_{effect['type'].removesuffix('s')}"
    return tool, str(properties[marks[effect["type"]]])


def _expected(call: dict[str, Any]) -> tuple[str, str]:
    given = call["arguments"]
    if call["tool"] == "twilio_send_message":
        return call["tool"], given["To"] + given["Body"]
    if call["tool"] == "email_send":
        return call["tool"], "".join(given["to"]) + given["subject"]
    marks = {"contact": "email", "deal": "dealname", "note": "hs_note_body", "task": "hs_task_subject"}
    return call["tool"], str(given["properties"][marks[call["tool"].rsplit("_", 1)[1]]])


def problems(found: Found, emails: list[str]) -> list[str]:
    """What a promise says must not be."""
    trouble = []
    if len(found.runs) != len(emails):
        trouble.append(f"{len(emails)} events accepted, {len(found.runs)} runs")
    lost = {
        call["call_id"].split(".")[0]
        for call in found.calls
        if call["state"] in ("failed", "denied") and call["effect"] == "once"
    }
    for run in found.runs:
        said = ("finished", "waiting", "failed") if str(run["run_id"]) in lost else ("finished", "waiting")
        if run["status"] not in said:
            trouble.append(f"run {run['run_id']} is {run['status']}")
        if run["status"] == "waiting" and not run["waiting_for"]:
            trouble.append(f"run {run['run_id']} waits for nothing")
    trouble += step_problems(found)
    if found.inbox_pending:
        trouble.append(f"{found.inbox_pending} messages were accepted and never worked on")
    if found.dead_letters:
        trouble.append(f"{found.dead_letters} messages were set aside, and none was wrong")
    ids = {call["call_id"] for call in found.calls}
    trouble += [f"call {i} was emitted but never arrived" for i in found.emitted - ids]
    trouble += [f"call {i} was never emitted" for i in ids - found.emitted]
    trouble += _effect_problems(found)
    return trouble


def step_problems(found: Found) -> list[str]:
    """A commit that was made twice or lost shows as a second beginning or end, or as a gap."""
    trouble = []
    for run in found.runs:
        steps = found.steps.get(str(run["run_id"]), [])
        numbers, kinds = [number for number, _ in steps], [kind for _, kind in steps]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers)) if numbers else []):
            trouble.append(f"run {run['run_id']} has the steps {numbers}")
        if kinds[:1] != ["trigger"] or kinds.count("trigger") != 1:
            trouble.append(f"run {run['run_id']} does not begin once: {kinds}")
        if run["status"] == "finished" and (kinds[-1:] != ["outcome"] or kinds.count("outcome") != 1):
            trouble.append(f"run {run['run_id']} does not end once: {kinds}")
    return trouble


def _effect_problems(found: Found) -> list[str]:
    trouble = []
    accounted: set[tuple[str, str]] = set()
    listed = {str(one["id"]) for run in found.runs for one in run["waiting_for"]}
    for call in found.calls:
        if call["effect"] != "once":
            continue
        mark = _expected(call)
        accounted.add(mark)
        happened = found.effects[mark]
        allowed = {"succeeded": (1,), "failed": (0,), "denied": (0,), "unknown": (0, 1)}.get(call["state"], (0, 1))
        if happened not in allowed:
            trouble.append(f"call {call['call_id']} {call['tool']} is {call['state']} and happened {happened} times")
        if call["state"] == "unknown" and not call["error"]:
            trouble.append(f"call {call['call_id']} is unknown and does not say why")
        if call["state"] == "unknown" and call["call_id"] not in listed:
            trouble.append(f"call {call['call_id']} is unknown and nobody is told so")
        if happened and call["call_id"] not in found.intents:
            trouble.append(f"call {call['call_id']} happened without an intent on record")
        if call["state"] in ("succeeded", "failed") and call["call_id"] not in found.outcomes:
            trouble.append(f"call {call['call_id']} ended without an outcome on record")
    once = {m for m in found.effects if m[0] != "hubspot_update_contact"}
    trouble += [f"effect {mark} belongs to no call" for mark in once - accounted]
    return trouble


def lines(found: Found) -> list[str]:
    """The figures, for a person."""
    return [
        f"runs: {dict(Counter(r['status'] for r in found.runs))}",
        f"calls: {dict(Counter(c['state'] for c in found.calls))}; more than one attempt: "
        f"{sum(c['attempt'] > 1 for c in found.calls)}; looked up: {sum(c['look_ups'] > 0 for c in found.calls)}",
        f"effects at the vendors: {sum(found.effects.values())}; doubled: "
        f"{sum(n > 1 for m, n in found.effects.items() if m[0] != 'hubspot_update_contact')}",
        f"unknown, settled by look-up: {dict(found.settled)}; still unknown, for a person: "
        f"{sum(c['state'] == 'unknown' for c in found.calls)}",
        f"late outcomes recorded: {found.incidents}; dead letters: {found.dead_letters}; inbox left: {found.inbox_pending}",
    ]
