"""The emulators' clock: it runs by itself until it is stopped, and then moves only as far as it is told."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.vendors.clock import Clock


async def test_a_stopped_clock_moves_as_far_as_it_is_told_and_things_happen_in_order() -> None:
    clock = Clock()
    happened: list[tuple[str, int]] = []
    clock.stop()
    began = clock.now()
    clock.later(2.0, lambda: happened.append(("second", round(clock.now() - began))))
    clock.later(1.0, lambda: happened.append(("first", round(clock.now() - began))))
    clock.later(1.5, lambda: happened.append(("cancelled", 0))).cancel()
    clock.later(9.0, lambda: happened.append(("not yet", 0)))
    assert (clock.now(), happened) == (began, [])
    clock.pass_by(5)
    assert clock.now() == began + 5
    assert happened == [("first", 1), ("second", 2)]


async def test_what_still_waits_happens_when_the_clock_goes_on_and_time_never_goes_back() -> None:
    clock = Clock()
    clock.stop()
    sleeping = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)
    assert not sleeping.done()
    clock.pass_by(60)
    stopped = clock.now()
    clock.go_on()
    await asyncio.wait_for(sleeping, 60)
    assert clock.now() >= stopped + 3540, "it is as late as what happened says"
    await asyncio.wait_for(clock.sleep(0.001), 60)
    with pytest.raises(ValueError, match="stop the clock"):
        clock.pass_by(1)


async def test_a_clock_that_runs_skips_ahead_and_runs_on() -> None:
    clock = Clock()
    happened: list[str] = []
    began = clock.now()
    clock.later(3600, lambda: happened.append("in an hour"))
    clock.later(60, lambda: happened.append("in a minute"))
    clock.later(7200.05, lambda: happened.append("just after"))
    clock.later(90, lambda: happened.append("cancelled")).cancel()
    clock.skip(7200)
    assert happened == ["in a minute", "in an hour"]
    assert clock.now() - began >= 7200
    async with asyncio.timeout(60):
        while len(happened) < 3:
            await asyncio.sleep(0.01)
    clock.skip(10)
    assert happened == ["in a minute", "in an hour", "just after"]


async def test_a_stopped_clock_that_skips_stays_stopped() -> None:
    clock = Clock()
    clock.stop()
    began = clock.now()
    clock.skip(30)
    await asyncio.sleep(0.01)
    assert clock.now() == began + 30
