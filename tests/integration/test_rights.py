"""Who may do what with which table, as the database that the migrations made says it.

A cell has one letter per command: s(elect), i(nsert), u(pdate), d(elete). Capital letters mean all rows, small ones that
policies leave only some: those of the role itself, as a rule. A number in brackets stands for the columns that a
right is limited to.
"""

# ruff: noqa: S608  # names of tables come from the table below
from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from shared.bus.topics import all_topics
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("rights.sql"))
GROUPS = ("viox_agents", "viox_gateways", "viox_operators", "viox_readers", "viox_askers", "viox_archivists")
# Columns that a right is limited to
COLUMNS = {
    "1": "state",
    "2": "redriven_at state",
    "3": "active_run agent run_cost_microusd run_input_tokens run_model run_output_tokens run_steps run_tool_calls taking"
    " thread_id waits_for_budget",
    "M": "active_run agent archived forked_before forked_from run_cost_microusd run_input_tokens run_model run_output_tokens run_steps"
    " run_tool_calls taking thread_id waits_for_budget",
    "4": "attempts next_at",
    "5": "cost_microusd error finished_at input_tokens merged_into model output_tokens status steps text tool_calls",
    "6": "error finished_at status",
    "U": "used_at",
    "7": "active_run attempts awaiting graph_version lease_owner lease_until next_seq retry_at run_cost_microusd"
    " run_input_tokens run_model run_output_tokens run_steps run_tool_calls taking updated_at version waits_for_budget",
    "9": "settled_until",
    "0": "deliveries detail last_at",
    "A": "decided_at state",
    "B": "left_calls",
    "C": "released_at released_by",
    "D": "held letters",
    "E": "replaced_at replaced_by",
    "F": "embedding model",
    "G": "document_id ordinal place text",
    "H": "ended_at",
    "I": "day told_at",
    "J": "agent approval_id arguments_sha256 attempt call_id checks detail method phase request_body request_headers"
    " request_sha256 response_body response_headers response_sha256 status tool url",
    "K": "attempt call_id detail phase",
    "L": "checked_at complete_to stopped",
    "N": "ended_at ended_because ended_by",
    "8": "closed_at error not_before result state unknown_since",
}
RIGHTS = """
    relation           | agents     | gateways   | operators  | readers | askers | archivists
    alembic_version    |            |            |            |         |
    archive_threads    |            | S          | S          | S       |        | S
    archived_entries   |            | S          | S          | S       |        | S
    archives           |            | S          | S          | S       |        | S
    announcers         | s i u(9) d |            |            | S       |
    approval_notices   |            | S I U D    | S          | S       |
    approval_votes     |            | S          | S          | S       |
    approvals          | s          | S i u(A)   | S          | S       |
    budget_notices     |            | S I        | S          | S       |
    budget_raises      |            |            | S          | S       |
    budget_releases    |            |            | S          | S       |
    budget_settings    |            | S          | S          | S       |
    budget_use         |            |            | S          | S       |
    budgets            | S          | S          | S          | S       |
    business.calls     |            |            |            |         | S
    business.notes     |            |            |            |         | S
    business.records   |            |            |            |         | S
    business.runs      |            |            |            |         | S
    call_labels        |            | S I        | S          | S       |
    call_parties       |            | S I        | S          | S       |
    catalogue          | s          | S I U D    | S          | S       |
    console_acts       |            |            | S I        | S       |
    console_failures   |            |            | S I D      |         |
    console_sessions   |            |            | S I D      |         |
    console_views      |            |            | S I U D    |         |
    contact_owners     |            | S I U      |            | S       |
    contact_wishes     | s i        | S          | S          | S       |
    dead_letters       | s i u(1)   | s i u(1)   | S u(2)     | S       |
    conversation_calls |            |            | S          |         |        | S
    delegations        |            | S I U(H)   | S          | S       |
    documents          |            | S          | S I U D    | S       |
    facts              |            | S I U(E)   | S          | S       |
    forgettings        |            | S          | S          | S       |
    inbox              | s i u(1)   |            | S i u(1) d | S       |
    knowledge          |            | S          | S I U      | S       |
    audit_acts         |            | S          | S          | S       |
    audit_checkpoints  |            | S I        | S          | S       |        | S
    audit_cosignatures |            | S I        | S          | S       |
    audit_erased       |            | S          | S          | S       |        | S
    audit_leaves       |            | S I        | S          | S       |        | S
    audit_logs         |            | S U(L)     | S          | S       |        | S
    audit_tiles        |            | S I        | S          | S       |
    ledger_entries     |            | S I(J)     | S i(K)     | S       |        | S
    live_calls         |            |            | S          | S       |
    live_tokens        |            | S I U D    | S          | S       |
    memory_model       |            | S I U      | S          | S       |
    model_holds        |            |            |            |         |
    notes              |            | S I U      | S          | S       |
    oauth_tokens       |            | S I U      |            |         |
    outbox             | s i u(4) d | s i u(4) d | S i        | S       |
    passages           |            | S I U(F) D | S i(G) d   | S       |
    person_links       |            | S i u(N)   | S          | S       |
    payload_uses       |            | S I        | S          | S       |
    payloads           |            | S I U(U) D | S          | S       |
    pauses             | S          | S          | S I U D    | S       |
    prompts            | I          |            | S          | S       |
    rate_limits        |            | S I U      |            | S       |
    record_writes      |            | S I        |            | S       |
    records            |            | S I U      |            | S       |
    routes             |            |            |            | S       |
    run_overview       | S          | S          | S          | S       |
    runs               | s i u(5)   | S          | S u(6)     | S       |        | S
    standing_approvals |            | S u(B)     | S          | S       |
    sandbox_clock      | S          | S          | S          | S       |
    schedule_marks     |            | S I U(I)   | S          | S       |
    sealed_calls       |            | S I U D    |            |         |
    steps              | s i        | s          | S          | S       |        | S
    thread_labels      |            | S I        | S          | S       |
    threads            | s i u(7)   | S(3)       | S(M)       | S       |
    timers             |            | S I U D    | S          | S       |
    tool_calls         | s          | S I U      | S u(8)     | S       |        | S
    topic_writers      | S          | S          | S          | S       |
    waits              |            | S I D      | S          | S       |
    webhook_deliveries |            | S I U(0)   | S          | S       |
    webhook_events     |            | S I        | S          | S       |
    webhook_pollers    |            | S I U D    | S          | S       |
    webhook_sources    |            | S I U D    | S          | S       |
    webhook_trips      |            | S I U(D)   | S u(C)     | S       |
"""


