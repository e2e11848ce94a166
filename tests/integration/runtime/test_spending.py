"""Model work is on its run's account, whatever became of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.ids import thread_id
from shared.models.port import ModelError
from shared.telemetry import metrics
from tests.integration.runtime.world import CLOSER, DONE, LIMITS, RUN, ask, calls, keep_trying, statuses

BROKEN = replace(calls("a"), calls=(replace(calls("a").calls[0], arguments={"text": "\x00"}),))  # nothing can carry it


async def account(admin: Any) -> tuple[int, int]:
    row = await admin.fetchrow("select input_tokens, output_tokens from runs where run_id = $1", RUN)
    return row["input_tokens"], row["output_tokens"]


def counted() -> float:
    found: float = metrics.MODEL_TOKENS.labels("closer", "scripted", "output")._value.get()
    return found


@pytest.mark.rule(4)
@pytest.mark.parametrize(
    "error",
    [
        ModelError("model.bad_request", "400", retryable=False),
        ModelError("model.overloaded", "529", retryable=True),
        RuntimeError("a fault of ours"),
    ],
)
async def test_the_turns_of_an_activation_that_fails_are_on_the_runs_account(
    agents: Any, admin: Any, error: Exception
) -> None:
    agent = await agents(BROKEN, BROKEN, error)
    before = counted()
    await agent.accept(ask("x"))
    await agent.work()
    assert await account(admin) == (200, 14)
    assert counted() - before == 14


@pytest.mark.rule(4)
async def test_turns_that_are_paid_again_are_on_the_runs_account_again(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), *[BROKEN, RuntimeError("boom")] * LIMITS.max_attempts)
    await agent.accept(ask("x"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", 1)
    await keep_trying(agent, admin, LIMITS.max_attempts + 1)
    assert await statuses(admin) == {"1": "blocked"}
    assert await account(admin) == (100 * (1 + LIMITS.max_attempts), 7 * (1 + LIMITS.max_attempts))


@pytest.mark.rule(2)
async def test_the_turns_of_a_lost_lease_are_on_the_runs_account(agents: Any, admin: Any) -> None:
    slow, fast = await agents(DONE), await agents(DONE)
    slow.model.gate = asyncio.Event()
    await slow.accept(ask("x"))
    working = asyncio.create_task(slow.work())
    async with asyncio.timeout(5):
        while not slow.model.requests:
            await asyncio.sleep(0.01)
    await admin.execute("update threads set lease_until = now() - interval '1 second'")
    fast.woken.append(thread_id("closer", "c"))
    await fast.work()
    slow.model.gate.set()
    await working
    assert await account(admin) == (200, 14)


async def test_a_run_that_cannot_be_failed_now_is_failed_later(agents: Any, admin: Any, monkeypatch: Any) -> None:
    agent = await agents(*[ModelError("model.bad_request", "400", retryable=False)] * 2)

    async def away(*_: Any, **__: Any) -> Any:
        raise OSError("Postgres is away")

    await agent.accept(ask("x"))
    with monkeypatch.context() as patch:
        patch.setattr(agent.store, "commit", away)
        await agent.work()
    assert await statuses(admin) == {"1": "running"}
    assert await admin.fetchval("select lease_owner from threads where agent = $1", CLOSER.name) is None
    await keep_trying(agent, admin, 1)
    assert await statuses(admin) == {"1": "failed"}
