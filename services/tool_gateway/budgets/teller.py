"""Tells a person, once a day, of each budget that runs wait for. Every replica runs it; a row says what was told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.tool_gateway.approvals import letters
from services.tool_gateway.approvals.letters import About
from services.tool_gateway.approvals.notices import letter
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from shared.business import Business
from shared.people import People
from shared.store.sql import Queries
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
BUDGET = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63} [A-Za-z0-9_.:@+-]{1,100}")
SQL = Queries(Path(__file__).with_name("reserve.sql"))
LOOK_EVERY_SECONDS = 2.0
STALE = timedelta(hours=24)


class Teller:
    """The loop over budgets that are waited for."""

    def __init__(
        self, store: GatewayStore, catalogue: Catalogue, people: People, business: Business, hide: Callable[[str], str]
    ) -> None:
        """`hide` takes secrets out of a text."""
        self._store = store
        self._catalogue = catalogue
        self._people = people
        self._business = business
        self._hide = hide

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # Postgres away: nobody was told, look again
                log.warning("budgets.nobody_told", error=error)

    async def look(self) -> None:
        """Once over everything that is waited for."""
        async with self._store.transaction() as connection, connection.transaction():
            for row in await connection.fetch(SQL["to_tell"]):
                first = await connection.fetchrow(*SQL.bind("first_waiting", budget=row["budget"]))
                # An agent writes what it waits for: what is no budget and scope is not handed on to people.
                if first is not None and BUDGET.fullmatch(row["budget"]):
                    await self._tell(connection, row["budget"], first)

    async def _tell(self, connection: Any, budget: str, run: Any) -> None:
        name = budget.split(" ", 1)[0]
        measures = await connection.fetchval(*SQL.bind("measures_of", name=name))
        subject, text = f"The budget {budget} is at its end", self._text(budget, run, measures or [])
        reached = ((person, letter(person, subject, text)) for person in self._people.approvers)
        person, made = next(((who, one) for who, one in reached if one is not None), (None, None))
        if person is None or made is None:
            remedy = "Name somebody in VIOX_PEOPLE who may decide, with sms or email."
            log.warning("budget.nobody_to_tell", budget=budget, remedy=remedy)
            return
        about = About(run["run_id"], f"budget {budget}", run["traceparent"], datetime.now(UTC) + STALE)
        check = {"check": "budget.notice", "passed": True, "person": person.name}
        call = await letters.send(self._store, connection, self._catalogue.tools, made, about, check)
        log.info("budget.told", budget=budget, person=person.name, call_id=call)

    def _text(self, budget: str, run: Any, measures: Sequence[str]) -> str:
        name, scope = budget.split(" ", 1)
        waits = "a run waits" if run["runs"] == 1 else f"{run['runs']} runs wait"
        which = f" --measure {'|'.join(one.rsplit(':', 1)[-1] for one in measures)}" if len(measures) > 1 else ""
        how = f"viox budgets raise {name} --scope {scope}{which} --to N"
        return self._hide(
            f"{self._business.name}: the budget {name} of {scope} is at its end, and {waits}. Raise it: {how}"
        )
