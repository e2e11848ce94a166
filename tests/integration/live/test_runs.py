"""Runs of live calls: when they end, what operators see of them and can do, and what the database lets nobody do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.live.asking import SQL
from shared.bus import topics
from shared.bus.messages import LIVE_SOURCE, RUN_FINISHED, RUN_STARTED
from shared.ids import RunId, run_id, thread_id
from shared.operations import store
from shared.runtime.store import RuntimeStore
from shared.store.pool import Pool, open_pool
from tests.integration.gateway.world import RUN
from tests.integration.live.world import READ, SEND, SMS, LiveWorld, live_world
from viox import inspection

__all__ = ["live_world"]
LIVE = run_id("closer", LIVE_SOURCE, "call:conv_1")
EVENT = """insert into webhook_events (source, message_id, type, subject, content_sha256, delivery_id)
           values ($1, 'm', $2, $3, '', gen_random_uuid())"""


async def told(world: LiveWorld) -> list[tuple[str, str, Any]]:
    """(type, run, outcome) of what waits in the outbox to be told of runs."""
    rows = await world.admin.fetch(
        "select value, headers from outbox where topic = $1 order by created_at", topics.RUNS
    )
    kinds = [dict(json.loads(row["headers"]))["ce_type"] for row in rows]
    runs = [json.loads(row["value"]) for row in rows]
    return [(kind, run["run_id"], run["outcome"]) for kind, run in zip(kinds, runs, strict=True)]


async def test_a_run_ends_when_nobody_has_asked_for_a_while_and_goes_on_when_somebody_does(world: LiveWorld) -> None:
    door = await world.door()
    await door(READ)
    await door.room.runs.tell_opened()
    assert await door.room.runs.end_idle() == 0
    await world.admin.execute("update live_calls set asked_at = now() - interval '901 seconds'")
    assert await door.room.runs.end_idle() == 1
    (run,) = await world.runs()
    assert (run["status"], run["outcome"], run["finished_at"] is not None) == ("finished", "succeeded", True)
    assert await told(world) == [(RUN_STARTED, str(LIVE), None), (RUN_FINISHED, str(LIVE), "succeeded")]
    await door(SEND, SMS)
    (run,) = await world.runs()
    assert (run["status"], run["finished_at"], run["tool_calls"]) == ("running", None, 2)
    await world.admin.execute("update live_calls set asked_at = now() - interval '901 seconds'")
    assert await door.room.runs.end_idle() == 1
    ids = await world.admin.fetch("select distinct message_id from outbox where topic = $1", topics.RUNS)
    assert len(ids) == 3, "each end has an identity of its own"


@pytest.mark.parametrize(
    ("source", "kind", "subject"),
    [
        ("/elevenlabs", "com.elevenlabs.post_call_transcription", "conv_1"),
        ("/twilio", "com.twilio.call.completed", "call:conv_1"),
    ],
)
async def test_a_run_ends_when_its_conversation_has(world: LiveWorld, source: str, kind: str, subject: str) -> None:
    door = await world.door()
    await door(READ)
    await world.admin.execute(EVENT, source, kind, "of another")
    assert await door.room.runs.end_idle() == 0
    await world.admin.execute("update webhook_events set subject = $1", subject)
    assert await door.room.runs.end_idle() == 1


async def test_a_run_does_not_end_before_its_calls(world: LiveWorld) -> None:
    door = await world.door()
    world.hanging = world.twilio.app
    await door(SEND, SMS, ms=3000)
    await world.admin.execute("update live_calls set asked_at = now() - interval '1 day'")
    assert await door.room.runs.end_idle() == 0
    (run,) = await world.runs()
    assert run["status"] == "running"


async def test_runs_of_agents_are_not_ended(world: LiveWorld) -> None:
    door = await world.door()
    assert await door.room.runs.end_idle() == 0
    assert await world.admin.fetchval("select status from runs where run_id = $1", RUN) == "running"


async def test_an_agents_sweep_leaves_live_runs_alone(world: LiveWorld, closer_pool: Pool) -> None:
    """Also where the agent has a thread of the same conversation, at rest."""
    door = await world.door()
    await door(READ)
    await world.admin.execute(
        "insert into threads (thread_id, agent, conversation_id) values ($1, 'closer', 'call:conv_1')",
        thread_id("closer", "call:conv_1"),
    )
    runtime = RuntimeStore(closer_pool, "closer")
    assert await runtime.due(10) == []
    assert await runtime.unheard_calls(0.0, 10) == []


async def test_an_operator_sees_a_live_run_and_ends_it(
    world: LiveWorld, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    door = await world.door()
    answer = await door(READ)
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator")
    try:
        listed, _ = await store.runs(pool, agent="closer", status=None, since=None, cursor=None, limit=10)
        assert str(LIVE) in [run["run_id"] for run in listed]
        inspection._tell(await store.run(pool, LIVE), *_story(await store.story(pool, LIVE, "closer")), [])
        shown = capsys.readouterr().out
        assert f"→ {READ}({{}})" in shown
        assert f"call {answer.json['call_id']}" in shown
        await store.cancel(pool, LIVE)
        assert (await store.run(pool, LIVE))["status"] == "cancelled"
    finally:
        await pool.close()
    assert (await door(SEND, SMS)).json["code"] == "run.over"


def _story(found: tuple[list[Any], list[Any]]) -> tuple[list[Any], dict[str, Any]]:
    steps, calls = found
    return steps, {call["call_id"]: call for call in calls}


# -- what the database lets nobody do ----------------------------------------------------------------------------------


def asked(run: RunId, agent: str = "closer", conversation: str = "c") -> list[dict[str, Any]]:
    return [
        {
            "place": 0,
            "agent": agent,
            "key": "k",
            "keyed": True,
            "run_id": str(run),
            "thread_id": str(thread_id(agent, conversation)),
            "conversation_id": conversation,
            "tool": READ,
            "sha256": "",
        }
    ]


async def test_the_gateway_makes_live_runs_and_no_others(world: LiveWorld) -> None:
    """A run that an agent's own work stands under is neither counted up nor opened again."""
    await world.admin.execute("update runs set status = 'finished'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="is not a live one"):
        await world.pool.fetch(*SQL.bind("begin", asked=asked(RUN), window_seconds=60.0))
    row = await world.admin.fetchrow("select status, steps from runs where run_id = $1", RUN)
    assert tuple(row) == ("finished", 0)
    assert await world.admin.fetchval("select count(*) from live_calls") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.pool.execute("update runs set status = 'running'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.pool.execute(
            "insert into live_calls (agent, key, run_id, tool, arguments_sha256) select '', '', gen_random_uuid(), '', ''"
        )


@pytest.mark.parametrize("role", ["viox_closer", "viox_operator_cli"])
async def test_nobody_else_begins_or_ends_live_runs(world: LiveWorld, postgres: Postgres, role: str) -> None:
    connection = await asyncpg.connect(postgres.dsn(role))
    try:
        for statement in ("select begin_live_calls('[]', 1)", "select end_live_runs(0, '{}', '{}')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_an_operator_cannot_cancel_runs_of_agents_so(world: LiveWorld, postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.dsn("viox_operator_cli"))
    try:
        assert await connection.execute("update runs set status = 'cancelled'") == "UPDATE 0"
        await world.admin.execute("update runs set status = 'blocked'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("update runs set status = 'cancelled'")
    finally:
        await connection.close()


async def test_a_run_that_ends_in_the_moment_in_which_it_is_asked_for_goes_on(world: LiveWorld) -> None:
    door = await world.door()
    await door(READ)
    await world.admin.execute("update live_calls set asked_at = now() - interval '1 day'")
    for _ in range(5):
        await asyncio.gather(door.room.runs.end_idle(), door(SEND, SMS | {"Body": f"{_}"}), door.room.runs.end_idle())
    (run,) = await world.runs()
    assert (run["status"], run["tool_calls"]) == ("running", 6)
