"""What measurements share: work with so much in flight, processes and their CPU and memory, one line of output."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from sandbox.net import free_ports
from sandbox.postgres import Postgres
from shared.bus.kafka import client_settings
from shared.settings import Settings

TICK = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parent.parent


def say(text: str = "") -> None:
    print(text, flush=True)


def line(found: Mapping[str, Any]) -> str:
    return f"p50 {found['p50_ms']:7.1f} ms   p99 {found['p99_ms']:7.1f} ms   {found['per_second']:7.1f}/s"


async def in_flight(one: Callable[[], Awaitable[None]], flight: int, count: int) -> dict[str, Any]:
    """`count` pieces of work, `flight` at a time."""
    times: list[float] = []
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            started = time.perf_counter()
            await one()
            times.append((time.perf_counter() - started) * 1000)

    started = time.monotonic()
    workers = [asyncio.create_task(worker()) for _ in range(flight)]
    try:
        await asyncio.gather(*workers)
    finally:
        for left_over in workers:
            left_over.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    seconds = time.monotonic() - started
    ordered = sorted(times)
    return {
        "count": count,
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[min(int(0.99 * count), count - 1)],
        "per_second": count / seconds,
    }


async def at_the_end_of(settings: Settings, topic: str) -> Any:
    """A consumer of all partitions of a topic, from now on."""
    consumer = AIOKafkaConsumer(
        **client_settings(settings), fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms, auto_offset_reset="latest"
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, n) for n in range(settings.kafka_partitions)])
    await consumer.seek_to_end()
    return consumer


@contextmanager
def postgres_in(home: Path) -> Iterator[Postgres]:
    """A server with the schema of today below a folder, which other users may enter."""
    (home / "logs").mkdir(parents=True)
    server = Postgres(home, free_ports(1)[0])
    server.start()
    try:
        server.prepare()
        yield server
    finally:
        server.stop()


@contextmanager
def database() -> Iterator[tuple[Postgres, Path]]:
    """Such a server in a folder of its own, and the folder; gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        home.chmod(0o755)
        with postgres_in(home) as server:
            yield server, home


class Processes:
    """Processes by name, each with a log file of its own."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def names(self) -> list[str]:
        return list(self._running)

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, env={**os.environ, **environment}, cwd=ROOT, stdout=log, stderr=log
            )

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def stop(self, names: Iterable[str]) -> None:
        """End these processes, all asked before any is waited for. One that does not end in 20 seconds is killed."""
        stopping = [process for name in list(names) if (process := self._running.pop(name, None))]
        for process in stopping:
            process.send_signal(signal.SIGTERM)
        for process in stopping:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ended(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._running[name].poll() is not None]

    def cpu_seconds(self, names: Iterable[str]) -> float:
        return sum(_cpu(self._running[name].pid) for name in names)

    def pss_mb(self, names: Iterable[str]) -> dict[str, float]:
        return {name: _pss(self._running[name].pid) for name in names}


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "a process did not become ready"
        time.sleep(0.05)


def cpu_with_children(pid: int) -> float:
    """CPU seconds of a process, of its children, and of those of them that ended."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(int, parts[11:15])) / TICK + sum(_cpu(int(child)) for child in children)


def _cpu(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / TICK


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
