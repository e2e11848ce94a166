"""Tools asked for over HTTP while the caller waits. Each test breaks without the rule it carries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.tool_gateway.live import words
from shared.bus.messages import LIVE_SOURCE as SOURCE
from shared.ids import is_run_of, run_id, thread_id
from tests.integration.gateway.world import RESULTS, RUN, until, wants
from tests.integration.live.world import CLOSER, OLD_CLOSER, READ, SEND, SMS, TALK, VOICE, LiveWorld, live_world

__all__ = ["live_world"]
KEY = {"Idempotency-Key": "8e03978e"}


async def test_a_call_is_answered_with_its_result_once_that_is_on_record(world: LiveWorld) -> None:
    door = await world.door()
    answer = await door(SEND, SMS)
    assert (answer.status, answer.state) == (200, "succeeded")
    assert answer.json["result"]["to"] == SMS["To"]
    (call,) = await world.calls()
    assert (call["call_id"], call["state"], call["agent"]) == (answer.json["call_id"], "succeeded", "closer")
    assert await world.phases_of(call["call_id"]) == ["intent", "outcome"]
    assert len(world.twilio.effects) == 1
    assert door.gateway.publisher.sent(RESULTS) == [], "nobody waits on the bus"


async def test_a_call_belongs_to_the_run_of_its_conversation(world: LiveWorld) -> None:
    door = await world.door()
    first, second = await door(SEND, SMS), await door(READ)
    other = await door(READ, headers={"X-Conversation-Id": "call:conv_2"})
    one, two = await world.runs()
    assert is_run_of(one["run_id"], "closer", SOURCE, TALK["X-Conversation-Id"])
    assert (one["conversation_id"], one["thread_id"]) == ("call:conv_1", thread_id("closer", "call:conv_1"))
    assert (one["status"], one["tool_calls"], one["failed_calls"]) == ("running", 2, 0)
    assert [first.json["call_id"], second.json["call_id"]] == [f"{one['run_id']}.1.0", f"{one['run_id']}.2.0"]
    assert other.json["run_id"] == str(two["run_id"])


@pytest.mark.rule(14)
@pytest.mark.parametrize("headers", [TALK, KEY, TALK | KEY])
async def test_what_is_asked_for_again_is_done_once(world: LiveWorld, headers: dict[str, str]) -> None:
    door = await world.door()
    first, second = await door(SEND, SMS, headers), await door(SEND, SMS, headers)
    assert (first.status, first.json) == (second.status, second.json)
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(14)
@pytest.mark.parametrize("headers", [TALK, KEY])
async def test_what_is_asked_for_twice_at_a_time_at_two_replicas_is_done_once(
    world: LiveWorld, headers: dict[str, str]
) -> None:
    doors = [await world.door(), await world.door()]
    answers = await asyncio.gather(*(door(SEND, SMS, headers) for door in doors * 4))
    assert {(a.status, a.json["call_id"]) for a in answers} == {(200, answers[0].json["call_id"])}
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(14)
async def test_without_a_key_it_is_a_new_call_after_the_window(world: LiveWorld) -> None:
    door = await world.door()
    first = await door(SEND, SMS)
    await world.admin.execute("update live_calls set asked_at = asked_at - interval '59 seconds'")
    assert (await door(SEND, SMS)).json["call_id"] == first.json["call_id"]
    await world.admin.execute("update live_calls set asked_at = asked_at - interval '2 seconds'")
    assert (await door(SEND, SMS)).json["call_id"] == first.json["call_id"], "it ended less than a window ago"
    await world.admin.execute("update tool_calls set closed_at = closed_at - interval '61 seconds'")
    assert (await door(SEND, SMS)).json["call_id"] != first.json["call_id"]
    assert len(world.twilio.effects) == 2


async def test_a_key_is_good_for_ever(world: LiveWorld) -> None:
    door = await world.door()
    first = await door(SEND, SMS, KEY)
    await world.admin.execute("update live_calls set asked_at = asked_at - interval '1 year'")
    await world.admin.execute("update tool_calls set closed_at = closed_at - interval '1 year'")
    assert (await door(SEND, SMS, KEY)).json == first.json
    assert len(world.twilio.effects) == 1


async def test_what_was_read_before_something_changed_is_read_again(world: LiveWorld) -> None:
    door = await world.door()
    first = await door(READ)
    assert (await door(READ)).json["call_id"] == first.json["call_id"]
    await door(SEND, SMS)
    assert (await door(READ)).json["call_id"] != first.json["call_id"]


@pytest.mark.rule(8)
@pytest.mark.parametrize(
    ("tool", "arguments", "headers"),
    [
        (SEND, SMS | {"Body": "other"}, TALK | KEY),
        (READ, {}, TALK | KEY),
        (SEND, SMS, {"X-Conversation-Id": "another"} | KEY),
    ],
)
async def test_the_same_key_for_another_call_is_a_conflict(
    world: LiveWorld, tool: str, arguments: dict[str, Any], headers: dict[str, str]
) -> None:
    door = await world.door()
    await door(SEND, SMS, TALK | KEY)
    answer = await door(tool, arguments, headers)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (409, "call.conflict", "Idempotency-Key")
    assert answer.json["say"] == words.OF_CODE["call.conflict"]
    assert [e["body"] for e in world.twilio.effects] == ["Hi Ana"]
    assert not world.hubspot.requests


async def test_agents_do_not_share_keys_or_conversations(world: LiveWorld) -> None:
    door = await world.door()
    granted = {"PhoneNumber": "+14155550123"}
    headers = TALK | KEY
    mine = await door("twilio_lookup_number", granted, headers)
    theirs = await door("twilio_lookup_number", granted, headers, token=VOICE)
    assert (mine.status, theirs.status) == (200, 200)
    assert mine.json["call_id"] != theirs.json["call_id"]
    assert [(run["agent"], run["tool_calls"]) for run in await world.runs()] == [("closer", 1), ("voice", 1)]


@pytest.mark.parametrize("token", [None, "", "token-of-nobody", CLOSER + "x", "sha256:" + CLOSER, "ü"])
async def test_without_an_agents_token_nothing_is_done_or_kept(world: LiveWorld, token: str | None) -> None:
    door = await world.door()
    answer = await door(SEND, SMS, token=token)
    assert (answer.status, answer.json["code"]) == (401, "invoke.unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json["say"] == words.NOT_NOW
    assert await world.calls() == []
    assert not world.twilio.effects


async def test_who_guesses_tokens_is_slowed_down(world: LiveWorld) -> None:
    door = await world.door()
    answers = [await door(SEND, SMS, token=f"guess-{n}") for n in range(40)]
    assert answers[0].status == 401
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_two_tokens_are_good_while_one_is_exchanged_and_none_is_kept_in_clear(world: LiveWorld) -> None:
    door = await world.door()
    assert (await door(READ, token=OLD_CLOSER)).status == 200
    door.tokens["VIOX_INVOKE_TOKEN_CLOSER"] = door.tokens["VIOX_INVOKE_TOKEN_CLOSER"].split(",")[0]
    door.room.tokens.forget()
    assert (await door(READ, token=OLD_CLOSER)).status == 401
    assert (await door(READ, token=CLOSER)).status == 200
    await door.room.tell_tokens()
    told = await world.admin.fetch("select * from live_tokens order by agent")
    assert [(row["agent"], row["last_used_at"] is not None) for row in told] == [("closer", True), ("voice", False)]
    for table in ("live_calls", "live_tokens", "tool_calls", "ledger_entries", "runs"):
        rows = await world.admin.fetch(f"select t::text as it from {table} t")  # noqa: S608  # names from above
        assert not [row["it"] for row in rows if "token-of" in row["it"]]


@pytest.mark.rule(8)
async def test_a_tool_that_is_not_granted_is_refused_and_on_record(world: LiveWorld) -> None:
    door = await world.door()
    answer = await door("stripe_create_refund", {"charge": "ch_1"}, token=VOICE)
    assert (answer.status, answer.state, answer.json["code"]) == (403, "denied", "tool.not_granted")
    assert answer.json["say"] == words.NOT_ALLOWED
    assert await world.phases_of(answer.json["call_id"]) == ["decision"]
    assert not world.twilio.effects


async def test_a_tool_that_does_not_exist_is_404(world: LiveWorld) -> None:
    door = await world.door()
    assert (await door("twilio_send_mesage", SMS)).status == 404
    assert (await door("no.tool", SMS)).status == 404


async def test_an_agents_tools_are_described_to_its_callers(world: LiveWorld) -> None:
    door = await world.door()
    assert (await door.description("nobody")).status == 401
    described = (await door.description(VOICE)).json
    paths = {
        f"/v1/tools/{name}:invoke"
        for name in door.gateway.catalogue.tools
        if door.gateway.catalogue.granted("voice", name)
    }
    assert set(described["paths"]) == paths
    lookup = described["paths"]["/v1/tools/twilio_lookup_number:invoke"]["post"]["requestBody"]["content"]
    assert "PhoneNumber" in lookup["application/json"]["schema"]["properties"]


async def test_arguments_that_do_not_fit_are_named(world: LiveWorld) -> None:
    door = await world.door()
    answer = await door(SEND, {"To": "+14155550123", "Body": 7})
    assert (answer.status, answer.json["code"], answer.json["field"]) == (422, "tool.invalid_arguments", "Body")
    assert answer.json["say"] == words.NOT_UNDERSTOOD
    corrected = await door(SEND, SMS)
    assert corrected.status == 200
    (run,) = await world.runs()
    assert run["failed_calls"] == 0, "written again rightly"


@pytest.mark.parametrize(
    ("raw", "status", "field"),
    [
        (b"{", 400, "body"),
        (b"[1]", 400, "body"),
        (b'"text"', 400, "body"),
        (b'{"a": NaN}', 400, "body"),
        (b'{"a": 123456789012345678901234567890}', 400, "body"),
        (b'{"Body": "a\\u0000b"}', 400, "body"),
        (b'{"a": "\xff"}', 400, "body"),
        (b'{"a": "\\ud800"}', 400, "body"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400, "body"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, 400, "body"),
        (b'{"a": "' + b"x" * 300_000 + b'"}', 413, "body"),
    ],
)
async def test_a_body_that_is_no_object_of_arguments_is_refused(
    world: LiveWorld, raw: bytes, status: int, field: str
) -> None:
    door = await world.door()
    answer = await door(SEND, raw=raw)
    assert (answer.status, answer.json["field"]) == (status, field)
    assert answer.json["say"]
    assert await world.calls() == []


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({}, "X-Conversation-Id"),
        ({"X-Conversation-Id": "{{system__conversation_id}}"}, "X-Conversation-Id"),
        ({"X-Conversation-Id": "c" * 600}, "X-Conversation-Id"),
        (TALK | {"Idempotency-Key": "k" * 300}, "Idempotency-Key"),
        (TALK | {"Request-Timeout": "soon"}, "Request-Timeout"),
        (TALK | {"Request-Timeout": "-1"}, "Request-Timeout"),
        (TALK | {"X-Run-Id": "mine"}, "X-Run-Id"),
        (TALK | {"X-Run-Id": str(run_id("voice", "/t", "1"))}, "X-Run-Id"),
    ],
)
async def test_a_header_that_cannot_be_used_is_named(world: LiveWorld, headers: dict[str, str], field: str) -> None:
    door = await world.door()
    answer = await door(READ, headers=headers)
    assert (answer.status, answer.json["field"]) == (400, field)
    assert await world.calls() == []


async def test_a_run_that_is_named_is_the_parent(world: LiveWorld) -> None:
    door = await world.door()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await door(READ, headers=TALK | {"X-Run-Id": str(RUN), "traceparent": trace})
    assert answer.status == 200
    (run,) = await world.runs()
    assert run["parent_run_id"] == RUN
    (call,) = await world.calls()
    assert call["traceparent"] == trace


@pytest.mark.rule(3)
async def test_at_the_deadline_the_caller_is_told_and_the_call_goes_on(world: LiveWorld) -> None:
    door = await world.door()
    world.hanging = world.twilio.app
    answer = await door(SEND, SMS, KEY, ms=300)
    assert (answer.status, answer.state) == (202, "executing")
    assert answer.json["say"] == words.WORKING
    assert answer.headers["Retry-After"]
    again = asyncio.create_task(door(SEND, SMS, KEY))
    await asyncio.sleep(0.2)
    world.hanging = None
    assert ((await again).status, (await again).state) == (200, "succeeded")
    assert (await door(SEND, SMS, KEY)).json == (await again).json
    assert len(world.twilio.effects) == 1


async def test_who_hangs_up_stops_nothing(world: LiveWorld) -> None:
    door = await world.door()
    world.hanging = world.twilio.app
    caller = asyncio.create_task(door(SEND, SMS))
    await world.were_asked()
    caller.cancel()
    world.hanging = None
    await until(lambda: world.twilio.effects)
    assert (await door(SEND, SMS)).status == 200
    assert len(world.twilio.effects) == 1


@pytest.mark.rule(8)
async def test_a_gateway_that_dies_before_the_outcome_leaves_a_call_that_is_settled(world: LiveWorld) -> None:
    """The effect happened, its outcome is not on record: the repeat says that nobody knows, and then how it was."""
    dying = await world.door("resumer")  # what it is answered is never written down
    assert (await dying(SEND, SMS, KEY, ms=300)).state == "executing"
    await until(lambda: world.twilio.effects)
    await dying.gateway.die()
    door = await world.door("outcomes", "resumer")
    async with asyncio.timeout(60):
        while (answer := await door(SEND, SMS, KEY, ms=200)).state != "unknown":
            await asyncio.sleep(0.05)
    assert answer.status == 202
    assert answer.json["say"] == words.OF_STATE["unknown"]
    await world.admin.execute(
        "update tool_calls set unknown_since = now() - interval '1 hour', lease_until = now() - interval '1 hour', not_before = null"
    )
    door.gateway.go_on("settler")
    settled = await door(SEND, SMS, KEY)
    assert (settled.status, settled.state) == (200, "succeeded")
    assert len(world.twilio.effects) == 1


async def test_an_identity_that_a_gateway_left_without_a_call_is_completed_by_the_repeat(world: LiveWorld) -> None:
    door = await world.door()
    ask = door.gateway.intake.ask

    async def dies(calls: Any) -> Any:
        raise OSError("the connection is gone")

    door.gateway.intake.ask = dies  # type: ignore[method-assign]
    assert (await door(SEND, SMS)).status == 503
    door.gateway.intake.ask = ask  # type: ignore[method-assign]
    answer = await door(SEND, SMS)
    assert answer.status == 200
    assert answer.json["call_id"].endswith(".1.0")


async def test_an_error_nobody_foresaw_is_a_problem_that_can_be_spoken(world: LiveWorld) -> None:
    door = await world.door()

    async def breaks(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    door.room.waiting.until_told = breaks  # type: ignore[method-assign]
    answer = await door(SEND, SMS)
    assert (answer.status, answer.json["code"], answer.json["say"]) == (500, "invoke.error", words.NOT_NOW)


async def test_a_paused_tool_says_so_at_once_and_the_call_is_made_later(world: LiveWorld) -> None:
    door = await world.door()
    await world.admin.execute("insert into pauses (scope, paused_by) values ($1, 'test')", f"tool:{SEND}")
    answer = await door(SEND, SMS, ms=60_000)
    assert (answer.status, answer.state, answer.json["say"]) == (202, "requested", words.PAUSED)
    await world.admin.execute("delete from pauses")
    assert (await door(SEND, SMS)).status == 200
    assert len(world.twilio.effects) == 1


async def test_a_vendor_that_is_left_alone_is_said_so_at_once(world: LiveWorld) -> None:
    door = await world.door()
    for n in range(5):
        door.gateway.places.breakers.failed("twilio", f"call {n}")  # type: ignore[arg-type]
    answer = await door(SEND, SMS, ms=60_000)
    assert (answer.status, answer.state, answer.json["say"]) == (202, "requested", words.NO_ANSWER)


async def test_what_the_vendor_refuses_has_failed(world: LiveWorld) -> None:
    door = await world.door()
    answer = await door("hubspot_update_contact", {"contactId": "12345", "properties": {"city": "Bern"}})
    assert (answer.status, answer.state, answer.json["code"]) == (424, "failed", "http.404")
    assert answer.json["say"] == words.NOT_FOUND


async def test_a_call_that_waits_for_a_person_says_so_at_once_and_then_what_they_decided(world: LiveWorld) -> None:
    door = await world.door()
    await world.admin.execute("insert into pauses (scope, paused_by) values ($1, 'test')", f"tool:{SEND}")
    await door(SEND, SMS)
    await world.admin.execute("update tool_calls set state = 'awaiting_approval'")
    answer = await door(SEND, SMS, ms=60_000)
    assert (answer.status, answer.json["say"]) == (202, words.OF_STATE["awaiting_approval"])
    await world.admin.execute("update tool_calls set state = 'rejected', closed_at = now()")
    answer = await door(SEND, SMS, ms=60_000)
    assert (answer.status, answer.json["say"]) == (403, words.OF_STATE["rejected"])


async def test_live_calls_have_places_that_other_work_cannot_take(world: LiveWorld) -> None:
    door = await world.door(per_vendor=4, for_live=2)
    world.hanging = world.twilio.app
    bulk = [wants(SEND, SMS | {"Body": f"bulk {n}"}, step=1 + n) for n in range(10)]
    await door.gateway.intake.accept(bulk)
    await world.were_asked(2)
    late = asyncio.create_task(door(SEND, SMS))
    await world.were_asked(3)
    await asyncio.sleep(0.7)
    assert len(world.seen) == 3, "those that wait on the bus do not take the places of live calls"
    world.hanging = None
    assert (await late).status == 200


async def test_of_what_waits_for_a_place_live_calls_go_first(world: LiveWorld) -> None:
    door = await world.door(per_vendor=1)
    world.hanging = world.twilio.app
    await door.gateway.intake.accept([wants(SEND, SMS | {"Body": f"bulk {n}"}, step=1 + n) for n in range(5)])
    late = asyncio.create_task(door(SEND, SMS))
    await until(lambda: door.room.waiting.callers)
    world.hanging = None
    assert (await late).status == 200
    bodies = [effect["body"] for effect in world.twilio.effects]
    assert bodies.index("Hi Ana") <= 2, bodies


async def test_too_many_callers_of_an_agent_are_told_to_come_back(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tool_gateway.live.room.MOST_OF_AN_AGENT", 1)
    door = await world.door()
    world.hanging = world.twilio.app
    first = asyncio.create_task(door(SEND, SMS))
    await world.were_asked()
    busy = await door(READ)
    assert (busy.status, busy.json["code"], busy.json["say"]) == (429, "invoke.busy", words.NOT_NOW)
    another = await door("twilio_lookup_number", {"PhoneNumber": "+14155550123"}, token=VOICE, ms=300)
    assert (another.status, another.state) == (202, "executing")
    world.hanging = None
    assert (await first).status == 200


async def test_a_run_that_was_cancelled_has_no_more_calls(world: LiveWorld) -> None:
    door = await world.door()
    await door(READ)
    await world.admin.execute("update runs set status = 'cancelled' where trigger_source = $1", SOURCE)
    answer = await door(SEND, SMS)
    assert (answer.status, answer.json["code"], answer.json["say"]) == (409, "run.over", words.OF_CODE["run.over"])
    assert not world.twilio.effects


async def test_a_gateway_that_stops_tells_who_waits_how_far_it_is(world: LiveWorld) -> None:
    door = await world.door()
    world.hanging = world.twilio.app
    caller = asyncio.create_task(door(SEND, SMS, ms=60_000))
    await world.were_asked()
    await door.room.drain(0.1)
    assert ((await caller).status, (await caller).state) == (202, "executing")
    assert (await door(READ)).status == 503
