"""The agents' code, for replays and forks only: loaded by name when somebody asks for one, of the version that runs here.

A graph is run from the record in a thread of its own, so that other people's pages do not wait for it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.operations import replays

if TYPE_CHECKING:
    from shared.business import Business
    from shared.runtime.agent import AgentSpec
    from shared.runtime.questions import Question
    from shared.runtime.replay import Report


async def replayed(runs: Sequence[replays.Recorded], business: Business, models: str | None) -> list[Report]:
    """What running them again from the record came to. Nothing is sent or stored."""
    return await asyncio.to_thread(lambda: asyncio.run(replays.replay(runs, _spec_of, business, models)))


async def questions_of(agent: str) -> dict[str, Question[Any]]:
    """What the agent asks a model, by the question's name."""
    from shared.runtime.questions import questions_in

    return questions_in(await asyncio.to_thread(importlib.import_module, f"services.{_package(agent)}.prompts"))


async def prompt_of(agent: str) -> str:
    """Who the agent is, as its model is told."""
    return (await asyncio.to_thread(_spec_of, agent)).prompt


def _spec_of(agent: str) -> AgentSpec:
    package = _package(agent)
    found: AgentSpec = getattr(importlib.import_module(f"services.{package}.agent"), package.upper())
    return found


def _package(agent: str) -> str:
    return agent.replace("-", "_")
