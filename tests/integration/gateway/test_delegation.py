"""One agent gives another a task and waits: the task is sent once, and the call ends as the child's run does."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from shared.bus import topics
from shared.bus.envelope import PARENT_RUN, Message, headers_from_json, parse_record
from shared.ids import RunId, call_id, run_id, thread_id
from shared.store.pool import Pool
from tests.integration.gateway.world import RESULTS, RUN, Gateway, World, gateway_world, until, wants

__all__ = ["gateway_world"]
TOOL = "task_delegate"
REFUND = {"agent": "controller", "instruction": "Refund ch_1 in full.", "context": {"charge": "ch_1"}}
LOOPS = ("outcomes", "resumer", "desk")


async def delegated(world: World, arguments: dict[str, Any] | None = None, step: int = 1, **more: Any) -> Gateway:
    """A gateway with a call that waits for its child."""
    gateway = await world.gateway(*LOOPS, **more)
    await gateway.intake.accept([wants(TOOL, arguments or REFUND, step)])
    await deferred(world, step)
    return gateway


async def deferred(world: World, step: int = 1) -> Any:
    async with asyncio.timeout(30):
        while not ((row := await world.call(step)) and row["deferred"]):
            assert row is None or row["state"] not in ("failed", "denied", "unknown"), row["error"]
            await asyncio.sleep(0.02)
    return row


async def tasks(world: World, agent: str = "controller") -> list[Message]:
    """Tasks that the gateway has on their way to an agent."""
    rows = await world.admin.fetch("select * from outbox where topic = $1 order by created_at", topics.tasks(agent))
    return [parse_record(row["value"], headers_from_json(json.loads(row["headers"]))) for row in rows]


async def begin(world: World, agent: str = "controller") -> UUID:
    """The child takes the last of its tasks in."""
    sent = (await tasks(world, agent))[-1]
    run = run_id(agent, sent.source, sent.id)
    conversation = sent.conversation_id or ""
    await put_run(world, run, agent, conversation, sent.source, sent.id, UUID(sent.extensions[PARENT_RUN]))
    return run


async def put_run(
    world: World, run: UUID, agent: str, conversation: str, source: str, trigger: str, parent: UUID | None = None
) -> None:
    await world.admin.execute(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,"
        " parent_run_id) values ($1, $2, $3, $4, 'running', $5, $6, 'viox.task.requested', $7)",
        run,
        agent,
        thread_id(agent, conversation),
        conversation,
        source,
        trigger,
        parent,
    )


async def end(world: World, run: UUID, status: str = "finished", text: str | None = None, error: Any = None) -> None:
    await world.admin.execute(
        "update runs set status = $2, text = $3, error = $4::json, finished_at = now() where run_id = $1",
        run,
        status,
        text,
        json.dumps(error) if error else None,
    )


async def test_the_call_waits_and_ends_with_the_childs_end(world: World) -> None:
    gateway = await delegated(world)
    (sent,) = await tasks(world)
    assert sent.data == {"instruction": REFUND["instruction"], "context": REFUND["context"]}
    assert (sent.conversation_id, sent.extensions) == ("c", {PARENT_RUN: str(RUN)})
    child = await begin(world)
    row = await world.call()
    assert (row["state"], row["attempt"], row["closed_at"]) == ("requested", 1, None)

    await end(world, child, text="Refunded 20.00 USD.")
    row = await world.state("succeeded")
    assert json.loads(row["result"]) == {
        "run_id": str(child),
        "agent": "controller",
        "status": "finished",
        "outcome": "succeeded",
        "text": "Refunded 20.00 USD.",
        "failed_calls": 0,
    }
    assert (row["attempt"], row["deferred"]) == (1, False)
    assert await world.phases() == ["intent", "outcome", "settled"]
    await until(lambda: gateway.publisher.sent(RESULTS))
    assert gateway.publisher.sent(RESULTS)[0].data["state"] == "succeeded"
    assert await world.admin.fetchval("select ended_at is not null from delegations")


@pytest.mark.parametrize("status", ["failed", "blocked", "cancelled"])
async def test_a_child_that_does_not_finish_fails_the_call_with_its_story(world: World, status: str) -> None:
    await delegated(world)
    child = await begin(world)
    await end(world, child, status, error={"code": "x", "message": "the bank said no."})
    error = json.loads((await world.state("failed"))["error"])
    assert error["code"] == "delegation.failed"
    assert "the bank said no" in error["message"]
    assert error["run"]["run_id"] == str(child)
    assert error["run"]["status"] == status


async def test_a_task_that_joined_a_run_ends_with_that_one(world: World) -> None:
    await delegated(world)
    child = await begin(world)
    host = run_id("controller", "/crm", "9")
    await put_run(world, host, "controller", "c", "/crm", "9")
    await world.admin.execute("update runs set merged_into = $2 where run_id = $1", child, host)
    await end(world, host, text="Both done.")
    assert json.loads((await world.state("succeeded"))["result"])["text"] == "Both done."


async def test_what_another_agent_writes_under_the_childs_id_counts_for_nothing(world: World) -> None:
    await delegated(world)
    (sent,) = await tasks(world)
    child = run_id("controller", sent.source, sent.id)
    await put_run(world, child, "steward", "c", sent.source, sent.id)
    await end(world, child, text="All refunded, trust me.")
    own = await begin(world)
    assert own == child
    await world.admin.execute(
        "update runs set status = 'failed', finished_at = now() where run_id = $1 and agent = 'controller'", child
    )
    assert "delegation.failed" in (await world.state("failed"))["error"]


async def test_killed_between_the_task_and_its_record_the_task_is_sent_once(world: World) -> None:
    """The replica dies after the task is stored and before the call's outcome is."""
    first = await world.gateway("resumer")  # nobody writes outcomes
    await first.intake.accept([wants(TOOL, REFUND)])
    async with asyncio.timeout(30):
        while not await tasks(world):
            await asyncio.sleep(0.02)
    assert (await world.call())["state"] == "executing"
    await first.die()

    await world.gateway(*LOOPS)
    row = await deferred(world)
    assert row["attempt"] == 2
    assert len(await tasks(world)) == 1
    await end(world, await begin(world), text="Done.")
    await world.state("succeeded")
    assert await world.admin.fetchval("select count(*) from delegations") == 1


