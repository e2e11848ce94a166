"""An agent asks a person: the call waits, somebody who was asked answers, and the answer is its result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from sandbox.postgres import Postgres
from shared.errors import BadInput, Conflict
from shared.operations import decisions as decide
from shared.people import People
from shared.store.pool import Pool, open_pool
from tests.integration.gateway.world import RESULTS, Gateway, World, gateway_world, until, wants
from viox import approvals as commands

__all__ = ["gateway_world"]
TOOL = "person_ask"
ASK = {"question": "May Ana pay in two parts?", "choices": ["Yes", "No"]}
PEOPLE = People.model_validate(
    {
        "people": [
            {"name": "Dana", "roles": ["owner"], "sms": "+14155550100"},
            {"name": "Lee", "roles": ["approver"], "sms": "+14155550101"},
            {"name": "Kim", "roles": ["operator"], "sms": "+14155550102"},
        ]
    }
)
DANA, LEE, KIM = PEOPLE.people


@pytest.fixture(name="operator")
async def operator_connection(postgres: Postgres) -> AsyncIterator[Pool]:
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator", size=2)
    yield pool
    await pool.close()


async def asked(world: World, **more: Any) -> tuple[Gateway, Any]:
    """A gateway with a question that waits, and its approval as the command line reads it."""
    gateway = await world.gateway(people=PEOPLE)
    given = {name: value for name, value in (ASK | more).items() if value is not ...}
    await gateway.intake.accept([wants(TOOL, given)])
    await world.state("awaiting_approval")
    row = await world.admin.fetchrow("select * from approvals")
    return gateway, dict(row) | {"arguments": json.loads(row["arguments"])}


def told(world: World) -> dict[str, str]:
    """Number → the text that it got."""
    return {one["to"]: one["body"] for one in world.twilio.messages.values()}


async def test_the_answer_of_a_person_is_the_result(world: World, operator: Pool) -> None:
    gateway, question = await asked(world)
    await until(lambda: told(world))
    assert list(told(world)) == [DANA.sms]
    assert "Closer asks: May Ana pay in two parts? (Yes / No)" in told(world)[DANA.sms or ""]
    assert f"viox answer {question['approval_id']} TEXT" in told(world)[DANA.sms or ""]
    assert await decide.answer(operator, question, DANA, "yes") == "answered"
    row = await world.state("succeeded")
    assert (json.loads(row["result"]), row["attempt"]) == ({"answer": "Yes", "by": "Dana"}, 0)
    await until(lambda: gateway.publisher.sent(RESULTS))
    assert gateway.publisher.sent(RESULTS)[0].data["result"] == {"answer": "Yes", "by": "Dana"}


async def test_an_answer_is_one_of_the_choices(world: World, operator: Pool) -> None:
    _, question = await asked(world)
    with pytest.raises(BadInput, match="'perhaps'") as raised:
        await decide.answer(operator, question, DANA, "perhaps")
    assert raised.value.remedy == "One of: Yes, No."
    with pytest.raises(Conflict, match="other answers"):
        await decide.answer(operator, question | {"choices": None}, DANA, "perhaps")  # the database says so, too
    assert (await world.call())["state"] == "awaiting_approval"


async def test_without_choices_any_text_answers(world: World, operator: Pool) -> None:
    _, question = await asked(world, choices=...)
    await decide.answer(operator, question, LEE, "Three parts, even.")
    assert json.loads((await world.state("succeeded"))["result"]) == {"answer": "Three parts, even.", "by": "Lee"}


async def test_a_question_is_not_agreed_to(world: World, operator: Pool) -> None:
    gateway, question = await asked(world)
    for changed in (None, ASK | {"question": "Another?"}):
        with pytest.raises(Conflict, match="is a question") as raised:
            await decide.approve(operator, question, DANA, changed, gateway.catalogue.tools[TOOL])
        assert f"viox answer {question['approval_id']}" in (raised.value.remedy or "")
    assert await world.admin.fetchval("select count(*) from approval_votes") == 0


async def test_a_rejected_question_says_why(world: World, operator: Pool) -> None:
    _, question = await asked(world)
    await decide.reject(operator, question, DANA, "ask the accountant")
    assert "ask the accountant" in (await world.state("rejected"))["error"]


@pytest.mark.parametrize(("to", "numbers"), [("kim", {KIM.sms}), ("operator", {KIM.sms}), ("approver", {LEE.sms})])
async def test_it_is_put_to_a_person_or_a_role(world: World, to: str, numbers: set[str]) -> None:
    await asked(world, to=to)
    await until(lambda: told(world))
    assert told(world).keys() == numbers


async def test_nobody_of_that_name_is_an_error_that_says_who_there_is(world: World) -> None:
    gateway = await world.gateway(people=PEOPLE)
    await gateway.intake.accept([wants(TOOL, ASK | {"to": "Mallory"})])
    error = json.loads((await world.state("denied"))["error"])
    assert (error["code"], error["field"]) == ("person.unknown", "to")
    assert "Dana, Lee, Kim, approver, operator, owner" in error["remedy"]
    assert await world.admin.fetchval("select count(*) from approvals") == 0


async def test_an_unanswered_question_has_failed(world: World) -> None:
    gateway, question = await asked(world, expires="2h")
    assert question["expires_at"] - question["asked_at"] == timedelta(hours=2)
    await world.admin.execute("update approvals set expires_at = now() - interval '1 second'")
    error = json.loads((await world.state("failed"))["error"])
    assert error["code"] == "question.expired"
    await until(lambda: gateway.publisher.sent(RESULTS))
    assert gateway.publisher.sent(RESULTS)[0].data["state"] == "failed"


@pytest.mark.parametrize("expires", ["0s", "31d"])
async def test_a_question_expires_within_a_month(world: World, expires: str) -> None:
    gateway = await world.gateway(people=PEOPLE)
    await gateway.intake.accept([wants(TOOL, ASK | {"expires": expires})])
    assert json.loads((await world.state("denied"))["error"])["field"] == "expires"


async def test_a_question_waits_whatever_policies_permit_and_obeys_those_that_forbid(world: World) -> None:
    no = '@id("open") permit(principal, action, resource);\n@id("never") forbid(principal, action == Action::"person_ask", resource);'
    gateway = await world.gateway(people=PEOPLE, policies={"own.cedar": no})
    await gateway.intake.accept([wants(TOOL, ASK)])
    assert "policy.denied" in (await world.state("denied"))["error"]


@pytest.mark.parametrize(("by", "may"), [("Kim", True), ("Dana", True), (None, True), ("Lou", False)])
async def test_who_was_asked_may_answer_and_who_may_decide(
    world: World, postgres: Postgres, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, by: str | None, may: bool
) -> None:
    """Kim decides on nothing else. Lou was not asked."""
    lines = [f"  - {{name: {one.name}, roles: [{', '.join(one.roles)}]}}" for one in PEOPLE]
    (tmp_path / "people.yaml").write_text("\n".join(["people:", *lines, "  - {name: Lou, roles: [operator]}"]))
    monkeypatch.setenv("VIOX_PEOPLE", str(tmp_path / "people.yaml"))
    monkeypatch.setenv("VIOX_POSTGRES_DSN", postgres.dsn("viox_operator_cli"))
    _, question = await asked(world, to="Kim")
    answering = commands.answer(question["approval_id"], "no", by, as_json=True)
    if may:
        await answering
        assert json.loads((await world.state("succeeded"))["result"])["by"] == (by or "Kim")
    else:
        with pytest.raises(BadInput, match="may not decide"):
            await answering