def expected() -> dict[str, tuple[str, ...]]:
    """The table above: relation → what each of GROUPS may do."""
    lines = [[part.strip() for part in line.split("|")] for line in RIGHTS.strip().splitlines()[1:]]
    full = [
        (name, *[re.sub(r"(?<=\()[0-9A-Z](?=\))", lambda found: COLUMNS[found[0]], one) for one in cells])
        for name, *cells in lines
    ]
    return {name: tuple(cells + [""] * (len(GROUPS) - len(cells))) for name, *cells in full}


EXPECTED = expected()
# Functions that run with their owner's rights say so, and have a fixed search path.
DEFINER = "definer search_path=pg_catalog, public, pg_temp"
FUNCTIONS = {
    "viox_agents": {
        "acting_agent": "",
        "decide_routes": DEFINER,
        "owner_alive": "",
        "past_of": "",
        "received_messages": DEFINER,
        "reserve_model_budget": DEFINER,
        "run_outcome": "",
        "settle_model_budget": DEFINER,
        "viox_now": "",
        "wait_for_budget": DEFINER,
    },
    "viox_gateways": {
        "asked_by_rule": DEFINER,
        "audit_field": "",
        "begin_live_calls": DEFINER,
        "budget_day": "",
        "call_in_doubt": "",
        "call_is_tainted": "",
        "entity_key": "",
        "forget_memory": DEFINER,
        "index_passages": DEFINER,
        "nearest_passages": "",
        "same_person": "",
        "cancel_child": DEFINER,
        "labels_before": "",
        "end_live_runs": DEFINER,
        "erase_old_contents": DEFINER,
        "forget_budgets": DEFINER,
        "owner_alive": "",
        "publish_budgets": DEFINER,
        "received_messages": DEFINER,
        "reserve_budgets": DEFINER,
        "reserve_rate_slots": "",
        "run_outcome": "",
        "viox_now": "",
    },
    "viox_operators": {
        "advance_clock": DEFINER,
        "audit_field": "",
        "audit_restart": DEFINER,
        "budget_day": "",
        "budget_limit": "",
        "decide_approval": DEFINER,
        "erase_person": DEFINER,
        "entity_key": "",
        "begin_archive": DEFINER,
        "drop_archive": DEFINER,
        "forget_document": DEFINER,
        "forget_memory": DEFINER,
        "fork_run": DEFINER,
        "give_standing_approval": DEFINER,
        "labels_before": "",
        "leave_archive": DEFINER,
        "link_person": DEFINER,
        "record_archive": DEFINER,
        "retention_months": DEFINER,
        "retention_plan": DEFINER,
        "same_person": "",
        "past_of": "",
        "raise_budget": DEFINER,
        "revoke_standing_approval": DEFINER,
        "run_outcome": "",
        "viox_now": "",
    },
    "viox_readers": {"run_outcome": "", "viox_now": ""},
    "viox_askers": {},
    "viox_archivists": {
        "begin_archive": DEFINER,
        "drop_archive": DEFINER,
        "leave_archive": DEFINER,
        "record_archive": DEFINER,
        "retention_months": DEFINER,
        "retention_plan": DEFINER,
    },
}
# One row of another agent in every table that agents reach at all.
FOREIGN = {
    "threads": "insert into threads (thread_id, agent, conversation_id) values (gen_random_uuid(), 'closer', 'c')",
    "runs": """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)
               values (gen_random_uuid(), 'closer', gen_random_uuid(), 'c', 'running', '/t', '1', 'x')""",
    "steps": """insert into steps (agent, run_id, step, thread_id, seq, kind, body)
                values ('closer', gen_random_uuid(), 1, gen_random_uuid(), 1, 'note', '{}')""",
    "inbox": """insert into inbox (agent, source, message_id, kind, thread_id, topic, value, headers)
                values ('closer', '/t', '1', 'task', gen_random_uuid(), '', '', '[]')""",
    "outbox": """insert into outbox (outbox_id, owner, topic, key, value, headers, source, message_id)
                 values (gen_random_uuid(), 'closer', 'viox.runs', '', '', '[]', '/t', '1')""",
    "dead_letters": """insert into dead_letters (dead_letter_id, service, topic, headers, code, error, attempts)
                       values (gen_random_uuid(), 'closer', 'viox.tasks.closer', '[]', 'x', 'x', 1)""",
    "announcers": "insert into announcers (owner, agent, settled_until) values ('x', 'closer', now())",
    "contact_wishes": """insert into contact_wishes (address, channel, asked_at, wish, source, message_id, recorded_by)
                         values ('+1', 'sms', now(), 'stop', '/t', '1', 'closer')""",
    "catalogue": """insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to)
                    values ('t', 'v', 'GET', '/', 'read', '{}', '', '{}', '{closer}')""",
    "approvals": """insert into approvals (approval_id, call_id, revision, agent, tool, run_id, conversation_id, arguments,
                    arguments_sha256, asked_sha256, policy_version, rules, reasons, people, expires_at)
                    values ('x', 'x', 1, 'closer', 't', gen_random_uuid(), 'c', '{}', '', '', '', '{}', '{}', 1, now())""",
    "tool_calls": """insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, arguments,
                     arguments_sha256) values ('x', gen_random_uuid(), 1, 0, 'closer', 'c', 't', 'requested', '{}', '')""",
}
LIMITED = [name for name, (agents, *_) in EXPECTED.items() if any(part[0].islower() for part in agents.split())]


