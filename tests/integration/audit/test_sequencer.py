"""Entries become leaves, whenever they were committed, and what is signed is never taken back."""

from __future__ import annotations

from typing import Any

import pytest

from shared.audit.store import head
from shared.audit.verify import Checkpoint, Refused
from tests.integration.audit.world import Log, log

__all__ = ["log"]


async def test_every_entry_becomes_a_leaf_under_a_signed_checkpoint(log: Log) -> None:
    await log.calls(3)
    await log.tick()

    report = await log.verify()

    assert report.problems == []
    assert (report.leaves, report.contents, report.checkpoints) == (6, 6, 1)
    assert [Checkpoint.read(note).size for note in log.told] == [6]


async def test_a_thousand_leaves_fill_tiles_and_the_root_is_the_same(log: Log) -> None:
    for count in (1, 130, 300, 90):
        await log.calls(count)
        await log.tick()

    report = await log.verify()

    assert report.problems == []
    assert report.leaves == 2 * 521
    assert await log.admin.fetchval("select count(*) from audit_tiles where level = 0") == 4


async def test_a_transaction_that_was_open_is_a_leaf_once_it_has_ended(log: Log) -> None:
    async with log.pool.acquire() as late:
        open_one: Any = late.transaction()
        await open_one.start()
        await late.execute("insert into ledger_entries (call_id, attempt, phase) values ('late.1.0', 0, 'decision')")
        for _ in range(3):
            await log.call()
            await log.tick()
        assert (await log.verify()).leaves == 6
        await open_one.commit()
    await log.tick()

    report = await log.verify()

    assert report.leaves == 7
    assert [one["code"] for one in report.problems] == []


async def test_what_is_complete_is_not_looked_at_again(log: Log) -> None:
    await log.calls(2)
    for _ in range(3):
        await log.tick()

    now = await head(log.admin)

    assert now.complete_to == await log.admin.fetchval("select max(entry_id) from ledger_entries")


async def test_what_was_rolled_back_leaves_no_gap(log: Log) -> None:
    async with log.pool.acquire() as connection:
        undone: Any = connection.transaction()
        await undone.start()
        await connection.execute(
            "insert into ledger_entries (call_id, attempt, phase) values ('no.1.0', 0, 'decision')"
        )
        await undone.rollback()
    await log.call()
    await log.tick()

    assert (await log.verify()).problems == []


async def test_a_second_gateway_goes_on_where_the_first_one_was(log: Log) -> None:
    await log.calls(2)
    await log.tick()
    await log.calls(2)
    other = log.another(log.folder / "other")
    await other.tick()
    await log.tick()

    report = await log.verify()

    assert report.problems == []
    assert report.leaves == 8
    last = log.file.newest()
    assert last is not None
    assert last.size == 8  # also what the other one signed is in our file


async def test_a_database_that_was_restored_is_not_signed(log: Log) -> None:
    await log.calls(2)
    await log.tick()
    await log.as_superuser("truncate audit_leaves, audit_tiles, audit_checkpoints, audit_cosignatures")
    await log.call()

    with pytest.raises(Refused, match="the database is older"):
        await log.tick()
    with pytest.raises(Refused, match="the database is older"):
        await log.another().tick()
    assert (await head(log.admin)).stopped is not None
    assert len(log.told) == 1


async def test_a_topic_that_knows_more_stops_it_without_a_file(log: Log) -> None:
    await log.calls(2)
    await log.tick()
    log.on_topic = [b'{"checkpoint": %b}' % __import__("json").dumps(log.told[0]).encode()]
    await log.as_superuser("truncate audit_leaves, audit_tiles, audit_checkpoints, audit_cosignatures")

    with pytest.raises(Refused, match="topic"):
        await log.another(log.folder / "empty").tick()


async def test_a_tree_that_was_rewritten_is_not_signed(log: Log) -> None:
    await log.calls(2)
    await log.tick()
    await log.as_superuser(
        "update audit_leaves set hashes = set_byte(hashes, 0, 255 - get_byte(hashes, 0))",
        "delete from audit_checkpoints",
    )
    await log.call()

    with pytest.raises(Refused, match="others than were signed"):
        await log.tick()


async def test_another_key_is_not_taken_for_the_one_of_before(log: Log) -> None:
    await log.call()
    await log.tick()
    (log.folder / "key").write_text(type(log.signer).make("viox.test/audit").secret_text())
    await log.call()

    with pytest.raises(Refused, match="another key"):
        await log.tick()


async def test_a_key_that_is_lost_stops_it(log: Log) -> None:
    await log.call()
    await log.tick()
    (log.folder / "key").unlink()

    with pytest.raises(Refused, match="VIOX_AUDIT_KEY"):
        await log.tick()


async def test_a_new_log_has_all_entries_and_goes_on(log: Log) -> None:
    await log.calls(2)
    await log.tick()
    await log.as_superuser("truncate audit_leaves, audit_tiles, audit_checkpoints, audit_cosignatures")
    with pytest.raises(Refused):
        await log.tick()

    await log.admin.execute("select audit_restart('Dana', 'restored', '{}')")
    await log.tick()

    report = await log.verify()
    assert report.problems == []
    assert report.leaves == 5
    assert Checkpoint.read(log.told[-1]).origin.startswith("viox.test/audit/")


async def test_a_log_from_before_the_new_one_is_not_signed_again(log: Log) -> None:
    await log.call()
    await log.tick()
    await log.admin.execute("select audit_restart('Dana', 'restored', '{}')")
    await log.tick()
    await log.as_superuser(
        "delete from audit_leaves where log_id > 1", "delete from audit_checkpoints where log_id > 1"
    )
    await log.admin.execute("delete from audit_logs where log_id > 1")

    with pytest.raises(Refused, match="the log here is"):
        await log.tick()
