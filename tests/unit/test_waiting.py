"""A cancellation is never lost, whenever it comes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from shared.waiting import within


@pytest.mark.parametrize("rounds", range(6))
async def test_a_loop_that_is_cancelled_as_it_wakes_ends(rounds: int) -> None:
    """`asyncio.wait_for` of Python 3.11 goes on after one of these."""
    event, turns = asyncio.Event(), 0

    async def loop() -> None:
        nonlocal turns
        while turns < 3:
            with contextlib.suppress(TimeoutError):
                await within(60, event.wait())
            event.clear()
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(loop())
    await asyncio.sleep(0.01)
    event.set()
    for _ in range(rounds):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()


async def test_what_takes_longer_is_stopped_and_what_does_not_has_a_result() -> None:
    assert await within(60, asyncio.sleep(0, "result")) == "result"
    with pytest.raises(TimeoutError):
        await within(0.01, asyncio.Event().wait())
