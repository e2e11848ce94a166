"""`python -m benchmarks.bench --peers`: the same runs by the project and by its peers, one after another, on one broker.

A run: one record in on Kafka, a scripted model that asks for a call, the call by HTTP to the benchmark's vendor, a second
turn, an announcement out on Kafka. The driver is the same for all and its CPU is nobody's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from benchmarks.measure import Processes, at_the_end_of, in_flight, say
from benchmarks.peers import table
from benchmarks.peers.contenders import Calfkit, Contender, Ended, LangGraph, Ours, RunFailed, Stage
from benchmarks.peers.table import Entry, Figures, Plan
from sandbox.postgres import OWNER, Postgres
from shared.waiting import within

PLANS = (Plan(1, 1, 100), Plan(1, 16, 400), Plan(1, 64, 1200), Plan(8, 16, 80))
QUICK_PLANS = (Plan(1, 1, 30), Plan(1, 64, 256))
FIRST_RUN_SECONDS, FIRST_TRY_SECONDS = 90, 5
RUN_SECONDS = 120
COUNTERS_SECONDS = 10.5  # an idle session of Postgres may keep what it has counted for ten seconds


async def compare(stage: Stage, postgres: Postgres, producer: Any, ours: list[str], quick: bool) -> list[Entry]:
    """Measure all, the project first; its processes `ours` are stopped afterwards. What fails of a peer ends up in its entry."""
    entries = []
    for contender in await _contenders(postgres, ours):
        entry = Entry(contender.name, contender.note, load_average=os.getloadavg()[0])
        say(f"comparing: {entry.name} (load average before it {entry.load_average:.1f})")
        try:
            await Measurement(stage, postgres, producer, contender, entry).run(QUICK_PLANS if quick else PLANS)
        except (TimeoutError, RunFailed, Ended) as error:
            if isinstance(contender, Ours):
                raise
            entry.error = f"{error or 'a run did not end'}. Its last words: {_last_words(stage.processes, contender)}"
        finally:
            await asyncio.to_thread(stage.processes.stop, contender.processes)
        entries.append(entry)
    for text in table.lines(entries):
        say(text)
    return entries


async def _contenders(postgres: Postgres, ours: list[str]) -> Sequence[Contender]:
    """The peers and the databases of those that have one."""
    rest = (
        "has no ledger, gateway or policy, does not put calls on the bus; a call that a kill interrupts is made again."
    )
    notes = {
        "async": f"keeps a checkpoint a superstep, written while the next one runs; {rest}",
        "exit": f"keeps one checkpoint, at the end, so a kill repeats all calls of the run; {rest}",
    }
    server = postgres.dsn(OWNER).rsplit("/", 1)[0]
    graphs = [LangGraph(durability, server, note) for durability, note in notes.items()]
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    for graph in graphs:
        await connection.execute(f"create database {graph.database} owner {OWNER}")
    await connection.close()
    return [Ours(ours), Calfkit(), *graphs]


class Written(NamedTuple):
    """What a contender has written: rows inserted, changed and deleted in its database; WAL of the whole server."""

    rows: int
    wal_bytes: int


class Measurement:
    """One contender: started, warmed up, measured."""

    def __init__(self, stage: Stage, postgres: Postgres, producer: Any, contender: Contender, entry: Entry) -> None:
        self._stage, self._postgres, self._producer = stage, postgres, producer
        self._contender, self._entry = contender, entry
        self._waiting: dict[str, asyncio.Future[int]] = {}

    async def run(self, plans: Sequence[Plan]) -> None:
        await self._contender.start(self._stage)
        async with self._announcements(), self._counting() as count:
            await self._first_run()
            await in_flight(lambda: self.one_run(1), 64, 128)
            before = await count()
            for plan in plans:
                found, cpu = await self._plan(plan)
                after = await count()
                self._entry.figures[plan] = figures(plan, found, cpu, before, after)
                before = after

    async def _first_run(self) -> None:
        """Ask until a run ends: what is sent while partitions move between consumers may be lost by one without a start offset."""
        async with asyncio.timeout(FIRST_RUN_SECONDS):
            while True:
                try:
                    return await self.one_run(1, FIRST_TRY_SECONDS)
                except TimeoutError:
                    self._stage.all_run(self._contender.processes)

    async def _plan(self, plan: Plan) -> tuple[dict[str, Any], float]:
        """Times and CPU seconds, which are read at once: what idle processes take is no run's."""
        cpu = self._stage.processes.cpu_seconds(self._contender.processes)
        found = await in_flight(lambda: self.one_run(plan.calls), plan.in_flight, plan.count)
        return found, self._stage.processes.cpu_seconds(self._contender.processes) - cpu

    async def one_run(self, calls: int, seconds: float = RUN_SECONDS) -> None:
        request = self._contender.request(calls)
        over = self._waiting[request.run] = asyncio.get_running_loop().create_future()
        await self._producer.send(request.topic, request.value, key=request.key, headers=request.headers)
        try:
            made = await within(seconds, over)
        finally:
            self._waiting.pop(request.run, None)
        if made != calls:
            raise RunFailed(f"a run made {made} calls where {calls} were wanted")

    @asynccontextmanager
    async def _announcements(self) -> AsyncIterator[None]:
        """Read them and wake who waits. A failed run, or a record that cannot be read, fails all that wait."""
        consumer = await at_the_end_of(self._stage.settings, self._contender.announcements)

        async def read() -> None:
            while True:
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    for record in batch:
                        self.take(record)

        reading = asyncio.create_task(read())
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await consumer.stop()

    def take(self, record: Any) -> None:
        """Wake who waits for this run. A run that failed fails all that wait: what it was is not always said."""
        try:
            found = self._contender.announced(record)
        except RunFailed as error:
            self._fail(error)
            return
        except (KeyError, TypeError, ValueError) as error:
            self._fail(RunFailed(f"an announcement cannot be read: {error!r} in {record.value[-300:]!r}"))
            return
        if found and (over := self._waiting.get(found[0])) and not over.done():
            over.set_result(found[1])

    def _fail(self, error: RunFailed) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)

    @asynccontextmanager
    async def _counting(self) -> AsyncIterator[Callable[[], Awaitable[Written | None]]]:
        """A function that says what was written so far; of a contender without a database nothing."""
        if self._contender.database is None:
            yield _nothing
            return
        connection = await asyncpg.connect(_dsn(self._postgres, "postgres", self._contender.database))

        async def count() -> Written:
            await asyncio.sleep(COUNTERS_SECONDS)
            rows, wal = "sum(n_tup_ins + n_tup_upd + n_tup_del)", "pg_current_wal_lsn() - '0/0'::pg_lsn"
            (found,) = await connection.fetch(f"select {rows}, {wal} from pg_stat_user_tables")  # noqa: S608
            return Written(*map(int, found))

        try:
            yield count
        finally:
            await connection.close()


async def _nothing() -> None:
    return None


def figures(plan: Plan, found: dict[str, Any], cpu: float, before: Written | None, after: Written | None) -> Figures:
    written = (
        ((after.rows - before.rows) / plan.count, (after.wal_bytes - before.wal_bytes) / plan.count)
        if before and after
        else (None, None)
    )
    return Figures(found["per_second"], found["p50_ms"], found["p99_ms"], cpu * 1000 / plan.count, *written)


def _dsn(postgres: Postgres, role: str, database: str | None = None) -> str:
    server, own = postgres.dsn(role).rsplit("/", 1)
    return f"{server}/{database or own}"


def _last_words(processes: Processes, contender: Contender) -> str:
    """The ends of the contender's logs."""
    logs: list[Path] = [processes.log(name) for name in contender.processes]
    return "; ".join(" ".join(log.read_text(errors="replace").split())[-300:] for log in logs if log.exists())
