"""The owner on a demo's day: answers what agents ask, and agrees to what waits, as from the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from viox import approvals, deployment, output

ANSWER = "We will call you back about your order this afternoon."
QUESTION = "person_ask"
_WAITING = """
select approval_id, tool, people from approvals
where state = 'waiting' and asked_at >= $1 order by asked_at
"""
_OPEN = "select count(*) from run_overview where started_at >= $1 and status in ('running', 'waiting')"


class Owner:
    """Decides everything that runs wait for since a moment, once each."""

    def __init__(self, pool: Any, since: datetime) -> None:
        self._pool = pool
        self._since = since
        self._done: set[str] = set()

    async def all_ended(self) -> bool:
        """Whether every run since then has ended: also those that agents and timers began."""
        return not await self._pool.fetchval(_OPEN, self._since)

    async def decide(self) -> None:
        """Whatever waits for a person now."""
        for row in await self._pool.fetch(_WAITING, self._since):
            if row["approval_id"] not in self._done:
                self._done.add(row["approval_id"])
                await self._decide(row)

    async def _decide(self, row: Any) -> None:
        people = deployment.people().approvers
        if row["tool"] == QUESTION:
            output.say(f"  $ viox answer {row['approval_id']} {ANSWER!r} --by {people[0].name}")
            await approvals.answer(row["approval_id"], ANSWER, people[0].name, as_json=False)
            return
        for person in people[: row["people"]]:
            output.say(f"  $ viox approve {row['approval_id']} --by {person.name}   ({row['tool']})")
            await approvals.approve(row["approval_id"], None, None, None, None, person.name, as_json=False)
