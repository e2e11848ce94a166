"""What retention costs: `python -m benchmarks.retention [ROWS]`.

So many rows of steps and ledger, in conversations that ended over ten months, with the calls they belong to. The older half is archived and
leaves, while calls are taken in beside it, one after the other. Prints rows a second, sizes of the tables before and after, and the
95th percentile of the gateway's intake statement before, while it runs, and afterwards. Leaves and checkpoint are made up: nothing is verified.
"""

# ruff: noqa: S608  # statements of our own
from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from benchmarks.measure import database
from sandbox.postgres import Postgres
from services.tool_gateway.call.store import SQL as CALLS
from shared.retention import work
from shared.store.pool import Pool, open_pool

STEPS, CALLS_EACH, ENTRIES = 12, 4, 2  # of a conversation; of a conversation; of a call
ROWS_EACH = STEPS + CALLS_EACH * ENTRIES
MONTHS, KEPT = 10, 5
SAMPLES = 300
AT = f"(date_trunc('month', now()) - interval '{MONTHS} months' + (n * {MONTHS} / :count) * interval '1 month' + interval '9 days')"
RUN_ID = "md5('run' || n)::uuid"
THREAD_ID = "md5('thread' || n)::uuid"
CALL_ID = f"{RUN_ID}::text || '.' || (c + 1) || '.0'"
FILL = {
    "threads": f"""insert into threads (thread_id, agent, conversation_id, next_seq, created_at, updated_at)
        select {THREAD_ID}, 'closer', 'c' || n, {STEPS}, {AT}, {AT} from generate_series(1, :count) n""",
    "runs": f"""insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type, started_at,
            finished_at, steps, tool_calls, text)
        select {RUN_ID}, 'closer', {THREAD_ID}, 'c' || n, 'finished', '/viox/people', n::text, 'viox.task.requested', {AT}, {AT}, {STEPS},
            {CALLS_EACH}, 'It is done.' from generate_series(1, :count) n""",
    "steps": f"""insert into steps (agent, run_id, step, thread_id, seq, kind, body, created_at)
        select 'closer', {RUN_ID}, s, {THREAD_ID}, s, case s % 2 when 0 then 'model' else 'results' end,
            json_build_object('text', repeat(md5(n::text || s), 12), 'calls', '[]'::json), {AT}
        from generate_series(1, :count) n, generate_series(0, {STEPS - 1}) s""",
    "tool_calls": f"""insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state, arguments,
            arguments_sha256, result, created_at, closed_at)
        select {CALL_ID}, {RUN_ID}, c + 1, 0, 'closer', {THREAD_ID}, 'c' || n, 'email_send', 'smtp', 'keyed', 'succeeded',
            json_build_object('to', 'ana@example.com', 'text', repeat(md5(n::text), 10)), md5(n::text || c) || md5(c::text),
            json_build_object('id', md5(n::text)), {AT}, {AT}
        from generate_series(1, :count) n, generate_series(0, {CALLS_EACH - 1}) c""",
    "ledger_entries": f"""insert into ledger_entries (call_id, attempt, phase, at, checks, method, url, request_headers, request_body,
            request_sha256, status, response_headers, response_body, response_sha256, detail, agent, tool)
        select {CALL_ID}, 1, case p when 0 then 'intent' else 'outcome' end, {AT}, case p when 0 then '[{{"check":"policy","passed":true}}]'::json end,
            'POST', 'https://api.example.com/v1/messages', '[["content-type","application/json"]]', convert_to(repeat(md5(n::text), 6), 'UTF8'),
            repeat('0', 64), 200, '[["content-type","application/json"]]', convert_to(repeat(md5(c::text || n), 10), 'UTF8'), repeat('0', 64),
            '{{"state":"succeeded"}}', 'closer', 'email_send'
        from generate_series(1, :count) n, generate_series(0, {CALLS_EACH - 1}) c, generate_series(0, {ENTRIES - 1}) p""",
    "audit_leaves": """insert into audit_leaves (log_id, first_leaf, entries, hashes)
        select 1, (k - 1) * 1000, array_agg(e.entry_id order by e.entry_id), string_agg(sha256(e.entry_id::text::bytea), '' order by e.entry_id)
        from (select entry_id, (row_number() over (order by entry_id) - 1) / 1000 + 1 as k from ledger_entries) e group by k""",
    "audit_checkpoints": "insert into audit_checkpoints (log_id, size, root, note) select 1, count(*), '', '' from ledger_entries",
}
INDEXES = """
select format('alter table %s drop constraint %I', conrelid::regclass, conname) as gone,
       format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as made
from pg_constraint c where conrelid = $1::text::regclass and contype in ('p', 'u')
    and not exists (select from pg_constraint f where f.confrelid = c.conrelid and f.contype = 'f')
union all
select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid) from pg_index i
where indrelid = $1::text::regclass and not exists (select from pg_constraint where conindid = indexrelid)
"""
TABLES = ("steps", "tool_calls", "ledger_entries")


