"""Replay of recorded runs: what is on record is read, then their graphs run again from it. Nothing is sent or stored.

Reading needs Postgres; running needs the agents' code, which whoever calls has to bring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.operations import archived, family, store
from shared.runtime.history import Step

if TYPE_CHECKING:
    from shared.business import Business
    from shared.runtime.agent import AgentSpec
    from shared.runtime.replay import Report


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run with the whole record of its thread, and prompts and tool lists by digest."""

    run_id: UUID
    agent: str
    thread: Sequence[Step]
    stored: dict[str, str | None]


async def recorded(pool: Any, run: UUID, *, tree: bool) -> list[Recorded]:
    """The run, or the one that it joined; with `tree` all runs that gave it their tasks or that it gave tasks, too."""
    runs = [UUID(one["run_id"]) for one in await family.family(pool, run)] if tree else [run]
    return [await _one(pool, one) for one in runs]


async def _one(pool: Any, run: UUID) -> Recorded:
    facts = await store.run_row(pool, run)
    await archived.refuse(pool, run, facts["agent"])
    rows = await pool.fetch(store.SQL["thread_steps"], facts["thread_id"], facts["agent"])
    steps = [Step(row["run_id"], row["step"], row["kind"], row["body"]) for row in rows]
    turns = [step.body for step in steps if step.kind == "model"]
    digests = {turn[key] for turn in turns for key in ("prompt_sha256", "tools_sha256")}
    stored = {sha256: await store.prompt(pool, sha256) for sha256 in digests}
    return Recorded(facts["merged_into"] or run, facts["agent"], steps, stored)


async def replay(
    runs: Sequence[Recorded], spec_of: Callable[[str], AgentSpec], business: Business, models: str | None
) -> list[Report]:
    """What running them again came to. `models` is the setting that names the file of models."""
    return [await _replayed(one, spec_of, business, models) for one in runs]


async def _replayed(
    one: Recorded, spec_of: Callable[[str], AgentSpec], business: Business, models: str | None
) -> Report:
    from shared.runtime.replay import Difference, Report, replay_run

    try:
        return await replay_run(spec_of(one.agent), one.run_id, one.thread, one.stored, business, models)
    except Exception as error:  # noqa: BLE001  # whatever an agent's code does with what is on record: the others are replayed
        failed = Difference(-1, f"the graph fails: {type(error).__name__}", str(error))
        steps = sum(step.run_id == one.run_id for step in one.thread)
        return Report(one.run_id, steps=steps, differences=[failed])
