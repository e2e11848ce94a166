"""Commands of people who decide on calls: approvals, approve, reject, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from shared.operations import approvals, decisions, words
from shared.people import Person
from viox import deployment, output

NOTHING = {"waiting": "nothing waits for a person", None: "no approvals yet"}
Deciding = Callable[[Any, Any, Person], Awaitable[str]]


async def show(state: str | None, agent: str | None, cursor: str | None, limit: int, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        items, following = await approvals.listed(pool, state=state, agent=agent, cursor=cursor, limit=limit)
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing(items, following))
        return
    table = [(i["approval_id"], i["agent"], i["tool"], _progress(i), _second(i["expires_at"]), _line(i)) for i in items]
    empty = NOTHING.get(state, f"no approval is {state}")
    output.table(["approval", "agent", "tool", "state", "until", "what and why"], table, empty=empty)
    output.more(following)


async def approve(
    given: str,
    arguments: str | None,
    times: int | None,
    until: str | None,
    seen: str | None,
    by: str | None,
    *,
    as_json: bool,
) -> None:
    """Agree to a call; with `times` or `until` also to such calls that come."""
    end = approvals.end(until) if until is not None else None
    agreement = approvals.Agreement(approvals.arguments(arguments), seen, times, end)

    async def agree(pool: Any, row: Any, person: Person) -> str:
        came, standing = await approvals.approve(pool, row, person, agreement, _look_up)
        if standing:
            output.warn(f"such calls go by {standing} from now on; `viox revoke {standing}` ends that")
        return came

    await _decide(given, by, agree, as_json=as_json)


async def show_standing(limit: int, *, as_json: bool) -> None:
    """What people have agreed to beforehand."""
    pool = await deployment.pool()
    try:
        items = await approvals.standing(pool, limit)
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing(items, None))
        return
    table = [
        (
            i["standing_id"],
            i["agent"],
            i["tool"],
            approvals.shape(i),
            i["state"],
            i["left_calls"],
            i["until"][:16].replace("T", " "),
            i["given_by"],
        )
        for i in items
    ]
    output.table(["standing", "agent", "tool", "such calls", "state", "left", "until", "by"], table, empty="none")


async def revoke(given: str, by: str | None, *, as_json: bool) -> None:
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        await decisions.revoke(pool, given, person)
    finally:
        await pool.close()
    output.emit({"standing_id": given, "revoked_by": person.name}) if as_json else output.say(f"{given} is revoked")


async def reject(given: str, reason: str, by: str | None, *, as_json: bool) -> None:
    await _decide(given, by, lambda pool, row, who: decisions.reject(pool, row, who, reason), as_json=as_json)


async def answer(given: str, text: str, by: str | None, *, as_json: bool) -> None:
    await _decide(given, by, lambda pool, row, who: decisions.answer(pool, row, who, text), as_json=as_json)


async def _decide(given: str, by: str | None, deciding: Deciding, *, as_json: bool) -> None:
    """Find the approval, have the person decide, and say what came of it."""
    pool = await deployment.pool()
    try:
        row = await approvals.named(pool, given)
        person = approvals.decider(deployment.people(), row, by)
        came = await deciding(pool, row, person)
        row = await approvals.named(pool, row["approval_id"])
    finally:
        await pool.close()
    document = approvals.document(row)
    if as_json:
        output.emit(document)
    elif came == "counted":
        left = document["people"] - len(document["agreed"])
        output.say(f"{person.name} agrees; {left} more {'person has' if left == 1 else 'people have'} to")
    else:
        output.say(f"{row['tool']} of {row['agent']} is {came} by {', '.join(row['decided_by'])}; its run goes on")


async def _look_up(
    name: str, arguments: Mapping[str, Any], digest: str
) -> tuple[decisions.Tool | None, decisions.Shape | None]:
    """The tool as the gateway has it, with its schema, and the shape of a call with these arguments."""
    from services.tool_gateway.approvals.standing import shape_of
    from viox import importing

    found, _, _ = await importing.tools()
    tool = found.tools.get(name)
    return tool, shape_of(tool, dict(arguments), digest) if tool else None


def _progress(item: dict[str, Any]) -> str:
    state = words.APPROVAL_STATES[item["state"]]
    if item["state"] == "waiting" and item["people"] > 1:
        return f"{state} ({len(item['agreed'])} of {item['people']} agree)"
    return f"{state} by {', '.join(item['decided_by'])}" if item["decided_by"] else state


def _line(item: dict[str, Any]) -> str:
    if item["question"]:
        choices = f" ({' / '.join(item['choices'])})" if item["choices"] else ""
        to = f" to {', '.join(item['audience'])}" if item["audience"] else ""
        return f"asks{to}: {item['arguments']['question']}{choices}"
    return f"{orjson.dumps(item['arguments']).decode()} ({'; '.join(item['reasons'])})"


def _second(moment: str) -> str:
    return f"{moment[:19]}Z"
