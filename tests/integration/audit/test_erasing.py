"""What was erased on record is gone, and the log stays whole; what is merely gone is found."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from shared.audit.store import SQL, erase_old
from tests.integration.audit.test_export import exported, run
from tests.integration.audit.world import Log, log
from viox.erasing import words_of

__all__ = ["log"]
CALL = """insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, arguments, arguments_sha256, closed_at)
          values ($1, $2, 1, 0, 'closer', 'c', 'email_send', $4, $3, '', case when $4 = 'succeeded' then now() end)"""


async def with_row(log: Log, address: str, state: str = "succeeded") -> str:
    call = await log.call(b'{"to": "%b"}' % address.encode())
    await log.admin.execute(CALL, call, uuid4(), f'{{"to": "{address}"}}', state)
    return call


async def erase(log: Log, entity: str, *, dry: bool = False) -> dict[str, int]:
    import json

    bound = SQL.bind("erase", entity=entity, words=words_of(entity), person="Dana", why="asked for", dry=dry)
    return dict(json.loads(await log.admin.fetchval(*bound)))


async def test_what_is_erased_on_record_is_gone_and_the_log_is_whole(log: Log, tmp_path: Path) -> None:
    ana, leo = await with_row(log, "Ana@Example.com"), await with_row(log, "leo@example.com")
    await log.tick()

    found = await erase(log, "person:ana@example.com")
    await log.tick()
    report = await log.verify()

    assert (found["calls"], found["entries"]) == (1, 2)
    assert report.problems == []
    assert (report.leaves, report.erased) == (5, 2)
    left = await log.admin.fetch("select * from ledger_entries where call_id = $1", ana)
    assert all(row["request_body"] is row["response_body"] is row["url"] is row["salt"] is None for row in left)
    assert "leo" in str(await log.admin.fetchval("select arguments from tool_calls where call_id = $1", leo))
    text = await log.admin.fetchval("select string_agg(l::text, '') from ledger_entries l")
    assert b"Ana@Example.com".hex() not in text
    code, said = run(await exported(log, tmp_path / "e"))
    assert code == 0, said
    assert "2 erased" in said


async def test_counting_changes_nothing(log: Log) -> None:
    await with_row(log, "ana@example.com")
    await log.tick()

    assert (await erase(log, "person:ana@example.com", dry=True))["entries"] == 2
    assert (await erase(log, "person:ana@example.com", dry=True))["entries"] == 2


async def test_a_call_that_is_open_is_left(log: Log) -> None:
    await with_row(log, "ana@example.com", "executing")
    await log.tick()

    found = await erase(log, "person:ana@example.com")

    assert (found["calls"], found["open_calls"]) == (0, 1)
    assert (await log.verify()).erased == 0


async def test_a_number_is_found_as_it_is_written_in_an_address(log: Log) -> None:
    call = await with_row(log, "%2B14155550123")
    await log.tick()

    assert (await erase(log, "phone:+1 (415) 555-0123"))["calls"] == 1
    assert await log.admin.fetchval("select arguments->>'erased' from tool_calls where call_id = $1", call) == "true"


async def test_a_content_that_is_gone_without_its_act_is_found(log: Log) -> None:
    await with_row(log, "ana@example.com")
    await log.tick()
    await erase(log, "person:ana@example.com")
    await log.as_superuser("update audit_acts set detail = json_build_object('reason', 'x', 'entries', '[]'::json)")
    await log.tick()

    assert "entry.content" in await log.codes()


async def test_contents_go_by_age(log: Log) -> None:
    await log.call()
    await log.tick()
    await log.as_superuser(
        "update ledger_entries set at = at - interval '40 days'"
    )  # unseen: not what is looked at here
    await log.call()

    assert await erase_old(log.pool, 30) == 2
    assert await erase_old(log.pool, 30) == 0
    assert await log.admin.fetchval("select count(*) from ledger_entries where salt is null") == 2


@pytest.mark.parametrize("entity", ["ana@example.com", "person:", "person:ab", ":x@y.example"])
def test_what_is_no_address_erases_nothing(entity: str) -> None:
    from shared.errors import BadInput

    with pytest.raises(BadInput):
        words_of(entity)