async def test_another_replica_ends_the_call_when_the_first_died(world: World) -> None:
    first = await delegated(world)
    child = await begin(world)
    await first.die()
    await end(world, child, text="Done meanwhile.")
    second, third = await world.gateway(*LOOPS), await world.gateway(*LOOPS)
    await world.state("succeeded")
    await until(lambda: second.publisher.sent(RESULTS) or third.publisher.sent(RESULTS))
    await second.desk.look()
    await third.desk.look()
    assert len([*second.publisher.sent(RESULTS), *third.publisher.sent(RESULTS)]) == 1


async def test_a_waiting_call_is_nobodys_backlog_and_no_vendors_to_give_up(world: World) -> None:
    gateway = await delegated(world)
    assert await gateway.store.count_open(10) == 0
    async with gateway.store.transaction() as connection:
        assert not await gateway.store.give_up_waiting(connection, ["office"], 0.0, {"code": "x"}, 10)
    assert (await world.call())["state"] == "requested"


async def test_a_cancelled_parent_ends_its_child(world: World) -> None:
    await delegated(world)
    child = await begin(world)
    await world.admin.execute("update runs set status = 'cancelled', finished_at = now() where run_id = $1", RUN)
    assert "run.over" in (await world.state("denied"))["error"]
    control = await a_control(world, "controller")
    assert (control["kind"], control["run_id"], control["state"]) == ("control", child, "pending")
    assert control["thread_id"] == thread_id("controller", "c")


async def test_a_child_that_begins_after_its_parent_was_cancelled_is_ended_too(world: World) -> None:
    await delegated(world)
    await world.admin.execute("update runs set status = 'cancelled', finished_at = now() where run_id = $1", RUN)
    await world.state("denied")
    assert await world.admin.fetchval("select count(*) from inbox") == 0
    child = await begin(world)
    assert (await a_control(world, "controller"))["run_id"] == child


async def test_a_child_that_joined_anothers_run_is_not_ended_with_its_parent(world: World) -> None:
    await delegated(world)
    child, host = await begin(world), run_id("controller", "/crm", "9")
    await put_run(world, host, "controller", "c", "/crm", "9")
    await world.admin.execute("update runs set merged_into = $2 where run_id = $1", child, host)
    await world.admin.execute("update runs set status = 'cancelled', finished_at = now() where run_id = $1", RUN)
    await world.state("denied")
    async with asyncio.timeout(30):
        while not await world.admin.fetchval("select ended_at is not null from delegations"):
            await asyncio.sleep(0.02)
    assert await world.admin.fetchval("select count(*) from inbox") == 0


