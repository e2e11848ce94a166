"""Runs and calls whose contents have left for an archive: their rows stay, and say which one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.errors import Conflict
from shared.operations import store
from shared.runs import timestamp

FOLDER = "ARCHIVES"  # stands for the folder of the archives, which is no business of the database


@dataclass(frozen=True, slots=True)
class Archived:
    """`place` is the name of the archive's folder, `at` and `by` when it went on record, and who had it made."""

    place: str
    at: datetime
    by: str | None

    def document(self) -> dict[str, Any]:
        return {"archive": self.place, "at": timestamp(self.at), "by": self.by}

    @property
    def sentence(self) -> str:
        """For people, without its full stop."""
        return f"archived on {self.at:%-d %B %Y} by {self.by or 'somebody'}, in archive {self.place}"

    def read_with(self, table: str, of: str, folder: str = FOLDER) -> str:
        """The command that reads it there."""
        return f"viox retention --show {folder}/{self.place} --table {table} --of {of}"


async def of_run(pool: Any, run_id: UUID, agent: str) -> Archived | None:
    """Where the steps of a run are; None while they are in the database."""
    return _archived(await pool.fetchrow(store.SQL["archived_run"], run_id, agent))


async def of_call(pool: Any, call_id: str) -> Archived | None:
    """Where the contents and ledger entries of a call are; None while they are in the database."""
    return _archived(await pool.fetchrow(store.SQL["archived_call"], call_id))


async def refuse(pool: Any, run_id: UUID, agent: str) -> None:
    """Raises Conflict where the steps of a run are wanted and are in an archive."""
    if found := await of_run(pool, run_id, agent):
        told = f"run {run_id} is {found.sentence}: its steps are there, and not here."
        raise Conflict(
            "run.archived", told, field="run", remedy=f"Read it with {found.read_with('steps', str(run_id))}."
        )


def _archived(row: Any) -> Archived | None:
    return Archived(row["place"], row["at"], row["by"]) if row else None
