"""What a question may cost, and what it must not do besides answering."""

from __future__ import annotations

import asyncio
import tracemalloc

import asyncpg
import pytest

from sandbox.postgres import Postgres
from tests.integration.gateway.test_connectors import Desk, desk

__all__ = ["desk"]


@pytest.mark.parametrize(
    ("sql", "state"),
    [
        ("select repeat('x', 100000000) from generate_series(1, 20)", "failed"),
        ("select array_agg(repeat('x', 1000)) from generate_series(1, 200000)", "failed"),
        ("select repeat('x', 1000) from generate_series(1, 40000)", "succeeded"),
    ],
)
async def test_an_answer_without_end_does_not_fill_the_gateways_memory(desk: Desk, sql: str, state: str) -> None:
    tracemalloc.start()
    told = await desk("records_query", sql=sql, limit=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000_000
    assert told.state == state
    assert told.error is None or "Ask for less" in told.error["message"]


async def test_a_question_tells_nobody(desk: Desk, postgres: Postgres) -> None:
    """pg_notify is no writing, but its message goes out with the commit."""
    heard: list[str] = []
    listener = await asyncpg.connect(postgres.dsn("viox_gateway"))
    await listener.add_listener("viox_documents", lambda *told: heard.append(told[-1]))
    assert (await desk("records_query", sql="select pg_notify('viox_documents', 'x')")).state == "succeeded"
    await listener.execute("select 1")
    await asyncio.sleep(0.2)
    await listener.close()
    assert heard == []


@pytest.mark.parametrize("sql", ["select * from pg_stats", "select null::pg_catalog.pg_class"])
async def test_types_that_cannot_be_read_are_an_error_that_ends_the_call(desk: Desk, sql: str) -> None:
    assert (await desk("records_query", sql=sql)).state in ("succeeded", "failed")


async def test_many_questions_at_once_take_turns(desk: Desk, admin: asyncpg.Connection) -> None:
    asked = [asyncio.create_task(desk("records_query", sql="select pg_sleep(0.3)")) for _ in range(12)]
    await asyncio.sleep(0.25)
    assert await admin.fetchval("select count(*) from pg_stat_activity where application_name = 'viox question'") <= 4
    assert {(await one).state for one in asked} == {"succeeded"}
