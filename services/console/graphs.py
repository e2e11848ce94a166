"""The agents' code, for replays only: loaded by name when somebody asks for one, of the version that runs here.

A graph is run from the record in a thread of its own, so that other people's pages do not wait for it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.operations import replays

if TYPE_CHECKING:
    from shared.business import Business
    from shared.runtime.agent import AgentSpec
    from shared.runtime.replay import Report


async def replayed(runs: Sequence[replays.Recorded], business: Business, models: str | None) -> list[Report]:
    """What running them again from the record came to. Nothing is sent or stored."""
    return await asyncio.to_thread(lambda: asyncio.run(replays.replay(runs, _spec_of, business, models)))


def _spec_of(agent: str) -> AgentSpec:
    package = agent.replace("-", "_")
    found: AgentSpec = getattr(importlib.import_module(f"services.{package}.agent"), package.upper())
    return found
