"""Who is compared: how each is started, what begins a run of it, and how its announcement is read."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from benchmarks.measure import Processes, at_the_end_of
from benchmarks.peers.environment import HERE, version
from shared.bus import topics
from shared.bus.kafka import ensure_topics
from shared.bus.messages import task
from shared.bus.topics import Topic
from shared.ids import run_id
from shared.settings import Settings

START_SECONDS = 120  # a slow machine imports for a long time
READY = b"serving\n"  # what the programs of the peers write once they consume
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Request:
    """The record that begins a run, and the id that the run's announcement carries."""

    run: str
    topic: str
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True)
class Stage:
    """What all contenders stand on."""

    settings: Settings
    processes: Processes
    vendor: str
    agents: int
    python: Path

    def kafka(self) -> list[str]:
        """What a peer's program is told of the broker."""
        wait = str(self.settings.kafka_fetch_max_wait_ms)
        return ["--kafka", self.settings.kafka_bootstrap_servers, "--fetch-wait-ms", wait]

    def all_run(self, names: Sequence[str]) -> None:
        if ended := self.processes.ended(names):
            raise Ended(f"{', '.join(ended)} ended")

    async def serving(self, names: Sequence[str]) -> None:
        """Wait until each has written that its consumer has joined. Raises Ended, TimeoutError."""
        async with asyncio.timeout(START_SECONDS):
            while not all(READY in self.processes.log(name).read_bytes() for name in names):
                self.all_run(names)
                await asyncio.sleep(0.2)

    async def topics(self, *names: str) -> None:
        await ensure_topics(self.settings, [Topic(name, "run", (), (), "benchmark") for name in names])


class Contender(Protocol):
    name: str
    note: str
    announcements: str  # the topic that says a run is over
    database: str | None  # where its rows are
    processes: list[str]

    async def start(self, stage: Stage) -> None: ...

    def request(self, calls: int) -> Request: ...

    def announced(self, record: Any) -> tuple[str, int] | None:
        """The run that is over and the calls it made, or None for another record. Raises RunFailed."""


class Ended(Exception):
    """A process of a contender ended by itself."""


class RunFailed(Exception):
    """A contender announced that a run failed."""


class Ours:
    """The benchmark's agents and the gateway, which run already."""

    name = "VioX OS"
    note = (
        "does what the others do not: each call goes over the bus to a gateway, with intent, decision and outcome in a ledger, "
        "and is not repeated after a kill. It pays for that with four hops of the bus a run."
    )
    announcements = topics.RUNS
    database: str | None = "viox"

    def __init__(self, processes: list[str]) -> None:
        self.processes = processes

    async def start(self, stage: Stage) -> None:
        return None

    def request(self, calls: int) -> Request:
        message = task("builder", str(uuid4()), "/bench", f"calls {calls}", {}, datetime.now(UTC), None)
        key, value, headers = message.to_kafka()
        run = str(run_id("builder", message.source, message.id))
        return Request(run, topics.tasks("builder"), key, value, headers)

    def announced(self, record: Any) -> tuple[str, int] | None:
        if _headers(record).get("ce_type") != b"viox.run.finished":
            return None
        run = json.loads(record.value)
        if run["status"] != "finished":
            raise RunFailed(f"run {run['run_id']} is {run['status']}: {run['text']}")
        return run["run_id"], run["tool_calls"]


