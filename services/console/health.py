"""Whether the other services say that they are ready, asked every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import aiohttp

EVERY_SECONDS = 5.0
ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class State:
    name: str
    ready: bool | None = None  # None: not asked yet
    told: str = ""
    took_ms: float | None = None


class Health:
    """`addresses` are `gateway=http://host:port,closer=…`."""

    def __init__(self, addresses: str | None) -> None:
        pairs = (part.partition("=") for part in (addresses or "").split(",") if "=" in part)
        self._urls = {name.strip(): url.strip().rstrip("/") for name, _, url in pairs}
        self.states = {name: State(name) for name in self._urls}
        self._graphs: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                found = await asyncio.gather(*(self._ask(session, name, url) for name, url in self._urls.items()))
                self.states = {one.name: one for one in found}
                await asyncio.sleep(EVERY_SECONDS)

    def url(self, name: str) -> str | None:
        """Where a service is."""
        return self._urls.get(name)

    async def graph(self, agent: str) -> dict[str, Any] | None:
        """An agent's graph, as it says itself. None where it does not answer. It is asked once."""
        if agent not in self._graphs and (url := self._urls.get(agent)):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
                timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
                async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/graph") as answer:
                    if answer.status == 200:
                        self._graphs[agent] = await answer.json()
        return self._graphs.get(agent)

    async def _ask(self, session: aiohttp.ClientSession, name: str, url: str) -> State:
        begun = asyncio.get_running_loop().time()
        try:
            async with session.get(f"{url}/readyz") as answer:
                took = (asyncio.get_running_loop().time() - begun) * 1000
                body = {}
                with contextlib.suppress(ValueError, aiohttp.ClientError):
                    body = await answer.json()
                said = {**body.get("missing", {}), **body.get("warnings", {})}
                return State(name, answer.status == 200, "; ".join(f"{k}: {v}" for k, v in said.items()), took)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return State(name, False, "does not answer")
