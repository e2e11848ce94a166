"""How calls end when something else ends first: their run, their gateway's session, the answer of a commit, their turn."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from sandbox.vendors import hubspot_schema
from services.tool_gateway.call import close
from services.tool_gateway.call.outcome import AttemptResult
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Idempotency, Rate, Tool
from shared.bus.kafka import Record
from shared.ids import call_id
from tests.integration.gateway.world import RESULTS, RUN, Gateway, World, gateway_world, until, wants

__all__ = ["gateway_world"]
SMS = {"To": "+14155550123", "Body": "Hi Ana"}
SEND = "twilio_send_message"
CALL = call_id(RUN, 1, 0)


def change(gateway: Gateway, tool: str, **more: Any) -> None:
    gateway.catalogue.tools[tool] = replace(gateway.catalogue.tools[tool], **more)


def with_deadline(record: Record, deadline: datetime) -> Record:
    return replace(record, value=orjson.dumps(orjson.loads(record.value or b"") | {"deadline": deadline.isoformat()}))


async def asked(world: World, times: int = 1) -> None:
    """The vendor has read so many requests."""
    async with asyncio.timeout(60):
        while len(world.seen) < times:
            await asyncio.sleep(0.01)


async def cancel(world: World) -> None:
    await world.admin.execute("update runs set status = 'cancelled'")


@pytest.mark.rule(9)
async def test_cancelling_a_run_does_not_hide_what_an_attempt_may_have_done(world: World) -> None:
    gateway = await world.gateway("outcomes")
    change(gateway, SEND, effect="keyed", idempotency=Idempotency("header", "Idempotency-Key"))
    world.fault(world.twilio, "cut_after", method="POST")
    await gateway.intake.accept([wants(SEND, SMS)])
    assert (await world.state("requested"))["attempt"] == 1, "it waits for its repeat"
    await gateway.intake.accept([wants("hubspot_list_owners", {}, step=2)])
    await world.state("succeeded", step=2)
    await cancel(world)
    gateway.go_on("resumer")
    assert "cancelled or blocked" in (await world.state("unknown"))["error"]
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(9)
async def test_a_call_without_effect_so_far_is_denied_when_its_run_is_cancelled(world: World) -> None:
    gateway = await world.gateway("outcomes")
    world.fault(world.twilio, "429", retry_after=30)
    await gateway.intake.accept([wants(SEND, SMS)])
    assert (await world.state("requested"))["attempt"] == 1
    await cancel(world)
    gateway.go_on("resumer")
    await world.state("denied")
    assert await world.phases() == ["intent", "outcome", "settled"]


@pytest.mark.rule(9)
@pytest.mark.parametrize(("tool", "state"), [(SEND, "unknown"), ("hubspot_list_owners", "denied")])
async def test_what_a_dead_gateway_was_doing_for_a_cancelled_run_is_not_left_hanging(
    world: World, tool: str, state: str
) -> None:
    gateway = await world.gateway("outcomes", timeout=60)
    change(gateway, SEND, effect="keyed", idempotency=Idempotency("header", "Idempotency-Key"))
    world.hanging = (world.twilio if tool == SEND else world.hubspot).app
    await gateway.intake.accept([wants(tool, SMS if tool == SEND else {})])
    await asked(world)
    await gateway.die()
    await cancel(world)
    await world.gateway("outcomes", "resumer")
    await world.state(state, seconds=60)
    world.hanging = None
    assert (await world.call())["state"] == state


@pytest.mark.rule(10)
async def test_an_answer_that_comes_after_its_attempt_was_given_up_settles_it(world: World) -> None:
    """As when Postgres restarts: for a moment every session is gone, and every executor looks dead."""
    gateway = await world.gateway("outcomes", "resumer", timeout=60)
    world.hanging = world.twilio.app
    await gateway.intake.accept([wants(SEND, SMS)])
    await asked(world)
    await world.admin.execute("update tool_calls set lease_until = now() - interval '1 second'")
    await world.state("unknown")
    world.hanging = None
    row = await world.state("succeeded")
    assert (row["attempt"], row["http_status"]) == (1, 201)
    assert await world.phases() == ["intent", "outcome", "settled"]
    body = await world.admin.fetchval("select response_body from ledger_entries where phase = 'settled'")
    assert b"Hi Ana" in body
    await until(lambda: [m.id for m in gateway.publisher.sent(RESULTS)] == [CALL])


@pytest.mark.rule(9)
async def test_a_late_answer_that_nothing_happened_has_the_call_tried_again(world: World) -> None:
    gateway = await world.gateway("outcomes", "resumer", timeout=60)
    world.hanging = world.twilio.app
    world.fault(world.twilio, "429", retry_after=0.2)
    await gateway.intake.accept([wants(SEND, SMS)])
    await asked(world)
    await world.admin.execute("update tool_calls set lease_until = now() - interval '1 second'")
    await world.state("unknown")
    world.hanging = None
    assert (await world.state("succeeded"))["attempt"] == 2
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(9)
async def test_a_look_up_says_nothing_of_an_attempt_that_came_after_it(world: World) -> None:
    gateway = await world.gateway("outcomes")
    world.fault(world.twilio, "cut_after", method="POST")
    await gateway.intake.accept([wants(SEND, SMS)])
    await world.state("unknown")
    (old,) = await gateway.store.claim_unknown(5, 1.0, [])
    await world.admin.execute("update tool_calls set attempt = 2")
    await gateway.settler._absent(old)
    assert (await world.call())["state"] == "unknown"
    (new,) = [replace(old, attempt=2)]
    await gateway.settler._absent(new)
    assert (await world.call())["state"] == "requested"


@pytest.mark.rule(9)
async def test_a_repeat_that_may_not_be_made_any_more_leaves_the_doubt(world: World) -> None:
    gateway = await world.gateway("outcomes")
    change(gateway, SEND, effect="idempotent")
    world.fault(world.twilio, "cut_after", method="POST")
    await gateway.intake.accept([wants(SEND, SMS)])
    await world.state("requested")
    gateway.catalogue.take(Catalogue(gateway.catalogue.tools.values(), {"voice": frozenset({SEND})}))
    gateway.go_on("resumer")
    assert "not_granted" in (await world.state("unknown"))["error"]


@pytest.mark.rule(8)
async def test_calls_whose_commit_was_not_confirmed_are_made_when_they_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await world.gateway()
    stored = gateway.store.intake

    async def unconfirmed(*given: Any) -> set[str]:
        await stored(*given)
        raise ConnectionResetError("the server went away before it answered")

    monkeypatch.setattr(gateway.store, "intake", unconfirmed)
    with pytest.raises(ConnectionResetError):
        await gateway.intake.accept([wants(SEND, SMS)])
    monkeypatch.setattr(gateway.store, "intake", stored)
    await gateway.intake.accept([wants(SEND, SMS)])
    assert (await world.state("succeeded"))["attempt"] == 1
    await gateway.intake.accept([wants(SEND, SMS)])
    await gateway.executor.drain(10)
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(8)
async def test_calls_that_were_not_stored_at_first_are_made_once_however_often_they_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await world.gateway("outcomes", timeout=60, per_vendor=1)
    stored = gateway.store.intake

    async def away(*_: Any) -> set[str]:
        raise ConnectionResetError("the server went away before it was asked")

    monkeypatch.setattr(gateway.store, "intake", away)
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            await gateway.intake.accept([wants(SEND, SMS)])
    monkeypatch.setattr(gateway.store, "intake", stored)
    world.hanging = world.twilio.app
    for _ in range(3):  # again while it is being made
        await gateway.intake.accept([wants(SEND, SMS)])
    await asked(world)
    world.hanging = None
    await world.state("succeeded")
    await gateway.executor.drain(60)
    assert len(world.seen) == 1


@pytest.mark.rule(12)
async def test_calls_that_were_held_up_keep_to_their_rate(world: World) -> None:
    gateway = await world.gateway("outcomes")
    change(gateway, "hubspot_list_owners", rate=Rate("slow", per_second=0.01, burst=2))
    await world.admin.execute("insert into pauses (scope, paused_by) values ('all', 'olga')")
    await gateway.intake.accept([wants("hubspot_list_owners", {}, step=n) for n in range(1, 7)])
    await world.admin.execute("delete from pauses")
    gateway.go_on("resumer")
    async with asyncio.timeout(60):
        while await world.admin.fetchval("select count(*) from tool_calls where state = 'succeeded'") < 2:
            await asyncio.sleep(0.02)
    waiting = await world.admin.fetch("select * from tool_calls where state = 'requested' order by not_before")
    assert [row["attempt"] for row in waiting] == [0] * 4
    assert all(row["rate_slot_reserved"] for row in waiting)
    assert len(world.seen) == 2


@pytest.mark.rule(12)
async def test_a_call_that_waited_is_judged_again(world: World) -> None:
    gateway = await world.gateway("outcomes")
    await world.admin.execute("insert into pauses (scope, paused_by) values ('all', 'olga')")
    await gateway.intake.accept([wants(SEND, SMS)])
    gateway.catalogue.take(Catalogue(gateway.catalogue.tools.values(), {"voice": frozenset({SEND})}))
    await world.admin.execute("delete from pauses")
    gateway.go_on("resumer")
    assert "not_granted" in (await world.state("failed"))["error"]
    assert world.twilio.effects == []


async def test_a_call_is_not_made_after_its_deadline(world: World) -> None:
    gateway = await world.gateway()
    await gateway.intake.accept([with_deadline(wants(SEND, SMS), datetime(2020, 1, 1, tzinfo=UTC))])
    assert "call.deadline" in (await world.state("denied"))["error"]
    soon = datetime.now(UTC) + timedelta(hours=1)
    await gateway.intake.accept([with_deadline(wants(SEND, SMS, step=2), soon)])
    assert (await world.state("succeeded", step=2))["deadline"] == soon


async def test_an_answer_with_a_nul_reaches_its_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await world.gateway()
    monkeypatch.setattr(hubspot_schema, "OWNERS", [("1", "a@x.co", "An\x00a", "B")])
    await gateway.intake.accept([wants("hubspot_list_owners", {})])
    row = await world.state("succeeded")
    assert "Ana" in row["result"]
    await until(lambda: [m.id for m in gateway.publisher.sent(RESULTS)] == [CALL])


async def test_an_outcome_that_cannot_be_written_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await world.gateway()
    made = close._outcome

    def odd(ready: Any, answer: Any, meaning: AttemptResult, latency_ms: float) -> Any:
        spoiled = ready.call.call_id == CALL and answer is not None
        return made(ready, answer, replace(meaning, result="half \ud800") if spoiled else meaning, latency_ms)

    monkeypatch.setattr(close, "_outcome", odd)
    monkeypatch.setattr(close, "tell_closed", lambda *_: None)
    await gateway.intake.accept([wants(SEND, SMS), wants("hubspot_list_owners", {}, step=2)])
    await world.state("succeeded", step=2)
    assert "cannot be kept" in (await world.state("unknown"))["error"]
    assert gateway.outcomes.problem is None


@pytest.mark.rule(9)
async def test_what_goes_wrong_before_the_first_byte_is_no_doubt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await world.gateway()
    get, failures = gateway.tokens.get, [RuntimeError("Postgres is away")]

    async def once_away(credential: Any, redactions: Any) -> str:
        if failures:
            raise failures.pop()
        return await get(credential, redactions)

    monkeypatch.setattr(gateway.tokens, "get", once_away)
    tool: Tool = gateway.catalogue.tools["quickbooks_get_company"]
    change(gateway, tool.name, effect="once")
    await gateway.intake.accept([wants(tool.name, {})])
    assert (await world.state("succeeded", seconds=60))["attempt"] == 2


@pytest.mark.rule(15)
async def test_a_credential_that_a_vendor_says_back_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await world.gateway()
    said = f"echo {world.secrets['HUBSPOT_ACCESS_TOKEN']} echo"
    monkeypatch.setattr(hubspot_schema, "OWNERS", [("1", "a@x.co", said, "B")])
    await gateway.intake.accept([wants("hubspot_list_owners", {})])
    row = await world.state("succeeded")
    assert "echo [secret HUBSPOT_ACCESS_TOKEN] echo" in row["result"]
    kept = str(await world.admin.fetch("select t::text, convert_from(response_body, 'utf8') from ledger_entries t"))
    assert world.secrets["HUBSPOT_ACCESS_TOKEN"] not in kept


async def test_two_replicas_do_not_give_one_effect_to_two_calls(world: World) -> None:
    one, two = await world.gateway("outcomes"), await world.gateway("outcomes")
    world.fault(world.twilio, "cut_after", method="POST")
    await one.intake.accept([wants(SEND, SMS)])
    await world.state("unknown")
    twin = await world.call()
    await world.admin.execute(
        "insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state, arguments,"
        " arguments_sha256, attempt, unknown_since, not_before) select $1, run_id, 2, idx, agent, thread_id, conversation_id, tool,"
        " vendor, effect, state, arguments, 'other', attempt, unknown_since, now() from tool_calls where call_id = $2",
        call_id(RUN, 2, 0),
        twin["call_id"],
    )
    await world.admin.execute(
        "insert into ledger_entries (call_id, attempt, phase, at) select $1, 1, 'intent', at from ledger_entries"
        " where call_id = $2 and phase = 'intent'",
        call_id(RUN, 2, 0),
        CALL,
    )
    rows = {row.call_id: row for row in await one.store.claim_unknown(5, 1.0, [])}
    assert len(rows) == 2
    await asyncio.gather(*(g.settler._look(row) for g, row in zip((one, two), rows.values(), strict=True)))
    states = sorted(r["state"] for r in await world.admin.fetch("select state from tool_calls"))
    assert states == ["succeeded", "unknown"]
