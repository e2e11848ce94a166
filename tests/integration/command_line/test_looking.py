"""Commands that look, on real Postgres: what they load, what they call things, and ids in short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.answers.large import Large
from services.tool_gateway.call.payloads import by_reference, keep
from shared.errors import BadInput, NotFound
from shared.ids import call_id, run_id
from shared.operations import identify, store
from shared.store.acting import acting
from shared.store.pool import Pool, open_pool
from tests.unit import test_command_line_imports as imports
from viox import inspection, intervention, payloads, top

REAL = str(run_id("closer", "/t", "1"))
FIRST = "ab12cd34-0000-5000-8000-000000000001"
OTHER = "ab12ff34-0000-5000-8000-000000000002"


async def run(admin: Any, identity: str, status: str = "finished", trigger: str = "1") -> None:
    await admin.execute(
        """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)
           values ($1, 'closer', $1, 'c', $2, '/t', $3, 'x')""",
        identity,
        status,
        trigger,
    )


async def call(
    admin: Any, of: str, step: int, state: str = "succeeded", status: int | None = 200, error: str | None = None
) -> str:
    made = call_id(of, step, 0)  # type: ignore[arg-type]
    await admin.execute(
        """insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, http_status, error,
                                   arguments, arguments_sha256)
           values ($1, $2, $3, 0, 'closer', 'c', 'hubspot_get_contact', $4, $5, $6, '{}', '')""",
        made,
        of,
        step,
        state,
        status,
        error,
    )
    return made


@pytest.mark.parametrize("command", [*imports.LOOKING[:1], ["calls"], ["run", REAL[:8]], ["call", f"{REAL[:8]}.4.0"]])
async def test_what_a_command_that_looks_loads_to_the_end(admin: Any, postgres: Postgres, command: list[str]) -> None:
    await run(admin, REAL)
    await call(admin, REAL, 4)
    code, modules, _ = imports.run(command, {"VIOX_POSTGRES_DSN": postgres.dsn("viox_operator_cli")})
    assert code == 0
    assert not modules & imports.HEAVY


async def test_the_beginning_of_an_id_is_enough_when_only_one_begins_so(admin: Any, operator_pool: Pool) -> None:
    await run(admin, FIRST)
    await run(admin, OTHER, trigger="2")
    assert str(await identify.run(operator_pool, "ab12c")) == FIRST
    assert str(await identify.run(operator_pool, "AB12CD34-00")) == FIRST
    assert str(await identify.run(operator_pool, OTHER)) == OTHER
    with pytest.raises(BadInput, match=f"(?s){FIRST} .*{OTHER}|{OTHER} .*{FIRST}") as ambiguous:
        await identify.run(operator_pool, "ab12")
    assert ambiguous.value.code == "id.ambiguous"
    with pytest.raises(NotFound):
        await identify.run(operator_pool, "ab13")
    for no_id in ("", "-", "run", "'; drop", FIRST + "0"):
        with pytest.raises(BadInput, match="is not the id of a run"):
            await identify.run(operator_pool, no_id)


async def test_a_call_is_found_by_a_short_run_and_its_step(admin: Any, operator_pool: Pool) -> None:
    await run(admin, FIRST)
    second, twelfth = await call(admin, FIRST, 1), await call(admin, FIRST, 12)
    assert await identify.call(operator_pool, second) == second
    assert await identify.call(operator_pool, "ab12.12") == twelfth
    assert await identify.call(operator_pool, "ab12.1") == second
    assert await identify.call(operator_pool, "ab12.1.0") == second
    assert await identify.call(operator_pool, twelfth[:-2]) == twelfth
    with pytest.raises(BadInput) as ambiguous:
        await identify.call(operator_pool, FIRST)
    assert {second, twelfth} <= set(ambiguous.value.message.replace(":", "").split())
    with pytest.raises(NotFound):
        await identify.call(operator_pool, "ab12.3")


async def test_commands_that_change_something_take_short_ids_too(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(admin, REAL, "running")
    made = await call(admin, REAL, 1, "unknown", None)
    await intervention.settle(f"{REAL[:8]}.1", "succeeded", None, "me", as_json=True)
    assert json.loads(capsys.readouterr().out)["call_id"] == made
    await intervention.cancel(REAL[:8], "me", as_json=True)
    assert json.loads(capsys.readouterr().out)["run_id"] == REAL


async def test_a_run_that_finished_with_failed_calls_is_among_the_failed(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(admin, FIRST)
    await call(admin, FIRST, 1, "failed", 500)
    await call(admin, FIRST, 2)
    await run(admin, OTHER, trigger="2")
    await call(admin, OTHER, 1)
    await inspection.show_runs(None, None, None, None, 50, failed=True, as_json=True)
    assert [item["run_id"] for item in json.loads(capsys.readouterr().out)["items"]] == [FIRST]
    await inspection.show_runs(None, None, None, None, 50, failed=False, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert ["1 of" in line for line in lines if FIRST in line] == [True]
    assert ["failed" in line for line in lines if OTHER in line] == [False]


DENIED, TWICE, MISSING = (f'{{"code": "tool.{code}"}}' for code in ("invalid_arguments", "same_call", "not_found"))


@pytest.mark.parametrize(
    ("calls", "outcome", "failed"),
    [
        ([], "succeeded", 0),
        ([("succeeded", 200, None)], "succeeded", 0),
        ([("succeeded", 200, None), ("failed", 500, None)], "partly", 1),
        ([("failed", 400, None), ("denied", None, None), ("expired", None, None)], "failed", 3),
        ([("denied", None, TWICE), ("succeeded", 200, None)], "succeeded", 0),
        ([("denied", None, DENIED), ("succeeded", 200, None)], "succeeded", 0),
        ([("succeeded", 200, None), ("denied", None, DENIED)], "partly", 1),
        ([("denied", None, MISSING), ("succeeded", 200, None)], "succeeded", 0),
    ],
)
async def test_how_a_run_came_out(
    admin: Any, operator_pool: Pool, calls: list[tuple[str, int | None, str | None]], outcome: str, failed: int
) -> None:
    await run(admin, REAL)
    for step, (state, status, error) in enumerate(calls):
        await call(admin, REAL, step, state, status, error)
    found = await store.run(operator_pool, UUID(REAL))
    assert (found["outcome"], found["failed_calls"]) == (outcome, failed)


@pytest.mark.parametrize(("status", "outcome"), [("failed", "failed"), ("blocked", "failed"), ("cancelled", None)])
async def test_what_did_not_finish_failed(admin: Any, operator_pool: Pool, status: str, outcome: str | None) -> None:
    await run(admin, REAL, status)
    assert (await store.run(operator_pool, UUID(REAL)))["outcome"] == outcome


async def test_states_have_words(admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    await run(admin, FIRST)
    await call(admin, FIRST, 1, "denied", None)
    await call(admin, FIRST, 2, "unknown", None)
    await call(admin, FIRST, 3, "succeeded", 404)
    await inspection.show_calls(None, None, None, None, None, None, 50, failed=False, as_json=False)
    printed = capsys.readouterr().out
    for words in ("  declined", "  outcome unknown", "  not found at the vendor"):
        assert words in printed
    assert "denied" not in printed


async def test_a_result_that_travelled_by_reference_is_named_and_printed_whole(
    admin: Any, operator_pool: Pool, gateway_pool: Pool, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    identity, content = "a0000000-0000-4000-8000-000000000001", b'{"rows": ["' + b"x" * 300_000 + b'"]}'
    await run(admin, identity)
    one = await call(admin, identity, 1)
    result, payload = by_reference(one, Large(content, "application/json"))
    assert payload is not None
    await admin.execute(
        "update tool_calls set result = $2::text::json where call_id = $1", one, orjson.dumps(result).decode()
    )
    await keep(gateway_pool, [payload])

    await inspection.show_call(one, as_json=False)
    assert f"viox payload {payload.payload_id}".encode() in capfdbinary.readouterr().out
    await payloads.show_payload(payload.payload_id, None, as_json=False)
    assert capfdbinary.readouterr().out == content
    await payloads.show_body(one, tmp_path / "body", as_json=False)
    assert (tmp_path / "body").read_bytes() == content

    await admin.execute("delete from payloads")
    with pytest.raises(NotFound, match="is gone"):
        await payloads.show_payload(payload.payload_id, None, as_json=False)


async def test_top_is_one_document_where_it_is_asked_for(
    operator_pool: Pool, admin: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(admin, REAL, "running")
    await call(admin, REAL, 4, "unknown", None)
    assert await top.once(as_json=True) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["counts"]["unknowns"], [one["run_id"] for one in seen["running"]]) == (1, [REAL])
    assert seen["today"]["begun"] == 1


async def test_what_people_change_is_on_record_with_their_name(operator_pool: Pool, admin: Any) -> None:
    await intervention.pause("closer", "Dana", as_json=True)
    await intervention.resume("closer", "Lee", as_json=True)
    await intervention.pause("all", "Olu", as_json=True)
    acts = await admin.fetch(
        "select act, by from audit_acts where subject in ('agent:closer', 'all') order by entry_id"
    )
    assert [tuple(row) for row in acts] == [("paused", "Dana"), ("resumed", "Lee"), ("paused", "Olu")]


async def test_a_connection_that_is_given_back_acts_for_nobody(postgres: Postgres, admin: Any) -> None:
    pool = await open_pool(postgres.dsn("viox_operator_cli"), application="test", size=1, for_people=True)
    with acting("Dana"):
        assert await pool.fetchval("select current_setting('viox.person', true)") == "Dana"
    assert not await pool.fetchval("select current_setting('viox.person', true)")
    await pool.close()
