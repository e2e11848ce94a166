"""What a superuser changes behind the back of everything is found: in the database, and in what was exported before."""

# ruff: noqa: S608  # statements of our own
from __future__ import annotations

import pytest

from tests.integration.audit.world import Log, log

__all__ = ["log"]

INTENT, OUTCOME = "where phase = 'intent'", "where phase = 'outcome'"
FIRST = "where entry_id = (select min(entry_id) from ledger_entries)"
LAST = "where entry_id = (select max(entry_id) from ledger_entries where phase = 'outcome')"
ROWS = {
    "request body": (f"update ledger_entries set request_body = 'x' {INTENT}", "entry.content"),
    "request body removed": (f"update ledger_entries set request_body = null {INTENT}", "entry.content"),
    "response body": (f"update ledger_entries set response_body = 'x' {OUTCOME}", "entry.content"),
    "body with its digest": (
        f"update ledger_entries set request_body = 'x', request_sha256 = encode(sha256('x'), 'hex') {INTENT}",
        "entry.changed",
    ),
    "request header": (f"update ledger_entries set request_headers = '[]' {INTENT}", "entry.changed"),
    "response header": (f"update ledger_entries set response_headers = '[]' {OUTCOME}", "entry.changed"),
    "address": (f"update ledger_entries set url = url || '?' {INTENT}", "entry.changed"),
    "method": (f"update ledger_entries set method = 'PUT' {INTENT}", "entry.changed"),
    "moment": ("update ledger_entries set at = at + interval '1 microsecond'", "entry.changed"),
    "status": (f"update ledger_entries set status = 500 {OUTCOME}", "entry.changed"),
    "detail": (f'update ledger_entries set detail = \'{{"state":"succeeded"}}\' {OUTCOME}', "entry.changed"),
    "white space of a detail": (
        f"update ledger_entries set detail = (detail::text || ' ')::json {OUTCOME}",
        "entry.changed",
    ),
    "checks": (
        f'update ledger_entries set checks = \'[{{"check":"policy","passed":false}}]\' {INTENT}',
        "entry.changed",
    ),
    "arguments": (f"update ledger_entries set arguments_sha256 = 'x' {INTENT}", "entry.changed"),
    "tool": (f"update ledger_entries set tool = 'stripe_refund' {INTENT}", "entry.changed"),
    "agent": (f"update ledger_entries set agent = 'steward' {INTENT}", "entry.changed"),
    "approval": (f"update ledger_entries set approval_id = 'apr_x' {INTENT}", "entry.changed"),
    "phase": (f"update ledger_entries set phase = 'incident' {OUTCOME}", "entry.changed"),
    "attempt": (f"update ledger_entries set attempt = 2 {OUTCOME}", "entry.changed"),
    "call": (f"update ledger_entries set call_id = 'other.1.0' {LAST}", "entry.changed"),
    "salt": ("update ledger_entries set salt = 'x'", "entry.changed"),
    "content erased without record": (
        "update ledger_entries set salt = null, checks = null, url = null, request_headers = null, request_body = null",
        "entry.changed",
    ),
    "row removed": (f"delete from ledger_entries {FIRST}", "entry.removed"),
    "row inserted": (
        "insert into ledger_entries (call_id, attempt, phase, at) values ('new.1.0', 1, 'outcome', now() - interval '1 hour')",
        "entry.inserted",
    ),
    "row inserted under a number of before": (
        "insert into ledger_entries (entry_id, call_id, attempt, phase, at) values (0, 'new.1.0', 1, 'outcome', now() - interval '1 hour')",
        "entry.inserted",
    ),
    "act": ("update audit_acts set by = 'Mallory'", "entry.changed"),
    "act removed": ("delete from audit_acts", "entry.removed"),
}


@pytest.fixture
async def signed(log: Log) -> Log:
    """A log with some calls, an act of a person, full tiles, and several checkpoints."""
    await log.calls(3)
    await log.admin.execute("insert into pauses (scope, paused_by) values ('all', 'Dana')")
    await log.tick()
    await log.calls(140)
    await log.tick()
    assert await log.codes() == set()
    return log


@pytest.mark.parametrize("change", ROWS)
async def test_a_row_that_was_changed_is_found(signed: Log, change: str) -> None:
    statement, code = ROWS[change]
    await signed.as_superuser(statement)

    report = await signed.verify()

    assert code in {problem["code"] for problem in report.problems}
    if code != "entry.inserted":
        assert all(problem["leaf"] is not None for problem in report.problems if problem["code"] == code)


CALL = {
    "state": "set state = 'failed'",
    "tool": "set tool = 'stripe_create_refund'",
    "agent": "set agent = 'controller'",
    "arguments": "set arguments_sha256 = repeat('1', 64)",
    "identity": "set call_id = 'other.1.0'",
}


