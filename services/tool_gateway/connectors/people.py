"""Messages to the business's own people. An agent says whom by name or role; the address is looked up here and told to nobody.

What is sent is a call of the gateway itself, as notices of approvals are: on record, at its rate, looked up at the vendor when
its outcome is unknown. It is stored in one transaction, and a repeat finds it there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.paths import filled
from services.tool_gateway.approvals import letters
from services.tool_gateway.approvals.letters import About
from services.tool_gateway.approvals.notices import LONGEST_TEXT, WAYS, Letter
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, MaybeSent, NotSent
from shared.people import People, Person
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
OF_USE = timedelta(hours=24)  # a briefing that could not be sent for a day is none
OWNER = "owner"
_LINE_BREAKS = re.compile(r"\s*[\r\n]+\s*")


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    """What is told, for which call."""
    return Prepared("TELL", "people:/person_tell", [], orjson.dumps(dict(arguments) | {"call_id": key}))


class Messenger:
    """Writes to people. `hide` takes secrets out of a text."""

    def __init__(self, store: GatewayStore, tools: Catalogue, people: People, hide: Callable[[str], str]) -> None:
        self._store = store
        self._tools = tools
        self._people = people
        self._hide = hide

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer:
        """Raises NotSent when nobody is meant or reached, MaybeSent when Postgres did not say how it ended."""
        given = orjson.loads(prepared.body)
        person = self._meant(given.get("to") or OWNER)
        way, letter = self._letter(person, given)
        await gate()
        try:
            async with self._store.transaction() as connection, connection.transaction():
                call = await self._stored(connection, given["call_id"], person, letter)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise MaybeSent("postgres.no_answer", f"{type(error).__name__}: {error}.") from error
        told = {"told": person.name, "by": way, "call_id": call}
        return Answer(200, [("content-type", "application/json")], orjson.dumps(told))

    def _meant(self, to: str) -> Person:
        named = next((one for one in self._people if one.name.casefold() == to.casefold()), None)
        found = named or next((one for one in self._people if to.casefold() in one.roles), None)
        if found is None:
            raise _refused("person.unknown", f"nobody is called {to!r} or has that role.", "Name them in VIOX_PEOPLE.")
        return found

    def _letter(self, person: Person, given: Mapping[str, Any]) -> tuple[str, Letter]:
        first = given.get("by") or "email"
        for way in sorted(WAYS, key=lambda one: one != first):
            if address := getattr(person, way):
                text = given["text"] if way == "email" else (given.get("short") or given["text"])[:LONGEST_TEXT]
                values = {"subject": _LINE_BREAKS.sub(" ", given["subject"]), "text": text}
                shown = {name: self._hide(value) for name, value in values.items()}
                return way, Letter(WAYS[way]["tool"], filled(WAYS[way]["arguments"], shown | {"address": address}))
        raise _refused(
            "person.unreachable", f"{person.name} has neither sms nor email.", "Give them one in VIOX_PEOPLE."
        )

    async def _stored(self, connection: Any, call_id: str, person: Person, letter: Letter) -> str:
        """The call that tells them: the one that is there for this call, or a new one."""
        run, conversation = call_id.rsplit(".", 2)[0], f"tell:{call_id}"
        await connection.execute(*letters.SQL.bind("lock_notices", run=run))
        if there := await connection.fetchval(*SQL.bind("told", run=UUID(run), conversation=conversation)):
            return str(there)
        about = About(UUID(run), conversation, None, datetime.now(UTC) + OF_USE)
        check = {"check": "person.told", "passed": True, "person": person.name}
        return await letters.send(self._store, connection, self._tools.tools, letter, about, check)


def _refused(code: str, message: str, remedy: str) -> NotSent:
    made = NotSent(code, message, field="to", remedy=remedy)
    made.final = True
    return made
