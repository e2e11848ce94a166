"""SIGKILL sweep: `python -m tests.chaos.sweep [--kills 40] [--runs 300] [--broker embedded|apache]`.

At each named moment a process reports that it is there, is stopped, and gets SIGKILL from outside; between those come
kills at random moments, of Postgres and the broker, too, and a replica of each kind is stopped past its lease. Meanwhile
runs keep coming and the vendors fail in every way they can (`faults`). Afterwards everything is judged from the outside:
effects at emulators that outlived the kills, the record, the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sandbox.children import alive
from shared.bus.envelope import parse_json
from shared.telemetry.failpoints import FAILPOINTS
from tests.chaos import verdict
from tests.chaos.faults import Vendors
from tests.chaos.policies import unpaced
from tests.chaos.record import Record, patiently

HELD_WITHIN_SECONDS = 60.0
ALIVE_WITHIN_SECONDS = 60.0
TAKEN_OVER_WITHIN_SECONDS = 60.0
OPEN = ("running", "waiting")
LEASE_SECONDS = 4.0
INTERRUPTED = """
select distinct r.run_id from runs r
where r.finished_at is null
  and (exists (select from threads t where t.thread_id = r.thread_id and t.lease_owner like $1)
       or exists (select from tool_calls c where c.run_id = r.run_id and c.state = 'executing' and c.lease_owner like $1))
"""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Kill:
    """One kill, how long until nothing was left in the dead process's name, and the runs it was working on."""

    where: str
    pid: int
    at: datetime
    taken_over_seconds: float
    taken_over: bool
    runs: list[UUID]