class Calfkit:
    """calfkit: as many agent processes as the project has, one tool process; a run's state travels in its messages.

    A run begins with the very record that calfkit's own client sends: one is taken from the topic as a sample, and each run
    gets ids of its own in it. So the driver costs the machine the same for every contender.
    """

    note = (
        "does not keep anything of a run (no database), has no ledger, gateway or policy, and commits offsets apart from the work: "
        "a kill loses the run or makes the call again. It has the same four hops."
    )
    announcements = "bench.calfkit.inbox"
    database: str | None = None
    program = HERE / "calfkit_services.py"
    requests = "agent.bench.private.input"

    def __init__(self) -> None:
        self.name = f"calfkit {version('calfkit')}"
        self.processes: list[str] = []
        self._sample: Any = None

    async def start(self, stage: Stage) -> None:
        await stage.topics(self.requests, self.announcements)
        common = [*stage.kafka(), "--partitions", str(stage.settings.kafka_partitions), "--vendor", stage.vendor]
        roles = {"calfkit tool": "tool"} | {f"calfkit agent {n}": "agent" for n in range(1, stage.agents + 1)}
        for name, role in roles.items():
            stage.processes.start(name, [stage.python, self.program, role, *common], {"PYTHONWARNINGS": "ignore"})
            self.processes.append(name)
        await stage.serving(self.processes)
        self._sample = await self._take_sample(stage, [str(stage.python), str(self.program), "client", *common])

    async def _take_sample(self, stage: Stage, client: list[str]) -> Any:
        consumer = await at_the_end_of(stage.settings, self.requests)
        try:
            stage.processes.start("calfkit client", client, {"PYTHONWARNINGS": "ignore"})
            async with asyncio.timeout(START_SECONDS):
                return await consumer.getone()
        finally:
            stage.processes.stop(["calfkit client"])
            await consumer.stop()

    def request(self, calls: int) -> Request:
        run = uuid4().hex
        return personal(self._sample, run, calls)

    def announced(self, record: Any) -> tuple[str, int] | None:
        headers = _headers(record)
        if headers.get("x-calf-wire") != b"envelope":
            return None  # an intermediate step
        if headers.get("x-calf-kind") != b"return":
            raise RunFailed(f"calfkit answered {headers.get('x-calf-kind')!r}: {record.value[-300:]!r}")
        return record.key.decode(), _calls_said(record.value)


class LangGraph:
    """LangGraph and its own Postgres saver in one process, between two topics; the tool is called in the process."""

    program = HERE / "langgraph_service.py"

    def __init__(self, durability: str, server: str, note: str) -> None:
        self.name = f"LangGraph {version('langgraph')}, saver, {durability}"
        self.note = note
        self._key = f"langgraph-{durability}"
        self.database: str | None = f"bench_langgraph_{durability}"
        self.announcements = f"bench.{self._key}.out"
        self.processes = [self._key]
        self._options = ["--durability", durability, "--postgres", f"{server}/{self.database}", "--name", self._key]

    async def start(self, stage: Stage) -> None:
        await stage.topics(f"bench.{self._key}.in", self.announcements)
        command: list[str | Path] = [
            stage.python,
            self.program,
            *stage.kafka(),
            *self._options,
            "--vendor",
            stage.vendor,
        ]
        stage.processes.start(self._key, command, {})
        await stage.serving(self.processes)

    def request(self, calls: int) -> Request:
        run = str(uuid4())
        event = {"id": run, "text": f"calls {calls}"}
        return Request(run, f"bench.{self._key}.in", run.encode(), json.dumps(event).encode(), [])

    def announced(self, record: Any) -> tuple[str, int] | None:
        outcome = json.loads(record.value)
        return outcome["id"], _calls_said(record.value)


def personal(sample: Any, run: str, calls: int) -> Request:
    """A calfkit client's record as it would be for another run: its correlation id, frame id and prompt are replaced."""
    of_sample: bytes = sample.key
    value: bytes = sample.value.replace(of_sample, run.encode()).replace(b'"calls 1"', f'"calls {calls}"'.encode())
    value = re.sub(rb'"frame_id":"[0-9a-f]{32}"', f'"frame_id":"{uuid4().hex}"'.encode(), value)
    headers = [(name, header.replace(of_sample, run.encode())) for name, header in sample.headers]
    return Request(run, sample.topic, run.encode(), value, headers)


def _calls_said(value: bytes) -> int:
    """The scripted models of the peers end with `done N`, N being the tool results they have seen."""
    said = re.findall(rb'"done (\d+)"', value)
    if not said:
        raise RunFailed(f"a run ended without the model's last word: {value[-300:]!r}")
    return int(said[-1])


def _headers(record: Any) -> Mapping[str, bytes]:
    return dict(record.headers)
