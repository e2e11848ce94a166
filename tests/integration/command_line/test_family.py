"""`viox run` shows runs that gave each other tasks as a tree, and `viox clock` what time it is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.errors import BadInput, Conflict
from shared.ids import run_id, thread_id
from shared.store.pool import Pool
from viox import clock, inspection


async def run(admin: Any, agent: str, trigger: str, parent: UUID | None = None, of: UUID | None = None) -> UUID:
    made = of or run_id(agent, "/t", trigger)
    await admin.execute(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,"
        " parent_run_id, started_at) values ($1, $2, $3, 'c', 'finished', '/t', $4, 'x', $5,"
        " now() + (select count(*) from runs) * interval '1 second')",
        made,
        agent,
        thread_id(agent, "c"),
        trigger,
        parent,
    )
    return made


async def test_a_run_is_shown_among_those_that_it_came_from_and_gave_tasks_to(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    top = await run(admin, "chief-of-staff", "1")
    middle = await run(admin, "closer", "2", top)
    low = await run(admin, "controller", "3", middle)
    await run(admin, "steward", "4", top)
    await run(admin, "operator", "other")
    await run(admin, "voice", "forged", top, of=run_id("closer", "/x", "9"))  # a row under an id that is not its own
    await inspection.show_run(str(middle), as_json=False)
    tree = capsys.readouterr().out.split("tasks that agents gave each other:\n")[1].splitlines()
    assert [line.split()[0 if not line.startswith(" ") else 1] for line in tree] == [
        "chief-of-staff",
        "closer",
        "controller",
        "steward",
    ]
    assert [line.endswith("← this run") for line in tree] == [False, True, False, False]
    assert str(low) in tree[2]
    await inspection.show_run(str(middle), as_json=True)
    assert json.loads(capsys.readouterr().out)["parent_run_id"] == str(top)


async def test_a_run_that_is_alone_is_shown_without(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    await inspection.show_run(str(await run(admin, "closer", "1")), as_json=False)
    assert "gave each other" not in capsys.readouterr().out


async def test_only_a_sandbox_moves_its_clock(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("VIOX_HOME", str(tmp_path))
    with pytest.raises(Conflict, match="no sandbox"):
        await clock.advance("2d", as_json=True)
    await clock.show(as_json=True)
    assert json.loads(capsys.readouterr().out)["sandbox"] is False
    await admin.execute("insert into sandbox_clock default values")
    await clock.advance("2d", as_json=True)
    await clock.advance("90m", as_json=True)
    told = [json.loads(line) for line in capsys.readouterr().out.replace("}\n{", "}\n\n{").split("\n\n")]
    assert [one["ahead_seconds"] for one in told] == [2 * 86400, 2 * 86400 + 5400]
    ahead = await admin.fetchval("select viox_now() - now()")
    assert ahead == timedelta(days=2, minutes=90)
    for wrong in ("-2d", "soon", "2w", "99999d"):
        with pytest.raises(BadInput, match="not a span"):
            await clock.advance(wrong, as_json=True)
