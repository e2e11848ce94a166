"""Which events are echoes of our own calls, where it can be known: Stripe says the idempotency key of the request that
caused an event, and our keys are the ids of calls; other vendors name the thing, and a call of ours has just written it,
or has made it.

A marked event has the extensions `causedbycall` with the call's id and `causedbyagent` with who made it. It is accepted
like any other; the agent that caused it starts no run because of it, unless its subscription asks for such events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from services.tool_gateway.webhooks.accept import SQL
from shared.bus.envelope import Message
from shared.bus.events import CAUSED_BY_AGENT, CAUSED_BY_CALL
from shared.store.pool import Pool
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
WRITTEN_SECONDS = 600.0  # a thing that others write as well: what happens so long after our call is our call's doing
MADE_SECONDS = 86400.0  # a message or call that only we can have made
AHEAD_SECONDS = 60.0  # the vendor's clock, and the time its answer took
BY_PEOPLE = frozenset({"CRM_UI", "IMPORT", "MOBILE_ANDROID", "MOBILE_IOS"})
ID = "$.id ? (@ == $id)"
INVOICE = "$.Invoice.Id ? (@ == $id)"
SID, CALL_SID, CONVERSATION = "$.sid ? (@ == $id)", "$.callSid ? (@ == $id)", "$.conversation_id ? (@ == $id)"
WRITTEN = "$.** ? (@.id == $id)"  # records, tables, fields: one or many
Wanted = dict[str, Any]


class Causes:
    """Looks recent calls up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def marked(self, messages: Sequence[Message], *, polled: bool = False) -> list[Message]:
        """The messages, those that a call of ours caused with their marks. Without Postgres none is: storing will fail next.

        A delivery comes soon after what it tells of; what was found in a list may be old, and its own time counts.
        """
        wanted = [one for place, message in enumerate(messages) for one in _wanted(place, message, polled)]
        if not wanted:
            return list(messages)
        try:
            rows = await self._pool.fetch(*SQL.bind("causing_calls", wanted=wanted, ahead=AHEAD_SECONDS))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            log.warning("webhooks.causes_not_known", error=error)
            rows = []
        return _with_marks(messages, wanted, rows)


def _with_marks(messages: Sequence[Message], wanted: Sequence[Wanted], rows: Iterable[Any]) -> list[Message]:
    """Of several things that one event tells of, all must be ours."""
    needed = {one["place"]: {w["thing"] for w in wanted if w["place"] == one["place"]} for one in wanted}
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["place"], {})[row["thing"]] = row
    made = list(messages)
    for place, things in found.items():
        if things.keys() == needed[place]:
            last = max(things.values(), key=lambda row: (row["closed_at"] is not None, row["closed_at"] or 0))
            marks = {CAUSED_BY_CALL: last["call_id"], CAUSED_BY_AGENT: last["agent"]}
            made[place] = replace(made[place], extensions={**made[place].extensions, **marks})
    return made


def _wanted(place: int, message: Message, polled: bool) -> Iterator[Wanted]:
    vendor = message.type.split(".")[1]
    at = (message.time if polled else datetime.now(UTC)).isoformat()
    common = {"place": place, "vendor": vendor, "at": at, "call_id": None, "path": None, "object_id": None}
    for thing in _things(vendor, message):
        yield common | {"thing": next(str(thing[name]) for name in ("call_id", "object_id") if name in thing), **thing}


def _things(vendor: str, message: Message) -> Iterator[dict[str, Any]]:
    """What to look for: a call's own id, or the id of a thing where the answers of the vendor's calls have it."""
    data = message.data
    match vendor:
        case "stripe":
            request = data.get("request")
            key = request.get("idempotency_key") if isinstance(request, dict) else None
            if isinstance(key, str):
                yield {"call_id": key}
        case "hubspot" if data.get("changeSource") not in BY_PEOPLE:
            yield _written(ID, data.get("objectId"), WRITTEN_SECONDS)
        case "intuit":
            yield _written(INVOICE, data.get("intuitentityid"), WRITTEN_SECONDS) | {"vendor": "quickbooks"}
        case "twilio" if message.type != "com.twilio.message.received":
            sid = data.get("MessageSid") or data.get("CallSid")
            yield _written(SID, sid, MADE_SECONDS)
            if "CallSid" in data:
                yield _written(CALL_SID, sid, MADE_SECONDS) | {"vendor": "elevenlabs"}
        case "elevenlabs":
            said = data.get("data", data)
            yield _written(CONVERSATION, said.get("conversation_id"), MADE_SECONDS)
        case "airtable" if isinstance(data.get("payload"), dict):
            for thing in sorted(changed_in(data["payload"])):
                yield _written(WRITTEN, thing, WRITTEN_SECONDS)


def _written(path: str, thing: Any, seconds: float) -> dict[str, Any]:
    return {"path": path, "object_id": str(thing), "seconds": seconds}


def changed_in(payload: dict[str, Any]) -> set[str]:
    """Ids of what Airtable says has changed. Nothing when a person's hand was in it."""
    action = payload.get("actionMetadata")
    if isinstance(action, dict) and action.get("source") != "publicApi":
        return set()
    found = set(_keys(payload, "createdTablesById")) | set(payload.get("destroyedTableIds") or ())
    for table in (payload.get("changedTablesById") or {}).values():
        for name in ("changedRecordsById", "createdRecordsById", "createdFieldsById", "changedFieldsById"):
            found |= set(_keys(table, name))
        found |= {str(one) for one in table.get("destroyedRecordIds") or ()}
    return found


def _keys(holder: Any, name: str) -> Iterable[str]:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value.keys() if isinstance(value, dict) else ()
