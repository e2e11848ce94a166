"""The trace of a run stands on its page and on those of its calls, and leads to where traces are looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.errors import BadInput
from shared.settings import Settings
from shared.store.pool import open_pool
from tests.integration.console.world import World, got, served, signed_in

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED, NOT_SAMPLED = "01", "00"
WHERE = "https://jaeger.example.com/trace/{trace_id}?uiEmbed=v0&a=1"
LINKED = f'href="https://jaeger.example.com/trace/{TRACE}?uiEmbed=v0&amp;a=1"'


@pytest.fixture
async def linking(world: World, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A console that knows where traces are looked at."""
    monkeypatch.setenv("VIOX_TRACE_URL", WHERE)
    dsn = postgres.dsn("viox_console")
    pool = await open_pool(dsn, application="test console, linking", size=2, for_people=True)
    async with served(pool, dsn, world.people, {}) as url:
        yield url
    await pool.close()


async def traced(world: World, flags: str) -> None:
    parent = f"00-{TRACE}-00f067aa0ba902b7-{flags}"
    await world.admin.execute("update runs set traceparent = $2 where run_id = $1", world.lead, parent)


async def test_a_recorded_trace_is_copied_and_opened_from_the_run_and_its_call(world: World, linking: str) -> None:
    await traced(world, SAMPLED)
    async with signed_in(linking, "Vera") as client:
        for path in (f"/runs/{world.lead}", f"/runs/{world.lead}?view=log", f"/calls/{world.failed}"):
            page = await got(client, path)
            assert f'data-copy="{TRACE}"' in page, path
            assert LINKED in page, path


async def test_a_trace_that_went_nowhere_is_told_of_and_not_linked(world: World, linking: str) -> None:
    await traced(world, NOT_SAMPLED)
    async with signed_in(linking, "Vera") as client:
        page = await got(client, f"/runs/{world.lead}")
    assert f'data-copy="{TRACE}"' in page
    assert "not recorded" in page
    assert "jaeger" not in page


async def test_without_a_place_for_traces_only_the_id_is_shown(world: World) -> None:
    async with signed_in(world.url, "Vera") as client:
        assert ">trace <" not in await got(client, f"/runs/{world.lead}")
        await traced(world, SAMPLED)
        page = await got(client, f"/runs/{world.lead}")
    assert f'data-copy="{TRACE}"' in page
    assert "Open the trace" not in page


@pytest.mark.parametrize("given", ["https://jaeger.example.com/", "javascript:{trace_id}", "{trace_id}"])
def test_an_address_that_leads_to_no_trace_is_refused_at_the_start(given: str) -> None:
    with pytest.raises(BadInput, match="trace_id") as refused:
        Settings.load(trace_url=given)
    assert refused.value.field == "VIOX_TRACE_URL"
