"""Commands of people who decide on calls: approvals, approve, reject, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.bus.messages import approval_document
from shared.errors import BadInput, Conflict, NotFound
from shared.money import as_written
from shared.people import Person
from viox import deployment, output, store, words

MOST_CALLS = 1_000
SHORTEST_ID = 8
SEEN_DIGITS = 8
DEFAULT_DAYS, LONGEST_DAYS = 30, 366
NOTHING = {"waiting": "nothing waits for a person", None: "no approvals yet"}
Deciding = Callable[[Any, Any, Person], Awaitable[str]]


async def show(state: str | None, agent: str | None, cursor: str | None, limit: int, *, as_json: bool) -> None:
    from services.tool_gateway.approvals.decide import SQL

    at, last = store.cursor_of(cursor)
    pool = await deployment.pool()
    try:
        bound = SQL.bind("listed", state=state, agent=agent, before_at=at, before_id=last, limit=limit + 1)
        rows = await pool.fetch(*bound)
    finally:
        await pool.close()
    following = store.next_of(rows[limit - 1], "asked_at", "approval_id") if len(rows) > limit else None
    items = [_document(row) for row in rows[:limit]]
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
    from services.tool_gateway.approvals import decide

    changed, lasting = _arguments(arguments), times is not None or until is not None
    end = _end(until)

    async def agree(connection: Any, row: Any, person: Person) -> str:
        if lasting and row["people"] > 1:
            told = f"{row['people']} people have to agree to each such call."
            raise BadInput("approval.not_repeatable", told, field="--times", remedy="Agree to this one alone.")
        if changed is None:
            _check_seen(row, seen)
        tool = await _tool(row["tool"]) if changed is not None or lasting else None
        came = await decide.approve(connection, row, person, changed, tool)
        if lasting and came == "approved":
            agreed = await _named(connection, row["approval_id"])
            name = await decide.give(connection, agreed, person, tool, times or MOST_CALLS, end)
            output.warn(f"such calls go by {name} from now on; `viox revoke {name}` ends that")
        return came

    await _decide(given, by, agree, as_json=as_json)


def _check_seen(row: Any, seen: str | None) -> None:
    """Who was told of the agent's arguments has not seen those that another person put in their place. Raises Conflict."""
    import orjson

    if row["arguments_sha256"] == row["asked_sha256"] or row["state"] != "waiting":
        return
    if seen is None or len(seen) < SEEN_DIGITS or not row["arguments_sha256"].startswith(seen.lower()):
        raise Conflict(
            "approval.changed",
            f"somebody changed the arguments: {orjson.dumps(row['arguments']).decode()}",
            field="--seen",
            remedy=f"To agree to these, add --seen {row['arguments_sha256'][:SEEN_DIGITS]}.",
        )


async def show_standing(limit: int, *, as_json: bool) -> None:
    """What people have agreed to beforehand."""
    from services.tool_gateway.approvals.decide import SQL

    pool = await deployment.pool()
    try:
        rows = await pool.fetch(*SQL.bind("standing", limit=limit))
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing([_standing_document(row) for row in rows], None))
        return
    table = [
        (
            r["standing_id"],
            r["agent"],
            r["tool"],
            _shape(r),
            r["state"],
            r["left_calls"],
            f"{r['until']:%Y-%m-%d %H:%M}",
            r["given_by"],
        )
        for r in rows
    ]
    output.table(["standing", "agent", "tool", "such calls", "state", "left", "until", "by"], table, empty="none")


async def revoke(given: str, by: str | None, *, as_json: bool) -> None:
    from services.tool_gateway.approvals import decide

    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        await decide.revoke(pool, given, person)
    finally:
        await pool.close()
    output.emit({"standing_id": given, "revoked_by": person.name}) if as_json else output.say(f"{given} is revoked")


async def reject(given: str, reason: str, by: str | None, *, as_json: bool) -> None:
    from services.tool_gateway.approvals import decide

    await _decide(given, by, lambda connection, row, who: decide.reject(connection, row, who, reason), as_json=as_json)


async def answer(given: str, text: str, by: str | None, *, as_json: bool) -> None:
    from services.tool_gateway.approvals import decide

    await _decide(given, by, lambda connection, row, who: decide.answer(connection, row, who, text), as_json=as_json)


def _who(row: Any, by: str | None) -> Person:
    """Who decides: somebody who may, or one of those a question was put to. Raises BadInput."""
    people = deployment.people()
    asked = [one for one in people if one.name in (row["audience"] or ())]
    if by is None and len(asked) == 1:
        return asked[0]
    named = next((one for one in asked if by is not None and one.name.casefold() == by.casefold()), None)
    return named or people.approver(by)


