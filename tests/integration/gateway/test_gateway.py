"""The gateway on real Postgres against a vendor that can be told to fail. Each test breaks without the rule it carries."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from sandbox.vendors.hubspot import TOKEN
from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN
from services.tool_gateway.catalogue.tools import Rate
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.kafka import Record
from shared.ids import call_id
from tests.integration.gateway.world import RESULTS, RUN, World, gateway_world, until, wants

__all__ = ["gateway_world"]
SMS = {"To": "+14155550123", "Body": "Hi Ana"}


async def test_a_call_leaves_intent_outcome_and_answer(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    row = await world.state("succeeded")
    assert (row["attempt"], row["http_status"]) == (1, 201)
    assert await world.phases() == ["intent", "outcome"]
    entry = await world.admin.fetchrow(
        "select request_headers, request_body, url from ledger_entries where phase = 'intent'"
    )
    assert AUTH_TOKEN not in entry["request_headers"]
    assert b"Hi+Ana" in entry["request_body"]
    await until(lambda: [m.id for m in gateway.publisher.sent(RESULTS)] == [call_id(RUN, 1, 0)])
    assert await world.admin.fetchval("select agent from contact_owners where address = $1", SMS["To"]) == "closer"


@pytest.mark.rule(8)
async def test_a_redelivered_call_is_made_once(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS), wants("twilio_send_message", SMS)])
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("succeeded")
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(8)
async def test_the_same_identity_with_other_arguments_is_refused(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await gateway.intake.accept([wants("twilio_send_message", SMS | {"Body": "other"})])
    await world.state("succeeded")
    assert [e["body"] for e in world.twilio.effects] == ["Hi Ana"]
    assert await world.admin.fetchval("select code from dead_letters") == "call.conflict"


@pytest.mark.rule(8)
async def test_the_caller_is_who_owns_the_topic(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS, agent="voice")])
    assert await world.admin.fetchval("select code from dead_letters") == "call.foreign_run"
    assert world.twilio.effects == []


@pytest.mark.rule(8)
async def test_nobody_can_take_a_call_id_of_anothers_run_in_advance(world: World) -> None:
    gateway = await world.gateway()
    mine, forged = wants("twilio_send_message", SMS), wants("hubspot_list_owners", SMS, agent="voice")
    await gateway.intake.accept([mine, forged])
    assert (await world.state("succeeded"))["agent"] == "closer"


async def test_calls_that_had_not_begun_when_their_run_was_cancelled_never_do(world: World) -> None:
    gateway = await world.gateway()
    await world.admin.execute("insert into pauses (scope, paused_by) values ('tool:twilio_send_message', 'test')")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("requested")
    await world.admin.execute("update runs set status = 'cancelled'")
    await world.admin.execute("delete from pauses")
    await world.state("denied")
    assert world.twilio.effects == []


@pytest.mark.parametrize("contact", [".", ".."])
async def test_dots_cannot_climb_out_of_a_path(world: World, contact: str) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("hubspot_get_contact", {"contactId": contact})])
    await world.state("denied")
    assert not world.hubspot.requests


async def test_repeats_take_no_places_of_a_rate(world: World) -> None:
    gateway = await world.gateway()
    two = Rate("two", per_second=0.001, burst=2)
    gateway.catalogue.tools["hubspot_list_owners"] = replace(gateway.catalogue.tools["hubspot_list_owners"], rate=two)
    for _ in range(20):
        await gateway.intake.accept([wants("hubspot_list_owners", {})])
    await gateway.intake.accept([wants("hubspot_list_owners", {}, step=2)])
    assert (await world.call(step=2))["state"] != "requested", "the second place was left for it"
    assert (await world.state("succeeded", step=2))["attempt"] == 1


@pytest.mark.rule(8)
async def test_a_read_of_a_dead_executor_runs_again(world: World) -> None:
    dead = await world.gateway("outcomes")
    world.hanging = world.hubspot.app
    await dead.intake.accept([wants("hubspot_list_owners", {})])
    await world.were_asked()
    await dead.die()
    world.hanging = None
    await world.gateway()
    assert (await world.state("succeeded"))["attempt"] == 2


@pytest.mark.rule(8)
async def test_a_single_effect_of_a_dead_executor_is_unknown_until_looked_up(world: World) -> None:
    dead = await world.gateway("outcomes")
    world.twilio.clock.stop()
    world.fault(world.twilio, "slow", method="POST")
    await dead.intake.accept([wants("twilio_send_message", SMS)])
    await until(lambda: world.twilio.effects)
    await dead.die()
    await world.gateway()
    row = await world.state("succeeded")
    assert row["attempt"] == 1, "it was found at the vendor, not sent again"
    assert len(world.twilio.effects) == 1
    assert {"look_up", "settled"} <= set(await world.phases())


@pytest.mark.rule(8)
async def test_a_lease_that_ran_out_stops_the_first_byte(world: World) -> None:
    from services.tool_gateway.call.call import Ready
    from services.tool_gateway.wire.transport import NotSent

    gateway = await world.gateway("outcomes")
    tool = gateway.catalogue.tools["twilio_send_message"]
    from services.tool_gateway.call.intake import _understand
    from services.tool_gateway.wire.encode import prepare

    call = _understand(wants("twilio_send_message", SMS))
    prepared = prepare(tool, SMS, Secrets(world.secrets))
    with pytest.raises(NotSent, match="lease"):
        await gateway.sender.send(Ready(call, tool, prepared, 1, 0.0, 0.0))
    assert world.twilio.effects == []


@pytest.mark.rule(9)
@pytest.mark.parametrize(("kind", "sent"), [("cut_after", 1), ("cut_before", 1), ("500", 1), ("slow", 1)])
async def test_a_lost_answer_settles_to_what_really_happened(world: World, kind: str, sent: int) -> None:
    """cut_after and slow: it happened, found. cut_before and 500: it did not; proven absent, sent again, once."""
    gateway = await world.gateway(timeout=1.0 if kind == "slow" else 60)
    world.twilio.clock.stop()
    world.fault(world.twilio, kind, method="POST")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    if not world.twilio.effects and kind in ("cut_before", "500"):
        await world.unknown_for()
    row = await world.state("succeeded")
    assert len(world.twilio.effects) == sent
    assert row["look_ups"] >= 1
    assert row["attempt"] == (1 if kind in ("cut_after", "slow") else 2)


@pytest.mark.rule(9)
async def test_a_refused_connection_is_tried_again_and_then_failed_for_certain(world: World) -> None:
    from sandbox.net import free_ports

    world.secrets["TWILIO_BASE_URL"] = f"http://127.0.0.1:{free_ports(1)[0]}"
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    row = await world.state("failed")
    assert row["attempt"] == 5
    assert "no byte left" in row["error"]


@pytest.mark.rule(10)
async def test_absence_counts_only_when_the_request_can_no_longer_arrive(world: World) -> None:
    gateway = await world.gateway()
    world.fault(world.twilio, "cut_before", method="POST")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    for _ in range(3):  # after the third look-up, the second has had its consequences
        before = await world.unknown_for(timedelta(seconds=45))
        async with asyncio.timeout(60):
            while (await world.call())["look_ups"] == before["look_ups"]:
                await asyncio.sleep(0.02)
    assert (await world.call())["state"] == "unknown", "it is not there, and may still come"
    await world.unknown_for(timedelta(seconds=60 + 0.2))
    assert (await world.state("succeeded"))["attempt"] == 2


@pytest.mark.rule(10)
async def test_an_outcome_that_comes_after_its_attempt_was_taken_over_is_an_incident(world: World) -> None:
    late = await world.gateway("outcomes", timeout=60)
    world.hubspot.clock.stop()
    world.fault(world.hubspot, "slow")
    await late.intake.accept([wants("hubspot_list_owners", {})])
    await world.were_asked()
    await world.admin.execute("update tool_calls set lease_until = now() - interval '1 second'")
    await world.gateway("outcomes", "resumer")
    assert (await world.state("succeeded"))["attempt"] == 2
    world.hubspot.clock.go_on()
    await late.executor.drain(60)
    async with asyncio.timeout(60):
        while "incident" not in await world.phases():
            await asyncio.sleep(0.02)
    assert (await world.call())["attempt"] == 2


@pytest.mark.rule(11)
async def test_a_duplicate_of_an_unknown_call_is_denied_under_any_identity(world: World) -> None:
    gateway = await world.gateway("outcomes")
    world.fault(world.twilio, "cut_after", method="POST")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("unknown")
    await gateway.intake.accept([wants("twilio_send_message", SMS, step=5)])
    row = await world.state("denied", step=5)
    assert "duplicate_in_doubt" in row["error"]
    assert len(world.twilio.effects) == 1
    assert await world.admin.fetchval("select status from run_overview where run_id = $1", RUN) == "waiting"
    announced = await world.admin.fetchval("select count(*) from outbox where topic = 'viox.runs'")
    assert announced == 1, "viox.run.waiting is announced in the same transaction"


@pytest.mark.rule(11)
async def test_a_person_settles_what_no_look_up_can(world: World, postgres: Postgres) -> None:
    from shared.errors import Conflict
    from shared.operations import store
    from shared.store.pool import open_pool

    gateway = await world.gateway("outcomes")
    world.fault(world.twilio, "cut_after", method="POST")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await world.state("unknown")
    operator = await open_pool(postgres.dsn("viox_operator_cli"), application="test", size=1)
    try:
        await store.settle(operator, call_id(RUN, 1, 0), "succeeded", {"sid": "SM1"}, "olga")
        with pytest.raises(Conflict):
            await store.settle(operator, call_id(RUN, 1, 0), "failed", None, "olga")
    finally:
        await operator.close()
    assert (await world.call())["state"] == "succeeded"
    assert (await world.phases())[-1] == "settled"


@pytest.mark.rule(12)
async def test_a_vendor_that_says_429_is_asked_again_when_it_said(world: World) -> None:
    gateway = await world.gateway()
    world.fault(world.twilio, "429", retry_after=0.4)
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    row = await world.state("succeeded")
    assert row["attempt"] == 2
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(12)
async def test_what_waits_for_its_rate_waits_as_a_row(world: World) -> None:
    gateway = await world.gateway()
    slow = Rate("slow", per_second=0.01, burst=1)
    gateway.catalogue.tools["hubspot_list_owners"] = replace(gateway.catalogue.tools["hubspot_list_owners"], rate=slow)
    await gateway.intake.accept([wants("hubspot_list_owners", {}, step=n) for n in range(1, 6)])
    waiting = "select step, not_before from tool_calls where state = 'requested' order by not_before"
    turns = [row["not_before"] for row in await world.admin.fetch(waiting)]
    assert len(turns) == 4
    assert all((later - earlier).total_seconds() > 99 for earlier, later in itertools.pairwise(turns)), "one by one"
    await world.admin.execute("update tool_calls set not_before = now() where step = 3")
    await world.state("succeeded", step=3)
    assert [row["step"] for row in await world.admin.fetch(waiting)] == [2, 4, 5], "none before its turn"
    await world.admin.execute("update tool_calls set not_before = now() where state = 'requested'")
    for step in (2, 4, 5):
        assert (await world.state("succeeded", step=step))["attempt"] == 1


@pytest.mark.rule(15)
async def test_no_secret_is_stored_anywhere(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS), wants("hubspot_list_owners", {}, step=2)])
    await world.state("succeeded")
    await world.state("succeeded", step=2)
    import base64

    basic = base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
    for table in ("tool_calls", "ledger_entries", "outbox"):
        text = str(await world.admin.fetch(f"select t::text from {table} t"))  # noqa: S608
        assert AUTH_TOKEN not in text
        assert TOKEN not in text
        assert basic not in text


async def test_a_missing_credential_denies_the_call_by_its_name(world: World) -> None:
    del world.secrets["TWILIO_AUTH_TOKEN"]
    gateway = await world.gateway()
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    assert "TWILIO_AUTH_TOKEN" in (await world.state("denied"))["error"]


async def test_a_malformed_call_does_not_hold_up_its_neighbour(world: World) -> None:
    gateway = await world.gateway()
    good = wants("twilio_send_message", SMS)
    bad = [
        Record(good.topic, 0, n, b"", value, good.headers) for n, value in enumerate([b"{", b"[]", b'{"call_id": 5}'])
    ]
    await gateway.intake.accept([*bad, good])
    await world.state("succeeded")
    assert await world.admin.fetchval("select count(*) from dead_letters") == 3


@pytest.mark.parametrize("role", ["viox_closer", "viox_gateway", "viox_operator_cli", "viox_reader"])
@pytest.mark.parametrize(
    "statement", ["update ledger_entries set detail = null", "delete from ledger_entries", "truncate ledger_entries"]
)
async def test_nobody_changes_the_ledger(postgres: Postgres, admin: Any, role: str, statement: str) -> None:
    connection = await asyncpg.connect(postgres.dsn(role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_not_even_the_owner_changes_the_ledger(postgres: Postgres, admin: Any) -> None:
    await admin.execute("insert into ledger_entries (call_id, attempt, phase) values ('x', 1, 'intent')")
    connection = await asyncpg.connect(postgres.dsn("viox"))
    try:
        for statement in (
            "update ledger_entries set attempt = 2",
            "delete from ledger_entries",
            "truncate ledger_entries",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_agents_cannot_act_as_each_other_or_as_the_gateway(postgres: Postgres, admin: Any) -> None:
    connection = await asyncpg.connect(postgres.dsn("viox_voice"))
    outbox = "insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id) values (gen_random_uuid(), $1, $2, '', '', '[]', '', '')"
    try:
        for owner, topic in (
            ("gateway", "viox.tool-calls.closer"),
            ("voice", "viox.tool-calls.closer"),
            ("voice", "viox.tool-results.closer"),
            ("closer", "viox.runs"),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(outbox, owner, topic)
        await connection.execute(outbox, "voice", "viox.tool-calls.voice")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "insert into inbox (agent, source, message_id, kind, thread_id, topic, value, headers)"
                " values ('closer', '/viox/gateway', 'x', 'result', gen_random_uuid(), '', '', '[]')"
            )
        await admin.execute(
            "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)"
            " values ($1, 'closer', $1, 'c', 'running', '/t', '1', 'x')",
            RUN,
        )
        assert await connection.execute("update runs set status = 'finished'") == "UPDATE 0"
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "table", ["tool_calls", "ledger_entries", "contact_owners", "catalogue", "rate_limits", "pauses"]
)
async def test_agents_cannot_write_what_the_gateway_answers_for(postgres: Postgres, admin: Any, table: str) -> None:
    connection = await asyncpg.connect(postgres.dsn("viox_closer"))
    try:
        for statement in (f"delete from {table}", f"insert into {table} default values"):  # noqa: S608
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
