"""At a stop, what is under way is waited for as long as the settings say; and whom the console believes about addresses."""

from __future__ import annotations

from typing import Any

import pytest
import uvicorn

from services.console.app import App
from services.tool_gateway import main as gateway
from shared.runtime import service as agents
from shared.settings import Settings


class Part:
    """A part of a service that notes how long it was waited for."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def drain(self, seconds: float = 0) -> None:
        self.waited.append(seconds)

    async def stop(self) -> None: ...

    async def flush(self) -> None: ...


class Holder:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings


@pytest.mark.parametrize(("given", "seconds"), [(None, gateway.DRAIN_SECONDS), (610.0, 610.0)])
async def test_the_gateway_waits_for_calls(given: float | None, seconds: float) -> None:
    found: Any = object.__new__(gateway._Gateway)
    found._process = Holder(Settings(drain_seconds=given))
    executor, other = Part(), Part()
    found.webhooks = found.live = found.consumer = found.outcomes = found.publisher = other
    found._resumer = type("Resumer", (), {"stop": lambda self: None})()
    found._executor = executor
    await found.drain()
    assert executor.waited == [seconds]


@pytest.mark.parametrize(("given", "seconds"), [(None, agents.DRAIN_SECONDS), (130.0, 130.0)])
async def test_agents_wait_for_model_turns(given: float | None, seconds: float) -> None:
    found: Any = object.__new__(agents._Runner)
    found._process = Holder(Settings(drain_seconds=given))
    threads = Part()
    found.consumer = found.publisher = Part()
    found.activator = type("Activator", (), {"threads": threads})()
    await found.drain()
    assert threads.waited == [seconds]


@pytest.mark.parametrize(("given", "believed"), [(None, "127.0.0.1"), ("10.0.0.0/8", "10.0.0.0/8")])
def test_the_console_believes_the_proxies_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, given: str | None, believed: str
) -> None:
    made: list[uvicorn.Config] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self: made.append(self.config))
    monkeypatch.delenv("VIOX_TRUSTED_PROXIES", raising=False)
    if given:
        monkeypatch.setenv("VIOX_TRUSTED_PROXIES", given)
    App("console").serve()
    assert made[0].forwarded_allow_ips == believed
