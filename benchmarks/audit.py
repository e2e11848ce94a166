"""What the audit costs a call: `python -m benchmarks.audit [CALLS]`.

The same intents and outcomes go into the ledger as it was before the audit and as it is, in turns; then a sequencer makes leaves of them, and
everything is verified. CPU is that of the server's process of our connection, or of this process where it says so.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.measure import database
from sandbox.postgres import Postgres
from services.tool_gateway.audit.remembered import CheckpointFile, CheckpointTopic
from services.tool_gateway.audit.sequencer import Sequencer
from shared.audit.check import verify
from shared.audit.notes import Signer
from shared.audit.store import head
from shared.store.pool import open_pool
from shared.telemetry.digest import sha256_bytes

BATCH = 50
BODY, ANSWER = b"x" * 150, b"y" * 365  # as the demo's average
CHECKS = [{"check": f"check.{number}", "passed": True} for number in range(10)]
HEADERS = [["content-type", "application/json"], ["authorization", "Bearer $TOKEN"]]
BEFORE = """
create table ledger_before (
    entry_id bigint generated always as identity primary key, call_id text not null, attempt int not null, phase text not null,
    at timestamptz not null default clock_timestamp(), checks json, method text, url text, request_headers json, request_body bytea,
    request_sha256 text, status int, response_headers json, response_body bytea, response_sha256 text, detail json,
    unique (call_id, attempt, phase));
"""
INTENT = """insert into {table} (call_id, attempt, phase, checks, method, url, request_headers, request_body, request_sha256{more})
            select unnest($1::text[]), 1, 'intent', $2::json, 'POST', 'https://api.example.com/v1/objects/42', $3::json, $4, $5{values}"""
OUTCOME = """insert into {table} (call_id, attempt, phase, status, response_headers, response_body, response_sha256, detail)
             select unnest($1::text[]), 1, 'outcome', 200, $2::json, $3, $4, '{{"state":"succeeded"}}'"""
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def measured(connection: Any, count: int, work: Callable[[], Awaitable[None]]) -> str:
    pid = await connection.fetchval("select pg_backend_pid()")
    wal, started, cpu, own = await _wal(connection), time.perf_counter(), cpu_of(pid), time.process_time()
    await work()
    spent = [(cpu_of(pid) - cpu) / count * 1e6, (time.process_time() - own) / count * 1e6]
    wall, bytes_ = (time.perf_counter() - started) / count * 1e6, (await _wal(connection) - wal) / count
    return f"{wall:7.1f} µs  server {spent[0]:6.1f} µs CPU  here {spent[1]:6.1f} µs CPU  {bytes_:7.0f} B WAL"


async def _wal(connection: Any) -> int:
    return int(await connection.fetchval("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"))


async def put(connection: Any, table: str, count: int) -> None:
    more, values = (", agent, tool, arguments_sha256", ", 'closer', 'hubspot_create_contact', $6::bytea")
    given: list[Any] = [CHECKS, HEADERS, BODY, sha256_bytes(BODY)]
    if table != "ledger_entries":
        more, values = "", ""
    else:
        given.append(bytes(32))
    for _ in range(count // BATCH):
        names = [f"{uuid4()}.1.0" for _ in range(BATCH)]
        await connection.execute(INTENT.format(table=table, more=more, values=values), names, *given)
        await connection.execute(OUTCOME.format(table=table), names, HEADERS, ANSWER, sha256_bytes(ANSWER))


async def run(postgres: Postgres, calls: int, folder: Path) -> None:
    pool = await open_pool(postgres.dsn("postgres"), application="bench", size=1)
    signer = Signer.make("bench.example/audit")
    (folder / "key").write_text(signer.secret_text())
    async with pool.acquire() as connection:
        await connection.execute(BEFORE)
        for table in ("ledger_before", "ledger_entries"):  # warm
            await put(connection, table, BATCH * 4)
        for round_ in (1, 2):
            for table, name in (("ledger_before", "without"), ("ledger_entries", "with")):
                said = await measured(connection, calls // 2, lambda table=table: put(connection, table, calls // 2))  # type: ignore[misc]
                print(f"call, two entries, {name:8} {round_}  {said}")
        for table in ("ledger_before", "ledger_entries"):
            size = await connection.fetchval(f"select pg_total_relation_size('{table}') / count(*) from {table}")  # noqa: S608
            print(f"{table}: {size} B an entry, with indexes")

    async def nothing() -> list[bytes]:
        return []

    sequencer = Sequencer(pool, folder / "key", CheckpointFile(folder), CheckpointTopic(nothing), lambda note: None)

    async def sequence() -> None:
        while await sequencer.tick():
            pass

    async def check() -> None:
        async with pool.acquire() as connection:
            report = await verify(connection, await head(connection), signer.key, [])
            assert not report.problems, report.problems[:3]

    leaves = await pool.fetchval("select count(*) from ledger_entries")
    print(f"leaf, made and signed        {await measured(pool, leaves, sequence)}")
    print(f"leaf, verified               {await measured(pool, leaves, check)}")
    await pool.close()


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with database() as (server, home):
        asyncio.run(run(server, calls, home))


if __name__ == "__main__":
    main()
