"""Dead letters that are sent again, and those that may not be."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.errors import Conflict, NotFound
from shared.ids import run_id
from shared.operations import store
from shared.store.pool import Pool
from viox import intervention, output


async def letter(
    admin: Any, topic: str = "viox.tasks.closer", value: bytes = b"{}", service: str = "closer", code: str = "x"
) -> UUID:
    found = uuid4()
    await admin.execute(
        """insert into dead_letters (dead_letter_id, service, topic, value, headers, source, message_id, code, error, attempts)
           values ($1, $5, $2, $3, '[]', '/t', $4, $6, 'x', 1)""",
        found,
        topic,
        value,
        str(found),
        service,
        code,
    )
    return found


async def test_all_letters_that_may_be_are_sent_again_and_the_others_named(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await letter(admin)
    refused = [await letter(admin, "viox.tool-results.closer"), await letter(admin, value=b"x" * 1_000_001)]
    last = await letter(admin)
    assert await intervention.redrive(None, "dana", everything=True, as_json=True) == output.ERROR
    told = json.loads(capsys.readouterr().out)
    assert told["redriven"] == [str(first), str(last)]
    assert [(one["dead_letter_id"], one["code"]) for one in told["refused"]] == [
        (str(refused[0]), "dead_letter.result"),
        (str(refused[1]), "dead_letter.too_large"),
    ]
    rows = await admin.fetch("select dead_letter_id, state from dead_letters order by created_at")
    assert [row["state"] for row in rows] == ["redriving", "dead", "dead", "redriving"]
    assert await admin.fetchval("select count(*) from outbox") == 0, "nothing is sent: the service takes its letter in"
    assert await intervention.redrive(None, "dana", everything=True, as_json=False) == output.ERROR
    assert f"not {refused[0]}: " in capsys.readouterr().out


async def test_redriving_all_of_nothing_or_one_ends_as_before(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await intervention.redrive(None, "dana", everything=True, as_json=True) == output.OK
    one = await letter(admin)
    assert await intervention.redrive(str(one), "dana", everything=False, as_json=True) == output.OK
    assert capsys.readouterr().out.count('"refused": []') == 2
    with pytest.raises(Conflict):
        await intervention.redrive(str(one), "dana", everything=False, as_json=True)
    with pytest.raises(NotFound):
        await intervention.redrive(str(uuid4()), "dana", everything=False, as_json=True)


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    ("service", "topic", "code"),
    [
        ("voice", "viox.tool-calls.closer", "dead_letter.foreign_topic"),
        ("voice", "viox.tasks.closer", "dead_letter.foreign_topic"),
        ("voice", "viox.events.sales", "dead_letter.foreign_topic"),
        ("gateway", "viox.tasks.closer", "dead_letter.foreign_topic"),
        ("nobody", "viox.tasks.closer", "dead_letter.foreign_topic"),
        ("closer", "control", "dead_letter.foreign_topic"),
        ("closer", "viox.tasks.closer", "dead_letter.reserved"),
    ],
)
async def test_a_service_is_given_again_only_what_it_consumes(
    admin: Any, operator_pool: Pool, service: str, topic: str, code: str
) -> None:
    letter_code = "event.reserved" if code == "dead_letter.reserved" else "x"
    one = await letter(admin, topic, service=service, code=letter_code)
    with pytest.raises(Conflict) as refused:
        await store.redrive(operator_pool, one)
    assert refused.value.code == code
    assert await admin.fetchval("select state from dead_letters") == "dead"


@pytest.mark.rule(18)
async def test_a_letter_opens_no_run_of_another(admin: Any, operator_pool: Pool) -> None:
    run = run_id("closer", "/t", "1")
    await admin.execute(
        """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)
           values ($1, 'closer', $1, 'c', 'blocked', '/t', '1', 'x')""",
        run,
    )
    for service, status in (("voice", "blocked"), ("closer", "running")):
        one = await letter(admin, f"viox.tasks.{service}", service=service)
        await admin.execute("update dead_letters set run_id = $1", run)
        await store.redrive(operator_pool, one)
        assert await admin.fetchval("select status from runs") == status
