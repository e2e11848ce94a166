"""Turns that cannot be used, through a whole activation: how the run ends, and that its conversation goes on."""

from __future__ import annotations

from typing import Any

import pytest

from shared.models.port import AssistantMessage, UserMessage
from tests.integration.runtime.world import DONE, RUN, ask, statuses

EMPTY = AssistantMessage("")


@pytest.mark.rule(6)
async def test_a_run_without_a_usable_turn_fails_with_its_cause_and_the_next_one_works(agents: Any, admin: Any) -> None:
    agent = await agents(EMPTY, EMPTY, DONE)
    await agent.accept(ask("x"))
    await agent.work()
    await agent.accept(ask("y", number="2"))
    await agent.work()
    assert await statuses(admin) == {"1": "failed", "2": "finished"}
    error = await admin.fetchval("select error ->> 'code' from runs where run_id = $1", RUN)
    assert error == "model.empty"
    kinds = await admin.fetch("select kind from steps where run_id = $1 order by step", RUN)
    assert [row["kind"] for row in kinds] == ["trigger", "model", "note", "model", "outcome"]
    said = agent.model.requests[-1].messages
    assert all(isinstance(message, UserMessage) for message in said)


async def test_all_of_its_turns_are_on_the_runs_account(agents: Any, admin: Any) -> None:
    agent = await agents(EMPTY, DONE)
    await agent.accept(ask("x"))
    await agent.work()
    assert await statuses(admin) == {"1": "finished"}
    assert await admin.fetchval("select output_tokens from runs where run_id = $1", RUN) == 14
