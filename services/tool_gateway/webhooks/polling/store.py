"""How far each list has been read, and who reads it: one row a list, claimed by whichever replica looks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from services.tool_gateway.webhooks.polling.step import Position
from shared.store.pool import Pool
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("polling.sql"))
LEASE_SECONDS = 300.0  # longer than the requests of one step may take


@dataclass(frozen=True, slots=True)
class Claimed:
    """A list that is ours to read now."""

    webhook: str
    part: str
    position: Position


class PollStore:
    """The rows of `owner`'s replica."""

    def __init__(self, pool: Pool, owner: str) -> None:
        self._pool = pool
        self.owner = owner

    async def known(self, source: str, ids: Sequence[str]) -> set[str]:
        rows = await self._pool.fetch(*SQL.bind("known", source=source, ids=list(ids)))
        return {row["message_id"] for row in rows}

    async def begin(self, webhook: str, parts: Mapping[str, Position], at: datetime) -> None:
        rows = [
            {"webhook": webhook, "part": part, "position": position, "positioned_at": at.isoformat()}
            for part, position in parts.items()
        ]
        await self._pool.execute(*SQL.bind("begin", rows=rows))

    async def hurry(self, webhook: str, part: str, position: Position, at: datetime) -> None:
        """Have a list read soon; `position` is where one begins that is not known yet."""
        await self._pool.execute(*SQL.bind("hurry", webhook=webhook, part=part, position=position, positioned_at=at))

    async def claim(self, webhooks: Sequence[str], busy: Sequence[str]) -> Claimed | None:
        row = await self._pool.fetchrow(
            *SQL.bind("claim", webhooks=list(webhooks), busy=list(busy), owner=self.owner, seconds=LEASE_SECONDS)
        )
        return Claimed(row["webhook"], row["part"], row["position"]) if row else None

    async def reached(self, one: Claimed, position: Position, at: datetime, found: int, caught: int) -> bool:
        """False when the list is another replica's by now."""
        values = {"position": position, "reached": at, "found": found, "caught": caught}
        row = await self._pool.fetchrow(*SQL.bind("reached", **values, **self._of(one), seconds=LEASE_SECONDS))
        return row is not None

    async def ended(self, one: Claimed, found: int, caught: int, after: float, problem: str | None) -> None:
        values = {"found": found, "caught": caught, "after": after, "problem": problem}
        await self._pool.execute(*SQL.bind("ended", **values, **self._of(one)))

    async def gone(self, one: Claimed) -> None:
        await self._pool.execute(*SQL.bind("gone", **self._of(one)))

    async def ages(self, webhooks: Sequence[str]) -> dict[str, float]:
        rows = await self._pool.fetch(*SQL.bind("ages", webhooks=list(webhooks)))
        return {row["webhook"]: row["seconds"] for row in rows}

    def _of(self, one: Claimed) -> dict[str, Any]:
        return {"webhook": one.webhook, "part": one.part, "owner": self.owner}