async def _decide(given: str, by: str | None, deciding: Deciding, *, as_json: bool) -> None:
    """Find the approval, have the person decide, and say what came of it."""
    pool = await deployment.pool()
    try:
        row = await _named(pool, given)
        person = _who(row, by)
        came = await deciding(pool, row, person)
        row = await _named(pool, row["approval_id"])
    finally:
        await pool.close()
    document = _document(row)
    if as_json:
        output.emit(document)
    elif came == "counted":
        left = document["people"] - len(document["agreed"])
        output.say(f"{person.name} agrees; {left} more {'person has' if left == 1 else 'people have'} to")
    else:
        output.say(f"{row['tool']} of {row['agent']} is {came} by {', '.join(row['decided_by'])}; its run goes on")


async def _named(pool: Any, given: str) -> Any:
    """The one that waits, or else the only one. Raises NotFound or BadInput."""
    from services.tool_gateway.approvals.decide import SQL

    if len(given.strip()) < SHORTEST_ID:
        told = f"at least {SHORTEST_ID} characters of it are needed."
        raise BadInput("option.invalid", told, field="ID", remedy="See `viox approvals`.")
    rows = await pool.fetch(*SQL.bind("named", text=given.strip().lower()))
    if not rows:
        raise NotFound(
            "approval.not_found", f"nothing begins with {given!r}.", field="ID", remedy="See `viox approvals`."
        )
    exact = [row for row in rows if given in (row["approval_id"], row["call_id"])] or rows
    waiting = [row for row in exact if row["state"] == "waiting"] or exact
    if len({row["call_id"] for row in waiting}) > 1:
        told = ", ".join(row["approval_id"] for row in waiting)
        raise BadInput("option.ambiguous", f"{given!r} may be {told}.", field="ID", remedy="Give more of it.")
    return waiting[0]


def _end(given: str | None) -> datetime:
    """`--until`: RFC 3339, or a span from now. Without it a month from now."""
    asked = store.parse_moment(given, field="--until", ahead=True)
    now = datetime.now(UTC)
    end = asked or now + timedelta(days=DEFAULT_DAYS)
    if not now < end <= now + timedelta(days=LONGEST_DAYS):
        told = f"{given} is over, or more than {LONGEST_DAYS} days away."
        raise BadInput("option.invalid", told, field="--until", remedy="A time to come, or a span such as 7d.")
    return end


def _standing_document(row: Any) -> dict[str, Any]:
    times = {name: row[name].isoformat() if row[name] else None for name in ("until", "given_at", "revoked_at")}
    return dict(row) | times


def _shape(row: Any) -> str:
    parts = [f"to {', '.join(row['counterparties'])}"] if row["counterparties"] else []
    if row["most_minor"] is not None:
        money = as_written(row["most_minor"], row["currency"]) if row["currency"] else str(row["most_minor"])
        parts.append(f"up to {money}")
    return " ".join(parts) or f"exactly {row['arguments_sha256'][:12]}"


async def _tool(name: str) -> Any:
    """The tool as the gateway has it, with its schema."""
    from viox import importing

    found, _, _ = await importing.tools()
    return found.tools.get(name)


def _arguments(given: str | None) -> dict[str, Any] | None:
    import orjson

    if given is None:
        return None
    try:
        found = orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            "option.invalid", f"not JSON: {error}.", field="--args", remedy="All arguments as one object."
        ) from error
    if not isinstance(found, dict):
        raise BadInput("option.invalid", "not a JSON object.", field="--args", remedy="All arguments as one object.")
    return found


def _document(row: Any) -> dict[str, Any]:
    return approval_document(row) | {"agreed": list(row["agreed"])}


def _progress(item: dict[str, Any]) -> str:
    state = words.APPROVAL_STATES[item["state"]]
    if item["state"] == "waiting" and item["people"] > 1:
        return f"{state} ({len(item['agreed'])} of {item['people']} agree)"
    return f"{state} by {', '.join(item['decided_by'])}" if item["decided_by"] else state


def _line(item: dict[str, Any]) -> str:
    import orjson

    if item["question"]:
        choices = f" ({' / '.join(item['choices'])})" if item["choices"] else ""
        to = f" to {', '.join(item['audience'])}" if item["audience"] else ""
        return f"asks{to}: {item['arguments']['question']}{choices}"
    return f"{orjson.dumps(item['arguments']).decode()} ({'; '.join(item['reasons'])})"


def _second(moment: str) -> str:
    return f"{moment[:19]}Z"