@dataclass
class Sweep:
    """A stack under fire."""

    home: Path
    runs: int
    kills: int
    broker: str
    seed: int
    emails: list[str] = field(default_factory=list)
    killed: list[Kill] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)
    floors: list[str] = field(default_factory=list)
    rounds: int = 0

    async def run(self) -> int:
        """0 when every promise held."""
        began = time.monotonic()
        self._state = self._up()
        self._record = await Record.of(self._dsn())
        self._vendors = Vendors(self._state["vendors"])
        self._vendors.unlimited()
        feeding = asyncio.create_task(self._feed())
        try:
            await self._kill_all()
            await feeding
            say(f"{len(self.killed)} kills done, {len(self.emails)} runs published; waiting for their end")
            await self._until_quiet()
            return await self._judge(time.monotonic() - began)
        finally:
            feeding.cancel()
            await self._record.close()
            from viox import lifecycle

            lifecycle.down()

    # -- set-up ------------------------------------------------------------------------------------------------------

    def _up(self) -> dict[str, Any]:
        failpoints = self.home / "failpoints"
        (failpoints / "arm").mkdir(parents=True)
        (failpoints / "stopped").mkdir()
        for folder in (self.home, failpoints, failpoints / "arm", failpoints / "stopped"):
            folder.chmod(0o777)  # agents run as users of their own
        os.environ.update(
            VIOX_HOME=str(self.home),
            VIOX_PORT_BASE="0",
            VIOX_FAILPOINT_DIR=str(failpoints),
            VIOX_MODELS="offline",
            VIOX_LEASE_SECONDS=str(LEASE_SECONDS),
            VIOX_LOG_LEVEL="WARNING",
            VIOX_POLICIES=str(unpaced(self.home / "policies")),
        )
        from viox import lifecycle

        plan = lifecycle.plan("gateway,closer", "gateway=2,closer=2", self.broker, foreground=False)
        state = lifecycle.up(plan)
        say(f"up: two gateways, two closers, {self.broker} broker (state in {self.home})")
        return state

    def _dsn(self) -> str:
        from sandbox.postgres import Postgres

        return Postgres(self.home, int(self._state["postgres"].rsplit(":", 1)[1])).dsn("viox")

    # -- load --------------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Keep runs in flight as long as there are kills, and until there were enough of them."""
        from sandbox.scenarios.story import event
        from viox import ingress

        while self.rounds < self.kills or len(self.emails) < self.runs:
            open_runs = await self._record.fetchval("select count(*) from runs where status = 'running'")
            if open_runs < 12:
                first = len(self.emails)
                leads = [self._lead(first + n) for n in range(8)]
                events = [parse_json(event("viox.lead.created", "chaos", lead)) for lead in leads]
                await patiently(partial(ingress.publish, events, None))  # a repeat is the same events
                self.emails += [lead["email"] for lead in leads]
            await asyncio.sleep(0.3)

    def _lead(self, number: int) -> dict[str, Any]:
        return {
            "email": f"lead{number}.{self.seed}@example.com",
            "first_name": f"Lead{number}",
            "last_name": "Chaos",
            "phone": f"+1415{number:07d}",
            "interest": f"thing {number}",
            "amount_cents": 100_000 + number,
        }

    # -- kills -------------------------------------------------------------------------------------------------------

    async def _kill_all(self) -> None:
        dice = random.Random(self.seed)
        points = itertools.cycle(FAILPOINTS)
        stops = {self.kills // 3: "closer", 2 * self.kills // 3: "gateway"}
        floors = {self.kills // 2: "postgres", 5 * self.kills // 6: "broker"}
        for number in range(self.kills):
            self.rounds = number
            await self._until_busy()
            self._vendors.disturb()
            if number in stops:
                await self._stop_past_lease(stops[number])
            if number in floors:
                await self._kill_floor(floors[number])
            if number % 3 == 2:
                await asyncio.sleep(dice.random())
                await self._kill_random(dice)
            else:
                await self._kill_at(next(points))
        self.rounds = self.kills

    async def _until_busy(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if await self._record.fetchval("select count(*) from runs where status = 'running'") >= 3:
                return
            await asyncio.sleep(0.05)

    async def _kill_at(self, point: str) -> None:
        failpoints = self.home / "failpoints"
        (failpoints / "arm" / point).touch()
        deadline = time.monotonic() + HELD_WITHIN_SECONDS
        while time.monotonic() < deadline:
            stopped = list((failpoints / "stopped").glob(f"{point}.*"))
            if stopped:
                pid = int(stopped[0].name.rsplit(".", 1)[1])
                stopped[0].unlink()
                await self._kill(point, pid)
                return
            await asyncio.sleep(0.01)
        (failpoints / "arm" / point).unlink(missing_ok=True)
        self.not_reached.append(point)
        say(f"  {point:<38} NOT REACHED")

    async def _kill_random(self, dice: random.Random) -> None:
        """Any living service; state.json may lag behind the last kill by a moment."""
        deadline = time.monotonic() + ALIVE_WITHIN_SECONDS
        while True:
            state = json.loads((self.home / "state.json").read_text())
            living = [s for s in state["services"] if s["name"] != "vendors" and s["pid"] and alive(s["pid"])]
            if living:
                chosen = dice.choice(living)
                await self._kill(f"random moment, {chosen['name']}", chosen["pid"])
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing lives after {ALIVE_WITHIN_SECONDS:.0f} s: {state['services']}")
            await asyncio.sleep(0.1)

    async def _kill(self, where: str, pid: int) -> None:
        runs = [row["run_id"] for row in await self._record.fetch(INTERRUPTED, f"%:{pid}:%")]
        began, at = time.monotonic(), datetime.now(UTC)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        while (held := await self._held_by(pid)) and time.monotonic() - began < TAKEN_OVER_WITHIN_SECONDS:
            await asyncio.sleep(0.02)
        seconds = time.monotonic() - began
        self.killed.append(Kill(where, pid, at, seconds, not held, runs))
        say(f"  {where:<38} killed {pid}, {'NOT ' if held else ''}taken over after {seconds:.2f} s")

    async def _held_by(self, pid: int) -> bool:
        """Is anything still leased by the dead process?"""
        found: bool = await self._record.fetchval(
            "select exists (select from threads where lease_owner like $1 and lease_until is not null)"
            " or exists (select from tool_calls where state = 'executing' and lease_owner like $1)",
            f"%:{pid}:%",
        )
        return found

    async def _kill_floor(self, name: str) -> None:
        """Postgres or the broker, on which everything stands. Returns when the supervisor has another one running."""
        pid = self._floor(name)
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        while (now := self._floor(name)) in (0, pid) or not alive(now):
            if time.monotonic() - began > ALIVE_WITHIN_SECONDS:
                raise TimeoutError(f"{name} does not live after {ALIVE_WITHIN_SECONDS:.0f} s")
            await asyncio.sleep(0.05)
        self.floors.append(name)
        say(f"  {name:<38} killed {pid}, another one after {time.monotonic() - began:.2f} s")

    def _floor(self, name: str) -> int:
        return int(json.loads((self.home / "state.json").read_text())[f"{name}_pid"] or 0)

    async def _stop_past_lease(self, service: str) -> None:
        await asyncio.sleep(2.5)  # what was killed before is back, and state.json says so
        pid = await self._living(f"{service}-2")
        seconds = 2.5 * LEASE_SECONDS if service == "closer" else 32.0
        say(f"  SIGSTOP {service}-2 for {seconds:.0f} s, past its lease")
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _living(self, name: str) -> int:
        """The pid of a service, once it lives again after its last kill. Raises TimeoutError when it does not."""
        deadline = time.monotonic() + ALIVE_WITHIN_SECONDS
        while True:
            state = json.loads((self.home / "state.json").read_text())
            pid = next(int(s["pid"]) for s in state["services"] if s["name"] == name)
            fresh = (
                time.time() - (self.home / "state.json").stat().st_mtime < 1
            )  # written after the last kill was noticed
            if pid and state["ready"] and fresh and alive(pid):
                return pid
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not live after {ALIVE_WITHIN_SECONDS:.0f} s: {state['services']}")
            await asyncio.sleep(0.3)

    async def _until_quiet(self) -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            rows = await self._record.fetch("select status, count(*) from run_overview group by 1")
            counts = {row["status"]: row["count"] for row in rows}
            if sum(counts.values()) >= len(self.emails) and not counts.get("running") and not counts.get("waiting"):
                return
            await asyncio.sleep(0.5)
        say(f"  not quiet after 240 s: {counts}")

    async def _until_ended(self) -> list[float]:
        """Seconds from each kill to the end of each run that the dead process had been working on."""
        rows = await self._record.fetch("select run_id, finished_at from runs where finished_at is not null")
        ended = {row["run_id"]: row["finished_at"] for row in rows}
        return [
            (ended[run] - kill.at).total_seconds()
            for kill in self.killed
            for run in kill.runs
            if run in ended and ended[run] > kill.at
        ]

    async def _judge(self, seconds: float) -> int:
        vendors = self._vendors
        effects = [vendors.effects(name) for name in ("hubspot", "twilio", "mail")]
        found = await verdict.collect(self._record, *effects)
        trouble = verdict.problems(found, self.emails)
        trouble += vendors.problems()
        trouble += [f"moment never reached: {point}" for point in self.not_reached]
        trouble += [f"what {k.pid} held at {k.where!r} was not taken over" for k in self.killed if not k.taken_over]
        times = sorted(kill.taken_over_seconds for kill in self.killed)
        ends = sorted(await self._until_ended())
        say(
            f"\n{len(self.killed)} kills in {seconds:.0f} s: {dict(Counter(k.where.split(',')[0] for k in self.killed))}"
        )
        say(f"killed beside them: {', '.join(self.floors) or 'nothing'}; requests that met a fault: {vendors.met()}")
        if times:
            say(f"taken over: p50 {times[len(times) // 2]:.2f} s, max {times[-1]:.2f} s")
        if ends:
            say(
                f"{len(ends)} interrupted runs ended after their kill: p50 {ends[len(ends) // 2]:.2f} s, max {ends[-1]:.2f} s"
            )
        for line in verdict.lines(found):
            say(line)
        for problem in trouble[:40]:
            say(f"PROBLEM {problem}")
        say("every promise held" if not trouble else f"{len(trouble)} problems")
        return 1 if trouble else 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--broker", default="embedded", choices=["embedded", "apache"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep state and logs")
    given = parser.parse_args()
    os.environ["HUBSPOT_RATE_PER_SECOND"] = os.environ["TWILIO_RATE_PER_SECOND"] = "1000"
    home = Path(tempfile.mkdtemp(prefix="viox-chaos-"))
    home.chmod(0o755)
    try:
        code = asyncio.run(Sweep(home, given.runs, given.kills, given.broker, given.seed).run())
    finally:
        if not given.keep:
            shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
