"""A person has taken over a conversation: its agents are silent, what comes stays in the inbox, and is worked on afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from shared.ids import thread_id
from shared.operations.conversations import scope
from shared.store.pool import Pool
from tests.integration.runtime.world import DONE, ask, calls, close_call, statuses
from viox import takeover

PEOPLE = "people:\n  - {name: Dana, roles: [owner]}\n  - {name: Lee, roles: [viewer]}\n"
SCOPES = [scope("c", None), scope("c", "closer")]
OTHERS = [scope("other", None), scope("c", "voice"), scope("C", "closer")]


async def take(admin: Any, scope: str) -> None:
    await admin.execute("insert into pauses (scope, paused_by) values ($1, 'Dana')", scope)


@pytest.mark.parametrize("scope", SCOPES)
async def test_messages_of_a_taken_conversation_wait_and_are_worked_on_when_it_is_given_back(
    agents: Any, admin: Any, scope: str
) -> None:
    agent = await agents(DONE, DONE)
    await take(admin, scope)
    await agent.accept(ask("one"), ask("apart", "d", "2"))
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert await statuses(admin) == {"1": "waiting", "2": "finished"}
    waits = await admin.fetchval("select waiting_for::text from run_overview where trigger_id = '1'")
    assert '"person"' in waits
    assert '"c"' in waits
    assert await agent.store.due() == []

    await admin.execute("delete from pauses")
    assert await agent.store.due() == [thread_id("closer", "c")]
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert await statuses(admin) == {"1": "finished", "2": "finished"}


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_run_that_waits_for_results_goes_on_only_when_it_is_given_back(
    agents: Any, admin: Any, scope: str
) -> None:
    agent = await agents(calls("a"), DONE)
    await agent.accept(ask("one"))
    await agent.work()
    await take(admin, scope)
    (call,) = await admin.fetchval("select awaiting from threads")
    await close_call(admin, call, {})
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert (await statuses(admin), len(agent.model.requests)) == ({"1": "waiting"}, 1)
    await admin.execute("delete from pauses")
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert await statuses(admin) == {"1": "finished"}


@pytest.mark.parametrize("scope", OTHERS)
async def test_other_conversations_and_other_agents_go_on(agents: Any, admin: Any, scope: str) -> None:
    agent = await agents(DONE)
    await take(admin, scope)
    await agent.accept(ask("one"))
    await agent.work()
    assert await statuses(admin) == {"1": "finished"}


@pytest.fixture(name="people")
def people_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, operator: Pool, postgres: Any) -> None:
    (tmp_path / "people.yaml").write_text(PEOPLE)
    monkeypatch.setenv("VIOX_PEOPLE", str(tmp_path / "people.yaml"))
    monkeypatch.setenv("VIOX_POSTGRES_DSN", postgres.dsn("viox_operator_cli"))


async def test_a_person_takes_over_and_gives_back(
    agents: Any, admin: Any, people: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from shared.errors import BadInput, Conflict, NotFound

    agent = await agents(DONE, DONE)
    await agent.accept(ask("one"))
    await agent.work()
    with pytest.raises(NotFound, match="'d'"):
        await takeover.take_over("d", None, "Dana", as_json=True)
    with pytest.raises(NotFound, match="voice"):
        await takeover.take_over("c", "voice", "Dana", as_json=True)
    with pytest.raises(BadInput, match="Mallory"):
        await takeover.take_over("c", None, "Mallory", as_json=True)
    with pytest.raises(Conflict, match="nobody has taken"):
        await takeover.give_back("c", None, "Dana", as_json=True)

    await takeover.take_over("c", None, "lee", as_json=True)
    await takeover.take_over("c", None, "Lee", as_json=True)
    with pytest.raises(Conflict, match="Lee has it"):
        await takeover.take_over("c", None, "Dana", as_json=True)
    await takeover.take_over("c", "closer", "Dana", as_json=True)
    held = await takeover.held()
    assert held is not None
    assert [(one["kind"], one["id"], one["agent"], one["by"]) for one in held] == [
        ("person", "c", None, "Lee"),
        ("person", "c", "closer", "Dana"),
    ]
    await agent.accept(ask("two", number="2"))
    await agent.work()
    assert (await statuses(admin))["2"] == "waiting"
    await takeover.give_back("c", None, "Dana", as_json=True)
    await takeover.give_back("c", "closer", "Dana", as_json=True)
    agent.woken.append(thread_id("closer", "c"))
    await agent.work()
    assert (await statuses(admin))["2"] == "finished"
