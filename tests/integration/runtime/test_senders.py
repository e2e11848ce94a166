"""Who a message says it is from, and whether that is so: anybody may write to the topics of tasks and events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.call.intake import _understand
from shared.bus import topics
from shared.bus.envelope import Message, conversation_key
from shared.bus.kafka import Record
from shared.bus.messages import CALL_CLOSED, GATEWAY_SOURCE, agent_source, task
from shared.bus.outbox import insert, outgoing
from shared.errors import VioxError
from shared.ids import run_id, thread_id
from shared.operations import store
from shared.runtime.inbox import Inbox
from shared.store.pool import Pool, open_pool
from tests.integration.runtime.world import CLOSER, DONE, LIMITS, RUN, ask, calls, close_call, closed, record

pytestmark = pytest.mark.rule(19)
TOPIC = topics.tasks("closer")
PARENT = run_id("voice", "/t", "1")
FROM_VOICE = replace(
    task("closer", "m1", agent_source("voice"), "do", {}, datetime.now(UTC), "c"),
    extensions={"parentrunid": str(PARENT)},
)


async def codes(admin: Any) -> list[str]:
    rows = await admin.fetch("select code from dead_letters order by created_at")
    return [row["code"] for row in rows]


async def voice_sends(postgres: Postgres, message: Message) -> None:
    pool = await open_pool(postgres.dsn("viox_voice"), application="test", size=1)
    async with pool.acquire() as connection:
        await insert(connection, "voice", [outgoing(TOPIC, message, ["closer"])])
    await pool.close()


async def test_a_task_of_another_agent_counts_when_that_agent_sent_it(
    agents: Any, admin: Any, postgres: Postgres
) -> None:
    agent = await agents(DONE)
    await voice_sends(postgres, FROM_VOICE)
    await agent.accept((TOPIC, FROM_VOICE))
    assert await admin.fetchval("select parent_run_id from runs") == PARENT
    await admin.execute("delete from outbox")  # received, and delivered once more
    await agent.accept((TOPIC, FROM_VOICE))
    assert await codes(admin) == []
    await agent.work()
    assert await admin.fetchval("select status from runs") == "finished"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "m2"},
        {"source": agent_source("steward")},
        {"source": "/viox/cli"},
        {"source": GATEWAY_SOURCE},
        {"data": {"instruction": "do something else", "context": {}}},
        {"conversation_id": "other"},
        {"extensions": {"parentrunid": str(run_id("controller", "/t", "1"))}},
    ],
)
async def test_a_task_in_the_name_of_one_of_ours_that_did_not_send_it_is_refused(
    agents: Any, admin: Any, postgres: Postgres, change: dict[str, Any]
) -> None:
    agent = await agents(DONE)
    await voice_sends(postgres, FROM_VOICE)
    await agent.accept((TOPIC, replace(FROM_VOICE, **change)))
    assert await codes(admin) == ["event.reserved"]
    assert await admin.fetchval("select count(*) from runs") == 0
    # It leaves no mark: the message of the one it names is still on its way.
    await admin.execute("update outbox set next_at = now() - interval '1 second' where owner = 'voice'")
    marked = await admin.fetchval("select count(*) from received_messages('voice')")
    assert marked == 0
    await agent.accept((TOPIC, FROM_VOICE))
    assert await admin.fetchval("select count(*) from runs") == 1


async def test_a_task_of_an_operator_counts_when_the_command_line_accepted_it(
    agents: Any, admin: Any, operator: Pool
) -> None:
    agent = await agents(DONE)
    message = task("closer", "m1", store.CLI_SOURCE, "do", {}, datetime.now(UTC), None)
    await agent.accept((TOPIC, message))
    assert await codes(admin) == ["event.reserved"]
    async with operator.acquire() as connection:
        await store.accept(connection, TOPIC, message, ["closer"])
    await agent.accept((TOPIC, message))
    assert await admin.fetchval("select count(*) from runs") == 1


async def test_what_was_sent_by_ours_and_died_is_handled_again_though_its_sender_has_forgotten_it(
    agents: Any, admin: Any, operator: Pool, postgres: Postgres
) -> None:
    agent = await agents(DONE)
    await voice_sends(postgres, FROM_VOICE)
    await agent.inbox.bury(record(TOPIC, FROM_VOICE, 1), VioxError("x", "x"))
    await admin.execute("delete from outbox")
    await store.redrive(operator, await admin.fetchval("select dead_letter_id from dead_letters"))
    await agent.redrives.take()
    assert await admin.fetchval("select parent_run_id from runs") == PARENT


@pytest.mark.parametrize("source", ["/viox", "/viox/gateway", "/viox/agents/voice", "/viox/anything"])
async def test_an_event_from_outside_cannot_name_us_as_its_source(agents: Any, admin: Any, source: str) -> None:
    agent = await agents(DONE)
    lead = Message("1", source, "viox.lead.created", {"email": "a@b.co"}, datetime.now(UTC))
    await agent.accept((topics.events("sales"), lead))
    assert await codes(admin) == ["event.reserved"]


@pytest.mark.parametrize("topic", [topics.events("sales"), TOPIC])
async def test_an_event_from_outside_cannot_name_one_of_our_runs_as_its_parent(
    agents: Any, admin: Any, topic: str
) -> None:
    agent = await agents(DONE)
    given = {"parentrunid": str(PARENT)}
    lead = Message("1", "/x", "viox.lead.created", {"email": "a@b.co"}, datetime.now(UTC), extensions=given)
    message = lead if topic != TOPIC else replace(ask("x")[1], extensions=given)
    await agent.accept((topic, message))
    assert await codes(admin) == ["event.reserved"]
    assert await admin.fetchval("select count(*) from runs") == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "/evil"}, "event.reserved"),
        ({"data": {"call_id": f"{RUN}.1.1", "state": "succeeded"}}, "event.invalid_data"),
        ({"id": f"{RUN}.01.0", "data": {"call_id": f"{RUN}.01.0", "state": "succeeded"}}, "event.invalid_data"),
        ({"type": "viox.lead.created"}, "event.unknown_type"),
    ],
)
async def test_a_result_says_the_same_call_everywhere_and_is_the_gateways(
    agents: Any, admin: Any, change: dict[str, Any], field: str
) -> None:
    agent = await agents(calls("a"))
    await agent.accept(ask("x"))
    await agent.work()
    topic, message = closed(f"{RUN}.1.0", 1)
    assert (message.type, message.source) == (CALL_CLOSED, GATEWAY_SOURCE)
    await agent.accept((topic, replace(message, **change)))
    assert await codes(admin) == [field]


@pytest.mark.rule(1)
@pytest.mark.parametrize("number", ["T-1\nx", "T-1\u2028x", "T-1\u00a0x", "T-1\t", "x" * 5000, "😀" * 500])
async def test_an_id_of_an_upstream_that_no_message_can_carry_is_a_conversation_like_any_other(
    agents: Any, admin: Any, number: str
) -> None:
    agent = await agents(calls("a"), DONE)
    spec = replace(CLOSER, conversation=lambda event: f"lead:{event.data['first_name']}")
    agent.inbox = Inbox(spec, agent.store, agent.threads, agent.instance.owner, LIMITS)
    data = {"email": "a@b.co", "first_name": number}
    lead = Message("1", "/shop", "viox.lead.created", data, datetime.now(UTC))
    await agent.accept((topics.events("sales"), lead))
    await agent.work()
    wanted = next(message for topic, message in agent.publisher.messages if topic == topics.tool_calls("closer"))
    key, value, headers = wanted.to_kafka()
    asked = _understand(Record(topics.tool_calls("closer"), 0, 1, key, value, tuple(headers)))
    conversation = conversation_key(f"lead:{number}")
    assert asked.thread_id == thread_id("closer", conversation)
    await close_call(admin, asked.call_id, 1)
    await agent.accept(closed(asked.call_id, 1, conversation))
    await agent.work()
    assert await admin.fetchval("select status from runs") == "finished"
