"""How long the console's pages take on a month of a busy business: `python -m benchmarks.console [--quick]`, and part of `make bench`.

The console is served in a process of its own, as the role it has in production; one person asks for each page in turn. The time is
that of the whole answer on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg

from benchmarks.measure import Processes, postgres_in, say, until
from sandbox.net import free_ports, ready
from sandbox.postgres import Postgres
from shared.bus.envelope import Message, headers_to_json
from shared.bus.topics import AGENTS
from shared.ids import call_id, run_id, thread_id
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
RUNS, QUICK_RUNS = 100_000, 10_000
MONTH_SECONDS = 30 * 86_400
CALLS_AT_ONCE = 10_000  # runs whose calls one statement makes
ROUNDS = 20
TOKEN = "token-of-the-benchmark-" + "x" * 24
AIM_MS = 100.0
DATA = {"first_name": "Ines", "last_name": "Moreau", "email": "ines@example.com", "interest": "a new kitchen"}
TYPES = ("viox.lead.created", "com.twilio.message.received", "viox.task.requested")
VENDORS = ("hubspot", "stripe", "twilio", "quickbooks", "airtable")


async def fill(dsn: str, runs: int) -> None:
    """Rows as the product writes them, without its triggers. Raises what Postgres says."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        await _ids(connection, runs)
        spacing = MONTH_SECONDS / runs
        _, value, headers = Message("1", "/bench", TYPES[0], DATA, datetime.now(UTC)).to_kafka()
        begun = {"value": value, "headers": json.dumps(headers_to_json(headers))}
        for name, more in (("runs", {}), ("begun", begun), ("steps", {})):
            await connection.execute(*SQL.bind(name, spacing=spacing, **more))
        for first in range(0, runs, CALLS_AT_ONCE):
            await connection.execute(
                *SQL.bind("calls", spacing=spacing, **{"from": first, "to": first + CALLS_AT_ONCE - 1})
            )
        for name in ("approvals", "linked", "ledger", "letters", "facts", "catalogue"):
            await connection.execute(SQL[name])
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def _ids(connection: Any, runs: int) -> None:
    """The tables from which all others are made: ids are derived, which Postgres cannot do."""
    await connection.execute(SQL["ids"])
    rows = []
    for number in range(runs):
        agent, conversation = AGENTS[number % len(AGENTS)], f"lead:person{number % 20_000}@example.com"
        made = run_id(agent, "/bench", str(number))
        rows.append(
            (number, made, agent, thread_id(agent, f"{conversation}.{number}"), conversation, TYPES[number % 3])
        )
    await connection.copy_records_to_table("bench_runs", records=rows)
    await connection.execute("alter table bench_runs add primary key (n)")
    tools = [(5 * n + m, f"{vendor}_do_{n}", vendor, "once") for n in range(20) for m, vendor in enumerate(VENDORS)]
    await connection.copy_records_to_table("bench_tools", records=tools)


def pages(runs: int) -> dict[str, str]:
    """Each page with an address: of runs near the beginning and the end, of filters that find much, little and nothing."""
    lately, failed, waits = (run_id(AGENTS[n % len(AGENTS)], "/bench", str(n)) for n in (100, 7 + 211, 1))
    return {
        "now": "/",
        "runs": "/runs",
        "runs, of an agent": "/runs?agent=closer&since=7d",
        "runs, failed": "/runs?failed=1",
        "runs, by a text": f"/runs?q={quote('person' + str(runs // 10) + '@')}",
        "runs, by a text that nothing has": "/runs?q=nobody-is-called-so",
        "run": f"/runs/{lately}",
        "run, waterfall": f"/runs/{lately}?view=waterfall",
        "run, log": f"/runs/{lately}?view=log",
        "run that failed": f"/runs/{failed}",
        "calls": "/calls",
        "calls, of a tool": "/calls?tool=stripe_do_3",
        "calls, failed": "/calls?failed=1",
        "call": f"/calls/{call_id(lately, 1, 5)}",
        "approvals": "/approvals",
        "approvals, decided": "/approvals?tab=decided",
        "approval": f"/approvals/apr_{1:020x}",
        "unknown": "/unknowns",
        "dead letters": "/dead-letters",
        "agents": "/agents",
        "agent": "/agents/closer",
        "tools": "/tools",
        "tool": "/tools/stripe_do_3",
        "memory": "/memory",
        "memory of a person": f"/memory?entity={quote('person:person77@example.com')}",
        "briefings": "/briefings",
        "settings": "/settings",
        "search": f"/search?q={str(waits)[:8]}",
    }


