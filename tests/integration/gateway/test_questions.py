"""What a question may cost, and what it must not do besides answering."""

from __future__ import annotations

import asyncio
import tracemalloc

import asyncpg
import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.connectors import postgres as connector
from tests.integration.gateway.test_connectors import Desk, desk
from tests.integration.gateway.world import until

__all__ = ["desk"]
CONNECTED = "select count(*) from pg_stat_activity where application_name = 'viox question'"
WAITING = CONNECTED + " and wait_event_type = 'Lock'"


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
    await listener.execute("select pg_notify('viox_documents', 'the last one')")
    await until(lambda: "the last one" in heard)
    await listener.close()
    assert heard == ["the last one"], "they come in the order of their commits"


@pytest.mark.parametrize("sql", ["select * from pg_stats", "select null::pg_catalog.pg_class"])
async def test_types_that_cannot_be_read_are_an_error_that_ends_the_call(desk: Desk, sql: str) -> None:
    assert (await desk("records_query", sql=sql)).state in ("succeeded", "failed")


async def test_many_questions_at_once_take_turns(
    desk: Desk, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for a lock that we hold, so those that are let in are all there at once."""
    monkeypatch.setattr(connector, "QUERY_SECONDS", 120.0)
    await admin.execute("select pg_advisory_lock(1)")
    asked = [
        asyncio.create_task(desk("records_query", sql="select pg_advisory_xact_lock_shared(1)")) for _ in range(12)
    ]
    async with asyncio.timeout(60):
        while await admin.fetchval(WAITING) < connector.AT_ONCE:
            await asyncio.sleep(0.02)
    for _ in range(10):  # a fifth would be about to come
        assert await admin.fetchval(CONNECTED) == connector.AT_ONCE
        await asyncio.sleep(0.02)
    await admin.execute("select pg_advisory_unlock(1)")
    assert {(await one).state for one in asked} == {"succeeded"}
