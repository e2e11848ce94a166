"""What has been still for months leaves for an archive, and the audit stays whole; what is needed stays; what is merely gone is found."""

# statements of our own
from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from shared.errors import BadInput, Conflict
from shared.operations import archived as found_in
from shared.operations import forks, replays
from shared.retention import files, leaves, work
from shared.store.pool import open_pool
from tests.integration.audit.old_conversations import ended
from tests.integration.audit.test_export import exported, run
from tests.integration.audit.world import Log, log
from viox import inspection, retention

__all__ = ["log"]
COUNTS = """select (select count(*) from steps) as steps, (select count(*) from ledger_entries) as entries,
                   (select count(*) from tool_calls where archived is not null) as calls"""


@pytest.fixture
async def archivist(postgres: Postgres, log: Log) -> AsyncIterator[Any]:
    pool = await open_pool(postgres.dsn("viox_archivist"), application="test retention", size=2)
    async with pool.acquire() as connection:
        yield connection
    await pool.close()


async def retain(connection: Any, folder: Path, months: int = 2) -> work.Done:
    return await work.run(connection, folder, await work.cutoff(connection, months), "Dana")


async def counts(log: Log) -> dict[str, int]:
    return dict(await log.admin.fetchrow(COUNTS))


def archive_in(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


async def test_what_is_old_leaves_and_the_log_is_whole(log: Log, archivist: Any, tmp_path: Path) -> None:
    _, call = await ended(log)
    await ended(log, months_ago=0)
    await log.tick()

    done = await retain(archivist, tmp_path / "a")
    await log.tick()
    report = await log.verify()

    assert (done.conversations, done.steps, done.entries, done.calls) == (1, 3, 2, 1)
    assert await counts(log) == {"steps": 3, "entries": 2, "calls": 1}
    assert report.problems == []
    assert (report.leaves, report.archived) == (5, 2)
    assert await log.admin.fetchval("select arguments->>'archived' from tool_calls where call_id = $1", call) == "true"
    act = await log.admin.fetchrow("select * from audit_acts where act = 'archived'")
    told = json.loads(act["detail"])
    assert (act["by"], act["role"], told["rows"]) == (
        "Dana",
        "viox_archivist",
        {"steps": 3, "tool_calls": 1, "ledger_entries": 2},
    )
    assert told["manifest_sha256"] == files._digest(archive_in(tmp_path / "a") / files.MANIFEST)[1]


@pytest.fixture
async def operator(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The command line's connection, which finds the same database by itself."""
    monkeypatch.setenv("VIOX_POSTGRES_DSN", postgres.dsn("viox_operator_cli"))
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test operator", size=2)
    yield pool
    await pool.close()


async def test_an_archived_run_and_its_calls_name_their_archive_and_how_to_read_it(
    log: Log, archivist: Any, operator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = tmp_path / "a"
    monkeypatch.setenv("VIOX_ARCHIVES", str(folder))
    _, call = await ended(log)
    _, kept = await ended(log, months_ago=0)
    runs = {
        name: await log.admin.fetchval("select run_id from tool_calls where call_id = $1", one)
        for name, one in (("gone", call), ("kept", kept))
    }
    await log.tick()
    await retain(archivist, folder)
    place = archive_in(folder).name
    today = await log.admin.fetchval("select to_char(now(), 'FMDD FMMonth YYYY')")

    for look, of, table, rows in (
        (inspection.show_run(str(runs["gone"]), as_json=False), str(runs["gone"]), "steps", 3),
        (inspection.show_call(call, as_json=False), call, "ledger_entries", 2),
    ):
        await look
        told = capsys.readouterr().out
        assert f"archived on {today} by Dana, in archive {place}" in told
        assert f"viox retention --show {folder}/{place} --table {table} --of {of}" in told
        retention.show(folder / place, table, of)
        assert len(capsys.readouterr().out.splitlines()) == rows
        retention.show(folder / place, table, "0" + of)
        assert capsys.readouterr().out == ""
    await inspection.show_run(str(runs["gone"]), as_json=True)
    assert json.loads(capsys.readouterr().out)["archived"]["archive"] == place
    await inspection.show_run(str(runs["kept"]), as_json=True)
    assert json.loads(capsys.readouterr().out)["archived"] is None
    for reading in (forks.beginnings(operator, runs["gone"]), replays.recorded(operator, runs["gone"], tree=False)):
        with pytest.raises(Conflict, match=f"in archive {place}") as refused:
            await reading
        assert refused.value.code == "run.archived"


async def test_a_run_of_a_conversation_that_goes_on_after_it_was_archived_is_not_called_archived(
    log: Log, archivist: Any, operator: Any, tmp_path: Path
) -> None:
    thread, call = await ended(log)
    await log.tick()
    await retain(archivist, tmp_path / "a")
    again = await log.admin.fetchval(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type, finished_at)"
        " select gen_random_uuid(), agent, thread_id, conversation_id, 'cancelled', '/t', '2', 'x', clock_timestamp()"
        " from runs where thread_id = $1 returning run_id",
        thread,
    )
    old = await log.admin.fetchval("select run_id from tool_calls where call_id = $1", call)
    assert await found_in.of_run(operator, again, "closer") is None
    assert await found_in.of_run(operator, old, "closer") is not None


async def test_a_plan_counts_by_month_and_changes_nothing(log: Log, archivist: Any) -> None:
    for months_ago in (5, 5, 4, 1):
        await ended(log, months_ago)
    await log.tick()
    before = await counts(log)

    found = await work.plan(archivist, await work.cutoff(archivist, 2))

    assert [(one["conversations"], one["steps"], one["calls"], one["entries"]) for one in found] == [
        (2, 6, 2, 4),
        (1, 3, 1, 2),
    ]
    assert all(one["bytes"] > 500 for one in found)
    assert await counts(log) == before


KEPT = {
    "an open run": "update runs set status = 'running', finished_at = null where thread_id = $1",
    "a run that may be redriven": "update runs set status = 'blocked' where thread_id = $1",
    "a run that ended lately": "update runs set finished_at = now() where thread_id = $1",
    "an open call": "update tool_calls set state = 'executing', closed_at = null where thread_id = $1",
    "a call with an unknown effect": "update tool_calls set state = 'unknown', closed_at = null, unknown_since = now() where thread_id = $1",
    "a call that was settled lately": "update tool_calls set closed_at = now() where thread_id = $1",
    "an approval that waits": """insert into approvals (approval_id, call_id, revision, agent, tool, run_id, conversation_id, arguments,
        arguments_sha256, asked_sha256, policy_version, rules, reasons, people, expires_at)
        select 'apr_1', call_id, 1, agent, tool, run_id, conversation_id, '{}', '', '', '', '{}', '{}', 1, now()
        from tool_calls where thread_id = $1""",
    "a message that waits": """insert into inbox (agent, source, message_id, kind, thread_id, topic, value, headers)
        values ('closer', '/t', 'm', 'event', $1, 't', '', '[]')""",
    "a message that is being sent": """insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id)
        select gen_random_uuid(), 'closer', 't', '', '', '[]', '/t', call_id from tool_calls where thread_id = $1""",
    "a dead letter": """insert into dead_letters (dead_letter_id, service, topic, headers, run_id, code, error, attempts)
        select gen_random_uuid(), 'closer', 't', '[]', run_id, 'x', 'x', 1 from runs where thread_id = $1""",
    "a timer": """insert into timers (agent, conversation_id, name, due_at, instruction, context, set_by, asked_at)
        select agent, conversation_id, 'n', now(), '', '{}', '', now() from threads where thread_id = $1""",
    "a person who took over": "insert into pauses (scope, paused_by) values ('thread:' || $1::uuid, 'Dana')",
    "a child that runs": """insert into delegations (call_id, agent, run_id, thread_id, child_agent, child_run_id, child_thread_id,
        child_conversation, depth) values ('x', 'closer', gen_random_uuid(), $1, 'voice', gen_random_uuid(), gen_random_uuid(), 'c', 1)""",
    "a fork that goes on": """insert into threads (thread_id, agent, conversation_id, forked_from)
        values (gen_random_uuid(), 'closer', 'fork', $1)""",
    "a fork of a fork that goes on": """with middle as (
            insert into threads (thread_id, agent, conversation_id, forked_from, updated_at)
            values (gen_random_uuid(), 'closer', 'fork', $1, now() - interval '1 year') returning thread_id)
        insert into threads (thread_id, agent, conversation_id, forked_from)
        select gen_random_uuid(), 'closer', 'fork of it', thread_id from middle""",
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT.keys())
async def test_what_something_still_needs_stays(log: Log, archivist: Any, tmp_path: Path, change: str) -> None:
    thread, _ = await ended(log)
    await log.admin.execute(change, thread)
    await log.tick()

    done = await retain(archivist, tmp_path / "a")

    assert done.conversations == 0
    assert await counts(log) == {"steps": 3, "entries": 2, "calls": 0}


async def test_what_is_signed_nowhere_does_not_leave(log: Log, archivist: Any, tmp_path: Path) -> None:
    await log.call()
    await log.tick()
    await ended(log)

    with pytest.raises(Conflict, match="no signed checkpoint"):
        await retain(archivist, tmp_path / "a")

    assert await counts(log) == {"steps": 3, "entries": 4, "calls": 0}
    await log.tick()
    assert (await retain(archivist, tmp_path / "a")).entries == 2


async def test_who_is_written_to_meanwhile_stays(log: Log, archivist: Any, tmp_path: Path, monkeypatch: Any) -> None:
    thread, _ = await ended(log)
    await ended(log)
    await log.tick()
    leave = work._leave

    async def after_a_message(*arguments: Any) -> None:
        await log.admin.execute(KEPT["a message that waits"], thread)
        await leave(*arguments)

    monkeypatch.setattr(work, "_leave", after_a_message)
    done = await retain(archivist, tmp_path / "a")
    await log.tick()

    assert (done.conversations, done.kept, done.entries) == (2, 1, 2)
    assert await log.admin.fetchval("select count(*) from steps where thread_id = $1", thread) == 3
    assert (await log.verify()).problems == []


async def test_a_conversation_that_went_on_leaves_once_more(log: Log, archivist: Any, tmp_path: Path) -> None:
    thread, _ = await ended(log)
    await log.tick()
    await retain(archivist, tmp_path / "a")
    other, _ = await ended(log)
    await log.admin.execute("update runs set thread_id = $1 where thread_id = $2", thread, other)
    await log.admin.execute("update steps set thread_id = $1, seq = seq + 3 where thread_id = $2", thread, other)
    await log.tick()

    done = await retain(archivist, tmp_path / "a")
    await log.tick()

    assert (done.conversations, done.steps, done.entries, done.calls) == (1, 3, 2, 1)
    report = await log.verify()
    assert (report.problems, report.archived) == ([], 4)


# -- found -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def archived(log: Log, archivist: Any, tmp_path: Path) -> Path:
    """One conversation archived, one there."""
    await ended(log)
    await ended(log, months_ago=0)
    await log.tick()
    await retain(archivist, tmp_path / "a")
    await log.tick()
    return archive_in(tmp_path / "a")


TAMPERED = {
    "an entry is removed": ["delete from ledger_entries where entry_id = (select min(entry_id) from ledger_entries)"],
    "an entry is removed and said to be archived": [
        """insert into archived_entries (span, archive)
           select int8range(min(entry_id), min(entry_id), '[]'), (select archive from archives) from ledger_entries""",
        "delete from ledger_entries where entry_id = (select min(entry_id) from ledger_entries)",
    ],
    "the act is removed": ["delete from audit_acts where act = 'archived'"],
    "the act says something else": [
        """update audit_acts set detail = '{"leaves": 2, "leaves_sha256": "0"}' where act = 'archived'"""
    ],
    "it is on no record": ["delete from archived_entries"],
}


@pytest.mark.parametrize("statements", TAMPERED.values(), ids=TAMPERED.keys())
async def test_what_is_merely_gone_is_found(log: Log, archived: Path, statements: list[str]) -> None:
    assert await log.codes() == set()
    await log.as_superuser(*statements)

    assert "entry.removed" in await log.codes()


async def test_a_stranger_tells_archived_from_removed(log: Log, archived: Path, tmp_path: Path) -> None:
    folder = await exported(log, tmp_path / "export")

    code, said = run(folder)
    assert code == 0, said
    assert "2 archived" in said
    told = json.loads((folder / "archived.json").read_text())
    told[0][1][0][1] += 1
    (folder / "archived.json").write_text(json.dumps(told))
    code, said = run(folder)
    assert (code, "no archive on record has it" in said) == (1, True)
    (folder / "archived.json").write_text("[]")
    code, said = run(folder)
    assert (code, "its entry was removed" in said) == (1, True)


async def test_an_export_of_late_contents_has_the_acts_of_archives(log: Log, archived: Path, tmp_path: Path) -> None:
    late = await log.admin.fetchval("select now() + interval '1 day'")

    code, said = run(await exported(log, tmp_path / "export", since=late))

    assert (code, "2 archived" in said) == (0, True), said


async def test_nobody_deletes_what_is_on_no_record(log: Log, archived: Path) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await log.admin.execute("delete from ledger_entries")


# -- archives ----------------------------------------------------------------------------------------------------------


async def test_an_archive_is_read_again(archived: Path) -> None:
    told = files.check(archived)
    rows = {one.table: [files.readable(row, one) for row in files.rows_of(archived, one)] for one in told["tables"]}

    assert [row["body"]["text"] for row in rows["steps"]] == [f"tab\t and line\n ü {n}" for n in range(3)]
    assert rows["tool_calls"][0]["arguments"] == {"to": "ana@example.com"}
    assert [row["phase"] for row in rows["ledger_entries"]] == ["intent", "outcome"]
    assert rows["ledger_entries"][1]["response_body"] == '{"id": "müller \\\\ 1"}'


async def test_an_archive_is_what_was_signed(log: Log, archivist: Any, archived: Path) -> None:
    assert await leaves.check(archivist, archived, 1) == []
    await log.as_superuser("update audit_leaves set hashes = decode(repeat('00', octet_length(hashes)), 'hex')")
    assert len(await leaves.check(archivist, archived, 1)) == 2


async def test_an_archive_is_loaded_for_an_auditor(log: Log, archived: Path) -> None:
    """As docs/audit.md says."""
    import gzip

    await log.admin.execute(
        "create schema shown; create table shown.ledger_entries as select * from ledger_entries limit 0"
    )
    try:
        table = next(one for one in files.manifest(archived)["tables"] if one.table == "ledger_entries")
        with gzip.open(archived / table.file) as file:
            await log.admin.copy_to_table(
                "ledger_entries", schema_name="shown", source=file, columns=[name for name, _ in table.columns]
            )
        found = await log.admin.fetchrow("select * from shown.ledger_entries where phase = 'outcome'")
        assert found["response_body"] == b'{"id": "m\xc3\xbcller \\\\ 1"}'
    finally:
        await log.admin.execute("drop schema shown cascade")


@pytest.mark.parametrize("name", ["manifest.json", "steps.copy.gz", "ledger_entries.copy.gz"])
async def test_an_archive_that_was_changed_is_found(log: Log, archived: Path, name: str) -> None:
    recorded = await log.admin.fetchval("select manifest_sha256 from archives")
    raw = bytearray((archived / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (archived / name).write_bytes(raw)

    with pytest.raises(BadInput, match=r"changed|record|cannot be read"):
        files.check(archived, recorded)


# -- killed ------------------------------------------------------------------------------------------------------------

# A process that ends itself without a word at one of the steps. argv: DSN, folder, step.
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from shared.retention import files, work
from shared.store.pool import open_pool

dsn, folder, step = sys.argv[1:]
work.A_BATCH = 1
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
async def die_async(*_):
    die()
async def main():
    pool = await open_pool(dsn, application="killed", size=2)
    async with pool.acquire() as connection:
        if step == "begun":
            work._write = die_async
        if step == "copied":
            files.finish = die
        if step == "written":
            finish = files.finish
            files.finish = lambda *given: (finish(*given), die())
        if step == "recorded":
            work._leave = die_async
        if step == "leaving":
            check = files.check
            fetch, looked = type(connection).fetchrow, []
            async def fetchrow(self, query, *given, **more):
                if "leave_archive" in query:
                    looked.append(1)
                    if len(looked) == 3:
                        die()
                return await fetch(self, query, *given, **more)
            type(connection).fetchrow = fetchrow
        await work.run(connection, Path(folder), await work.cutoff(connection, 2), "Dana")
asyncio.run(main())
"""
LEFT = {
    "begun": 0,
    "copied": 0,
    "written": 0,
    "recorded": 0,
    "leaving": 2,
}  # conversations that have left when it is killed


@pytest.mark.parametrize("step", LEFT)
async def test_killed_at_any_step_it_goes_on(
    log: Log, archivist: Any, postgres: Postgres, tmp_path: Path, step: str
) -> None:
    for _ in range(4):
        await ended(log)
    await log.tick()

    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED,
        postgres.dsn("viox_archivist"),
        str(tmp_path / "a"),
        step,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert await child.wait() == -signal.SIGKILL
    await log.tick()
    report = await log.verify()
    assert report.problems == []
    assert (await counts(log))["calls"] == LEFT[step]
    done = await retain(archivist, tmp_path / "a")
    await log.tick()

    assert done.conversations == 4 - LEFT[step]
    assert await counts(log) == {"steps": 0, "entries": 0, "calls": 4}
    report = await log.verify()
    assert (report.problems, report.archived) == ([], 8)
    assert files.check(archive_in(tmp_path / "a"))["rows"] == {"steps": 12, "tool_calls": 4, "ledger_entries": 8}


async def test_nothing_more_leaves_when_the_archive_is_gone(
    log: Log, archivist: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    await ended(log)
    await log.tick()
    finish = files.finish

    def lost(part: Path, path: Path, *rest: Any) -> str:
        digest = finish(part, path, *rest)
        shutil.rmtree(path)
        return digest

    monkeypatch.setattr(files, "finish", lost)
    for _ in range(2):
        with pytest.raises(BadInput, match="cannot be read"):
            await retain(archivist, tmp_path / "a")
    assert await counts(log) == {"steps": 3, "entries": 2, "calls": 0}


async def test_no_two_databases_give_an_archive_the_same_name(log: Log, archivist: Any, tmp_path: Path) -> None:
    """Each numbers its archives from 1; they may share a folder, and one that was restored numbers again."""
    await ended(log)
    await log.tick()
    await retain(archivist, tmp_path / "a")
    assert re.fullmatch(r"\d{4}-\d\d-\d{6}-[0-9a-f]{8}", archive_in(tmp_path / "a").name)


async def test_two_do_not_run_at_once(log: Log, archivist: Any, admin: Any, tmp_path: Path) -> None:
    await admin.fetchval("select pg_advisory_lock(7032, 1)")
    try:
        with pytest.raises(Conflict, match="another retention runs"):
            await retain(archivist, tmp_path / "a")
    finally:
        await admin.fetchval("select pg_advisory_unlock(7032, 1)")


# -- by command --------------------------------------------------------------------------------------------------------


async def viox(postgres: Postgres, tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """As the nightly job runs it: nobody is named, and no stack is here."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VIOX_")} | {
        "VIOX_POSTGRES_DSN": postgres.dsn("viox_archivist"),
        "VIOX_HOME": str(tmp_path),
        "VIOX_RETENTION_MONTHS": "2",
    }
    command = [sys.executable, "-m", "viox", "retention", *arguments]
    child = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await child.communicate()
    return child.returncode or 0, said.decode()


async def test_the_command_plans_archives_shows_and_checks(log: Log, postgres: Postgres, tmp_path: Path) -> None:
    await ended(log)
    await log.tick()

    code, said = await viox(postgres, tmp_path)
    assert (code, "nothing was changed" in said) == (0, True), said
    code, said = await viox(postgres, tmp_path, "--yes", "--json")
    assert (code, '"entries": 2' in said) == (0, True), said
    archive = str(archive_in(tmp_path / "archives"))
    code, said = await viox(postgres, tmp_path, "--show", archive, "--table", "tool_calls")
    assert (code, json.loads(said)["arguments"]) == (0, {"to": "ana@example.com"})
    code, said = await viox(postgres, tmp_path, "--check", archive)
    assert (code, "as it was signed" in said) == (0, True), said
    assert await log.admin.fetchval("select by from audit_acts where act = 'archived'") == "retention"
    code, said = await viox(postgres, tmp_path)
    assert (code, "nothing would leave" in said) == (0, True), said