async def measure(postgres: Postgres, processes: Processes, home: Path, runs: int) -> dict[str, dict[str, float]]:
    """Page → p50 and p95 of what it takes, in milliseconds."""
    port = free_ports(1)[0]
    people = home / "people.yaml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    people.write_text(json.dumps({"people": [{"name": "Dana", "roles": ["owner"], "token_sha256": digest}]}))
    environment = {
        "VIOX_POSTGRES_DSN": postgres.dsn("viox_console"),
        "VIOX_PEOPLE": str(people),
        "VIOX_HTTP_PORT": str(port),
        "VIOX_LOG_LEVEL": "WARNING",
    }
    processes.start("console", [sys.executable, "-m", "services.console.main"], environment)
    try:
        await asyncio.to_thread(until, lambda: ready(port))
        return await _asked(f"http://127.0.0.1:{port}", pages(runs))
    finally:
        processes.stop(["console"])


async def _asked(url: str, addresses: dict[str, str]) -> dict[str, dict[str, float]]:
    jar = aiohttp.CookieJar(unsafe=True)
    found: dict[str, dict[str, float]] = {}
    async with aiohttp.ClientSession(url, cookie_jar=jar, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        async with client.post("/sign-in", data={"token": TOKEN}) as answer:
            answer.raise_for_status()
        for name, path in addresses.items():
            times = sorted([await _once(client, path) for _ in range(ROUNDS + 2)][2:])  # the first ones warm it up
            found[name] = {"p50_ms": statistics.median(times), "p95_ms": times[int(0.95 * (ROUNDS - 1))]}
    return found


async def _once(client: aiohttp.ClientSession, path: str) -> float:
    started = time.perf_counter()
    async with client.get(path) as answer:
        body = await answer.text()
        assert answer.status == 200, (path, answer.status, body)
    return (time.perf_counter() - started) * 1000


def tell(found: dict[str, dict[str, float]], runs: int) -> None:
    """One line for each page, the slowest last."""
    for name, times in sorted(found.items(), key=lambda pair: pair[1]["p95_ms"]):
        mark = "" if times["p95_ms"] < AIM_MS else f"   over {AIM_MS:.0f} ms"
        say(f"console, {runs:,} runs: {name:<34} p50 {times['p50_ms']:7.1f} ms   p95 {times['p95_ms']:7.1f} ms{mark}")


def run(home: Path, runs: int) -> dict[str, dict[str, float]]:
    """On a database of its own."""
    with postgres_in(home) as postgres:
        processes = Processes(home / "logs")
        try:
            started = time.monotonic()
            asyncio.run(fill(postgres.dsn("postgres"), runs))
            say(f"console: {runs:,} runs and {10 * runs:,} calls made in {time.monotonic() - started:.0f} s")
            found = asyncio.run(measure(postgres, processes, home, runs))
            tell(found, runs)
            return found
        finally:
            processes.stop(processes.names())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    with tempfile.TemporaryDirectory(prefix="viox-bench-") as scratch:
        Path(scratch).chmod(0o755)
        run(Path(scratch) / "state", QUICK_RUNS if parser.parse_args().quick else RUNS)


if __name__ == "__main__":
    main()
