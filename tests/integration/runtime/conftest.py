"""Agents for the runtime's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.postgres import Postgres
from shared.models.port import AssistantMessage
from shared.store.pool import Pool, open_pool
from tests.integration.runtime.world import Agent, Model


@pytest.fixture
async def agents(closer_pool: Pool, postgres: Postgres) -> AsyncIterator[Any]:
    made: list[Agent] = []

    async def make(*turns: AssistantMessage | Exception) -> Agent:
        agent = Agent(closer_pool, postgres.dsn("viox_closer"), Model(*turns))
        await agent.instance.start()
        made.append(agent)
        return agent

    yield make
    for agent in made:
        await agent.instance.stop()


@pytest.fixture
async def operator(postgres: Postgres, admin: Any) -> AsyncIterator[Pool]:
    """As the command line connects."""
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator", size=1)
    yield pool
    await pool.close()
