"""The runtime on real Postgres: inbox, leases, versions, attempts. Each test breaks without the rule it carries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.postgres import Postgres
from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.kafka import Record
from shared.ids import run_id, thread_id
from shared.models.port import AssistantMessage
from shared.runtime.inbox import Inbox
from tests.integration.runtime.world import CLOSER, DONE, LIMITS, RUN, ask, calls, close_call, closed, record


@pytest.mark.rule(1)
async def test_a_redelivered_message_is_one_run(agents: Any, admin: Any) -> None:
    agent = await agents(DONE)
    await agent.accept(ask("x"))
    await agent.accept(ask("x"))
    await agent.work()
    assert await admin.fetchval("select count(*) from runs") == 1
    assert len(agent.model.requests) == 1


@pytest.mark.rule(1)
async def test_the_same_identity_with_other_content_is_on_record_and_changes_nothing(agents: Any, admin: Any) -> None:
    agent = await agents(DONE)
    topic, first = ask("x")
    _, other = ask("y")
    await agent.inbox.accept([record(topic, first, 1), record(topic, other, 2), record(topic, first, 3)])
    await agent.inbox.accept([record(topic, other, 2)])  # delivered again: still one letter
    await agent.work()
    letters = await admin.fetch("select code, kafka_offset from dead_letters")
    assert [(r["code"], r["kafka_offset"]) for r in letters] == [("event.conflict", 2)]
    assert await admin.fetchval("select count(*) from runs") == 1
    assert "x" in str(agent.model.requests[0].messages)


@pytest.mark.rule(1)
async def test_a_poison_record_becomes_a_dead_letter_with_its_bytes_and_its_neighbours_go_on(
    agents: Any, admin: Any
) -> None:
    agent = await agents(DONE)
    topic, good = ask("x")
    bad = Record(topic, 0, 7, b"k", b"{not json", (("content-type", b"application/cloudevents+json"),))
    await agent.inbox.accept([bad, record(topic, good, 8), bad])
    await agent.work()
    letters = await admin.fetch("select value, code, kafka_offset from dead_letters")
    assert [(bytes(r["value"]), r["code"], r["kafka_offset"]) for r in letters] == [
        (b"{not json", "event.malformed", 7)
    ]
    assert await admin.fetchval("select status from runs") == "finished"


async def test_the_announcement_of_a_run_says_how_it_came_out(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a", "b"), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    (first, second) = [m.data["call_id"] for m in agent.publisher.sent(topics.tool_calls("closer"))]
    await close_call(admin, first, {"n": 1})
    await agent.hear(admin, second, None)
    await admin.execute("update tool_calls set state = 'failed' where call_id = $1", second)
    await agent.work()
    told = agent.publisher.sent(topics.RUNS)[-1]
    assert (told.type, told.data["outcome"], told.data["failed_calls"]) == ("viox.run.finished", "partly", 1)


@pytest.mark.rule(2)
async def test_what_a_lost_lease_did_is_discarded(agents: Any, admin: Any) -> None:
    slow, fast = await agents(AssistantMessage("slow")), await agents(AssistantMessage("fast"))
    slow.model.gate = asyncio.Event()
    await slow.accept(ask("x"))
    working = asyncio.create_task(slow.work())
    await until(lambda: slow.model.requests)
    await admin.execute("update threads set lease_until = now() - interval '1 second'")
    fast.woken.append(thread_id("closer", "c"))
    await fast.work()
    slow.model.gate.set()
    await working
    assert await admin.fetchval("select text from runs") == "fast"
    assert await admin.fetchval("select count(*) from steps where kind = 'model'") == 1


@pytest.mark.rule(2)
async def test_a_dead_owners_lease_is_void_at_once(agents: Any, admin: Any) -> None:
    dead, alive = await agents(DONE), await agents(DONE)
    await dead.accept(ask("x"))
    await admin.execute("update threads set lease_until = now() + interval '1 hour'")
    assert await alive.store.claim(thread_id("closer", "c"), alive.instance.owner, 5) is None
    await dead.instance.stop()
    await until_async(lambda: alive.store.due())
    alive.woken.append(thread_id("closer", "c"))
    await alive.work()
    assert await admin.fetchval("select status from runs") == "finished"


@pytest.mark.rule(2)
async def test_a_claim_that_finds_the_messages_gone_leaves_no_lease(agents: Any, admin: Any) -> None:
    agent, waits = await agents(), "select count(*) from pg_locks where not granted"
    agent.threads.full = True
    await agent.accept(ask("x"))
    async with admin.transaction():
        await admin.execute("select from threads for update")
        claiming = asyncio.create_task(agent.store.claim(thread_id("closer", "c"), agent.instance.owner, 3600))
        await until_async(lambda: admin.fetchval(waits))
        await admin.execute("update inbox set state = 'done'")
    assert await claiming is None
    assert await admin.fetchval("select lease_owner from threads") is None


@pytest.mark.rule(3)
async def test_a_waiting_thread_goes_on_only_with_the_last_result_in_any_process(agents: Any, admin: Any) -> None:
    first, second = await agents(calls("a", "b")), await agents(DONE)
    await first.accept(ask("x"))
    await first.work()
    ids = await admin.fetchval("select awaiting from threads")
    assert ids == [f"{RUN}.1.0", f"{RUN}.1.1"]
    await first.hear(admin, ids[1], "two")
    await first.work()
    assert not second.model.requests
    await second.hear(admin, ids[0], "one")
    await second.work()
    assert len(second.model.requests) == 1
    assert await admin.fetchval("select status from runs") == "finished"


@pytest.mark.rule(3)
async def test_an_event_during_a_wait_joins_the_run_at_its_next_turn(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), AssistantMessage("both"))
    await agent.accept(ask("first"))
    await agent.work()
    await agent.accept(ask("second", number="2"))
    await agent.work()
    assert len(agent.model.requests) == 1, "a graph with outstanding calls is not restarted"
    await agent.hear(admin, f"{RUN}.1.0", 1)
    await agent.work()
    assert "Task: second" in str(agent.model.requests[1].messages[-1])
    joined = await admin.fetchrow("select status, text, merged_into from run_overview where trigger_id = '2'")
    assert (joined["status"], joined["text"], joined["merged_into"]) == ("finished", "both", RUN)


async def test_tasks_of_an_idle_conversation_are_runs_of_their_own(agents: Any, admin: Any) -> None:
    agent = await agents(AssistantMessage("one"), AssistantMessage("two"))
    await agent.accept(ask("first"), ask("second", number="2"))
    await agent.work()
    rows = await admin.fetch("select text, merged_into from runs order by trigger_id")
    assert [(r["text"], r["merged_into"]) for r in rows] == [("one", None), ("two", None)]
    assert len(agent.model.requests[1].messages) == 3, "the second sees the first"


@pytest.mark.rule(5)
async def test_a_call_is_sent_again_until_the_gateway_has_it(agents: Any, admin: Any) -> None:
    agent, later = await agents(calls("a", "b")), await agents()
    await agent.accept(ask("x"))
    await agent.work()
    sent, topic = [f"{RUN}.1.0", f"{RUN}.1.1"], topics.tool_calls("closer")
    assert agent.sent(topic) == sent
    await later.activator.send_unheard_calls()
    assert later.sent(topic) == [], "they were sent just now"
    await admin.execute("update threads set updated_at = now() - interval '10 seconds'")
    await close_call(admin, sent[0], 1)
    await later.activator.send_unheard_calls()
    await later.activator.send_unheard_calls()
    assert later.sent(topic) == sent[1:], "by whichever replica looks, and less and less often"
    again, first = later.publisher.messages[-1][1], agent.publisher.messages[1][1]
    assert again.says_the_same(first)


@pytest.mark.rule(5)
async def test_what_a_dead_process_may_not_have_told_of_its_runs_is_told_by_another(agents: Any, admin: Any) -> None:
    dead, alive = await agents(DONE, calls("a")), await agents()
    await dead.announcer.start()
    await dead.accept(ask("x"), ask("y", "other", "2"))
    await dead.work()
    told = sorted(dead.sent(topics.RUNS))
    assert len(told) == 3
    await alive.announcer.start()
    await alive.announcer._round(take_over=True)
    assert alive.sent(topics.RUNS) == [], "the other one lives"
    await dead.instance.stop()
    await until_async(lambda: told_by(alive))
    assert {*alive.sent(topics.RUNS)} <= {*told}, "repeats are recognised by their ids"
    assert f"{RUN}:finished:3" in alive.sent(topics.RUNS)
    assert await admin.fetchval("select count(*) from announcers") == 1


async def told_by(agent: Any) -> Any:
    await agent.announcer._round(take_over=True)
    return agent.sent(topics.RUNS)


@pytest.mark.rule(6)
async def test_steps_thread_and_messages_commit_together_or_not_at_all(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), calls("a"))
    await admin.execute("alter table steps add constraint no_turns check (kind <> 'model')")
    try:
        await agent.accept(ask("x"))
        await agent.work()
        assert await admin.fetchval("select count(*) from steps") == 0
        assert await admin.fetchval("select version from threads") == 0
        assert agent.sent(topics.tool_calls("closer")) == []
    finally:
        await admin.execute("alter table steps drop constraint no_turns")


@pytest.mark.rule(7)
async def test_a_thread_that_waits_in_an_older_graph_goes_on_from_its_steps(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    await admin.execute("update threads set graph_version = 'before the upgrade'")
    await agent.hear(admin, f"{RUN}.1.0", {"found": 42})
    await agent.work()
    assert await admin.fetchval("select status from runs") == "finished"
    assert '"found":42' in str(agent.model.requests[1].messages)


@pytest.mark.rule(7)
async def test_rows_written_for_a_late_turn_equal_those_of_an_early_one(agents: Any, admin: Any) -> None:
    """Promise 7: cost grows linearly. Bytes of turn 30 are those of turn 2."""
    agent = await agents(*[calls("a") for _ in range(30)], DONE)
    await agent.accept(ask("x"))
    await agent.work()
    sizes = []
    for turn in range(30):
        call = (await admin.fetchval("select awaiting from threads"))[0]
        await agent.hear(admin, call, {"n": turn, "text": "y" * 200})
        await agent.work()
        sizes.append(await admin.fetchval("select pg_column_size(t.*) from threads t"))
    rows = await admin.fetch(
        "select length(body::text) as size from steps where kind in ('model', 'results') order by seq"
    )
    steps = [r["size"] for r in rows]
    assert abs(sum(steps[2:6]) - sum(steps[-6:-2])) < 0.1 * sum(steps[2:6])
    assert max(sizes[1:-1]) - min(sizes[1:-1]) < 20


@pytest.mark.rule(3)
async def test_cancel_ends_a_waiting_run_and_a_late_result_changes_nothing(
    agents: Any, admin: Any, postgres: Postgres
) -> None:
    from shared.operations import store
    from shared.store.pool import open_pool

    agent = await agents(calls("a"), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    operator = await open_pool(postgres.dsn("viox_operator_cli"), application="test", size=1)
    await store.cancel(operator, RUN)
    await operator.close()
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert await admin.fetchval("select status from runs") == "cancelled"
    await agent.hear(admin, f"{RUN}.1.0", 1)
    await agent.work()
    assert await admin.fetchval("select status from runs") == "cancelled"
    assert len(agent.model.requests) == 1
    agent.model.turns = [DONE]
    await agent.accept(ask("again", number="2"))
    await agent.work()
    assert agent.model.requests[1].messages, "the history stays well-formed: the open call has a result that says why"
    assert await admin.fetchval("select status from runs where trigger_id = '2'") == "finished"


async def test_cancelling_a_queued_run_ends_that_one_only(agents: Any, admin: Any, postgres: Postgres) -> None:
    from shared.operations import store
    from shared.store.pool import open_pool

    agent = await agents(calls("a"), AssistantMessage("both"))
    await agent.accept(ask("first"))
    await agent.work()
    await agent.accept(ask("second", number="2"), ask("third", number="3"))
    operator = await open_pool(postgres.dsn("viox_operator_cli"), application="test", size=1)
    await store.cancel(operator, run_id("closer", "/t", "2"))
    await operator.close()
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", 1)
    await agent.work()
    rows = await admin.fetch("select trigger_id, status from run_overview order by trigger_id")
    assert [tuple(r) for r in rows] == [("1", "finished"), ("2", "cancelled"), ("3", "finished")]
    assert "Task: second" not in str(agent.model.requests[1].messages)


async def test_a_paused_agent_takes_nothing_up(agents: Any, admin: Any) -> None:
    agent = await agents(DONE)
    await admin.execute("insert into pauses (scope, paused_by) values ('agent:closer', 'test')")
    await agent.accept(ask("x"))
    await agent.work()
    assert not agent.model.requests
    assert await admin.fetchval("select status from run_overview") == "waiting"
    assert await agent.store.due() == [], "nor does it look again and again"
    await admin.execute("delete from pauses")
    assert await agent.store.due() == [thread_id("closer", "c")]
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert await admin.fetchval("select status from runs") == "finished"


async def test_an_addressed_event_goes_to_the_owner_of_the_conversation(agents: Any, admin: Any) -> None:
    agent = await agents(DONE)
    await admin.execute("insert into contact_owners values ('sms', '+1415', 'closer', 'lead:x')")
    mine, other = (
        Message(n, "/twilio", "com.twilio.message.received", {"From": phone, "Body": "hi"}, datetime.now(UTC))
        for n, phone in (("1", "+1415"), ("2", "+1999"))
    )
    await agent.accept((topics.events("telephony"), mine), (topics.events("telephony"), other))
    rows = await admin.fetch("select message_id from inbox")
    assert [r["message_id"] for r in rows] == ["1"]
    assert await admin.fetchval("select conversation_id from runs") == "lead:x"
    assert await admin.fetchval("select agent from routes where message_id = '2'") == "voice"


async def test_a_wish_to_stop_is_kept_whoever_the_message_is_for(agents: Any, admin: Any) -> None:
    agent = await agents(DONE)
    for number, body in enumerate(("Stop texting me", "hello", "START")):
        data = {"From": "+1 (415) 555-0123", "Body": body}
        message = Message(str(number), "/twilio", "com.twilio.message.received", data, datetime.now(UTC))
        await agent.accept((topics.events("telephony"), message), (topics.events("telephony"), message))
    rows = await admin.fetch("select channel, address, wish from contact_wishes order by message_id")
    assert [tuple(row) for row in rows] == [("sms", "+14155550123", "stop"), ("sms", "+14155550123", "start")]
    assert await admin.fetchval("select count(*) from inbox") == 0  # they are voice's


@pytest.mark.rule(19)
async def test_a_message_about_a_call_only_wakes_and_its_row_decides(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    await agent.accept(closed(f"{RUN}.1.0", {"forged": True}))
    await agent.work()
    assert len(agent.model.requests) == 1, "the call is still open, whatever the message says"
    await close_call(admin, f"{RUN}.1.0", {"real": True})
    await agent.accept(closed(f"{RUN}.1.0", {"forged": True}))
    await agent.work()
    assert '"real":true' in str(agent.model.requests[1].messages)
    assert "forged" not in str(agent.model.requests[1].messages)


@pytest.mark.rule(19)
async def test_a_closed_call_whose_message_was_lost_is_found(agents: Any, admin: Any) -> None:
    agent = await agents(calls("a"), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    assert await agent.store.due() == []
    await close_call(admin, f"{RUN}.1.0", 1)
    assert await agent.store.due() == [thread_id("closer", "c")]


@pytest.mark.rule(4)
async def test_a_new_thread_is_taken_with_its_message_only_when_there_is_room(agents: Any, admin: Any) -> None:
    agent = await agents(DONE, DONE)
    await agent.accept(ask("x"))
    assert await admin.fetchval("select attempts from threads where lease_owner = $1", agent.instance.owner) == 1
    await agent.work()
    agent.threads.full = True
    await agent.accept(ask("y", "other", "2"))
    assert await admin.fetchval("select lease_owner from threads where conversation_id = 'other'") is None
    await agent.work()
    assert [r["status"] for r in await admin.fetch("select status from runs")] == ["finished"] * 2


async def until(condition: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def until_async(condition: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_an_agent_starts_no_run_because_of_what_its_own_call_caused(agents: Any, admin: Any) -> None:
    agent = await agents(DONE, DONE)
    spec = replace(CLOSER, conversation=lambda event: f"deal:{event.data['objectId']}")
    agent.inbox = Inbox(spec, agent.store, agent.threads, agent.instance.owner, LIMITS)
    for number, caused_by in enumerate(("closer", "voice", None)):
        marks = {"causedbycall": "run.1.0", "causedbyagent": caused_by} if caused_by else {}
        deal = Message(str(number), "/hubspot/1", "com.hubspot.deal.creation", {"objectId": number}, datetime.now(UTC))
        await agent.accept((topics.events("sales"), replace(deal, extensions=marks)))
    assert [row["message_id"] for row in await admin.fetch("select message_id from inbox order by 1")] == ["1", "2"]
