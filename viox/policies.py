"""`viox policy test`: what would the calls on record have got under other policies? And what `tools check` says of policies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.policy import files, report
from services.tool_gateway.policy.context import NOTHING, Known
from services.tool_gateway.policy.engine import Policies, Ruling
from services.tool_gateway.policy.facts import known_of
from shared.business import Business, read_business
from shared.errors import BadInput
from shared.ids import CallId
from shared.operations import store
from viox import deployment, importing, output

PAGE = 500


@dataclass(frozen=True, slots=True)
class _Call:
    """A call as it was asked for."""

    call_id: CallId
    agent: str
    tool: str
    run_id: Any
    step: int
    thread_id: Any
    conversation_id: str
    arguments: dict[str, Any]
    state: str
    created_at: datetime


async def test(file: Path, since: datetime, *, as_json: bool) -> int:
    """Judge the calls since then under the policies of now, and with `file` added or in the place of its namesake."""
    given = _read(file)
    tools, _, _ = await importing.tools()
    texts = files.texts(_policies_setting())
    insiders = deployment.people().addresses
    business = read_business(deployment.profile("VIOX_BUSINESS"))
    now, then = (Policies(chosen, tools, insiders, business) for chosen in (texts, texts | {file.name: given}))
    pool = await deployment.pool()
    try:
        rows = [row async for row in _judged(pool, tools, now, then, business, since)]
    finally:
        await pool.close()
    changed = [row for row in rows if row["now"] != row["then"]]
    document = {
        "file": file.name,
        "replaces": file.name in texts,
        "calls": len(rows),
        "then": dict(Counter(row["then"]["outcome"] for row in rows)),
        "changed": changed,
    }
    if as_json:
        output.emit(document)
        return output.OK
    verb = "in the place of the one in use" if document["replaces"] else "added"
    output.say(f"{file.name}, {verb}: {len(rows)} calls judged, {len(changed)} would get another answer")
    table = [(r["call_id"], r["agent"], r["tool"], r["state"], _told(r["now"]), _told(r["then"])) for r in changed]
    output.table(["call", "agent", "tool", "was", "now", "then"], table, empty="nothing would change")
    return output.OK


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("option.invalid", f"{file} cannot be read: {error}.", field="FILE") from error


async def _judged(
    pool: Any, tools: Catalogue, now: Policies, then: Policies, business: Business, since: datetime
) -> Any:
    zone, before, last = ZoneInfo(business.time_zone), None, None
    while True:
        found = await pool.fetch(store.SQL["calls_to_judge"], since, before, last, PAGE)
        calls = [_call(row) for row in found if row["tool"] in tools.tools]
        moments = {call.call_id: call.created_at for call in calls}
        facts = [await known_of(pool, policies, tools.tools, calls, moments) for policies in (now, then)]
        for call in calls:
            key, local = (call.agent, call.call_id), call.created_at.astimezone(zone)
            yield {
                "call_id": call.call_id,
                "agent": call.agent,
                "tool": call.tool,
                "state": call.state,
                "now": _ruling(now, call, facts[0].get(key, NOTHING), local),
                "then": _ruling(then, call, facts[1].get(key, NOTHING), local),
            }
        if len(found) < PAGE:
            return
        before, last = found[-1]["created_at"], found[-1]["call_id"]


def _call(row: Any) -> _Call:
    return _Call(**{name: row[name] for name in _Call.__dataclass_fields__})


def _ruling(policies: Policies, call: _Call, known: Known, local: datetime) -> dict[str, Any]:
    """{outcome: allowed, person or denied, rules, people, watched, errors}."""
    ruling: Ruling = policies.judge(call.agent, call.tool, call.call_id, call.arguments, known, local)
    outcome = "denied" if not ruling.allowed else "person" if ruling.people else "allowed"
    return {
        "outcome": outcome,
        "rules": list(ruling.rules) if outcome != "allowed" else [],
        "people": ruling.people,
        "watched": list(ruling.watched),
        "errors": list(ruling.errors),
    }


def _told(ruling: dict[str, Any]) -> str:
    because = ", ".join(ruling["rules"] or ruling["errors"])
    watched = f" (would deny: {', '.join(ruling['watched'])})" if ruling["watched"] else ""
    who = "a person" if ruling["people"] == 1 else f"{ruling['people']} people"
    said = {"allowed": "allowed", "denied": "denied", "person": f"waits for {who}"}[ruling["outcome"]]
    return f"{said}{f' by {because}' if because else ''}{watched}"


def _policies_setting() -> str | None:
    named = deployment.profile("VIOX_POLICIES")
    return str(named) if named else None


def check(tools: Catalogue) -> dict[str, Any]:
    """The policies of this deployment for these tools. Raises BadInput when they do not fit.

    {version, files, may: [{agent, tool, says, permits, forbids}], never_match, always_allow}.
    """
    texts = files.texts(_policies_setting())
    policies = Policies(texts, tools)
    return {
        "version": policies.version,
        "files": sorted(texts),
        "may": [
            {
                "agent": may.agent,
                "tool": may.tool,
                "says": may.says,
                "permits": [rule.id for rule in may.permits],
                "forbids": [rule.id for rule in may.forbids],
            }
            for may in report.who_may(policies, tools)
        ],
        "never_match": [rule.id for rule in report.never_match(policies, tools)],
        "always_allow": [rule.id for rule in report.always_allow(policies)],
    }


def tell(found: dict[str, Any]) -> None:
    """The same for people: one line for each agent and what it may do alike."""
    output.say(f"policies {found['version']} of {len(found['files'])} files fit these tools")
    together: dict[tuple[str, str, str], list[str]] = {}
    for one in found["may"]:
        why = ", ".join(one["forbids"] if one["says"] != "always" else one["permits"])
        together.setdefault((one["agent"], one["says"], why), []).append(one["tool"])
    rows = [(agent, says, why or "no permit", ", ".join(tools)) for (agent, says, why), tools in together.items()]
    output.table(["agent", "may", "because of", "tools"], rows, empty="nobody is granted anything")
    for name, means in (("never_match", "can never match anything granted"), ("always_allow", "allows everything")):
        for rule in found[name]:
            output.say(f"warning: {rule} {means}")
