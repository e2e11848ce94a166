"""A rolling upgrade, scale-out and scale-in under load: `python -m tests.chaos.rollout [--from REVISION] [--at-once 16]`.

Services of the version before (taken from git) work on Apache Kafka, two of each. The schema is brought up under them, then
each is replaced by one of today, one after the other, as a cluster does it: the new one is ready, the old one gets SIGTERM.
Then there are four of each, then one. Conversations come all the time, and are judged as in `crowd`: each result once, in
order, in its thread; nothing lost, nothing doubled, no call made twice. Printed is what the vendor saw of each phase: calls a
second, and the longest time without any.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from unittest import mock

from sandbox.models import addresses
from sandbox.models.anthropic import AnthropicWire
from sandbox.models.server import ModelServers
from sandbox.models.turns import Player
from sandbox.net import free_ports
from shared.bus import topics
from shared.bus.messages import task
from shared.bus.topics import GATEWAY
from tests.chaos import verdict
from tests.chaos.crowd import AGENTS, CATALOGUE, MOST_AT_ONCE, Conversation, Echo, FewIds, play, problems, say, served
from tests.chaos.fleet import ROOT, Fleet, NoHistory, schema_of, version_before
from tests.chaos.record import Record

SERVICES = (GATEWAY, *AGENTS)
OLD, NEW = "before", "today"
PARTITIONS = 6
STEADY_SECONDS = 8.0
QUIET_SECONDS = 120.0
LATENCIES = """
select extract(epoch from closed_at - created_at) * 1000 as ms from tool_calls
where created_at >= $1 and created_at < $2 and closed_at is not null
"""


@dataclass
class Phase:
    """A time in which one thing was changed, or nothing. Both clocks: the vendor's moments are of the monotonic one."""

    name: str
    began: float
    ended: float
    at: datetime
    until: datetime
    note: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Rollout:
    fleet: Fleet
    echo: Echo
    models: ModelServers
    code: dict[str, Path]
    at_once: int
    dice: random.Random
    wanted: list[Conversation] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    feeding: bool = True

    async def run(self) -> int:
        """0 when nothing was lost or doubled."""
        await self.fleet.open(schema_of(self.code[OLD]))
        record = await Record.of(self.fleet.postgres.dsn("viox"))
        feeder: asyncio.Task[None] | None = None
        try:
            for service in SERVICES:
                await self._more(service, OLD, 2)
            feeder = asyncio.create_task(self._feed(record))
            await self._play()
            self.feeding = False
            await feeder
            await self._until_quiet(record)
            return await self._judge(record)
        finally:
            if feeder:
                feeder.cancel()
            await record.close()
            await self.fleet.close()

    # -- the phases --------------------------------------------------------------------------------------------------

    async def _play(self) -> None:
        await asyncio.sleep(STEADY_SECONDS / 2)  # the first conversations warm everything up
        async with self._phase("two of each, the version before"):
            await asyncio.sleep(STEADY_SECONDS)
        async with self._phase("the schema of today, under it"):
            await self.fleet.migrate()
        for service in SERVICES:
            async with self._phase(f"{service}: today's for each of before") as phase:
                ends = [await self._replace(service) for _ in range(2)]
                phase.note = f"the old ones ended in {', '.join(f'{one:.1f} s' for one in ends)}"
        async with self._phase("two of each, today's"):
            await asyncio.sleep(STEADY_SECONDS)
        async with self._phase("out, to four of each"):
            for service in SERVICES:
                await self._more(service, NEW, 2)
        async with self._phase("four of each"):
            await asyncio.sleep(STEADY_SECONDS)
        async with self._phase("in, to one of each") as phase:
            ends = [await self._fewer(service) for service in SERVICES for _ in range(3)]
            phase.note = f"the longest took {max(ends):.1f} s to end"
        async with self._phase("one of each"):
            await asyncio.sleep(STEADY_SECONDS)

    @asynccontextmanager
    async def _phase(self, name: str) -> AsyncIterator[Phase]:
        phase = Phase(name, time.monotonic(), 0.0, datetime.now(UTC), datetime.now(UTC))
        yield phase
        phase.ended, phase.until = time.monotonic(), datetime.now(UTC)
        self.phases.append(phase)
        say(f"  {name} ({phase.seconds:.1f} s)")

    async def _more(self, service: str, version: str, count: int) -> None:
        for _ in range(count):
            await self.fleet.start(service, version, self.code[version])

    async def _fewer(self, service: str) -> float:
        return await self.fleet.stop(self.fleet.replicas[service][0])

    async def _replace(self, service: str) -> float:
        await self._more(service, NEW, 1)
        return await self.fleet.stop(next(one for one in self.fleet.replicas[service] if one.version == OLD))

    # -- load --------------------------------------------------------------------------------------------------------

    async def _feed(self, record: Record) -> None:
        """So many conversations at once, all the time."""
        from viox import ingress

        numbers = itertools.count()
        with mock.patch.dict(os.environ, self.fleet.command_line()):
            while self.feeding:
                over = await record.fetchval("select count(*) from runs where finished_at is not null")
                missing = self.at_once - (len(self.wanted) - over)
                for agent in AGENTS:
                    begun = [self._conversation(next(numbers), agent) for _ in range(missing // len(AGENTS))]
                    if begun:
                        await ingress.publish([_task(one) for one in begun], topics.tasks(agent))
                        self.wanted += begun
                await asyncio.sleep(0.1)

    def _conversation(self, number: int, agent: str) -> Conversation:
        return Conversation(
            f"rollout-{number}", agent, self.dice.randrange(1, 13), self.dice.randrange(1, MOST_AT_ONCE + 1)
        )

    async def _until_quiet(self, record: Record) -> None:
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            over = await record.fetchval("select count(*) from runs where finished_at is not null")
            if over >= len(self.wanted):
                return
            await asyncio.sleep(0.2)

    # -- the verdict -------------------------------------------------------------------------------------------------

    async def _judge(self, record: Record) -> int:
        found = await verdict.collect(record)
        trouble = [*problems(self.wanted, found, self.echo.told), *self.models.problems]
        if found.dead_letters or found.inbox_pending:
            trouble.append(f"{found.dead_letters} dead letters, {found.inbox_pending} messages never worked on")
        say(f"\n{len(self.wanted)} conversations, {len(found.calls)} calls; {self.at_once} conversations at once")
        say(f"{'phase':<40}{'seconds':>8}{'calls/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'pause s':>9}")
        for phase in self.phases:
            say(await self._line(record, phase))
        for problem in trouble[:40]:
            say(f"PROBLEM {problem}")
        say("nothing lost, nothing doubled" if not trouble else f"{len(trouble)} problems")
        return 1 if trouble else 0

    async def _line(self, record: Record, phase: Phase) -> str:
        moments = [one for one in self.echo.moments if phase.began <= one < phase.ended]
        pause = max(b - a for a, b in itertools.pairwise([phase.began, *moments, phase.ended]))
        taken = [row["ms"] for row in await record.fetch(LATENCIES, phase.at, phase.until)]
        cuts = quantiles(taken, n=100) if len(taken) > 1 else [0.0] * 99
        rate = len(moments) / phase.seconds
        figures = f"{phase.seconds:>8.1f}{rate:>9.0f}{cuts[49]:>8.0f}{cuts[98]:>8.0f}{pause:>9.2f}"
        return f"{phase.name:<40}{figures}  {phase.note}".rstrip()


def _task(one: Conversation) -> Any:
    return task(one.agent, one.who, "/rollout", one.words, {}, datetime.now(UTC), one.who)


async def trial(home: Path, revision: str | None, at_once: int, seed: int) -> int:
    old = home / "before"
    old.mkdir()
    found = version_before(revision, old)
    say(f"before: {found}, schema {schema_of(old)}; today: schema {schema_of(ROOT)}")
    models, echo = free_ports(2)
    vendor, servers = Echo(), ModelServers(Player(play))
    servers.wires["anthropic"] = AnthropicWire(addresses.KEYS["anthropic"], FewIds())
    settings = {n: v for n, v in addresses.settings(models).items() if n.startswith("ANTHROPIC")} | {
        "VIOX_LOG_LEVEL": "WARNING",
        "VIOX_CATALOGUE": str(CATALOGUE),
        "VIOX_ALLOW_LOOPBACK": "1",
        "CROWD_BASE_URL": f"http://127.0.0.1:{echo}",
    }
    fleet = Fleet(home, settings, PARTITIONS)
    async with served((servers.app, models), (vendor.app, echo)):
        rollout = Rollout(fleet, vendor, servers, {OLD: old, NEW: ROOT}, at_once, random.Random(seed))
        return await rollout.run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--from", dest="revision", help="the version before, as git calls it; else the last with an older schema"
    )
    parser.add_argument("--at-once", type=int, default=16, help="conversations")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="viox-rollout-"))
    home.chmod(0o755)
    try:
        code = asyncio.run(trial(home, given.revision, given.at_once, given.seed))
    except NoHistory as error:
        say(f"NOT TRIED: the version before is not here: {error}")
        code = 2
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
