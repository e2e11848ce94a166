"""People see what is used of what, and raise a budget in their own name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from services.tool_gateway.budgets.reserve import publish
from shared.budgets import Budgets
from shared.errors import BadInput, Conflict, NotFound
from shared.ids import run_id
from shared.operations import store
from shared.store.pool import Pool
from viox import budgets

RUN = run_id("closer", "/t", "1")
PEOPLE = "people:\n  - {name: Dana, roles: [owner]}\n  - {name: Vic, roles: [viewer]}\n"
GIVEN = [
    {"name": "run", "of": "run", "per": "run", "tokens": 1000, "model_usd": "1.50"},
    {"name": "day", "of": "agent", "per": "day", "money": {"usd": "500.00"}},
]


@pytest.fixture(autouse=True)
async def published(
    operator_pool: Pool, gateway_pool: Pool, admin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "people.yaml").write_text(PEOPLE)
    monkeypatch.setenv("VIOX_PEOPLE", str(tmp_path / "people.yaml"))
    await publish(gateway_pool, Budgets.model_validate({"budgets": GIVEN}), "UTC")
    await admin.execute("insert into budget_use select 'day', 'closer', budget_day(), 'money:usd', 12050")
    await admin.execute("insert into budget_use select 'day', 'voice', '2020-01-01', 'money:usd', 99")
    await admin.execute(
        "insert into budget_releases (name, scope, period, measure, amount) select 'day', 'closer', budget_day(), 'money:usd', 50"
    )
    await admin.execute(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type, input_tokens)"
        " values ($1, 'closer', $1, 'c', 'running', '/t', '1', 'x', 700)",
        RUN,
    )
    await admin.execute(
        "insert into threads (thread_id, agent, conversation_id, taking, waits_for_budget, retry_at)"
        " values ($1, 'closer', 'c', array[$1::uuid], 'run ' || $1::text, now() + interval '1 year')",
        RUN,
    )


async def listed(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], Any]:
    capsys.readouterr()
    await budgets.show(None, 100, as_json=True)
    items = orjson.loads(capsys.readouterr().out)["items"]
    return {(one["name"], one["measure"]): one for one in items}


async def test_what_is_used_of_what(capsys: pytest.CaptureFixture[str]) -> None:
    found = await listed(capsys)
    day = found["day", "money:usd"]
    assert (day["scope"], day["used"], day["limit"], day["waiting"]) == ("closer", "120.00", "500.00", 0)
    tokens = found["run", "tokens"]
    assert (tokens["scope"], tokens["used"], tokens["limit"], tokens["waiting"]) == (str(RUN), 700, 1000, 1)
    await budgets.show(None, 100, as_json=False)
    told = capsys.readouterr().out
    assert "120.00 of 500.00 usd" in told
    assert "a run" in told


async def test_a_raise_is_on_record_at_once_and_wakes_what_waits(
    capsys: pytest.CaptureFixture[str], admin: Any, operator_pool: Pool
) -> None:
    run = await store.run(operator_pool, RUN)
    assert (run["status"], run["waiting_for"]) == ("waiting", [{"kind": "budget", "id": f"run {RUN}"}])
    await budgets.raise_("run", "dana", "2,000", str(RUN), "tokens", as_json=False)
    assert "Dana raises run" in capsys.readouterr().out
    assert await admin.fetchval("select retry_at <= now() from threads")
    row = await admin.fetchrow("select name, measure, scope, most, person from budget_raises")
    assert tuple(row) == ("run", "tokens", str(RUN), 2000, "Dana")
    assert (await listed(capsys))["run", "tokens"]["raised_to"] == 2000


@pytest.mark.parametrize(
    ("given", "error", "field"),
    [
        (("run", "Dana", "2000", None, "tokens"), BadInput, "--scope"),
        (("run", "Dana", "2000", str(RUN), None), BadInput, "--measure"),
        (("run", "Vic", "2000", str(RUN), "tokens"), BadInput, "--by"),
        (("day", "Dana", "much", None, None), BadInput, "--to"),
        (("day", "Dana", "1.005", None, None), BadInput, "--to"),
        (("day", "Dana", "500", None, None), Conflict, "--to"),
        (("nope", "Dana", "500", None, None), NotFound, "NAME"),
    ],
)
async def test_what_cannot_be_raised_is_said(admin: Any, given: Any, error: type[Exception], field: str) -> None:
    with pytest.raises(error) as found:
        await budgets.raise_(*given, as_json=False)
    assert getattr(found.value, "field", None) == field
    assert await admin.fetchval("select count(*) from budget_raises") == 0


async def test_money_is_raised_in_the_words_of_people(capsys: pytest.CaptureFixture[str], admin: Any) -> None:
    await budgets.raise_("day", None, "750.50", "closer", None, as_json=True)
    assert orjson.loads(capsys.readouterr().out)["limit"] == "750.50"
    assert await admin.fetchval("select most from budget_raises") == 75_050
