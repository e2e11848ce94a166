"""Live calls: what a caller waits for beyond the vendor's 20 ms, and what a call costs the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import aiohttp

from benchmarks.measure import ROOT, in_flight

AGENT, TOOL, VENDOR_MS = "builder", "bench_slow_echo", 20
TOKEN = "viox_builder_benchmark"  # noqa: S105  # of the benchmark
SETTINGS = {"VIOX_INVOKE_TOKEN_BUILDER": f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"}
FLIGHTS = {1: 200, 8: 1200, 32: 3000}
CONVERSATIONS = 40
_numbers = count(time.time_ns() % 1_000_000_000)


async def measure(port: int, cpu_seconds: Callable[[], float], *, quick: bool) -> dict[str, dict[str, float]]:
    """Latency, rate and the gateway's CPU by how many callers wait at once. Raises RuntimeError for an answer that is not 200."""
    found = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=max(FLIGHTS))) as session:
        one = caller(session, port)
        await in_flight(one, 8, 100)
        for flight, calls in FLIGHTS.items():
            number = calls // (4 if quick else 1)
            before = cpu_seconds()
            found[str(flight)] = await in_flight(one, flight, number)
            found[str(flight)]["cpu_ms_per_call"] = (cpu_seconds() - before) * 1000 / number
    return found


def caller(session: aiohttp.ClientSession, port: int) -> Callable[[], Awaitable[Any]]:
    """Each time another call of one of some conversations."""
    url = f"http://127.0.0.1:{port}/v1/tools/{TOOL}:invoke"

    async def one() -> None:
        number = next(_numbers)
        headers = {
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
            "X-Conversation-Id": f"conversation {number % CONVERSATIONS}",
        }
        body = json.dumps({"n": number, "text": "x" * 100}).encode()
        async with session.post(url, data=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")
            await answer.read()

    return one


async def alone(port: int, calls: int) -> None:
    """One caller, in a process of its own: the one that fills the bus is busy. Prints what `in_flight` found."""
    async with aiohttp.ClientSession() as session:
        one = caller(session, port)
        await one()
        print(json.dumps(await in_flight(one, 1, calls)))


async def beside(port: int, calls: int) -> dict[str, float]:
    """What one caller found while this process did something else."""
    command = [sys.executable, "-m", "benchmarks.invoke", str(port), str(calls)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    out, _ = await process.communicate()
    found: dict[str, float] = json.loads(out)
    return found


if __name__ == "__main__":
    asyncio.run(alone(int(sys.argv[1]), int(sys.argv[2])))
