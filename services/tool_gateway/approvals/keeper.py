"""Keeps approvals until they end: people are told and reminded, what nobody decides expires, and everybody hears the end.

Every replica runs it; rows are locked, so that each thing is done once. A message to a person is a call of the gateway's own,
stored in the transaction that notes that it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.tool_gateway.approvals import letters, notices, question
from services.tool_gateway.approvals.letters import About
from services.tool_gateway.call.call import Requested, tell_closed
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from shared.bus import topics
from shared.bus.messages import APPROVAL_DECIDED, APPROVAL_REQUESTED, approval_changed
from shared.bus.outbox import insert, outgoing
from shared.bus.publisher import Publisher
from shared.business import Business
from shared.ids import CallId, RunId, ThreadId
from shared.people import People, Person
from shared.store.pool import is_transient
from shared.store.sql import Queries
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_name("approvals.sql"))
LOOK_EVERY_SECONDS = 1.0
BATCH = 50
ENDED = ("rejected", "answered", "expired")

EXPIRED = {
    "code": "approval.expired",
    "message": "nobody agreed to it in time, so it was not done.",
    "remedy": "Go on without it, and say so.",
}


class Keeper:
    """The loop over open approvals."""

    def __init__(
        self,
        store: GatewayStore,
        publisher: Publisher,
        catalogue: Catalogue,
        people: People,
        business: Business,
        hide: Callable[[str], str],
    ) -> None:
        """`hide` takes secrets out of a text."""
        self._store = store
        self._publisher = publisher
        self._catalogue = catalogue
        self._people = people
        self._business = business
        self._hide = hide
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """An approval was decided."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await within(LOOK_EVERY_SECONDS, self._changed.wait())
            self._changed.clear()
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # Postgres away: nothing is lost, look again
                log.warning("approvals.not_kept", error=error)

    async def look(self) -> None:
        """Once over everything that is due."""
        async with self._store.transaction() as connection, connection.transaction():
            await connection.execute(*SQL.bind("expire", error=EXPIRED, unanswered=question.EXPIRED, limit=BATCH))
            await connection.execute(SQL["withdraw"])
        ended: list[Any] = []
        async with self._store.transaction() as connection, connection.transaction():
            rows = await connection.fetch(*SQL.bind("due", limit=BATCH))
            for row in rows:
                if row["state"] == "waiting":
                    await self._tell_apart(connection, row)
                else:
                    ended.append(row)
            await self._announce_ends(connection, ended)
        for row in ended:
            self._wake_agent(row)

    async def _tell_apart(self, connection: Any, row: Any) -> None:
        """One that cannot be told of does not hold up the others."""
        try:
            async with connection.transaction():
                await self._tell(connection, row)
        except Exception as error:
            if is_transient(error):
                raise
            log.error("approval.not_told", approval_id=row["approval_id"], error=repr(error))

    async def _tell(self, connection: Any, row: Any) -> None:
        """Tell whoever is to be told now; the first time everybody who listens, too."""
        if not row["told"] and not row["reminded"]:
            await self._announce(connection, APPROVAL_REQUESTED, [row])
            metrics.APPROVALS.labels(row["agent"], "requested").inc()
        approvers, now = self._asked(row), datetime.now(UTC)
        due = notices.plan(approvers, row["people"], row["told"], row["reminded"], now, row["expires_at"])
        for person in due.tell:
            await self._write_to(connection, row, person)
        if not approvers:
            log.warning("approval.nobody_to_tell", approval_id=row["approval_id"], remedy="Set VIOX_PEOPLE.")
        # Where there is nobody to tell, it counts as told: the announcement is made once.
        await connection.execute(
            *SQL.bind(
                "told",
                approval=row["approval_id"],
                told=due.told,
                reminded=due.reminded or not approvers,
                next_at=due.next_at,
            )
        )

    def _asked(self, row: Any) -> Sequence[Person]:
        """Who is told, in order: those a question is put to, or everybody who may decide."""
        if row["audience"] is None:
            return self._people.approvers
        return [person for person in self._people if person.name in row["audience"]]

    async def _write_to(self, connection: Any, row: Any, person: Person) -> None:
        tool = self._catalogue.tools.get(row["tool"])
        text = self._hide(notices.text(row, tool, self._business))
        made = notices.letter(person, notices.subject(row), text)
        if made is None:
            log.warning("approval.person_unreachable", approval_id=row["approval_id"], person=person.name)
            return
        about = About(row["run_id"], row["approval_id"], row["traceparent"], row["expires_at"])
        check = {"check": "approval.notice", "passed": True, "person": person.name}
        call = await letters.send(self._store, connection, self._catalogue.tools, made, about, check)
        log.info("approval.told", approval_id=row["approval_id"], person=person.name, call_id=call)

    async def _announce_ends(self, connection: Any, rows: Sequence[Any]) -> None:
        if rows:
            unheard = [{**row, "state": "waiting"} for row in rows if not row["told"] and not row["reminded"]]
            await self._announce(connection, APPROVAL_REQUESTED, unheard)
            await self._announce(connection, APPROVAL_DECIDED, rows)
            await connection.execute(*SQL.bind("forget", approvals=[row["approval_id"] for row in rows]))

    async def _announce(self, connection: Any, event: str, rows: Sequence[Any]) -> None:
        now = datetime.now(UTC)
        await insert(
            connection,
            topics.GATEWAY,
            [outgoing(topics.APPROVALS, approval_changed(event, row, now)) for row in rows],
            delay=0,
        )

    def _wake_agent(self, row: Any) -> None:
        metrics.APPROVALS.labels(row["agent"], row["state"]).inc()
        log.info("approval.ended", approval_id=row["approval_id"], call_id=row["call_id"], state=row["state"])
        if row["state"] in ENDED:
            call = _call(row)
            tell_closed(self._publisher, call, row["call_state"], row["call_result"], row["call_error"])


def _call(row: Any) -> Requested:
    return Requested(
        CallId(row["call_id"]),
        RunId(row["run_id"]),
        row["step"],
        row["index"],
        row["agent"],
        ThreadId(row["thread_id"]),
        row["conversation_id"],
        row["tool"],
        row["arguments"],
        row["traceparent"],
        live=row["live"],
        created_at=row["requested_at"],
    )
