"""`make bench`: one run, one broker. The limit (raw echo over the broker), the gateway alone, whole runs; time, rows,
bytes, CPU and memory of each, as ratios to the limit.

    python -m benchmarks.bench [--broker embedded|apache] [--agents 2] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks import catalogue as large
from sandbox.broker import ApacheKafka, Broker, Tansu
from sandbox.net import connects, free_ports
from sandbox.postgres import Postgres
from services.tool_gateway.catalogue.catalogue import read_document
from shared.bus import topics
from shared.bus.kafka import client_settings, ensure_topics
from shared.bus.messages import ToolCallRequested, call_requested, task
from shared.ids import call_id, run_id
from shared.settings import Settings

ABSENT = "operator"
HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")


def say(text: str = "") -> None:
    print(text, flush=True)


class Bench:
    """Infrastructure, services as separate processes, and the measurements."""

    def __init__(self, home: Path, broker: str, agents: int, quick: bool) -> None:
        self._home, self._agents, self._quick = home, agents, quick
        (home / "logs").mkdir(parents=True)
        pg, kafka, controller, self._stub_port = free_ports(4)
        self._postgres = Postgres(home, pg)
        self._broker: Broker = ApacheKafka(home, kafka, controller) if broker == "apache" else Tansu(home, kafka)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.results: dict[str, Any] = {"broker": broker, "agent_processes": agents, "cores": os.cpu_count()}

    def prepare(self) -> None:
        self._postgres.start()
        self._postgres.prepare()
        self._broker.start()
        names = self._broker.client_settings() | {"VIOX_KAFKA_PARTITIONS": str(max(self._agents, 2))}
        self._names = names
        self.settings = Settings.load(**{k.removeprefix("VIOX_").lower(): v for k, v in names.items()})
        asyncio.run(ensure_topics(self.settings))
        self._spawn("stub", [sys.executable, "-m", "benchmarks.stub", str(self._stub_port)], {})

    def _start_gateway(self, documents: str) -> None:
        """One gateway, in the place of the one before."""
        if before := self._processes.pop("gateway", None):
            before.send_signal(signal.SIGTERM)
            before.wait(20)
        port = free_ports(1)[0]
        environment = self._services() | {
            "VIOX_POSTGRES_DSN": self._postgres.dsn("viox_gateway"),
            "VIOX_CATALOGUE": documents,
            "BENCH_BASE_URL": f"http://127.0.0.1:{self._stub_port}",
            "VIOX_ALLOW_LOOPBACK": "1",
            "VIOX_HTTP_PORT": str(port),
        }
        self._spawn("gateway", [sys.executable, "-m", "services.tool_gateway.main"], environment)
        _until(lambda: _ready(port))

    def _start_agents(self) -> None:
        ports = free_ports(self._agents)
        for number, port in enumerate(ports, 1):
            environment = self._services() | {
                "VIOX_POSTGRES_DSN": self._postgres.dsn("viox_builder"),
                "VIOX_HTTP_PORT": str(port),
            }
            self._spawn(f"agent {number}", [sys.executable, "-m", "benchmarks.agent"], environment)
        for port in ports:
            _until(lambda port=port: _ready(port))  # type: ignore[misc]

    def _services(self) -> dict[str, str]:
        return self._names | {"VIOX_MODELS": "offline", "VIOX_LOG_LEVEL": "WARNING"}

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
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            process.wait(20)
        self._broker.stop()
        self._postgres.stop()

    async def measure(self) -> None:
        self._pool = await asyncpg.create_pool(self._postgres.dsn("viox"), min_size=1, max_size=4)
        settings = client_settings(self.settings)
        self._producer = AIOKafkaProducer(**settings, acks="all", enable_idempotence=False)
        await self._producer.start()
        try:
            await self._echo()
            self._large_catalogue()
            await asyncio.to_thread(self._start_gateway, str(HERE / "stub.yaml"))
            await self._gateway_alone("gateway")
            await asyncio.to_thread(self._start_gateway, f"{HERE / 'stub.yaml'}:{self._large}")
            await self._gateway_alone("gateway with 1,000 tools more")
            await asyncio.to_thread(self._start_agents)
            await self._runs()
            self._memory()
        finally:
            await self._producer.stop()
            await self._pool.close()

    # -- the limit ---------------------------------------------------------------------------------------------------

    async def _echo(self) -> None:
        """Two hops with aiokafka and nothing else, on the same broker."""
        there, back = topics.tasks("voice"), topics.tool_results("voice")
        echo = await self._assigned(there)
        replies = await self._assigned(back)

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
            found[str(flight)] = await self._flight(one, flight, count // (4 if self._quick else 1))
            say(f"limit: two-hop echo, {flight:>2} in flight      {_line(found[str(flight)])}")
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await echo.stop()
        await replies.stop()
        self.results["echo"] = found

    async def _assigned(self, topic: str) -> Any:
        consumer = AIOKafkaConsumer(
            **client_settings(self.settings),
            fetch_max_wait_ms=self.settings.kafka_fetch_max_wait_ms,
            auto_offset_reset="latest",
        )
        await consumer.start()
        from aiokafka import TopicPartition

        consumer.assign([TopicPartition(topic, n) for n in range(self.settings.kafka_partitions)])
        await consumer.seek_to_end()
        return consumer

    # -- the gateway ---------------------------------------------------------------------------------------------------

    async def _gateway_alone(self, name: str) -> None:
        """Calls of an agent that is not there: nobody takes their results in."""
        count = 1000 if self._quick else 5000
        before = await self._counters(["gateway"])
        started = time.monotonic()
        run = run_id(ABSENT, "/bench", name)
        await self._pool.execute(
            "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)"
            " values ($1, $2, $1, 'g', 'running', '/bench', $3, 'bench')",
            run,
            ABSENT,
            name,
        )
        for number in range(count):
            call = ToolCallRequested(
                call_id=call_id(run, number, 0),
                run_id=str(run),
                step=number,
                index=0,
                tool="bench_echo",
                arguments={"n": number, "text": "x" * 100},
            )
            message = call_requested(ABSENT, call, f"g{number % 50}", datetime.now(UTC), None)
            key, value, headers = message.to_kafka()
            await self._producer.send(topics.tool_calls(ABSENT), value, key=key, headers=headers)
        closed = "select count(*) from tool_calls where run_id = $1 and closed_at is not null"
        while await self._pool.fetchval(closed, run) < count:
            await asyncio.sleep(0.02)
        failed = await self._pool.fetchrow(
            "select error from tool_calls where run_id = $1 and state <> 'succeeded' limit 1", run
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
            "wal_bytes_per_call": (after["wal"] - before["wal"]) / count,
        }
        say(
            f"{name} alone, {count} calls, full ledger      {count / seconds:7.0f} calls/s   "
            f"{self.results[name]['cpu_ms_per_call']:.2f} ms CPU a call"
        )

    # -- whole runs ----------------------------------------------------------------------------------------------------

    async def _runs(self) -> None:
        consumer = await self._assigned(topics.RUNS)
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
        names = [n for n in self._processes if n != "stub"]

        async def one() -> None:
            message = task("builder", str(uuid4()), "/bench", f"calls {calls}", {}, datetime.now(UTC), None)
            run = str(run_id("builder", message.source, message.id))
            ends[run] = asyncio.get_running_loop().create_future()
            key, value, headers = message.to_kafka()
            await self._producer.send(topics.tasks("builder"), value, key=key, headers=headers)
            try:
                await asyncio.wait_for(ends[run], 120)
            except TimeoutError:
                await self._tell_what_hangs(run)
                raise

        before = await self._counters(names)
        found = await self._flight(one, flight, count)
        after = await self._counters(names)
        total = calls * count
        found |= {
            "calls": calls,
            "in_flight": flight,
            "agent_processes": self._agents,
            "cpu_ms_per_call": (after["cpu"] - before["cpu"]) * 1000 / total,
            "rows_per_call": (after["rows"] - before["rows"]) / total,
            "wal_bytes_per_call": (after["wal"] - before["wal"]) / total,
        }
        base = self.results["echo"].get(str(flight), self.results["echo"]["16"])
        found["p50_ratio_to_limit"] = found["p50_ms"] / base["p50_ms"]
        say(
            f"runs of {calls:>3} calls, {flight:>2} in flight          {_line(found)}   x{found['p50_ratio_to_limit']:.1f} of the limit   "
            f"{found['cpu_ms_per_call']:.1f} ms CPU, {found['rows_per_call']:.1f} rows, {found['wal_bytes_per_call']:.0f} B a call"
        )
        return found

    async def _tell_what_hangs(self, run: str) -> None:
        """What the tables say of a run that does not end, and what else is under way."""
        for table in ("runs", "tool_calls", "inbox", "outbox", "dead_letters"):
            mine = "run_id::text = $1" if table in ("runs", "tool_calls", "inbox") else "$1 <> ''"
            for row in await self._pool.fetch(f"select to_jsonb(t) as it from {table} t where {mine} limit 20", run):  # noqa: S608
                say(f"{table}: {str(row['it'])[:1200]}")

    # -- machinery -------------------------------------------------------------------------------------------------------

    async def _flight(self, one: Callable[[], Awaitable[None]], flight: int, count: int) -> dict[str, Any]:
        """`count` pieces of work, `flight` at a time."""
        times: list[float] = []
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                started = time.perf_counter()
                await one()
                times.append((time.perf_counter() - started) * 1000)

        started = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(flight)))
        seconds = time.monotonic() - started
        ordered = sorted(times)
        return {
            "count": count,
            "p50_ms": statistics.median(ordered),
            "p99_ms": ordered[min(int(0.99 * count), count - 1)],
            "per_second": count / seconds,
        }

    async def _counters(self, names: list[str]) -> dict[str, float]:
        await asyncio.sleep(1.2)  # Postgres reports its counters once a second
        rows = await self._pool.fetchval("select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables")
        wal = await self._pool.fetchval("select pg_current_wal_lsn() - '0/0'::pg_lsn")
        return {"rows": float(rows), "wal": float(wal), "cpu": sum(_cpu(self._processes[n].pid) for n in names)}

    def _memory(self) -> None:
        found = {name: _pss(p.pid) for name, p in self._processes.items() if name != "stub"}
        self.results["pss_mb"] = found
        say("memory (PSS): " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in found.items()))

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self._home / "logs" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, env=os.environ | environment, cwd=HERE.parent, stdout=log, stderr=log
            )
        if name == "stub":
            _until(lambda: connects(self._stub_port))


def _line(found: dict[str, Any]) -> str:
    return f"p50 {found['p50_ms']:7.1f} ms   p99 {found['p99_ms']:7.1f} ms   {found['per_second']:7.1f}/s"


def _ready(port: int) -> bool:
    import http.client

    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "a process did not become ready"
        time.sleep(0.05)


def _cpu(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / TICK


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", default="embedded", choices=["embedded", "apache"])
    parser.add_argument("--agents", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="viox-bench-"))
    home.chmod(0o755)
    bench = Bench(home / "state", given.broker, given.agents, given.quick)
    say(f"{given.broker} broker, {given.agents} agent processes, one gateway, {os.cpu_count()} cores")
    try:
        bench.prepare()
        asyncio.run(bench.measure())
    finally:
        bench.stop()
        shutil.rmtree(home, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps(bench.results, indent=2) + "\n")


if __name__ == "__main__":
    main()