@pytest.fixture
async def owner(postgres: Postgres) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    yield connection
    await connection.close()


async def cell(connection: Any, role: str, relation: str) -> str:
    """What a role may do with a relation."""
    secured = await connection.fetchval(SQL["row_security"], relation)
    letters = []
    for row in await connection.fetch(SQL["privileges"], role, relation):
        command = row["privilege"]
        if not row["whole"] and not row["columns"]:
            continue
        letter = command[0] if command in ("SELECT", "INSERT", "UPDATE", "DELETE") else f"{command}!"
        if secured:
            reach = await _reach(connection, role, relation, command)
            if reach == "none":
                continue
            letter = letter.lower() if reach == "some" else letter
        letters.append(letter if row["whole"] else f"{letter}({' '.join(row['columns'])})")
    return " ".join(letters)


async def _reach(connection: Any, role: str, relation: str, command: str) -> str:
    """Which rows policies leave: none, some, all."""
    name = relation if "." in relation else f"public.{relation}"
    found = await connection.fetch(SQL["policies"], name, role, command)
    of_command = [(p["permissive"], p["qual"], p["with_check"] or p["qual"]) for p in found]
    if not any(permissive for permissive, _, _ in of_command):
        return "none"
    free = any(permissive and {using, check} <= {"true", None} for permissive, using, check in of_command)
    return "all" if free and all(permissive for permissive, _, _ in of_command) else "some"


