"""The order in which a service starts and stops, and what ends it. Its bus is FastStream's own test double's business."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import pytest

from shared.bus.app import App
from shared.bus.kafka import Bus
from shared.runtime.process import Process
from shared.settings import Settings
from shared.telemetry import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """A service takes over the logs of its process."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logs.configure("test")
    logging.basicConfig(level=level, handlers=handlers, force=True)


class QuietBus(Bus):
    """Reaches no broker and says when it starts and stops."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(Settings.load(), "test")
        self._said = said

    async def start(self) -> None:
        self._said.append("bus starts")
        self._keepers.append(asyncio.create_task(_wait()))

    async def stop(self, *_: object) -> None:
        self._said.append("bus stops")
        await super().stop()


async def _wait() -> None:
    await asyncio.Event().wait()


def saying(said: list[str], text: str) -> Callable[[], Coroutine[Any, Any, None]]:
    async def say() -> None:
        said.append(text)

    return say


def process(said: list[str]) -> Process:
    made = Process("test", Settings.load())
    made.bus = QuietBus(said)
    for kind, add in (("start", made.on_start), ("drain", made.on_drain), ("stop", made.on_stop)):
        add(saying(said, f"{kind} 1"))
        add(saying(said, f"{kind} 2"))
    return made


async def run(made: Process) -> None:
    await App("test", lambda _: made).run(sleep_time=0.001)


async def test_a_service_starts_in_order_and_stops_in_reverse() -> None:
    said: list[str] = []
    made = process(said)

    async def loop() -> None:
        said.append("loop")
        made._end()
        try:
            await asyncio.Event().wait()
        finally:
            said.append("loop ends")

    made.loop("work", loop)
    await run(made)
    assert said == [
        *("start 1", "start 2", "bus starts", "loop", "drain 1", "drain 2"),
        *("bus stops", "loop ends", "stop 2", "stop 1"),
    ]


async def test_a_loop_that_fails_ends_the_service_in_order_and_names_the_reason() -> None:
    said: list[str] = []
    made = process(said)

    async def loop() -> None:
        raise ValueError("nobody foresaw this")

    made.loop("work", loop)
    with pytest.raises(ValueError, match="nobody foresaw this"):
        await run(made)
    assert said[-5:] == ["drain 1", "drain 2", "bus stops", "stop 2", "stop 1"]


async def test_a_loop_that_merely_ends_ends_the_service_too() -> None:
    made = process([])
    made.loop("work", saying([], ""))
    with pytest.raises(RuntimeError, match="work"):
        await run(made)


async def test_what_was_opened_is_closed_when_the_start_fails() -> None:
    said: list[str] = []
    made = process(said)

    async def fails() -> None:
        raise ConnectionError("Postgres is away")

    made.on_start(fails)
    with pytest.raises(ConnectionError):
        await run(made)
    assert said == ["start 1", "start 2", "stop 2", "stop 1"]


async def test_an_action_that_fails_at_the_stop_keeps_no_other_from_it() -> None:
    said: list[str] = []
    made = process(said)

    async def fails() -> None:
        raise ConnectionError("Postgres is away")

    made.on_drain(fails)
    made.on_stop(fails)
    made.loop("work", _ending(made))
    await run(made)
    assert said[-3:] == ["bus stops", "stop 2", "stop 1"]


def _ending(made: Process) -> Callable[[], Coroutine[Any, Any, None]]:
    async def loop() -> None:
        made._end()
        await asyncio.Event().wait()

    return loop


async def test_readiness_tells_what_is_missing_from_what_is_only_worth_knowing() -> None:
    made = process([])
    missing: list[str | None] = [None]
    made.check("kafka", lambda: missing[0])
    made.warn("kafka", lambda: "viox.tasks.closer[0] cannot be read at offset 7: no codec")

    async def loop() -> None:
        async with aiohttp.ClientSession() as session:
            for reason, status in ((None, 200), ("not joined", 503)):
                missing[0] = reason
                async with session.get(f"http://127.0.0.1:{made.port}/readyz") as response:
                    body = await response.json()
                assert response.status == status
                assert body["missing"] == ({"kafka": reason} if reason else {})
                assert "offset 7" in body["warnings"]["kafka"]
        made._end()
        await asyncio.Event().wait()

    made.loop("work", loop)
    await run(made)


async def test_the_gauge_of_readiness_is_current_where_nobody_asks_readyz() -> None:
    made = process([])
    missing: list[str | None] = [None]
    made.check("kafka", lambda: missing[0])
    seen: list[float] = []

    async def loop() -> None:
        async with aiohttp.ClientSession() as session:
            for reason in (None, "not joined", None):
                missing[0] = reason
                async with session.get(f"http://127.0.0.1:{made.port}/metrics") as response:
                    text = await response.text()
                line = next(one for one in text.splitlines() if one.startswith(f'viox_ready{{service="{made.name}"}}'))
                seen.append(float(line.split()[-1]))
        made._end()
        await asyncio.Event().wait()

    made.loop("work", loop)
    await run(made)
    assert seen == [1, 0, 1]
