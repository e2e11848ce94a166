"""Dead letters that are sent again, and those that may not be."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.errors import Conflict, NotFound
from shared.store.pool import Pool
from viox import intervention, output


async def letter(admin: Any, topic: str = "viox.tasks.closer", value: bytes = b"{}") -> UUID:
    found = uuid4()
    await admin.execute(
        """insert into dead_letters (dead_letter_id, service, topic, value, headers, source, message_id, code, error, attempts)
           values ($1, 'closer', $2, $3, '[]', '/t', $4, 'x', 'x', 1)""",
        found,
        topic,
        value,
        str(found),
    )
    return found


async def test_all_letters_that_may_be_are_sent_again_and_the_others_named(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await letter(admin)
    refused = [await letter(admin, "viox.tool-results.closer"), await letter(admin, value=b"x" * 1_000_001)]
    last = await letter(admin)
    assert await intervention.redrive(None, everything=True, as_json=True) == output.ERROR
    told = json.loads(capsys.readouterr().out)
    assert told["redriven"] == [str(first), str(last)]
    assert [(one["dead_letter_id"], one["code"]) for one in told["refused"]] == [
        (str(refused[0]), "dead_letter.result"),
        (str(refused[1]), "dead_letter.too_large"),
    ]
    assert await admin.fetchval("select count(*) from outbox") == 2
    assert await intervention.redrive(None, everything=True, as_json=False) == output.ERROR
    assert f"not {refused[0]}: " in capsys.readouterr().out


async def test_redriving_all_of_nothing_or_one_ends_as_before(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await intervention.redrive(None, everything=True, as_json=True) == output.OK
    one = await letter(admin)
    assert await intervention.redrive(str(one), everything=False, as_json=True) == output.OK
    assert capsys.readouterr().out.count('"refused": []') == 2
    with pytest.raises(Conflict):
        await intervention.redrive(str(one), everything=False, as_json=True)
    with pytest.raises(NotFound):
        await intervention.redrive(str(uuid4()), everything=False, as_json=True)