@pytest.mark.parametrize("change", CALL)
async def test_a_calls_row_that_says_something_else_than_the_ledger_is_found(signed: Log, change: str) -> None:
    call = await signed.call()
    await signed.tick()
    await signed.row_of(call)
    assert await signed.codes() == set()
    await signed.as_superuser(f"update tool_calls {CALL[change]}")

    found = (await signed.verify()).problems

    assert [one["code"] for one in found] == ["call.at_odds"]
    assert found[0]["call"] == ("other.1.0" if change == "identity" else call)


async def test_a_success_that_nothing_on_record_says_is_found(signed: Log) -> None:
    await signed.row_of(await signed.call(answered=False))
    await signed.tick()

    assert await signed.codes() == {"call.at_odds"}


TREE = {
    "leaf changed": (
        "update audit_leaves set hashes = overlay(hashes placing sha256('x') from 33 for 32)",
        "entry.changed",
    ),
    "leaves swapped": (
        "update audit_leaves set hashes = substr(hashes, 33, 32) || substr(hashes, 1, 32) || substr(hashes, 65)",
        "entry.changed",
    ),
    "leaves and entries swapped": (
        """update audit_leaves set entries = entries[2:2] || entries[1:1] || entries[3:],
           hashes = substr(hashes, 33, 32) || substr(hashes, 1, 32) || substr(hashes, 65)""",
        "checkpoint.root",
    ),
    "end cut off": ("delete from audit_leaves where first_leaf > 0", "log.truncated"),
    "everything removed": ("delete from audit_leaves", "log.truncated"),
    "tile changed": (
        "update audit_tiles set hashes = overlay(hashes placing sha256('x') from 33 for 32)",
        "tile.changed",
    ),
    "hash above a tile changed": ("update audit_tiles set root = sha256('x')", "tile.changed"),
    "tile removed": ("delete from audit_tiles", "tile.changed"),
    "checkpoint of a changed size": (
        "update audit_checkpoints set note = replace(note, E'\\n7\\n', E'\\n6\\n') where size = 7",
        "checkpoint.signature",
    ),
    "checkpoint unsigned": (
        "update audit_checkpoints set note = split_part(note, E'\\n\\n', 1) || E'\\n\\n' where size = 7",
        "checkpoint.signature",
    ),
}


@pytest.mark.parametrize("change", TREE)
async def test_a_tree_that_was_changed_is_found(signed: Log, change: str) -> None:
    statement, code = TREE[change]
    await signed.as_superuser(statement)

    assert code in await signed.codes()


async def test_a_tree_that_was_made_anew_and_signed_with_another_key_is_found(signed: Log) -> None:
    await signed.as_superuser(
        f"update ledger_entries set status = 500 {OUTCOME}",
        "truncate audit_leaves, audit_tiles, audit_checkpoints, audit_cosignatures",
    )
    other = Log(signed.pool, signed.admin, signed.folder / "..")
    await signed.admin.execute("update audit_logs set complete_to = 0")
    await other.tick()

    assert "checkpoint.signature" in await signed.codes()


async def test_a_tree_that_was_made_anew_is_found_by_the_file(signed: Log) -> None:
    """Whoever has the database and the key, but not what was given away."""
    await signed.as_superuser(
        f"update ledger_entries set status = 500 {OUTCOME}",
        "truncate audit_leaves, audit_tiles, audit_checkpoints, audit_cosignatures",
    )
    await signed.admin.execute("update audit_logs set complete_to = 0")
    await signed.another(signed.folder / "empty").tick()

    assert await signed.codes() == {"checkpoint.root"}


async def test_a_checkpoint_that_was_removed_is_in_the_file(signed: Log) -> None:
    """Those before the last one are implied by it; the last one is remembered outside."""
    await signed.as_superuser("delete from audit_checkpoints", "delete from audit_leaves where first_leaf > 0")

    assert "log.truncated" in await signed.codes()


async def test_nobody_but_a_superuser_changes_anything(signed: Log) -> None:
    import asyncpg

    for statement in (
        "update ledger_entries set url = null",
        "update ledger_entries set salt = null",
        "delete from ledger_entries",
        "update audit_leaves set first_leaf = 1",
        "delete from audit_tiles",
        "truncate audit_checkpoints cascade",
        "delete from audit_acts",
    ):
        for pool_or_owner in (signed.pool, signed.admin):  # the owner's triggers refuse, the gateway has no right
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool_or_owner.execute(statement)


async def test_a_gateway_gives_no_numbers_moments_and_salts(log: Log) -> None:
    import asyncpg

    for column, value in (("entry_id", "0"), ("at", "now()"), ("salt", "''")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await log.pool.execute(
                f"insert into ledger_entries (call_id, attempt, phase, {column}) values ('x', 0, 'decision', {value})"
            )
