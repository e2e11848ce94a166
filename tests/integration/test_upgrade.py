"""A database with data in it, as an earlier version left it, brought to today's schema."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest

from sandbox.postgres import ROLES, Postgres
from services.tool_gateway.connectors.memory import Memory
from services.tool_gateway.memory import local
from services.tool_gateway.memory.index import Index
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import Conflict, Unavailable
from shared.ids import call_id, run_id
from shared.operations import store
from shared.store.migrate import migrate, wait
from shared.store.pool import open_pool

OLD = "0004"  # the last schema before tables were renamed and checkpoints dropped
DONE, WAITS = run_id("closer", "/t", "done"), run_id("closer", "/t", "waits")
RUN = """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,
                           steps, tool_calls, text) values ($1, 'closer', $1, 'talk', $2, '/t', $3, 'x', 3, 2, $4)"""
CALL = """insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, effect, state, arguments, arguments_sha256)
          values ($1, $2, 2, $3, 'closer', 'talk', 'twilio_send_message', 'once', $4, '{}', '')"""
OUTBOX = """insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id)
            values (gen_random_uuid(), $1, $2, '', '', '[]', '/t', $2)"""


@pytest.fixture
async def old(postgres: Postgres) -> AsyncIterator[Any]:
    """A connection to a database of its own with the old schema, and how to upgrade it."""
    base = postgres.dsn("postgres").rsplit("/", 1)[0]
    server = await asyncpg.connect(f"{base}/postgres")
    await server.execute("drop database if exists upgraded with (force)")
    await server.execute('create database upgraded owner "viox"')
    prepared = await asyncpg.connect(f"{base}/upgraded")
    await prepared.execute("create extension vector")
    await prepared.close()
    await asyncio.to_thread(migrate, _inside(postgres, "viox"), OLD)
    connection = await asyncpg.connect(f"{base}/upgraded")
    yield connection
    await connection.close()
    await server.execute("drop database upgraded with (force)")
    await server.close()


def _inside(postgres: Postgres, role: str) -> str:
    return postgres.dsn(role).rsplit("/", 1)[0] + "/upgraded"


async def test_what_was_there_is_there_and_goes_on(old: Any, postgres: Postgres) -> None:
    await old.execute(RUN, DONE, "finished", "done", "All well.")
    await old.execute(RUN, WAITS, "running", "waits", None)
    await old.execute(CALL, call_id(DONE, 2, 0), DONE, 0, "succeeded")
    await old.execute(CALL, call_id(DONE, 2, 1), DONE, 1, "failed")
    await old.execute(CALL, call_id(WAITS, 2, 0), WAITS, 0, "unknown")
    for number, (kind, body) in enumerate([("trigger", "{}"), ("note", '{"text": "n"}'), ("model", '{"calls": []}')]):
        await old.execute("insert into steps values ($1, $2, $1, $2::int, $3, $4)", WAITS, number, kind, body)
    await old.execute("insert into addresses values ('sms', '+15005550006', 'closer', 'talk')")
    await old.execute("insert into checkpoints values ($1, '', 'c', null, '', '')", str(WAITS))
    for owner, topic in (
        ("closer", "viox.runs"),
        ("gateway", "viox.tool-results.closer"),
        ("closer", "viox.tool-calls.closer"),
    ):
        await old.execute(OUTBOX, owner, topic)

    await asyncio.to_thread(migrate, _inside(postgres, "viox"))

    found = {row["run_id"]: row for row in await old.fetch("select * from run_overview")}
    assert (found[DONE]["status"], found[DONE]["outcome"], found[DONE]["text"]) == ("finished", "partly", "All well.")
    assert (found[WAITS]["status"], found[WAITS]["steps"]) == ("waiting", 3)
    assert found[WAITS]["waiting_for"] == f'[{{"kind" : "unknown", "id" : "{call_id(WAITS, 2, 0)}"}}]'
    assert await old.fetchval("select agent from contact_owners where address = '+15005550006'") == "closer"
    assert await old.fetchval("select count(*) from steps where run_id = $1", WAITS) == 3
    # Calls and results are told from the tables now; what nothing else stands for is still to be sent.
    assert [row["topic"] for row in await old.fetch("select topic from outbox")] == ["viox.runs"]


async def test_every_role_reads_what_it_may_afterwards(old: Any, postgres: Postgres) -> None:
    await old.execute(RUN, DONE, "finished", "done", "All well.")
    await asyncio.to_thread(migrate, _inside(postgres, "viox"))
    for role in ROLES:
        connection = await asyncpg.connect(_inside(postgres, role))
        try:
            if role in ("viox_operator_cli", "viox_closer", "viox_gateway"):
                assert await connection.fetchval("select text from run_overview") == "All well."
            elif role == "viox_voice":
                assert await connection.fetchval("select count(*) from run_overview") == 0, "another agent's"
        finally:
            await connection.close()


async def test_an_upgrade_that_was_done_does_nothing(old: Any, postgres: Postgres) -> None:
    for _ in range(2):
        await asyncio.to_thread(migrate, _inside(postgres, "viox"))
    assert await store.runs(old, agent=None, status=None, since=None, cursor=None, limit=5) == ([], None)


async def test_notes_from_before_are_found_by_meaning_and_count_as_from_outside(old: Any, postgres: Postgres) -> None:
    await asyncio.to_thread(migrate, _inside(postgres, "viox"), "0020")
    call = call_id(DONE, 2, 0)
    await old.execute(CALL, call, DONE, 0, "succeeded")
    await old.execute(
        "insert into notes (note_id, entity, text) values ($1, 'Customer: 7 ', 'The invoice was sent twice.')", call
    )
    await old.execute("insert into notes (note_id, entity, text) values ('by hand', 'customer:7', $1)", "Long. " * 500)

    await asyncio.to_thread(migrate, _inside(postgres, "viox"))

    notes = {row["note_id"]: row for row in await old.fetch("select * from notes")}
    assert {name: (row["agent"], row["tainted"]) for name, row in notes.items()} == {
        call: ("closer", True),
        "by hand": (None, True),
    }
    pool = await open_pool(_inside(postgres, "viox_gateway"), application="test")
    model = local.opened("wordllama")
    try:
        await Index(pool, model).catch_up()
        assert (
            await old.fetchval("select count(*) from passages where embedding is not null and note_id = $1", call) == 1
        )
        assert (
            await old.fetchval("select count(*) from passages where embedding is not null and note_id = 'by hand'") > 1
        )
        asked = orjson.dumps({"question": "Who got a duplicate bill?", "entity": "customer:7", "call_id": call})
        answer = await Memory(pool, model).send(Prepared("SQL", "memory:/recall", [], asked), 5.0, _open)
        first = orjson.loads(answer.body)["items"][0]
        assert (first["text"], first["from_outside"], first["source"]["agent"]) == (
            "The invoice was sent twice.",
            True,
            "closer",
        )
    finally:
        await model.close()
        await pool.close()


async def _open() -> None:
    """A gate that lets everything through."""


async def test_a_database_of_a_newer_version_is_left_alone_and_says_so(old: Any, postgres: Postgres) -> None:
    await asyncio.to_thread(migrate, _inside(postgres, "viox"))
    await old.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(Conflict) as told:
        await asyncio.to_thread(migrate, _inside(postgres, "viox"))
    assert told.value.code == "database.newer"
    assert "'9999'" in told.value.message
    assert told.value.remedy
    assert await old.fetchval("select version_num from alembic_version") == "9999"


async def test_a_service_waits_until_the_schema_is_as_new_as_its_code(old: Any, postgres: Postgres) -> None:
    """Whoever it logs in as: the table that knows is the owner's alone, the comment on it is for all."""
    closer = _inside(postgres, "viox_closer")
    with pytest.raises(Unavailable) as told:
        await wait(closer, 0)
    assert f"the schema is {OLD}" in told.value.message
    waiting = asyncio.create_task(wait(closer, 120))
    await asyncio.to_thread(migrate, _inside(postgres, "viox"))
    await waiting


