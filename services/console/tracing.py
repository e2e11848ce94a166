"""The trace of a run as its pages show it: its id, and where it can be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.operations import store

if TYPE_CHECKING:
    from services.console.app import Console


@dataclass(frozen=True, slots=True)
class Shown:
    """`address` is None where no place for traces is set, or this trace went nowhere because it was not sampled."""

    id: str
    sampled: bool
    address: str | None


async def of_run(console: Console, run: dict[str, Any]) -> Shown | None:
    """None for a run from before traces."""
    found = await store.trace_context(console.pool, UUID(str(run["run_id"])), run["agent"])
    if found is None:
        return None
    where = console.settings.trace_url if found.sampled else None
    return Shown(found.trace_id, found.sampled, where.replace("{trace_id}", found.trace_id) if where else None)