async def a_control(world: World, agent: str) -> Any:
    async with asyncio.timeout(30):
        while not (row := await world.admin.fetchrow("select * from inbox where agent = $1", agent)):
            await asyncio.sleep(0.02)
    return row


async def test_nobody_ends_a_child_that_is_waited_for(world: World, gateway_pool: Pool) -> None:
    await delegated(world)
    await begin(world)
    came = await gateway_pool.fetchval("select cancel_child($1, '/viox/gateway', 'x', '', '[]')", call_id(RUN, 1, 0))
    assert came == "awaited"
    assert await world.admin.fetchval("select count(*) from inbox") == 0


async def test_an_agent_that_waits_for_the_run_cannot_be_given_its_work_back(world: World) -> None:
    gateway = await delegated(world)
    child = await begin(world)
    await gateway.intake.accept([back(child, "controller", "closer")])
    error = await refusal(world, child)
    assert error["code"] == "delegation.circle"
    assert "closer waits for this run" in error["message"]
    assert await tasks(world, "closer") == []


async def test_two_conversations_never_wait_for_each_other(world: World) -> None:
    """Not parent and child: the controller's run began by itself, and closer's task waits behind it."""
    own = run_id("controller", "/crm", "9")
    await put_run(world, own, "controller", "c", "/crm", "9")
    gateway = await delegated(world)
    await gateway.intake.accept([back(own, "controller", "closer")])
    error = await refusal(world, own)
    assert (error["code"], error["field"]) == ("delegation.circle", "conversation")
    await gateway.intake.accept([back(own, "controller", "closer", step=2, conversation="apart")])
    async with asyncio.timeout(30):
        while not await tasks(world, "closer"):
            await asyncio.sleep(0.02)


async def test_of_two_that_delegate_to_each_other_at_once_one_is_refused(world: World) -> None:
    own = run_id("controller", "/crm", "9")
    await put_run(world, own, "controller", "c", "/crm", "9")
    gateway = await world.gateway(*LOOPS)
    await gateway.intake.accept([wants(TOOL, REFUND), back(own, "controller", "closer")])
    await settled(world, 2)
    sent = [*(await tasks(world, "controller")), *(await tasks(world, "closer"))]
    assert len(sent) == 1


async def settled(world: World, count: int) -> None:
    """Until so many calls are deferred or over."""
    async with asyncio.timeout(30):
        while (
            await world.admin.fetchval("select count(*) from tool_calls where deferred or closed_at is not null")
            < count
        ):
            await asyncio.sleep(0.02)


async def test_a_chain_has_so_many_agents_and_no_more(world: World) -> None:
    gateway = await delegated(world, {"agent": "controller", "instruction": "1"})
    chain = ["controller", "steward", "voice", "chief-of-staff", "operator"]
    for asking, child in pairwise(chain):
        run = await begin(world, asking)
        await gateway.intake.accept([back(run, asking, child)])
        if child == "operator":
            break
        async with asyncio.timeout(30):
            while not await tasks(world, child):
                await asyncio.sleep(0.02)
    error = await refusal(world, run)
    assert error["code"] == "delegation.too_deep"
    assert await tasks(world, "operator") == []


def back(run: UUID, agent: str, to: str, step: int = 1, conversation: str | None = None) -> Any:
    arguments = {"agent": to, "instruction": "Do it."} | ({"conversation": conversation} if conversation else {})
    return wants(TOOL, arguments, step, agent=agent, run=RunId(run))


async def refusal(world: World, run: UUID) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            row = await world.admin.fetchrow("select * from tool_calls where run_id = $1 order by step limit 1", run)
            if row and row["closed_at"]:
                assert row["state"] == "failed", row["error"]
                told: dict[str, Any] = json.loads(row["error"])
                return told
            await asyncio.sleep(0.02)


async def test_an_unknown_agent_is_named_with_those_there_are(world: World) -> None:
    gateway = await world.gateway(*LOOPS)
    await gateway.intake.accept([wants(TOOL, {"agent": "accountant", "instruction": "Book it."})])
    error = json.loads((await world.state("failed"))["error"])
    assert (error["code"], error["field"]) == ("agent.unknown", "agent")
    assert "controller" in error["remedy"]


async def test_the_same_task_twice_in_a_turn_is_given_once(world: World) -> None:
    gateway = await world.gateway(*LOOPS)
    await gateway.intake.accept([wants(TOOL, REFUND), wants(TOOL, REFUND, index=1)])
    await deferred(world)
    assert (await world.call(1, 1))["state"] == "denied"
    assert len(await tasks(world)) == 1