class Intake:
    """Takes in calls, one after the other, and notes how long each took."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.spent: list[float] = []

    async def one(self) -> None:
        run = str(uuid4())
        call = {
            "call_id": f"{run}.1.0", "run_id": run, "step": 1, "idx": 0, "agent": "closer", "thread_id": str(uuid4()),
            "conversation_id": "new", "tool": "email_send", "vendor": "smtp", "effect": "keyed", "state": "executing",
            "arguments": {"to": "ana@example.com"}, "sha256": "00" * 32, "lease_seconds": 60, "checks": [], "method": "POST",
            "url": "https://api.example.com", "request_headers": [], "counterparties": [], "labels": [],
            "live": False,
        }  # fmt: skip
        started = time.perf_counter()
        await self._pool.fetch(*CALLS.bind("intake", calls=[call], owner="bench"))
        self.spent.append((time.perf_counter() - started) * 1e3)

    async def until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.one()
            await asyncio.sleep(0.02)

    def told(self) -> str:
        ordered, self.spent = sorted(self.spent), []
        return f"median {ordered[len(ordered) // 2]:.2f} ms, p95 {ordered[int(len(ordered) * 0.95)]:.2f} ms, {len(ordered):,} calls"


async def fill(admin: Any, conversations: int) -> None:
    """Each table in one transaction that empties it first, so that nothing of it is logged; indexes afterwards."""
    for table, text in FILL.items():
        started = time.perf_counter()
        async with admin.transaction():
            await admin.execute(
                "set local session_replication_role = replica; set local maintenance_work_mem = '256MB'"
            )
            await admin.execute(f"truncate {table} cascade")
            dropped = await admin.fetch(INDEXES, table)
            for one in dropped:
                await admin.execute(one["gone"])
            await admin.execute(text.replace(":count", str(conversations)))
            for one in dropped:
                await admin.execute(one["made"])
        await admin.execute(f"vacuum (analyze) {table}")
        print(f"  {table} filled in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


async def sizes(admin: Any) -> str:
    found = [
        await admin.fetchrow(f"select pg_total_relation_size('{one}') as size, (select count(*) from {one}) as rows")
        for one in TABLES
    ]
    return ", ".join(
        f"{one} {row['rows']:,} rows {row['size'] / 1e6:,.0f} MB" for one, row in zip(TABLES, found, strict=True)
    )


async def run(postgres: Postgres, rows: int, folder: Path) -> None:
    admin = await asyncpg.connect(postgres.dsn("postgres"), command_timeout=7200)
    gateway = await open_pool(postgres.dsn("viox_gateway"), application="bench", size=2)
    archivists = await open_pool(postgres.dsn("viox_archivist"), application="bench", size=1)
    await fill(admin, rows // ROWS_EACH)
    print(f"before     {await sizes(admin)}", flush=True)
    intake = Intake(gateway)
    for _ in range(SAMPLES):
        await intake.one()
    print(f"intake     before: {intake.told()}", flush=True)
    over = asyncio.Event()
    beside = asyncio.create_task(intake.until(over))
    async with archivists.acquire() as connection:
        await _retain(connection, folder, intake)
    over.set()
    await beside
    print(f"archives   {_packed(folder)}")
    started = time.perf_counter()
    for table in TABLES:
        await admin.execute(f"vacuum {table}")
    print(f"vacuum     {time.perf_counter() - started:.0f} s")
    print(f"after      {await sizes(admin)}")
    for _ in range(SAMPLES):
        await intake.one()
    print(f"intake     after: {intake.told()}")
    await archivists.close()
    await gateway.close()
    await admin.close()


def _packed(folder: Path) -> str:
    return f"{sum(one.stat().st_size for one in folder.rglob('*.gz')) / 1e6:,.0f} MB in {len(list(folder.iterdir()))} folders"


async def _retain(connection: Any, folder: Path, intake: Intake) -> None:
    until = await work.cutoff(connection, KEPT)
    started = time.perf_counter()
    months = await work.plan(connection, until)
    planned = sum(one["steps"] + one["entries"] for one in months)
    print(f"plan       {planned:,} rows of {len(months)} months in {time.perf_counter() - started:.1f} s", flush=True)
    print(f"intake     while it plans: {intake.told()}", flush=True)
    spent = {"write": 0.0, "leave": 0.0}
    timed(spent, "write")
    timed(spent, "leave")
    done = await work.run(connection, folder, until, "bench")
    gone = done.steps + done.entries
    print(
        f"archived   {gone + done.calls:,} rows in {spent['write']:.0f} s: {(gone + done.calls) / spent['write']:,.0f} rows/s"
    )
    print(
        f"left       {gone:,} rows deleted, {done.calls:,} calls without contents, in {spent['leave']:.0f} s: {gone / spent['leave']:,.0f} rows/s"
    )
    print(f"intake     while it archives and deletes: {intake.told()}", flush=True)


def timed(spent: dict[str, float], name: str) -> None:
    real = getattr(work, f"_{name}")

    async def timing(*arguments: Any) -> None:
        started = time.perf_counter()
        await real(*arguments)
        spent[name] += time.perf_counter() - started
        print(f"  {name} {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)

    setattr(work, f"_{name}", timing)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with database() as (postgres, home):
        asyncio.run(run(postgres, rows, home / "archives"))


if __name__ == "__main__":
    main()
