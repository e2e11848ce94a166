"""What one service's database role tries against another's rows, and what comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from sandbox.postgres import Postgres
from shared.bus import topics
from shared.bus.outbox import addressee
from shared.ids import run_id, thread_id
from shared.store.pool import Pool
from shared.telemetry.digest import sha256_bytes

pytestmark = pytest.mark.rule(18)
RUN = run_id("closer", "/t", "1")
THREAD = thread_id("closer", "c")
PUT = """insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id, receivers)
         values (gen_random_uuid(), $1, $2, '', '', '[]', '/t', '1', $3)"""
LETTER = """insert into dead_letters (dead_letter_id, service, topic, headers, code, error, attempts, source, message_id)
            values ($1, $2, $3, '[]', 'x', 'x', 1, '/t', '1')"""


@pytest.fixture
async def voice(postgres: Postgres, admin: Any) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres.dsn("viox_voice"))
    yield connection
    await connection.close()


@pytest.mark.parametrize("topic", [topic.name for topic in topics.all_topics()])
async def test_an_agent_sends_to_the_topics_that_it_may_write(voice: Any, admin: Any, topic: str) -> None:
    writers = next(t.writers for t in topics.all_topics() if t.name == topic)
    if "voice" in writers or topics.ANYONE in writers:
        await voice.execute(PUT, "voice", topic, [])
    else:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await voice.execute(PUT, "voice", topic, [])
    assert await admin.fetchval("select count(*) from outbox") == ("voice" in writers)


@pytest.mark.parametrize("column", ["topic", "owner", "receivers", "key", "value", "headers", "source", "message_id"])
async def test_what_is_to_be_sent_cannot_be_changed(voice: Any, column: str) -> None:
    await voice.execute(PUT, "voice", topics.RUNS, [])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await voice.execute(f"update outbox set {column} = {column}")  # noqa: S608  # a name from above
    await voice.execute("update outbox set attempts = 1, next_at = now()")


@pytest.mark.parametrize("service", ["gateway", "closer"])
async def test_a_dead_letter_of_another_cannot_be_written(voice: Any, service: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await voice.execute(LETTER, uuid4(), service, "viox.tool-calls.closer")


async def test_a_service_marks_its_letters_as_redriven_when_an_operator_asked_for_it_and_not_before(
    voice: Any, admin: Any
) -> None:
    await voice.execute(LETTER, uuid4(), "voice", "viox.tasks.voice")
    assert await voice.execute("update dead_letters set state = 'redriven'") == "UPDATE 0"
    await admin.execute("update dead_letters set state = 'redriving'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await voice.execute("update dead_letters set state = 'dead'")
    assert await voice.execute("update dead_letters set state = 'redriven'") == "UPDATE 1"


async def test_ids_that_will_be_anothers_can_be_written_under_the_own_name_and_are_in_nobodys_way(
    voice: Any, closer_pool: Pool, admin: Any
) -> None:
    """Ids are derived and can be computed by anybody, before they exist."""
    letter = uuid4()
    thread = "insert into threads (thread_id, agent, conversation_id) values ($1, $2, 'c')"
    run = """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)
             values ($1, $2, $3, 'c', 'blocked', '/t', '1', 'x')"""
    step = """insert into steps (agent, run_id, step, thread_id, seq, kind, body)
              values ($1, $2, 0, $3, 0, 'note', json_build_object('text', $1::text))"""
    for connection, agent in ((voice, "voice"), (closer_pool, "closer")):
        await connection.execute(thread, THREAD, agent)
        await connection.execute(run, RUN, agent, THREAD)
        await connection.execute(step, agent, RUN, THREAD)
        await connection.execute(LETTER, letter, agent, f"viox.tasks.{agent}")
    found = await closer_pool.fetch("select body from steps where thread_id = $1", THREAD)
    assert [row["body"] for row in found] == [{"text": "closer"}]
    assert await closer_pool.fetchval("select count(*) from runs") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await voice.execute("update runs set run_id = run_id")


async def test_a_prompt_is_kept_under_its_own_digest_only(voice: Any, admin: Any) -> None:
    insert = "insert into prompts (sha256, body) values ($1, $2) on conflict do nothing"
    with pytest.raises(asyncpg.CheckViolationError):
        await voice.execute(insert, sha256_bytes(b'"be kind"'), '"be rude"')
    await voice.execute(insert, sha256_bytes('"café"'.encode()), '"café"')
    assert await admin.fetchval("select count(*) from prompts") == 1


async def test_who_asks_another_question_decides_nothing_for_others(
    voice: Any, closer_pool: Pool, gateway_pool: Pool, admin: Any
) -> None:
    await admin.execute(
        "insert into contact_owners values ('sms', '+1415', 'closer', 'lead:x'), ('sms', '+1999', 'voice', 'sms:+1999')"
    )
    ask = "select agent, conversation_id from decide_routes(array[$1], array[$2], array[$3], array[$4], array[$5])"
    assert (await voice.fetchrow(ask, "/twilio", "SM1", "sms", "+1999", "voice"))["agent"] == "voice"
    assert (await voice.fetchrow(ask, "/twilio", "SM1", "none", "+1415", "voice"))["agent"] == "voice"
    answer = await closer_pool.fetchrow(ask, "/twilio", "SM1", "sms", "+1415", "voice")
    assert answer is not None
    assert tuple(answer) == ("closer", "lead:x")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await voice.execute("update contact_owners set agent = 'voice'")
    # Nor is the message taken for one that has arrived, before its owner has it.
    inbox = """insert into inbox (agent, source, message_id, kind, thread_id, topic, value, headers)
               values ($1, '/twilio', 'SM1', 'event', gen_random_uuid(), '', '', '[]')"""
    await gateway_pool.execute(PUT, "gateway", "viox.events.telephony", [addressee("sms", "voice", "+1415")])
    await admin.execute(
        "update outbox set source = '/twilio', message_id = 'SM1', next_at = now() - interval '1 second'"
    )
    received = "select count(*) from received_messages('gateway')"
    await voice.execute(inbox, "voice")
    assert await gateway_pool.fetchval(received) == 0
    await closer_pool.execute(inbox, "closer")
    assert await gateway_pool.fetchval(received) == 1


@pytest.mark.parametrize(("value", "received"), [("", 1), ("{", 0)])
async def test_a_dead_letter_is_the_mark_of_the_bytes_it_holds(
    voice: Any, gateway_pool: Pool, admin: Any, value: str, received: int
) -> None:
    """Anybody may write to topics of Kafka, also something broken in the name of a message that is on its way."""
    await gateway_pool.execute(PUT, "gateway", "viox.tasks.voice", ["voice"])
    await admin.execute("update outbox set next_at = now() - interval '1 second'")
    await voice.execute(LETTER, uuid4(), "voice", "viox.tasks.voice")
    await admin.execute("update dead_letters set value = $1", value.encode())
    assert await gateway_pool.fetchval("select count(*) from received_messages('gateway')") == received


async def test_the_decision_of_the_first_one_to_ask_holds(closer_pool: Pool, admin: Any) -> None:
    ask = (
        "select agent from decide_routes(array['/twilio'], array['SM1'], array['sms'], array['+1415'], array['voice'])"
    )
    assert await closer_pool.fetchval(ask) == "voice"
    await admin.execute("insert into contact_owners values ('sms', '+1415', 'closer', 'lead:x')")
    assert await closer_pool.fetchval(ask) == "voice"


@pytest.mark.parametrize(
    "statement",
    [
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)"
        " values (gen_random_uuid(), 'closer', gen_random_uuid(), 'c', 'running', '/t', '1', 'x')",
        "insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, arguments, arguments_sha256)"
        " values ('x', gen_random_uuid(), 1, 0, 'closer', 'c', 't', 'requested', '{}', '')",
        "insert into ledger_entries (call_id, attempt, phase) values ('x', 1, 'intent')",
        "insert into inbox (agent, source, message_id, kind, thread_id, topic, value, headers)"
        " values ('closer', '/t', '1', 'task', gen_random_uuid(), '', '', '[]')",
        "insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id)"
        " values (gen_random_uuid(), 'gateway', 'viox.tool-calls.closer', '', '', '[]', '/t', '1')",
        "insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id)"
        " values (gen_random_uuid(), 'closer', 'viox.tasks.voice', '', '', '[]', '/t', '1')",
        "select sealed from oauth_tokens",
        "update tool_calls set arguments = '{}'",
        "delete from outbox",
    ],
)
async def test_operators_do_what_the_command_line_does_and_no_more(
    postgres: Postgres, admin: Any, statement: str
) -> None:
    connection = await asyncpg.connect(postgres.dsn("viox_operator_cli"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_operators_settle_only_calls_that_are_unknown_and_reopen_only_blocked_runs(
    postgres: Postgres, admin: Any
) -> None:
    call = """insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, arguments, arguments_sha256)
              values ($1, $2, 1, 0, 'closer', 'c', 't', $1, '{}', '')"""
    run = """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)
             values (gen_random_uuid(), 'closer', $1, 'c', $2, '/t', '1', 'x')"""
    for state, status in (("unknown", "blocked"), ("executing", "finished"), ("succeeded", "running")):
        await admin.execute(call, state, RUN)
        await admin.execute(run, THREAD, status)
    connection = await asyncpg.connect(postgres.dsn("viox_operator_cli"))
    try:
        assert await connection.execute("update tool_calls set state = 'failed'") == "UPDATE 1"
        assert await connection.execute("update runs set status = 'running'") == "UPDATE 1"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("update dead_letters set service = 'x'")
    finally:
        await connection.close()
