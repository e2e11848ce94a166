"""`make bench`: one run, one broker. The limit (raw echo over the broker), the gateway alone, whole runs; time, rows,
bytes, CPU and memory of each, as ratios to the limit.

    python -m benchmarks.bench [--broker embedded|apache] [--agents 2] [--quick] [--json FILE] [--peers | --only-peers]

With `--peers` the same runs by calfkit and by LangGraph with its Postgres saver follow, and their ratios; `--only-peers`
leaves out all else. benchmarks/README.md says how.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks import capacity, console, invoke, judging, webhooks
from benchmarks import catalogue as large
from benchmarks.measure import Processes, at_the_end_of, cpu_with_children, in_flight, line, say, until
from benchmarks.peers import environment
from benchmarks.peers.compare import compare
from benchmarks.peers.contenders import Stage
from benchmarks.peers.table import as_json
from sandbox.broker import ApacheKafka, Broker, Tansu
from sandbox.kafka_users import ADMIN
from sandbox.net import connects, free_ports, ready
from sandbox.postgres import Postgres
from services.tool_gateway.catalogue.catalogue import read_document
from shared.bus import topics
from shared.bus.kafka import client_settings, ensure_topics
from shared.bus.messages import ToolCallRequested, call_requested, task
from shared.ids import call_id, run_id, thread_id
from shared.settings import Settings
from shared.waiting import within

ABSENT = "operator"
HERE = Path(__file__).parent
NEVER_MS = 3_600_000
HANGING = 300  # calls at a vendor that never answers
CAPACITY_OF = (8, 16)  # calls of a run, and runs in flight, that the arithmetic of capacity begins with


class Bench:
    """Infrastructure, services as separate processes, and the measurements."""

    def __init__(self, home: Path, broker: str, agents: int, quick: bool) -> None:
        self._home, self._agents, self._quick = home, agents, quick
        (home / "logs").mkdir(parents=True)
        pg, kafka, controller, self._stub_port, self._slow_port, self._hanging_port = free_ports(6)
        self._postgres = Postgres(home, pg)
        self._broker: Broker = ApacheKafka(home, kafka, controller) if broker == "apache" else Tansu(home, kafka)
        self._processes = Processes(home / "logs")
        self.results: dict[str, Any] = {"broker": broker, "agent_processes": agents, "cores": os.cpu_count()}

    def prepare(self) -> None:
        self._postgres.start()
        self._postgres.prepare()
        self._broker.start()
        self._broker.prepare()
        self._partitions = {"VIOX_KAFKA_PARTITIONS": str(max(self._agents, 2))}
        names = self._broker.client_settings(ADMIN) | self._partitions
        self.settings = Settings.load(**{k.removeprefix("VIOX_").lower(): v for k, v in names.items()})
        asyncio.run(ensure_topics(self.settings))
        self._processes.start("stub", [sys.executable, "-m", "benchmarks.stub", str(self._stub_port)], {})
        slow = [sys.executable, "-m", "benchmarks.stub", str(self._slow_port), str(invoke.VENDOR_MS)]
        self._processes.start("slow stub", slow, {})
        hanging = [sys.executable, "-m", "benchmarks.stub", str(self._hanging_port), str(NEVER_MS)]
        self._processes.start("hanging stub", hanging, {})
        until(lambda: all(map(connects, (self._stub_port, self._slow_port, self._hanging_port))))

    def _start_gateway(self, documents: str) -> None:
        """One gateway, in the place of the one before."""
        self._processes.stop(["gateway"])
        port = free_ports(1)[0]
        environment = self._services("gateway") | {
            "VIOX_POSTGRES_DSN": self._postgres.dsn("viox_gateway"),
            "VIOX_CATALOGUE": documents,
            "BENCH_BASE_URL": f"http://127.0.0.1:{self._stub_port}",
            "BENCH_SLOW_BASE_URL": f"http://127.0.0.1:{self._slow_port}",
            "BENCH_HANGING_BASE_URL": f"http://127.0.0.1:{self._hanging_port}",
            "VIOX_ALLOW_LOOPBACK": "1",
            "VIOX_HTTP_PORT": str(port),
            "STRIPE_WEBHOOK_SECRET": webhooks.SECRET,
            **invoke.SETTINGS,
        }
        self._gateway_port = port
        self._processes.start("gateway", [sys.executable, "-m", "services.tool_gateway.main"], environment)
        until(lambda: ready(port))

    def _start_agents(self) -> None:
        ports = free_ports(self._agents)
        for number, port in enumerate(ports, 1):
            environment = self._services("builder") | {
                "VIOX_POSTGRES_DSN": self._postgres.dsn("viox_builder"),
                "VIOX_HTTP_PORT": str(port),
            }
            self._processes.start(f"agent {number}", [sys.executable, "-m", "benchmarks.agent"], environment)
        for port in ports:
            until(lambda port=port: ready(port))  # type: ignore[misc]

    def _services_running(self) -> list[str]:
        return [name for name in self._processes.names() if "stub" not in name]

    def _services(self, name: str) -> dict[str, str]:
        login = self._broker.client_settings(name) | self._partitions
        return login | {"VIOX_MODELS": "offline", "VIOX_LOG_LEVEL": "WARNING"}

    def _large_catalogue(self) -> None:
        self._large = self._home / "large.yaml"
        (echo,) = read_document(HERE / "stub.yaml")
        found = self.results["catalogue"] = large.measure(self._large, echo)
        costs = ", ".join(f"{us:.0f} µs with {n}" for n, us in found["judge_and_prepare_us"].items())
        say(
            f"import of {found['tools']} operations ({found['document_bytes'] / 1e6:.1f} MB)   parsed {found['parse_seconds']:.1f} s   "
            f"imported {found['import_seconds']:.1f} s   {found['bytes_per_tool'] / 1024:.0f} kB a tool"
        )
        say(f"judging and preparing a call                  {costs}")

    def stop(self) -> None:
        self._processes.stop(self._processes.names())
        self._broker.stop()
        self._postgres.stop()

    async def measure(self, own: bool = True, peers: Path | None = None) -> None:
        """`own`: the project's own measurements; `peers`: the interpreter of the peers' environment, to compare with them."""
        self._pool = await asyncpg.create_pool(self._postgres.dsn("viox"), min_size=1, max_size=4)
        settings = client_settings(self.settings)
        self._producer = AIOKafkaProducer(**settings, acks="all", enable_idempotence=False)
        await self._producer.start()
        try:
            await self._measure_ours(own)
            if peers:
                await self._compare(peers)
        finally:
            await self._producer.stop()
            await self._pool.close()

    async def _measure_ours(self, own: bool) -> None:
        """Start gateway and agents, and measure on the way if that is wanted."""
        if own:
            await self._echo()
            self._large_catalogue()
        documents = (HERE / f"{name}.yaml" for name in ("stub", "slow", "hanging"))
        await asyncio.to_thread(self._start_gateway, ":".join(map(str, documents)))
        if own:
            await self._judging()
            await self._gateway_alone("gateway")
            await self._webhooks()
            await self._invoke()
            await self._beside_hanging()
            await asyncio.to_thread(self._start_gateway, f"{HERE / 'stub.yaml'}:{self._large}")
            await self._gateway_alone("gateway with 1,000 tools more")
        await asyncio.to_thread(self._start_agents)
        if own:
            await self._runs()
            self._memory()
            self._capacity()

    def _capacity(self) -> None:
        """What the costs of a call come to at more calls a second than two cores can show."""
        measured = next(one for one in self.results["runs"] if (one["calls"], one["in_flight"]) == CAPACITY_OF)
        for text in capacity.lines(measured):
            say(text)

    async def _judging(self) -> None:
        found = self.results["judging_us"] = await judging.measure(self._postgres.dsn("viox"))
        for name, microseconds in found.items():
            say(f"{f'judging: {name}':<60} {microseconds:8.0f} µs a call")

    # -- the limit ---------------------------------------------------------------------------------------------------

    async def _echo(self) -> None:
        """Two hops with aiokafka and nothing else, on the same broker."""
        there, back = topics.tasks("voice"), topics.tool_results("voice")
        echo = await at_the_end_of(self.settings, there)
        replies = await at_the_end_of(self.settings, back)

        async def serve() -> None:
            while True:
                for batch in (await echo.getmany(timeout_ms=100)).values():
                    for record in batch:
                        await self._producer.send(back, record.value, key=record.key)

        pending: dict[bytes, asyncio.Future[None]] = {}

        async def collect() -> None:
            while True:
                for batch in (await replies.getmany(timeout_ms=100)).values():
                    for record in batch:
                        if waiting := pending.pop(record.key, None):
                            waiting.set_result(None)

        loops = [asyncio.create_task(serve()), asyncio.create_task(collect())]

        async def one() -> None:
            key = uuid4().bytes
            pending[key] = asyncio.get_running_loop().create_future()
            await self._producer.send(there, b"x" * 500, key=key)
            await pending[key]

        found = {}
        for flight, count in ((1, 100), (16, 1000), (64, 3000)):
            found[str(flight)] = await in_flight(one, flight, count // (4 if self._quick else 1))
            say(f"limit: two-hop echo, {flight:>2} in flight      {line(found[str(flight)])}")
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await echo.stop()
        await replies.stop()
        self.results["echo"] = found

    async def _webhooks(self) -> None:
        """Into Postgres and onto the broker; nobody takes them in."""
        self.results["webhooks"] = found = await webhooks.measure(self._gateway_port, 500 if self._quick else 3000)
        for flight, numbers in found.items():
            say(f"webhooks accepted durably, {flight:>2} in flight    {line(numbers)}")
        await self._pool.execute("delete from outbox where topic like 'viox.events.%'")

    async def _invoke(self) -> None:
        """Live calls alone, then beside others."""

        def cpu() -> float:
            return self._processes.cpu_seconds(["gateway"])

        self.results["invoke"] = found = await invoke.measure(self._gateway_port, cpu, quick=self._quick)
        for flight, numbers in found.items():
            cost = f"{numbers['cpu_ms_per_call']:.2f} ms CPU a call"
            say(f"live calls, vendor {invoke.VENDOR_MS} ms, {flight:>2} in flight    {line(numbers)}   {cost}")
        await self._beside()

    async def _beside(self) -> None:
        """One caller at a time while the gateway has more calls from the bus than it can make."""
        calls = asyncio.create_task(self._gateway_alone("gateway beside live calls"))
        await asyncio.sleep(1.0)  # it reads counters for a second first, and the caller starts meanwhile
        self.results["invoke beside the bus"] = beside = await invoke.beside(
            self._gateway_port, 15 if self._quick else 50
        )
        say(f"live calls while the bus is full, 1 in flight {line(beside)}")
        await calls

    async def _beside_hanging(self) -> None:
        """A vendor that takes requests and never answers, and what becomes of the others' calls meanwhile."""
        runs = await self._send_calls("hanging", "bench_hanging_echo", HANGING)
        begun = "select count(*) from tool_calls where run_id = any($1::uuid[]) and state = 'executing'"
        while not await self._pool.fetchval(begun, runs):
            await asyncio.sleep(0.02)
        self.results["invoke beside a hanging vendor"] = found = await invoke.measure(
            self._gateway_port, lambda: self._processes.cpu_seconds(["gateway"]), quick=self._quick
        )
        for flight, numbers in found.items():
            say(f"live calls beside a hanging vendor, {flight:>2} in flight   {line(numbers)}")
        await self._gateway_alone("gateway beside a hanging vendor")
        self.results["hanging"] = waits = await self._pool.fetchval(begun, runs)
        say(f"calls at the hanging vendor meanwhile {waits} of {HANGING}; the others wait for a place there")

    # -- the gateway ---------------------------------------------------------------------------------------------------

    async def _gateway_alone(self, name: str) -> None:
        """Calls of an agent that is not there: nobody takes their results in."""
        count = 1000 if self._quick else 5000
        before = await self._counters(["gateway"])
        started = time.monotonic()
        runs = await self._send_calls(name, "bench_echo", count)
        closed = "select count(*) from tool_calls where run_id = any($1::uuid[]) and closed_at is not null"
        while await self._pool.fetchval(closed, runs) < count:
            await asyncio.sleep(0.02)
        failed = await self._pool.fetchrow(
            "select error from tool_calls where run_id = any($1::uuid[]) and state <> 'succeeded' limit 1", runs
        )
        assert failed is None, f"a call failed: {failed}"
        seconds = time.monotonic() - started
        after = await self._counters(["gateway"])
        await self._pool.execute("delete from outbox")  # or they would be sent again and again, with nobody there
        self.results[name] = {
            "calls": count,
            "per_second": count / seconds,
            "cpu_ms_per_call": (after["cpu"] - before["cpu"]) * 1000 / count,
            "rows_per_call": (after["rows"] - before["rows"]) / count,
            "wal_bytes_per_call": (after["wal_bytes"] - before["wal_bytes"]) / count,
        }
        say(
            f"{name} alone, {count} calls, full ledger      {count / seconds:7.0f} calls/s   "
            f"{self.results[name]['cpu_ms_per_call']:.2f} ms CPU a call"
        )

    async def _send_calls(self, name: str, tool: str, count: int) -> list[Any]:
        """Calls of 50 runs of an agent that is not there. Returns the runs."""
        triggers = [f"{name} {number}" for number in range(50)]
        runs = [run_id(ABSENT, "/bench", trigger) for trigger in triggers]
        await self._pool.executemany(
            "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)"
            " values ($1, $2, $3, $4, 'running', '/bench', $5, 'bench')",
            [
                (run, ABSENT, thread_id(ABSENT, f"g{n}"), f"g{n}", trigger)
                for n, (run, trigger) in enumerate(zip(runs, triggers, strict=True))
            ],
        )
        for number in range(count):
            call = ToolCallRequested(
                call_id=call_id(runs[number % 50], number, 0),
                run_id=str(runs[number % 50]),
                step=number,
                index=0,
                tool=tool,
                arguments={"n": number, "text": "x" * 100},
            )
            message = call_requested(ABSENT, call, f"g{number % 50}", datetime.now(UTC), None)
            key, value, headers = message.to_kafka()
            await self._producer.send(topics.tool_calls(ABSENT), value, key=key, headers=headers)
        return runs

    # -- whole runs ----------------------------------------------------------------------------------------------------

    async def _runs(self) -> None:
        consumer = await at_the_end_of(self.settings, topics.RUNS)
        ends: dict[str, asyncio.Future[None]] = {}

        async def collect() -> None:
            while True:
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    for record in batch:
                        kind = dict(record.headers).get("ce_type")
                        subject = dict(record.headers).get("ce_subject", b"").decode()
                        if kind == b"viox.run.finished" and (waiting := ends.pop(subject, None)):
                            waiting.set_result(None)

        collecting = asyncio.create_task(collect())
        plans = [(1, 1, 60), (1, 16, 400), (1, 64, 1200), (8, 1, 10), (8, 16, 80), (100, 1, 2), (100, 8, 8)]
        self.results["runs"] = []
        for calls, flight, count in plans:
            number = max(count // (4 if self._quick else 1), flight if calls == 1 else 1)
            self.results["runs"].append(await self._plan(ends, calls, flight, number))
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)
        await consumer.stop()

    async def _plan(self, ends: dict[str, asyncio.Future[None]], calls: int, flight: int, count: int) -> dict[str, Any]:
        names = self._services_running()

        async def one() -> None:
            message = task("builder", str(uuid4()), "/bench", f"calls {calls}", {}, datetime.now(UTC), None)
            run = str(run_id("builder", message.source, message.id))
            ends[run] = asyncio.get_running_loop().create_future()
            key, value, headers = message.to_kafka()
            await self._producer.send(topics.tasks("builder"), value, key=key, headers=headers)
            try:
                await within(120, ends[run])
            except TimeoutError:
                await self._tell_what_hangs(run)
                raise

        before = await self._counters(names)
        found = await in_flight(one, flight, count)
        after = await self._counters(names)
        total = calls * count
        found |= {
            "calls": calls,
            "in_flight": flight,
            "agent_processes": self._agents,
            "cpu_ms_per_call": (after["cpu"] - before["cpu"]) * 1000 / total,
        } | {f"{name}_per_call": (after[name] - before[name]) / total for name in before if name != "cpu"}
        if not isinstance(self._broker, ApacheKafka):
            found["kafka_bytes_per_call"] = None
        base = self.results["echo"].get(str(flight), self.results["echo"]["16"])
        found["p50_ratio_to_limit"] = found["p50_ms"] / base["p50_ms"]
        say(
            f"runs of {calls:>3} calls, {flight:>2} in flight          {line(found)}   x{found['p50_ratio_to_limit']:.1f} of the limit   "
            f"{found['cpu_ms_per_call']:.1f} ms CPU, {found['rows_per_call']:.1f} rows, {found['wal_bytes_per_call']:.0f} B a call"
        )
        return found

    async def _tell_what_hangs(self, run: str) -> None:
        """What the tables say of a run that does not end, and what else is under way."""
        for table in ("runs", "tool_calls", "inbox", "outbox", "dead_letters"):
            mine = "run_id::text = $1" if table in ("runs", "tool_calls", "inbox") else "$1 <> ''"
            for row in await self._pool.fetch(f"select to_jsonb(t) as it from {table} t where {mine} limit 20", run):  # noqa: S608
                say(f"{table}: {str(row['it'])[:1200]}")

    # -- peers ---------------------------------------------------------------------------------------------------------

    async def _compare(self, python: Path) -> None:
        vendor = f"http://127.0.0.1:{self._stub_port}"
        stage = Stage(self.settings, self._processes, vendor, self._agents, python)
        found = await compare(stage, self._postgres, self._producer, self._services_running(), self._quick)
        self.results["peers"] = {"contenders": as_json(found)}

    # -- machinery -------------------------------------------------------------------------------------------------------

    async def _counters(self, names: list[str]) -> dict[str, float]:
        await asyncio.sleep(1.2)  # Postgres reports its counters once a second
        rows = await self._pool.fetchval("select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables")
        wal = await self._pool.fetchval("select pg_current_wal_lsn() - '0/0'::pg_lsn")
        commits = await self._pool.fetchval(
            "select xact_commit from pg_stat_database where datname = current_database()"
        )
        kept = await self._pool.fetchval("select pg_database_size(current_database())")
        logs = (self._home / "kafka" / "data").glob("*/*.log")
        servers = {"postgres_ms": self._postgres.process, "broker_ms": self._broker.process}
        gateway = [name for name in names if name == "gateway"]
        return {
            "rows": float(rows),
            "wal_bytes": float(wal),
            "commits": float(commits),
            "kept_bytes": float(kept),
            "kafka_bytes": float(sum(file.stat().st_size for file in logs)),
            "cpu": self._processes.cpu_seconds(names),
            "gateway_ms": self._processes.cpu_seconds(gateway) * 1000,
            "agents_ms": self._processes.cpu_seconds(name for name in names if name not in gateway) * 1000,
            **{name: cpu_with_children(one.pid) * 1000 for name, one in servers.items() if one},
        }

    def _memory(self) -> None:
        found = self._processes.pss_mb(self._services_running())
        self.results["pss_mb"] = found
        say("memory (PSS): " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in found.items()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench")
    parser.add_argument("--broker", default="embedded", choices=["embedded", "apache"])
    parser.add_argument("--agents", type=int, default=2, help="agent processes, of the project and of calfkit")
    parser.add_argument("--quick", action="store_true", help="a quarter of the runs, or fewer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    peers = parser.add_mutually_exclusive_group()
    peers.add_argument("--peers", action="store_true", help="then the same by calfkit and LangGraph, from .venv-peers")
    peers.add_argument("--only-peers", action="store_true", help="that comparison and nothing else")
    return parser.parse_args()


def peers_environment(results: dict[str, Any]) -> Path | None:
    """The peers' interpreter. Without one the measurements go on, and the results say why."""
    try:
        return environment.prepare()
    except environment.Unavailable as error:
        results["peers"] = {"unavailable": str(error)}
        _say_unavailable(results)
        return None


def _say_unavailable(results: dict[str, Any]) -> None:
    if reason := results.get("peers", {}).get("unavailable"):
        say(f"peers: not compared, their environment (.venv-peers) could not be prepared: {reason}")


def _measure(bench: Bench, given: argparse.Namespace, peers: Path | None) -> None:
    try:
        bench.prepare()
        asyncio.run(bench.measure(own=not given.only_peers, peers=peers))
    finally:
        bench.stop()


def main() -> None:
    given = arguments()
    home = Path(tempfile.mkdtemp(prefix="viox-bench-"))
    home.chmod(0o755)
    bench = Bench(home / "state", given.broker, given.agents, given.quick)
    peers = peers_environment(bench.results) if given.peers or given.only_peers else None
    say(f"{given.broker} broker, {given.agents} agent processes, one gateway, {os.cpu_count()} cores")
    try:
        _measure(bench, given, peers)
        if not given.only_peers:  # alone on the machine, and on a database of its own
            runs = console.QUICK_RUNS if given.quick else console.RUNS
            bench.results["console"] = console.run(home / "console", runs)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _say_unavailable(bench.results)
    if given.json:
        given.json.write_text(json.dumps(bench.results, indent=2) + "\n")


if __name__ == "__main__":
    main()
