"""From the page of a run: replay it, fork it, compare the two; save a view of the list; raise a budget; prove a call."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

from services.controller.agent import CONTROLLER
from services.controller.prompts import EVIDENCE, MONTH
from services.tool_gateway.audit.remembered import CheckpointFile, CheckpointTopic
from services.tool_gateway.audit.sequencer import Sequencer
from shared.audit.notes import Signer, key_text
from shared.audit.verify import Key, check_proof
from shared.store.pool import Pool
from tests.integration.console import world as seeds
from tests.integration.console.world import World, got, sent, served, signed_in

TASK = {"instruction": "Refund ch_7.", "context": {}}


async def recorded(world: World) -> UUID:
    """A run that was given a task, asked for a call, and ended with its result."""
    run = await seeds.run(world.admin, "controller", "refund:9", "viox.task.requested", TASK, text="Nothing to refund.")
    thread = await world.admin.fetchval("select thread_id from runs where run_id = $1", run)
    call = await seeds.call(
        world.admin, run, "controller", "stripe_get_charge", {"charge": "ch_7"}, "succeeded", step=1
    )
    result = {
        "call_id": call,
        "tool": "stripe_get_charge",
        "state": "succeeded",
        "result": {"paid": True},
        "error": None,
    }
    steps: list[tuple[str, dict[str, Any]]] = [
        ("plan", {"node": "look", "calls": []}),
        ("results", {"results": [result]}),
        ("plan", {"node": "refund", "calls": []}),
        ("outcome", {"status": "finished", "text": "Nothing to refund."}),
    ]
    for number, (kind, body) in enumerate(steps, 1):
        await seeds.step(world.admin, run, "controller", thread, number, kind, body)
    await world.admin.execute("update runs set steps = 5 where run_id = $1", run)
    return run


async def test_a_run_is_forked_with_what_was_changed_in_the_form_and_nothing_else(world: World) -> None:
    run = await recorded(world)
    async with signed_in(world.url, "Olu") as client:
        page = await got(client, f"/runs/{run}/fork?at=3")
        assert "&#34;paid&#34;: true" in page
        form = {"at": "3", "result 1.0": '{"paid": false}', "prompt": "", "model": ""}
        landed = await sent(client, f"/runs/{run}/fork", form)
        assert "The fork is begun" in landed
        assert f"/runs/{run}/diff/" in landed
    made = await world.admin.fetchrow("select run_id, trigger_type from runs where trigger_type = 'viox.run.forked'")
    kept = await world.admin.fetch("select kind, body from steps where run_id = $1 order by step", made["run_id"])
    assert [row["kind"] for row in kept] == ["trigger", "plan", "results", "fork"]
    assert json.loads(kept[2]["body"])["results"][0]["result"] == {"paid": False}
    assert json.loads(kept[3]["body"]) == {"of": str(run), "at": 3, "by": "Olu", "edited": [2]}
    assert await world.admin.fetchval("select person from console_acts where act = 'fork'") == "Olu"


async def test_what_rules_have_to_bear_of_an_edited_result_stands_on_the_page_of_the_fork(world: World) -> None:
    run = await recorded(world)
    async with signed_in(world.url, "Olu") as client:
        landed = await sent(client, f"/runs/{run}/fork", {"at": "3", "result 1.0": '{"paid": null}'})
        assert "stripe_get_charge (call 1.0): paid is null, on record it is a truth value." in landed


async def test_a_fork_from_the_task_changes_its_instruction(world: World) -> None:
    run = await recorded(world)
    async with signed_in(world.url, "Dana") as client:
        assert "Refund ch_7." in await got(client, f"/runs/{run}/fork?at=1")
        form = {"at": "1", "instruction": "Refund half of ch_7.", "prompt": "You are careful."}
        await sent(client, f"/runs/{run}/fork", form)
    row = await world.admin.fetchrow(
        "select s.body -> 'data' ->> 'instruction' as said, f.body ->> 'prompt' as prompt from steps s"
        " join steps f using (run_id) join runs r using (run_id)"
        " where r.trigger_type = 'viox.run.forked' and s.step = 0 and f.kind = 'fork'"
    )
    assert dict(row) == {"said": "Refund half of ch_7.", "prompt": "You are careful."}


async def test_each_question_has_its_prompt_in_the_form_and_only_what_was_edited_goes_with_the_fork(
    world: World,
) -> None:
    run = await recorded(world)
    evidence = EVIDENCE.prompt.strip()
    async with signed_in(world.url, "Dana") as client:
        page = await got(client, f"/runs/{run}/fork?at=3")
        shown = {
            html.unescape(text).strip() for text in re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
        }
        assert {evidence, MONTH.prompt.strip(), CONTROLLER.prompt.strip()} <= shown
        form = {
            "at": "3",
            "prompt": CONTROLLER.prompt,
            "question evidence": evidence + " In verse.",
            "question nonsense": "x",
        }
        form |= {"question month": MONTH.prompt.strip().replace("\n", "\r\n")}
        landed = await sent(client, f"/runs/{run}/fork", form)
        assert "with evidence asked otherwise" in landed
    body = await world.admin.fetchval("select body from steps where kind = 'fork'")
    assert json.loads(body) == {
        "of": str(run),
        "at": 3,
        "by": "Dana",
        "questions": {"evidence": evidence + " In verse."},
    }


async def test_what_cannot_be_forked_is_refused_and_begins_nothing(world: World) -> None:
    run = await recorded(world)
    async with signed_in(world.url, "Olu") as client:
        for form, told in (
            ({"at": "2"}, "cannot be forked at step 2"),
            ({"at": "3", "result 1.0": "{"}, "no JSON"),
            ({"at": "3", "result 1.0": "{}"}, "paid is missing"),
            ({"at": "3", "result 1.0": '{"paid": "no"}'}, "paid is a text, on record it is a truth value"),
            ({"at": "3", "model": "nonsense"}, "is no model"),
        ):
            assert told in await sent(client, f"/runs/{run}/fork", form, status=400)
        assert "done nothing yet" in await got(client, f"/runs/{world.lead}/fork")
    for name in ("Vera", "Ari", "Lee"):
        async with signed_in(world.url, name) as client:
            await got(client, f"/runs/{run}/fork", status=403)
            await sent(client, f"/runs/{run}/fork", {"at": "3"}, status=403)
    assert await world.admin.fetchval("select count(*) from runs where trigger_type = 'viox.run.forked'") == 0


async def test_two_runs_stand_side_by_side_for_those_who_may_read(world: World) -> None:
    run = await recorded(world)
    async with signed_in(world.url, "Ari") as client:
        page = await got(client, f"/runs/{run}/diff/{world.lead}")
        assert '<span class="minus">-' in page
        assert "Ines Moreau" in page
        assert "Step for step they say the same." in await got(client, f"/runs/{run}/diff/{run}")
    async with signed_in(world.url, "Vera") as client:
        await got(client, f"/runs/{run}/diff/{world.lead}", status=403)


async def test_a_replay_tells_where_the_record_is_left_and_to_readers_only_how(world: World) -> None:
    run = await recorded(world)
    async with signed_in(world.url, "Ari") as client:
        page = await got(client, f"/runs/{run}/replay")
        assert "Nothing was sent and nothing stored." in page
        assert "different" in page
    async with signed_in(world.url, "Vera") as client:
        assert "<pre" not in await got(client, f"/runs/{run}/replay")
    assert await world.admin.fetchval("select count(*) from steps where run_id = $1", run) == 5


async def test_a_saved_view_is_its_persons_own(world: World) -> None:
    async with signed_in(world.url, "Vera") as client:
        form = {"name": "Closer, gone wrong", "query": "agent=closer&failed=1&cursor=x&nonsense=1"}
        assert "Saved." in await sent(client, "/views", form)
        page = await got(client, "/runs")
        assert 'href="/runs?agent=closer&amp;failed=1">Closer, gone wrong</a>' in page
        assert "Ines" not in await got(client, "/runs?agent=closer&failed=1")
        await sent(client, "/views", {"name": "x", "query": "agent=nobody"}, status=400)
        await sent(client, "/views", {"name": " ", "query": "failed=1"}, status=400)
        await sent(client, "/views", {"name": "all", "query": ""}, status=400)
    async with signed_in(world.url, "Dana") as other:
        assert "gone wrong" not in await got(other, "/runs")
        await sent(other, "/views/forget", {"name": "Closer, gone wrong"}, status=404)
    async with signed_in(world.url, "Vera") as client:
        assert "deleted" in await sent(client, "/views/forget", {"name": "Closer, gone wrong"})
        assert "gone wrong" not in await got(client, "/runs")


async def test_a_budget_is_raised_by_who_decides_and_never_lowered(world: World) -> None:
    await world.admin.execute(
        "insert into budgets (name, of, per, measure, most) values ('business-money', 'business', 'day', 'money:usd', 5000000)"
    )
    form = {"name": "business-money", "measure": "usd", "scope": "", "to": "60000"}
    async with signed_in(world.url, "Olu") as client:
        await sent(client, "/budgets/raise", form, status=403)
        assert "50,000.00 USD" in await got(client, "/settings")
    async with signed_in(world.url, "Lee") as client:
        assert "Raised." in await sent(client, "/budgets/raise", form)
        assert "60,000.00 USD" in await got(client, "/settings")
        await sent(client, "/budgets/raise", form | {"to": "10"}, status=409)
        await sent(client, "/budgets/raise", form | {"to": "much"}, status=400)
    row = await world.admin.fetchrow("select person, most from budget_raises")
    assert dict(row) == {"person": "Lee", "most": 6_000_000}


async def test_a_call_is_proved_in_the_signed_log_and_a_stranger_can_check_it(
    world: World, admin: Any, gateway_pool: Pool, postgres: Any, tmp_path: Path
) -> None:
    signer = Signer.make("console.example/audit")
    (tmp_path / "key").write_text(signer.secret_text())

    async def nothing() -> list[bytes]:
        return []

    async with signed_in(world.url, "Vera") as client:
        assert "not signed yet" in await got(client, f"/calls/{world.failed}/audit")
    sequencer = Sequencer(
        gateway_pool, tmp_path / "key", CheckpointFile(tmp_path), CheckpointTopic(nothing), lambda note: None
    )
    while await sequencer.tick():
        pass
    pool = await _console_pool(postgres)
    try:
        async with (
            served(
                pool, postgres.dsn("viox_console"), world.people, {"VIOX_AUDIT_PUBLIC_KEY": key_text(signer.key)}
            ) as url,
            signed_in(url, "Vera") as client,
        ):
            page = await got(client, f"/calls/{world.failed}/audit")
            assert "in the signed log" in page
            assert "does not hold" not in page
            assert "Ines" not in page
            entries = [
                row["entry_id"]
                for row in await admin.fetch("select entry_id from ledger_entries where call_id = $1", world.failed)
            ]
            for entry in entries:
                text = await got(client, f"/calls/{world.failed}/proofs/{entry}")
                _, _, facts = check_proof(text, Key.read(key_text(signer.key)))
                assert (facts["entry"], facts["call"]) == (entry, world.failed)
            await got(client, f"/calls/{world.unknown}/proofs/{entries[0]}", status=404)
        other = Signer.make("console.example/audit")
        async with (
            served(
                pool, postgres.dsn("viox_console"), world.people, {"VIOX_AUDIT_PUBLIC_KEY": key_text(other.key)}
            ) as url,
            signed_in(url, "Vera") as client,
        ):
            assert "does not hold" in await got(client, f"/calls/{world.failed}/audit")
    finally:
        await pool.close()


async def _console_pool(postgres: Any) -> Pool:
    from shared.store.pool import open_pool

    return await open_pool(postgres.dsn("viox_console"), application="test console 2", size=2)
