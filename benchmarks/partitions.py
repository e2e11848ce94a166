"""What partitions by month would do to the ledger: `python -m benchmarks.partitions [ROWS]`.

The same rows go into a table as the ledger is and into one of 24 partitions by month; what the gateway asks of it for each call
is timed on both, and so is how the oldest month leaves: by batches of rows, or with its partition. It decided docs/decisions/0038.
"""

# ruff: noqa: S608  # statements of our own
from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any

import asyncpg

from benchmarks.measure import database
from sandbox.postgres import Postgres

MONTHS, BATCH, ASKED = 24, 5000, 400
COLUMNS = """entry_id bigint not null, call_id text not null, attempt int not null, phase text not null, at timestamptz not null,
             checks json, request_body bytea, detail json"""
MAKE = {
    "plain_ledger": f"create table plain_ledger ({COLUMNS})",
    "parted_ledger": f"create table parted_ledger ({COLUMNS}) partition by range (at)",
}
# The key of a partition is part of each unique constraint.
KEYS = {
    "plain_ledger": "alter table plain_ledger add primary key (entry_id), add unique (call_id, attempt, phase)",
    "parted_ledger": "alter table parted_ledger add primary key (entry_id, at), add unique (call_id, attempt, phase, at)",
}
PART = """create table parted_{n} partition of parted_ledger
          for values from (date '2024-01-01' + interval '{n} months') to (date '2024-01-01' + interval '{n} months' + interval '1 month')"""
FILL = """
insert into {table} select n, md5((n / 2)::text) || '.1.0', 1, case n % 2 when 0 then 'intent' else 'outcome' end,
    date '2024-01-01' + (n::float8 / {rows}) * interval '{months} months',
    '[{{"check":"policy","passed":true}}]', convert_to(repeat('x', 300), 'UTF8'), '{{"state":"succeeded"}}'
from generate_series({first}, {last}) n
"""
QUESTIONS = {
    "entries of one call": "select count(*) from {table} where call_id = $1",
    "was it sent?": "select exists (select from {table} where call_id = $1 and phase = 'intent')",
    "entries by number": "select count(*) from {table} where entry_id = any(array(select (hashtext($1) & 1048575) + n from generate_series(1, 100) n))",
}
INSERT = """insert into {table} (entry_id, call_id, attempt, phase, at, checks, request_body, detail)
            select $2::bigint + n, $1 || n, 1, 'intent', timestamptz '2025-12-15', '[]', '\\x00', '{{}}' from generate_series(1, 50) n"""
SIZE = """select coalesce((select sum(pg_total_relation_size(relid)) from pg_partition_tree($1::regclass)),
                          pg_total_relation_size($1::regclass))"""
OLDEST = "timestamptz '2024-02-01'"


async def timed(connection: Any, statement: str, *arguments: Any) -> float:
    started = time.perf_counter()
    await connection.execute(statement, *arguments) if not arguments else await connection.fetch(statement, *arguments)
    return time.perf_counter() - started


async def fill(connection: Any, table: str, rows: int) -> None:
    """In one transaction, whose new tables write no log; indexes afterwards."""
    started = time.perf_counter()
    async with connection.transaction():
        await connection.execute(MAKE[table])
        for n in range(MONTHS if table == "parted_ledger" else 0):
            await connection.execute(PART.format(n=n))
        await connection.execute(FILL.format(table=table, rows=rows, months=MONTHS, first=0, last=rows - 1))
        await connection.execute("set local maintenance_work_mem = '256MB'")
        await connection.execute(KEYS[table])
    spent = time.perf_counter() - started
    await connection.execute(f"vacuum (analyze) {table}")
    size = await connection.fetchval(SIZE, table)
    print(f"{table:14} {rows:,} rows in {spent:.0f} s, {int(size) / 1e6:,.0f} MB", flush=True)


async def ask(connection: Any, table: str, rows: int) -> None:
    for name, text in QUESTIONS.items():
        statement = await connection.prepare(text.format(table=table))
        spent = []
        for one in range(ASKED):
            call = await connection.fetchval("select md5($1::text) || '.1.0'", str(one * 7919 % (rows // 2)))
            started = time.perf_counter()
            await statement.fetch(call)
            spent.append((time.perf_counter() - started) * 1e3)
        print(
            f"{table:14} {name:20} median {statistics.median(spent):7.3f} ms  p95 {sorted(spent)[int(ASKED * 0.95)]:7.3f} ms"
        )
    spent = [
        1e3 * await timed(connection, INSERT.format(table=table), f"new{one}.", 10**12 + 100 * one)
        for one in range(ASKED)
    ]
    print(
        f"{table:14} {'50 rows inserted':20} median {statistics.median(spent):7.3f} ms  p95 {sorted(spent)[int(ASKED * 0.95)]:7.3f} ms"
    )


async def leave(connection: Any) -> None:
    count, started = 0, time.perf_counter()
    while True:
        told = await connection.execute(
            f"delete from plain_ledger where entry_id in (select entry_id from plain_ledger where at < {OLDEST} order by entry_id limit {BATCH})"
        )
        if not (gone := int(told.split()[1])):
            break
        count += gone
    spent = time.perf_counter() - started
    print(f"plain_ledger   the oldest month: {count:,} rows deleted in {spent:.1f} s, {count / spent:,.0f} rows/s")
    print(f"plain_ledger   vacuum {await timed(connection, 'vacuum plain_ledger'):.1f} s")
    print(f"parted_ledger  the oldest month: dropped in {await timed(connection, 'drop table parted_0') * 1e3:.0f} ms")
    first = await connection.fetchrow("select * from parted_ledger where attempt = 1 limit 1")
    again = "insert into parted_ledger select entry_id, call_id, attempt, phase, at + interval '1 month', checks, request_body, detail from parted_ledger where call_id = $1 limit 1"
    await connection.fetch(again, first["call_id"])
    print("parted_ledger  a second intent of the same attempt in another month: taken")


async def run(postgres: Postgres, rows: int) -> None:
    connection = await asyncpg.connect(postgres.dsn("postgres"), command_timeout=3600)
    for table in ("plain_ledger", "parted_ledger"):
        await fill(connection, table, rows)
    for table in ("plain_ledger", "parted_ledger"):
        await ask(connection, table, rows)
    await leave(connection)
    await connection.close()


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with database() as (postgres, _):
        asyncio.run(run(postgres, rows))


if __name__ == "__main__":
    main()
