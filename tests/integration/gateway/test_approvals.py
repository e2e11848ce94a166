"""What a person has to agree to waits, is done as agreed or not at all, and is done once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.approvals.standing import shape_of
from services.tool_gateway.policy import files
from shared.bus import topics
from shared.bus.messages import APPROVAL_DECIDED, APPROVAL_REQUESTED
from shared.errors import BadInput, Conflict
from shared.operations import decisions as decide
from shared.people import Person
from tests.integration.gateway.world import PEOPLE, RESULTS, Gateway, World, gateway_world, until, wants

__all__ = ["gateway_world"]
TOOL = "twilio_send_message"
SMS = {"To": "+14155550123", "Body": "Hi Ana"}
DANA, LEE = PEOPLE.people
ASKS = """
@id("granted") permit (principal, action, resource);
@id("texts.person") @why("it is a text message")
forbid (principal, action == Action::"twilio_send_message", resource)
unless { context.person || principal == Agent::"gateway" };
"""
TWO = """
@id("texts.two") @people("2")
forbid (principal, action == Action::"twilio_send_message", resource)
unless { context.person || principal == Agent::"gateway" };
"""
NEVER_AT_ALL = '@id("never") forbid (principal == Agent::"closer", action == Action::"twilio_send_message", resource);'


@pytest.fixture(name="operator")
async def operator_connection(postgres: Postgres) -> AsyncIterator[Any]:
    from shared.store.pool import open_pool

    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator", size=2)
    yield pool
    await pool.close()


async def asked(world: World, *policies: str, step: int = 1, **more: Any) -> tuple[Gateway, Any]:
    """A gateway with a call that waits, and its approval."""
    gateway = await world.gateway(policies={"own.cedar": "\n".join(policies or (ASKS,))}, **more)
    await gateway.intake.accept([wants(TOOL, SMS, step)])
    await world.state("awaiting_approval", step)
    return gateway, await waiting(world)


async def waiting(world: World, step: int = 1) -> Any:
    """The approval that waits for a call, as the command line reads it."""
    call = await world.call(step)
    found = await world.admin.fetchrow(
        "select * from approvals where call_id = $1 and state = 'waiting'", call["call_id"]
    )
    return found and dict(found) | {"arguments": json.loads(found["arguments"])}


def sent(world: World, to: str = SMS["To"]) -> list[str]:
    """Texts that a number got."""
    return [one["body"] for one in world.twilio.messages.values() if one["to"] == to]


async def test_a_call_waits_until_a_person_agrees_and_is_made_once(world: World, operator: Any) -> None:
    gateway, approval = await asked(world)
    assert approval["reasons"] == ["it is a text message"]
    assert sent(world) == []
    assert await decide.approve(operator, approval, DANA, None, None) == "approved"
    row = await world.state("succeeded")
    assert sent(world) == [SMS["Body"]]
    assert row["approval_id"] == approval["approval_id"]
    assert await world.phases() == ["decision", "approval", "intent", "outcome"]
    with pytest.raises(Conflict, match="decided"):
        await decide.approve(operator, approval, LEE, None, None)
    assert len(gateway.publisher.sent(RESULTS)) == 1


async def test_a_rejected_call_never_runs_and_its_agent_is_told_why(world: World, operator: Any) -> None:
    gateway, approval = await asked(world)
    assert await decide.reject(operator, approval, DANA, "we do not text her") == "rejected"
    row = await world.state("rejected")
    assert "we do not text her" in row["error"]
    await until(lambda: gateway.publisher.sent(RESULTS))
    assert gateway.publisher.sent(RESULTS)[0].data["state"] == "rejected"
    with pytest.raises(Conflict):
        await decide.approve(operator, approval, DANA, None, None)
    await gateway.intake.accept([wants(TOOL, SMS, 3)])
    again = await world.state("denied", 3)
    assert "approval.final" in again["error"]
    assert sent(world) == []


async def test_a_person_answers_in_the_tools_place(world: World, operator: Any) -> None:
    _, approval = await asked(world)
    assert await decide.answer(operator, approval, DANA, "I called her myself") == "answered"
    row = await world.state("succeeded")
    assert "I called her myself" in row["result"]
    assert (row["attempt"], sent(world)) == (0, [])


async def test_other_arguments_are_checked_judged_and_told(world: World, operator: Any) -> None:
    gateway, approval = await asked(world)
    tool = gateway.catalogue.tools[TOOL]
    with pytest.raises(BadInput, match="Body"):
        await decide.approve(operator, approval, DANA, {"To": SMS["To"], "Body": ""}, tool)
    changed = {"To": SMS["To"], "Body": "Hello Ana"}
    assert await decide.approve(operator, approval, DANA, changed, tool) == "approved"
    row = await world.state("succeeded")
    assert sent(world) == ["Hello Ana"]
    assert "Hi Ana" in row["arguments"]
    assert "Hello Ana" in row["revised"]
    await gateway.intake.accept([wants(TOOL, SMS, 3)])
    assert "approval.final" in (await world.state("denied", 3))["error"]


async def test_arguments_of_a_person_obey_the_policies_too(world: World, operator: Any) -> None:
    words = """@id("no.secrets") forbid (principal, action == Action::"twilio_send_message", resource)
    when { context.args.Body like "*password*" };"""
    gateway, approval = await asked(world, ASKS, words)
    changed = SMS | {"Body": "the password is 1234"}
    await decide.approve(operator, approval, DANA, changed, gateway.catalogue.tools[TOOL])
    row = await world.state("failed")
    assert "policy.denied" in row["error"]
    assert sent(world) == []


async def test_two_people_have_to_agree_to_the_same(world: World, operator: Any) -> None:
    gateway, approval = await asked(world, ASKS, TWO)
    assert approval["people"] == 2
    assert await decide.approve(operator, approval, DANA, None, None) == "counted"
    with pytest.raises(Conflict, match="agreed already"):
        await decide.approve(operator, approval, DANA, None, None)
    changed = SMS | {"Body": "Hello"}
    assert await decide.approve(operator, approval, LEE, changed, gateway.catalogue.tools[TOOL]) == "counted"
    with pytest.raises(Conflict, match="changed"):
        await decide.approve(operator, approval, DANA, None, None)
    assert sent(world) == []
    assert await decide.approve(operator, await waiting(world), DANA, None, None) == "approved"
    await world.state("succeeded")
    assert sent(world) == ["Hello"]


async def test_of_two_who_decide_at_once_one_is_heard(world: World, operator: Any) -> None:
    _, approval = await asked(world)
    came = await asyncio.gather(
        decide.approve(operator, approval, DANA, None, None),
        decide.reject(operator, approval, LEE, "no"),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Conflict) for one in came) == 1
    await world.state("succeeded" if came[0] == "approved" else "rejected")
    assert len(sent(world)) == (came[0] == "approved")


async def test_several_are_decided_in_any_order_and_one_no_leaves_the_others(world: World, operator: Any) -> None:
    gateway = await world.gateway(policies={"own.cedar": ASKS})
    texts = [SMS | {"Body": f"text {index}"} for index in range(3)]
    await gateway.intake.accept([wants(TOOL, text, 1 + index) for index, text in enumerate(texts)])
    rows = {step: await waiting(world, step) for step in (1, 2, 3)}
    await decide.approve(operator, rows[3], DANA, None, None)
    await decide.reject(operator, rows[1], DANA, "no")
    await world.state("succeeded", 3)
    await world.state("rejected", 1)
    assert (await world.call(2))["state"] == "awaiting_approval"
    await decide.approve(operator, rows[2], DANA, None, None)
    await world.state("succeeded", 2)
    assert sorted(sent(world)) == ["text 1", "text 2"]


async def test_what_nobody_decides_in_time_is_not_done(world: World, operator: Any) -> None:
    gateway, approval = await asked(world)
    await world.admin.execute("update approvals set expires_at = now()")
    with pytest.raises(Conflict, match="expired"):
        await decide.approve(operator, approval, DANA, None, None)
    row = await world.state("expired")
    assert "approval.expired" in row["error"]
    await until(lambda: gateway.publisher.sent(RESULTS))
    assert sent(world) == []


async def test_an_approval_holds_for_the_policies_that_asked(world: World, operator: Any) -> None:
    first, approval = await asked(world)
    await first.die()
    await decide.approve(operator, approval, DANA, None, None)
    await world.gateway(policies={"own.cedar": ASKS + "// changed"})
    await until_asked_again(world, approval)
    again = await waiting(world)
    assert again["revision"] == 2
    assert sent(world) == []
    await decide.approve(operator, again, DANA, None, None)
    await world.state("succeeded")
    assert sent(world) == [SMS["Body"]]


async def until_asked_again(world: World, approval: Any) -> None:
    async with asyncio.timeout(30):
        while (await waiting(world) or approval)["approval_id"] == approval["approval_id"]:
            await asyncio.sleep(0.02)


async def test_what_policies_forbid_by_now_is_not_done_though_a_person_agreed(world: World, operator: Any) -> None:
    first, approval = await asked(world)
    await first.die()
    await decide.approve(operator, approval, DANA, None, None)
    await world.gateway(policies={"own.cedar": ASKS + NEVER_AT_ALL})
    assert "policy.denied" in (await world.state("failed"))["error"]
    assert sent(world) == []


async def test_waiting_survives_a_restart(world: World, operator: Any) -> None:
    first, approval = await asked(world)
    await first.die()
    await world.gateway(policies={"own.cedar": ASKS})
    await decide.approve(operator, approval, DANA, None, None)
    await world.state("succeeded")
    assert sent(world) == [SMS["Body"]]


async def test_a_run_that_is_cancelled_takes_its_question_back(world: World, operator: Any) -> None:
    _, approval = await asked(world)
    await world.admin.execute("update runs set status = 'cancelled'")
    await world.state("denied")
    async with asyncio.timeout(30):
        while await waiting(world):
            await asyncio.sleep(0.02)
    with pytest.raises(Conflict, match="decided"):
        await decide.approve(operator, approval, DANA, None, None)


# -- standing approvals --------------------------------------------------------------------------------------------------


def shape(gateway: Gateway, approval: Any) -> decide.Shape:
    return shape_of(gateway.catalogue.tools[TOOL], approval["arguments"], approval["arguments_sha256"])


async def stands(world: World, operator: Any, gateway: Gateway, approval: Any, calls: int = 2) -> str:
    """Dana agrees to the call, and to more of its shape."""
    assert await decide.approve(operator, approval, DANA, None, None) == "approved"
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    return await decide.give(operator, approval, DANA, shape(gateway, approval), calls, tomorrow)


async def test_calls_of_the_same_shape_go_until_so_many_were_made(world: World, operator: Any) -> None:
    gateway, approval = await asked(world)
    name = await stands(world, operator, gateway, approval)
    await world.state("succeeded")
    more = [wants(TOOL, SMS | {"Body": f"more {step}"}, step) for step in (2, 3, 4)]
    other = wants(TOOL, SMS | {"To": "+14155550199"}, 5)
    for record in (*more, other):
        await gateway.intake.accept([record])
    await world.state("succeeded", 2)
    await world.state("succeeded", 3)
    await world.state("awaiting_approval", 4)
    await world.state("awaiting_approval", 5)
    assert (await world.call(2))["approval_id"] == name
    assert sorted(sent(world)) == [SMS["Body"], "more 2", "more 3"]


async def test_of_many_at_once_no_more_go_than_were_agreed_to(world: World, operator: Any) -> None:
    first, approval = await asked(world)
    second = await world.gateway(policies={"own.cedar": ASKS})
    await stands(world, operator, first, approval, calls=3)
    await world.state("succeeded")
    batches = [[wants(TOOL, SMS | {"Body": f"{n}"}, 10 + n) for n in range(start, 8, 2)] for start in (0, 1)]
    await asyncio.gather(first.intake.accept(batches[0]), second.intake.accept(batches[1]))
    async with asyncio.timeout(30):
        while len(sent(world)) < 4:
            await asyncio.sleep(0.02)
    states = [(await world.call(10 + n))["state"] for n in range(8)]
    assert states.count("awaiting_approval") == 5


async def test_a_revoked_one_holds_no_more_also_for_what_waits(world: World, operator: Any) -> None:
    gateway, approval = await asked(world)
    name = await stands(world, operator, gateway, approval)
    await world.state("succeeded")
    await world.admin.execute("insert into pauses (scope, paused_by) values ('all', 'test')")
    await gateway.intake.accept([wants(TOOL, SMS | {"Body": "later"}, 2)])
    await world.state("requested", 2)
    await decide.revoke(operator, name, DANA)
    await world.admin.execute("delete from pauses")
    await world.state("awaiting_approval", 2)
    with pytest.raises(Conflict):
        await decide.revoke(operator, name, DANA)
    assert sent(world) == [SMS["Body"]]


async def test_what_stands_covers_the_rules_that_asked_and_no_others(world: World, operator: Any) -> None:
    odd = """@id("odd") forbid (principal, action == Action::"twilio_send_message", resource)
    when { context.args.Body like "*odd*" } unless { context.person || principal == Agent::"gateway" };"""
    gateway, approval = await asked(world, ASKS, odd)
    await stands(world, operator, gateway, approval)
    await gateway.intake.accept([wants(TOOL, SMS | {"Body": "odd"}, 2), wants(TOOL, SMS | {"Body": "even"}, 3)])
    assert (await world.state("awaiting_approval", 2))["approval_id"].startswith("apr_")
    assert (await world.state("succeeded", 3))["approval_id"].startswith("std_")
    assert sorted(sent(world)) == [SMS["Body"], "even"]


async def test_where_two_people_decide_nothing_stands(world: World, operator: Any) -> None:
    gateway, approval = await asked(world, ASKS, TWO)
    await decide.approve(operator, approval, DANA, None, None)
    await decide.approve(operator, approval, LEE, None, None)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(Conflict, match="alone"):
        await decide.give(operator, approval, LEE, shape(gateway, approval), 5, tomorrow)


# -- who is told ---------------------------------------------------------------------------------------------------------


async def test_people_are_told_by_the_gateway_itself(world: World, operator: Any) -> None:
    assert DANA.sms
    gateway, approval = await asked(world)
    await until(lambda: sent(world, DANA.sms or ""))
    (text,) = sent(world, DANA.sms)
    assert approval["approval_id"] in text
    assert "it is a text message" in text
    notice = await world.admin.fetchrow("select * from tool_calls where agent = 'gateway'")
    assert (notice["run_id"], notice["step"], notice["tool"]) == (approval["run_id"], -1, TOOL)
    assert not sent(world, LEE.sms or "")
    assert not await world.admin.fetchval("select count(*) from contact_owners where agent = 'gateway'")
    # After an hour the next one on the list.
    await world.admin.execute("update approval_notices set next_at = now()")
    gateway.approvals.wake()
    await until(lambda: sent(world, LEE.sms or ""))
    assert len(sent(world, DANA.sms)) == 1
    # Before it expires everybody once more.
    await world.admin.execute("update approvals set expires_at = now() + interval '1 hour'")
    await world.admin.execute("update approval_notices set next_at = now()")
    gateway.approvals.wake()
    await until(lambda: len(sent(world, LEE.sms or "")) == 2)
    await until(lambda: len(sent(world, DANA.sms or "")) == 2)


async def test_people_are_told_under_the_policies_that_are_delivered(world: World) -> None:
    """The gateway's own calls have no run that began with something; what policies read of a trigger is there for them."""
    gateway = await world.gateway(policies=dict(files.texts(None)) | {"own.cedar": ASKS})
    await gateway.intake.accept([wants(TOOL, SMS)])
    await world.state("awaiting_approval")
    await until(lambda: sent(world, DANA.sms or ""))
    states = await world.admin.fetch("select agent, state from tool_calls order by agent")
    assert ("gateway", "denied") not in {(row["agent"], row["state"]) for row in states}