async def test_every_role_has_the_rights_of_the_table_and_no_others(owner: Any) -> None:
    relations = [row["relation"] for row in await owner.fetch(SQL["relations"])]
    found = {relation: tuple([await cell(owner, role, relation) for role in GROUPS]) for relation in relations}
    assert found == EXPECTED


@pytest.mark.parametrize("role", GROUPS)
async def test_every_role_may_execute_the_functions_of_the_table_and_no_others(owner: Any, role: str) -> None:
    rows = await owner.fetch(SQL["functions"], role)
    assert {row["name"]: f"definer {row['settings']}" if row["definer"] else "" for row in rows} == FUNCTIONS[role]


async def test_no_role_of_ours_is_above_the_rights_of_tables(owner: Any) -> None:
    rows = await owner.fetch(
        "select rolname from pg_roles where rolname like 'viox%'"
        " and (rolsuper or rolbypassrls or rolcreatedb or rolreplication or rolcreaterole)"
    )
    assert [row["rolname"] for row in rows] == ["viox"], "the owner, who makes the other roles"
    for role in GROUPS:
        assert not await owner.fetchval("select has_schema_privilege($1, 'public', 'create')", role)
        assert not await owner.fetchval("select has_database_privilege($1, current_database(), 'temp')", role)


@pytest.mark.parametrize("table", LIMITED)
async def test_rows_of_another_agent_are_not_there(postgres: Postgres, admin: Any, table: str) -> None:
    await admin.execute(FOREIGN[table])
    connection = await asyncpg.connect(postgres.dsn("viox_voice"))
    try:
        assert await connection.fetchval(f"select count(*) from {table}") == 0
        _, *changes = EXPECTED[table][0].replace("(", " ").replace(")", "").split()
        if "u" in changes:
            column = "state" if table == "dead_letters" else await _changeable(admin, table)
            assert await connection.execute(f"update {table} set {column} = {column}") == "UPDATE 0"
        if "d" in changes:
            assert await connection.execute(f"delete from {table}") == "DELETE 0"
        if "i" in changes:
            await admin.execute(f"delete from {table}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(FOREIGN[table])
    finally:
        await connection.close()
    assert await admin.fetchval(f"select count(*) from {table}") == ("i" not in changes)


async def test_runs_as_their_readers_see_them_are_those_of_the_reader(postgres: Postgres, admin: Any) -> None:
    await admin.execute(FOREIGN["runs"])
    for role, seen in (("viox_voice", 0), ("viox_closer", 1), ("viox_gateway", 1), ("viox_operator_cli", 1)):
        connection = await asyncpg.connect(postgres.dsn(role))
        assert await connection.fetchval("select count(*) from run_overview") == seen, role
        await connection.close()


async def _changeable(admin: Any, table: str) -> str:
    rows = await admin.fetch(SQL["privileges"], "viox_agents", table)
    return str(next(row["columns"][0] for row in rows if row["privilege"] == "UPDATE"))


async def test_the_database_knows_the_writers_of_topics_as_the_code_does(owner: Any) -> None:
    rows = await owner.fetch("select topic, writer from topic_writers")
    written = {(topic.name, writer) for topic in all_topics() for writer in topic.writers}
    assert {(row["topic"], row["writer"]) for row in rows} == written


@pytest.mark.parametrize("view", ["records", "notes", "runs", "calls"])
async def test_who_asks_in_sql_reads_every_view_of_the_business(admin: Any, postgres: Postgres, view: str) -> None:
    await admin.execute(FOREIGN["threads"])
    await admin.execute(FOREIGN["runs"])
    asker = await asyncpg.connect(postgres.dsn("viox_query"))
    try:
        found = await asker.fetchval(f"select count(*) from business.{view}")
        assert found == (1 if view == "runs" else 0)
    finally:
        await asker.close()
