"""What the console answers, and to whom: signing in, roles, forged requests, and what is done through it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sandbox.postgres import Postgres
from services.console import sessions
from shared.store.pool import open_pool
from tests.integration.console import world as browsers
from tests.integration.console.world import REFUND, Browser, World, approval_of, token

HERE = {"Sec-Fetch-Site": "same-origin"}
PAGES = (
    "/",
    "/runs",
    "/runs?q=ines&failed=1&since=24h",
    "/runs/{lead}",
    "/runs/{lead}?view=tree",
    "/runs/{lead}?view=waterfall",
    "/runs/{lead}?view=log",
    "/runs/{lead}?view=cost",
    "/calls",
    "/calls?state=failed",
    "/calls/{failed}",
    "/calls/{failed}/audit",
    "/runs/{lead}/replay",
    "/runs/{lead}/replay?tree=1",
    "/approvals",
    "/approvals?tab=decided",
    "/approvals?tab=standing",
    "/approvals/{approval}",
    "/unknowns",
    "/dead-letters",
    "/dead-letters?service=closer",
    "/agents",
    "/agents/closer",
    "/tools",
    "/tools/hubspot_create_contact",
    "/briefings",
    "/settings",
)


def signed_in(world: World, name: str) -> AbstractAsyncContextManager[Browser]:
    return browsers.signed_in(world.url, name)


text = browsers.got


def filled(world: World, path: str) -> str:
    return path.format(lead=world.lead, failed=world.failed, approval=world.approval)


@pytest.mark.parametrize("name", ["Dana", "Lee", "Olu", "Ari", "Vera"])
async def test_every_page_answers_every_role(world: World, name: str) -> None:
    async with signed_in(world, name) as client:
        for path in PAGES:
            assert "<h1" in await text(client, filled(world, path)), path


async def test_nobody_who_is_not_signed_in_sees_anything(world: World) -> None:
    async with browsers.browser(world.url, HERE) as client:
        for path in (*PAGES, "/memory", "/events"):
            answer = await client.get(filled(world, path), allow_redirects=False)
            assert answer.status in (303, 401), path
            assert "Ines" not in await answer.text()
        answer = await client.post(f"/approvals/{world.approval}/reject", data={"reason": "no"}, allow_redirects=False)
        assert answer.status == 401


async def test_viewers_see_what_happened_and_nothing_that_was_said(world: World) -> None:
    async with signed_in(world, "Vera") as client:
        for path in PAGES:
            body = await text(client, filled(world, path))
            for secret in ("Ines", "about 12k", "ch_7", "onerror", "is a number"):
                assert secret not in body.replace("/runs?q=ines", ""), (path, secret)
        assert "could not create a contact in HubSpot" in await text(client, f"/runs/{world.lead}")
        await text(client, "/memory", 403)
        await text(client, f"/calls/{world.failed}/body", 403)


async def test_the_failed_write_shows_its_reason_and_its_exact_request(world: World) -> None:
    async with signed_in(world, "Olu") as client:
        body = await text(client, f"/runs/{world.lead}")
    assert "Closer could not create a contact in HubSpot (Ines)." in body
    assert 'class="mark">    <span class="key">&#34;budget"' in body
    assert "POST https://api.hubapi.com/crm/v3/objects/contacts" in body
    assert "$SECRET" in body
    assert "closer.crm" in body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_a_forged_request_changes_nothing(world: World, headers: dict[str, str], status: int) -> None:
    async with signed_in(world, "Dana") as client:
        cookie = client.cookie
    async with browsers.browser(world.url, headers | cookie) as forger:
        answer = await forger.post(f"/approvals/{world.approval}/reject", data={"reason": "no"})
        assert answer.status == status
    assert await world.admin.fetchval("select state from approvals") == "waiting"


@pytest.mark.parametrize(
    ("name", "path", "form"),
    [
        ("Vera", "/approvals/{approval}/reject", {"reason": "no"}),
        ("Olu", "/approvals/{approval}/approve", {"seen": "x"}),
        ("Ari", "/calls/{unknown}/settle", {"as": "failed"}),
        ("Lee", "/calls/{unknown}/settle", {"as": "failed"}),
        ("Vera", "/pause", {"scope": "all"}),
        ("Ari", "/agents/closer/ask", {"text": "do it"}),
        ("Vera", "/dead-letters/{letter}/redrive", {}),
        ("Olu", "/memory/forget", {"entity": "person:ines@example.com", "everything": "1"}),
        (
            "Olu",
            "/memory/link",
            {"entity": "person:ines@example.com", "other": "phone:+14155550123", "word": "confirmed"},
        ),
    ],
)
async def test_the_wrong_role_changes_nothing(world: World, name: str, path: str, form: dict[str, str]) -> None:
    where = path.format(approval=world.approval, unknown=world.unknown, letter=world.letter)
    async with signed_in(world, name) as client:
        answer = await client.post(where, data=form)
        assert answer.status == 403
    assert await world.admin.fetchval("select state from approvals") == "waiting"
    assert await world.admin.fetchval("select count(*) from tool_calls where state = 'unknown'") == 1
    assert await world.admin.fetchval("select count(*) from pauses") == 0
    assert await world.admin.fetchval("select count(*) from facts") == 1


async def test_an_expired_session_is_over(world: World) -> None:
    async with signed_in(world, "Dana") as client:
        await world.admin.execute("update console_sessions set expires_at = now() - interval '1 second'")
        answer = await client.get("/", allow_redirects=False)
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/sign-in")


async def test_who_is_taken_out_of_the_file_is_out(world: World) -> None:
    async with signed_in(world, "Dana") as client:
        world.people.write_text('{"people": [{"name": "Lee", "roles": ["approver"]}]}')
        answer = await client.get("/", allow_redirects=False)
        assert answer.status == 303


async def test_signing_out_ends_the_session_itself(world: World) -> None:
    async with signed_in(world, "Dana") as client:
        cookie = client.cookie
        await client.post("/sign-out")
    async with browsers.browser(world.url, HERE | cookie) as kept:
        assert (await kept.get("/", allow_redirects=False)).status == 303


async def test_guessing_is_stopped_and_only_digests_are_kept(world: World) -> None:
    async with browsers.browser(world.url, HERE) as client:
        for _ in range(sessions.MOST_HERE):
            assert (await client.post("/sign-in", data={"token": "guess"})).status == 403
        assert (await client.post("/sign-in", data={"token": token("Dana")})).status == 429
    assert await world.admin.fetchval("select count(*) from console_sessions") == 0


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
async def test_signing_in_leads_to_no_other_site(world: World, target: str) -> None:
    async with browsers.browser(world.url, HERE) as client:
        answer = await client.post("/sign-in", data={"token": token("Dana"), "next": target}, allow_redirects=False)
        assert answer.headers["Location"] == "/"


async def test_texts_from_outside_are_text_everywhere(world: World) -> None:
    async with signed_in(world, "Dana") as client:
        for path in (
            "/",
            "/runs",
            "/unknowns",
            "/dead-letters",
            f"/calls/{world.unknown}",
            f"/calls/{world.unknown[:36]}",
        ):
            body = await text(client, path)
            assert "<img src=x" not in body
            assert "<script>document" not in body
            assert "49" not in body.partition("onerror")[2][:60]


async def test_headers_of_every_page(world: World) -> None:
    async with signed_in(world, "Dana") as client:
        for path in ("/", "/nothing", "/static/console.css"):
            headers = (await client.get(path)).headers
            assert "script-src 'self'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"


# -- what is done ---------------------------------------------------------------------------------------------------------


async def seen(world: World) -> str:
    return str(
        await world.admin.fetchval("select arguments_sha256 from approvals where approval_id = $1", world.approval)
    )


async def test_an_approval_carries_the_persons_name(world: World) -> None:
    async with signed_in(world, "Lee") as client:
        answer = await client.post(f"/approvals/{world.approval}/approve", data={"seen": await seen(world)})
        assert "Approved. Its run goes on." in await answer.text()
    row = await world.admin.fetchrow("select state, decided_by from approvals")
    assert (row["state"], row["decided_by"]) == ("approved", ["Lee"])
    assert await world.admin.fetchval("select person from console_acts where act = 'approve'") == "Lee"


async def test_an_approval_is_of_what_was_shown(world: World) -> None:
    async with signed_in(world, "Lee") as client:
        answer = await client.post(f"/approvals/{world.approval}/approve", data={"seen": "0" * 64})
        assert answer.status == 400
        assert (await client.post(f"/approvals/{world.approval}/approve", data={})).status == 400
    assert await world.admin.fetchval("select state from approvals") == "waiting"


async def test_two_people_at_once_decide_once(world: World) -> None:
    digest = await seen(world)
    async with signed_in(world, "Lee") as one, signed_in(world, "Dana") as other:
        first = await one.post(f"/approvals/{world.approval}/approve", data={"seen": digest})
        second = await other.post(f"/approvals/{world.approval}/reject", data={"reason": "no"})
        assert (first.status, second.status) == (200, 409)
    assert await world.admin.fetchval("select decided_by from approvals") == ["Lee"]


async def test_where_two_are_needed_one_is_counted(world: World) -> None:
    two = await approval_of(world.admin, world.waiting, REFUND, number=2, people=2)
    digest = await world.admin.fetchval("select arguments_sha256 from approvals where approval_id = $1", two)
    for name, told in (("Lee", "counted"), ("Dana", "Approved")):
        async with signed_in(world, name) as client:
            answer = await client.post(f"/approvals/{two}/approve", data={"seen": digest})
            assert told in await answer.text()


async def test_editing_without_the_gateway_says_so_and_changes_nothing(world: World) -> None:
    async with signed_in(world, "Lee") as client:
        form = {"seen": await seen(world), "arguments": '{"charge": "ch_7", "amount": 1}'}
        answer = await client.post(f"/approvals/{world.approval}/approve", data=form)
        assert answer.status == 500
        assert "does not know the gateway" in await answer.text()
    assert await world.admin.fetchval("select state from approvals") == "waiting"


async def test_a_rejection_needs_a_reason_and_tells_it(world: World) -> None:
    async with signed_in(world, "Dana") as client:
        assert (await client.post(f"/approvals/{world.approval}/reject", data={"reason": " "})).status == 400
        await client.post(f"/approvals/{world.approval}/reject", data={"reason": "Too much."})
    error = await world.admin.fetchval(
        "select error ->> 'message' from tool_calls where approval_id = $1", world.approval
    )
    assert error == "Dana refused it: Too much."


async def test_settling_goes_under_the_persons_name(world: World) -> None:
    async with signed_in(world, "Olu") as client:
        answer = await client.post(
            f"/calls/{world.unknown}/settle", data={"as": "succeeded", "result": '{"sid": "SM1"}'}
        )
        assert answer.status == 200
    assert await world.admin.fetchval("select state from tool_calls where call_id = $1", world.unknown) == "succeeded"
    told = await world.admin.fetchval("select detail ->> 'by' from ledger_entries where phase = 'settled'")
    assert told == "Olu"


async def test_letters_are_redriven_one_by_one_or_by_a_filter_with_its_count(world: World) -> None:
    async with signed_in(world, "Olu") as client:
        assert (await client.post("/dead-letters/redrive", data={"count": "1"})).status == 400
        assert (await client.post("/dead-letters/redrive", data={"service": "closer", "count": "2"})).status == 409
        assert await world.admin.fetchval("select state from dead_letters") == "dead"
        answer = await client.post("/dead-letters/redrive", data={"service": "closer", "count": "1"})
        assert answer.status == 200
    assert await world.admin.fetchval("select state from dead_letters") == "redriving"
    assert await world.admin.fetchval("select person from console_acts where act = 'redrive'") == "Olu"


async def test_pausing_and_resuming(world: World) -> None:
    async with signed_in(world, "Olu") as client:
        assert (await client.post("/pause", data={"scope": "closer"})).status == 200
        assert await world.admin.fetchval("select paused_by from pauses where scope = 'agent:closer'") == "Olu"
        assert "paused" in await text(client, "/agents/closer")
        await client.post("/resume", data={"scope": "closer"})
        assert (await client.post("/pause", data={"scope": "no_such_tool"})).status == 400
    assert await world.admin.fetchval("select count(*) from pauses") == 0
    assert await world.admin.fetchval("select by from audit_acts where act = 'resumed'") == "Olu"


async def test_taking_a_conversation_over_and_giving_it_back(world: World) -> None:
    form = {"conversation": "refund:7", "back": f"/runs/{world.waiting}"}
    async with signed_in(world, "Dana") as client:
        assert "Dana has this conversation" in await (await client.post("/take-over", data=form)).text()
        async with signed_in(world, "Olu") as other:
            assert (await other.post("/take-over", data=form)).status == 409
        await client.post("/give-back", data=form)
    assert await world.admin.fetchval("select count(*) from pauses") == 0


async def test_a_task_from_the_page_is_accepted_as_from_the_command_line(world: World) -> None:
    async with signed_in(world, "Olu") as client:
        answer = await client.post("/agents/closer/ask", data={"text": "Call Ines back."})
        assert "The task is accepted" in await answer.text()
    row = await world.admin.fetchrow("select topic, receivers from outbox")
    assert (row["topic"], row["receivers"]) == ("viox.tasks.closer", ["closer"])


async def test_forgetting_needs_something_ticked(world: World) -> None:
    async with signed_in(world, "Dana") as client:
        assert "Wants a new kitchen" in await text(client, "/memory?entity=person:ines@example.com")
        assert (await client.post("/memory/forget", data={"entity": "person:ines@example.com"})).status == 400
        form = {"entity": "person:ines@example.com", "item": "fact_1", "reason": "asked for it"}
        assert (await client.post("/memory/forget", data=form)).status == 200
    assert await world.admin.fetchval("select count(*) from facts") == 0


async def test_a_claim_is_shown_with_its_basis_and_a_person_decides_on_it(world: World) -> None:
    await world.admin.execute(
        "insert into person_links (entity, other, state, basis, tainted, said_by, is_person, source_call)"
        " values ('person:ines@example.com', 'phone:+14155550123', 'claimed', 'a lead gave both', true, 'closer', false, 'c')"
    )
    page, form = (
        "/memory?entity=person:ines@example.com",
        {"entity": "person:ines@example.com", "other": "phone:+14155550123"},
    )
    async with signed_in(world, "Olu") as client:
        assert "person:ines@example.com · phone:+14155550123" in await text(client, "/memory")
        shown = await text(client, page)
        assert "only claimed" in shown
        assert "It is the same person" not in shown, "Olu decides nothing"
    async with signed_in(world, "Dana") as client:
        shown = await text(client, page)
        for words in (
            "phone:+14155550123",
            "a lead gave both",
            "only claimed",
            "from outside",
            "It is the same person",
        ):
            assert words in shown
        assert (await client.post("/memory/link", data=form | {"word": "confirmed"})).status == 400, "it has no reason"
        answer = await client.post("/memory/link", data=form | {"word": "confirmed", "reason": "she told me"})
        assert "Whatever is remembered of one is found for the other" in await answer.text()
        assert "she told me" in await text(client, page)
        answer = await client.post("/memory/forget", data=form | {"everything": "1", "reason": "asked"})
        assert "What is remembered of the same person under other names was left" in await answer.text()
    acts = await world.admin.fetch("select act from console_acts order by act_id")
    assert [row["act"] for row in acts][-2:] == ["link", "forget"]


async def test_a_person_keeps_two_apart(world: World) -> None:
    form = {"entity": "person:ines@example.com", "other": "phone:+14155550123", "word": "denied", "reason": "his"}
    async with signed_in(world, "Dana") as client:
        assert "Kept apart from now on" in await (await client.post("/memory/link", data=form)).text()
        assert "not the same" in await text(client, "/memory?entity=phone:%2B14155550123")


async def test_the_stream_tells_what_changed_since_the_page(world: World) -> None:
    async with signed_in(world, "Vera") as client, client.session.get(f"/events?of={world.lead}&after=old") as answer:
        assert await _event(answer) == "changed"
        await world.admin.execute("update runs set steps = steps + 1 where run_id = $1", world.lead)
        assert await _event(answer) == "changed"
        answer.close()


async def _event(answer: Any) -> str:
    async for line in answer.content:
        if line.startswith(b"event: "):
            return str(line[7:].decode().strip())
    raise AssertionError("the stream ended")


async def test_the_gauge_of_readiness_is_current_where_nobody_asks_readyz(
    postgres: Postgres, admin: Any, tmp_path: Path
) -> None:
    dsn = postgres.dsn("viox_console")
    pool = await open_pool(dsn, application="test console", size=2, for_people=True)

    async def gauge(url: str) -> str:
        async with browsers.browser(url, {}) as client:
            answer = await client.get("/metrics")
            told = await answer.text()
        return next(line for line in told.splitlines() if line.startswith('viox_ready{service="console"}'))

    async with browsers.served(pool, dsn, browsers.people_file(tmp_path), {}) as url:
        assert (await gauge(url)).endswith(" 1.0")
        await pool.close()
        assert (await gauge(url)).endswith(" 0.0")


ARCHIVED = """
with act as (insert into audit_acts (act, by, subject) values ('archived', 'Dana', '2026-05-000001-x') returning entry_id),
     made as (insert into archives (month, cutoff, place, act) select '2026-05-01', now(), '2026-05-000001-x', entry_id from act
              returning archive),
     calls as (update tool_calls set archived = (select archive from made) where run_id = $1 returning call_id)
update threads set archived = (select archive from made)
where thread_id = (select thread_id from runs where run_id = $1) and (select count(*) from calls) > 0
"""


async def test_an_archived_run_and_its_call_name_their_archive(world: World) -> None:
    run = UUID(world.failed.split(".")[0])
    await world.admin.execute(
        "update runs set status = 'failed', finished_at = now() - interval '1 day' where run_id = $1", run
    )
    await world.admin.execute(ARCHIVED, run)
    await world.admin.execute("delete from steps where run_id = $1", run)
    for name, reads in (("Ari", True), ("Vera", False)):
        async with browsers.signed_in(world.url, name) as client:
            for path, table in ((f"/runs/{run}", "steps"), (f"/calls/{world.failed}", "ledger_entries")):
                page = await browsers.got(client, path)
                assert "by Dana, in archive 2026-05-000001-x: its" in page
                assert (f"viox retention --show ARCHIVES/2026-05-000001-x --table {table} --of" in page) == reads
    async with browsers.signed_in(world.url, "Olu") as client:
        for path in (f"/runs/{run}/fork", f"/runs/{run}/replay"):
            assert "in archive 2026-05-000001-x: its steps are there" in await browsers.got(client, path, 409)