async def test_two_who_have_to_agree_are_both_told_at_once(world: World) -> None:
    await asked(world, ASKS, TWO)
    await until(lambda: sent(world, DANA.sms or "") and sent(world, LEE.sms or ""))
    assert [len(sent(world, one.sms or "")) for one in (DANA, LEE)] == [1, 1]


async def test_everybody_hears_of_the_question_and_of_its_end(world: World, operator: Any) -> None:
    _, approval = await asked(world)
    await decide.approve(operator, approval, DANA, None, None)
    await world.state("succeeded")
    async with asyncio.timeout(30):
        while await world.admin.fetchval("select count(*) from approval_notices"):
            await asyncio.sleep(0.02)
    rows = await world.admin.fetch("select message_id from outbox where topic = $1", topics.APPROVALS)
    ends = {row["message_id"].rsplit(":", 1)[1] for row in rows}
    assert ends == {APPROVAL_REQUESTED.rsplit(".", 1)[1], APPROVAL_DECIDED.rsplit(".", 1)[1]}


# -- who cannot decide ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viox_closer", "viox_gateway"])
@pytest.mark.parametrize(
    "statement",
    [
        "select decide_approval($1, 'Dana', 'approve', (select arguments_sha256 from approvals), null, null, null)",
        "update approvals set state = 'approved' where approval_id = $1",
        "insert into approval_votes values ($1, 'Dana', 'x')",
    ],
)
async def test_neither_an_agent_nor_the_gateway_can_agree(
    world: World, postgres: Postgres, role: str, statement: str
) -> None:
    _, approval = await asked(world)
    connection = await asyncpg.connect(postgres.dsn(role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement, approval["approval_id"])
    finally:
        await connection.close()
    assert (await waiting(world))["state"] == "waiting"


def test_people_are_asked_by_role() -> None:
    assert PEOPLE.approver("dana") == DANA
    with pytest.raises(BadInput, match="who decides"):
        PEOPLE.approver(None)
    with pytest.raises(BadInput, match="Mallory"):
        PEOPLE.approver("Mallory")
    looks = PEOPLE.model_copy(update={"people": (*PEOPLE.people, Person(name="Kim", roles=frozenset({"viewer"})))})
    with pytest.raises(BadInput, match="Kim may not"):
        looks.approver("Kim")


# -- what an agreement does not cover --------------------------------------------------------------------------------------

BIG = """@id("texts.big") @people("2")
forbid (principal, action == Action::"twilio_send_message", resource)
when { context.args.Body like "*big*" } unless { context.person || principal == Agent::"gateway" };"""


async def test_other_arguments_that_more_people_must_agree_to_are_asked_again(world: World, operator: Any) -> None:
    gateway, approval = await asked(world, ASKS, BIG)
    changed = SMS | {"Body": "a big favour"}
    assert await decide.approve(operator, approval, DANA, changed, gateway.catalogue.tools[TOOL]) == "approved"
    await until_asked_again(world, approval)
    again = await waiting(world)
    assert (again["people"], set(again["rules"])) == (2, {"texts.person", "texts.big"})
    assert sent(world) == []
    assert await decide.approve(operator, again, DANA, None, None) == "counted"
    assert await decide.approve(operator, again, LEE, None, None) == "approved"
    await world.state("succeeded")
    assert sent(world) == ["a big favour"]


async def test_whom_a_person_took_out_was_not_reached(world: World, operator: Any) -> None:
    gateway, approval = await asked(world)
    other = "+14155550177"
    await decide.approve(operator, approval, DANA, {"To": other, "Body": "Hi"}, gateway.catalogue.tools[TOOL])
    row = await world.state("succeeded")
    assert row["counterparties"] == [other]
    owners = await world.admin.fetch("select address from contact_owners")
    assert [one["address"] for one in owners] == [other]


async def test_a_call_that_waits_or_is_refused_takes_over_no_number(world: World, operator: Any) -> None:
    _, approval = await asked(world)
    assert not await world.admin.fetch("select from contact_owners")
    await decide.reject(operator, approval, DANA, "no")
    await world.state("rejected")
    assert not await world.admin.fetch("select from contact_owners")


async def test_nobody_is_asked_about_messages_to_people(world: World) -> None:
    everything = """@id("granted") permit (principal, action, resource);
    @id("texts") forbid (principal, action == Action::"twilio_send_message", resource) unless { context.person };"""
    gateway, _ = await asked(world, everything)
    async with asyncio.timeout(30):
        while not await world.admin.fetchval(
            "select count(*) from tool_calls where agent = 'gateway' and closed_at is not null"
        ):
            await asyncio.sleep(0.02)
    await gateway.approvals.look()
    assert await world.admin.fetchval("select count(*) from approvals") == 1


async def test_a_call_keeps_its_arguments_once_it_was_sent(world: World, operator: Any) -> None:
    world.fault(world.twilio, "429", method="POST", retry_after=1)
    first, approval = await asked(world)
    await decide.approve(operator, approval, DANA, None, None)
    await world.state("requested")
    await first.die()
    second = await world.gateway(policies={"own.cedar": ASKS + "// changed"})
    await until_asked_again(world, approval)
    again = await waiting(world)
    with pytest.raises(Conflict, match="sent once"):
        await decide.approve(operator, again, DANA, SMS | {"Body": "other"}, second.catalogue.tools[TOOL])
    await decide.approve(operator, again, DANA, None, None)
    await world.state("succeeded")
    assert sent(world) == [SMS["Body"]]


async def test_a_call_is_of_its_runs_conversation(world: World) -> None:
    gateway = await world.gateway(policies={"own.cedar": ASKS})
    await gateway.intake.accept([wants(TOOL, SMS, conversation="another")])
    assert await world.call() is None
    assert await world.admin.fetchval("select code from dead_letters") == "call.foreign_run"