async def test_a_service_of_the_release_before_starts_on_a_newer_schema(old: Any, postgres: Postgres) -> None:
    await old.execute("comment on table alembic_version is '9999'")
    await wait(_inside(postgres, "viox_closer"), 0)


async def test_waiting_for_a_server_that_is_not_there_says_so(postgres: Postgres) -> None:
    with pytest.raises(Unavailable, match="Postgres does not answer"):
        await wait("postgresql://viox@127.0.0.1:1/viox", 0)


async def test_migrations_take_a_dsn_with_parameters_as_services_do(old: Any, postgres: Postgres) -> None:
    """Such as those of TLS, which SQLAlchemy's own reading of a URL refuses."""
    await asyncio.to_thread(migrate, _inside(postgres, "viox") + "?sslmode=disable&application_name=migrations")
    assert await old.fetchval("select to_regclass('steps') is not null")


async def test_an_owner_who_may_make_no_role_migrates_where_the_groups_are_there(postgres: Postgres) -> None:
    """As on Kubernetes, where CloudNativePG makes groups and logins before anybody migrates."""
    base = postgres.dsn("postgres").rsplit("/", 1)[0]
    server = await asyncpg.connect(f"{base}/postgres")
    try:
        await server.execute("create role declared login nocreaterole password 'declared'")
        await server.execute("create database declared owner declared")
        inside = await asyncpg.connect(f"{base}/declared")
        await inside.execute("create extension vector")
        await inside.close()
        dsn = base.replace(base.partition("//")[2].partition("@")[0], "declared:declared") + "/declared"
        await asyncio.to_thread(migrate, dsn)
        await wait(dsn, 0)
    finally:
        await server.execute("drop database if exists declared with (force)")
        await server.execute("drop role if exists declared")
        await server.close()
