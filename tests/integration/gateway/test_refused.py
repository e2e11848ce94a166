"""Calls that are refused before they are judged: in whose name, how they end, and how they are handled again."""

from __future__ import annotations

import pytest

from sandbox.postgres import Postgres
from shared.bus import topics
from shared.bus.dead_letters import Redrives
from shared.ids import run_id, thread_id
from shared.operations import store
from shared.store.pool import is_transient, open_pool
from tests.integration.gateway.world import RUN, World, gateway_world, wants

__all__ = ["gateway_world"]
SMS = {"To": "+14155550123", "Body": "Hi Ana"}


@pytest.mark.rule(18)
async def test_an_id_of_another_agents_run_is_not_ones_own_by_a_row_that_says_so(world: World) -> None:
    """An agent may write rows of its own under any id; ids are derived from the agent."""
    gateway, thread = await world.gateway(), thread_id("voice", "c")
    copy = """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)
              values ($1, 'voice', $3, 'c', $2, '/t', '1', 'x')"""
    await world.admin.execute(copy, RUN, "cancelled", thread)
    await gateway.intake.accept([wants("twilio_send_message", SMS, agent="voice")])
    assert await world.admin.fetchval("select code from dead_letters") == "call.foreign_run"
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("succeeded")
    own = run_id("voice", "/t", "1")
    await world.admin.execute(copy, own, "running", thread)
    await gateway.intake.accept([wants("stripe_create_refund", {"charge": "ch_1"}, agent="voice", run=own)])
    row = await world.admin.fetchrow("select agent, state, error from tool_calls where run_id = $1", own)
    assert (row["agent"], row["state"]) == ("voice", "denied")
    assert "not_granted" in row["error"]


@pytest.mark.rule(1)
async def test_a_call_that_cannot_be_read_ends_as_denied_and_its_agent_is_told(world: World) -> None:
    gateway = await world.gateway()
    unreadable = wants("twilio_send_message", SMS, conversation="ticket:1\nx")
    await gateway.intake.accept([unreadable, unreadable])
    row = await world.state("denied")
    assert (row["agent"], row["conversation_id"], row["attempt"]) == ("closer", "c", 0)
    assert "conversationid must be printable" in row["error"]
    assert await world.phases() == ["decision"]
    told = [(topic, message.id, message.data["state"]) for topic, message in gateway.publisher.messages]
    assert told == [(topics.tool_results("closer"), row["call_id"], "denied")]
    letter = await world.admin.fetchrow("select run_id, message_id, code from dead_letters")
    assert tuple(letter) == (RUN, row["call_id"], "event.malformed")
    assert world.twilio.effects == []


@pytest.mark.rule(1)
async def test_a_call_that_no_table_takes_ends_as_denied(world: World) -> None:
    gateway = await world.gateway()
    record = wants("twilio_send_message", SMS)
    await gateway.intake.poison(record, ValueError("no"))
    assert "message.unstorable" in (await world.state("denied"))["error"]


@pytest.mark.rule(18)
@pytest.mark.parametrize("status", ["finished", "cancelled"])
async def test_an_unreadable_call_of_no_open_run_of_its_sender_is_a_dead_letter_and_no_call(
    world: World, status: str
) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS, conversation="a\nb", agent="voice")])
    await world.admin.execute("update runs set status = $1", status)
    await gateway.intake.accept([wants("twilio_send_message", SMS, conversation="a\nb")])
    assert await world.admin.fetchval("select count(*) from dead_letters") == 2
    assert await world.admin.fetchval("select count(*) from tool_calls") == 0


@pytest.mark.rule(18)
async def test_a_dead_letter_of_the_gateway_is_handled_again_as_the_call_of_its_topic(
    world: World, postgres: Postgres
) -> None:
    """Nothing is put on the agent's topic in the gateway's name: its own intake takes the stored record."""
    gateway = await world.gateway()
    await world.admin.execute("update runs set agent = 'voice'")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    assert await world.admin.fetchval("select code from dead_letters") == "call.foreign_run"
    await world.admin.execute("update runs set agent = 'closer'")
    operator = await open_pool(postgres.dsn("viox_operator_cli"), application="test", size=1)
    await store.redrive(operator, await world.admin.fetchval("select dead_letter_id from dead_letters"))
    await operator.close()
    redrives = Redrives(topics.GATEWAY, world.pool, gateway.intake.accept, gateway.intake.poison, is_transient)
    assert (await redrives.take(), await redrives.take()) == (1, 0)
    row = await world.state("succeeded")
    assert row["agent"] == "closer"
    assert not [topic for topic, _ in gateway.publisher.messages if topic.startswith(topics.TOOL_CALLS)]
    assert await world.admin.fetchval("select count(*) from outbox where topic like 'viox.tool-calls.%'") == 0
