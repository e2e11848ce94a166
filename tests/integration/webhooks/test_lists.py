"""What was never delivered is found in the vendors' lists, once, whatever is lost, delivered as well, restarted or refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.webhooks.polling import poller, step
from services.tool_gateway.webhooks.polling import stripe as stripe_list
from services.tool_gateway.webhooks.polling.store import PollStore
from shared.store.pool import Pool
from tests.integration.gateway.world import until
from tests.integration.webhooks.lists import Lists
from tests.integration.webhooks.world import Door


@pytest.fixture
async def lists(gateway_pool: Pool, admin: Any, postgres: Postgres) -> AsyncIterator[Lists]:
    made = Lists(gateway_pool, admin, postgres.dsn("viox_gateway"))
    await made.open()
    yield made
    await made.close()


def told(door: Door) -> list[tuple[str, str | None]]:
    return sorted((event.type, event.subject) for event in door.events())


async def delivered(lists: Lists, vendor: str, events: int) -> None:
    """Until so many events have been accepted from the vendor's webhooks."""
    async with asyncio.timeout(60):
        while (
            await lists.admin.fetchval("select count(*) from webhook_events where source like $1", f"/{vendor}%")
            < events
        ):
            await asyncio.sleep(0.02)


# -- each vendor: lost, then found; delivered and found, once -----------------------------------------------------------


async def test_stripe(lists: Lists) -> None:
    async with lists.replica(only="stripe") as door:
        await lists.settled("stripe")
        await lists.connect(door, "stripe")
        first = await lists.pays()
        await delivered(lists, "stripe", 1)
        await lists.lose("stripe")
        second = await lists.pays()
        (row,) = await lists.read(door, "stripe")
        assert told(door) == [("com.stripe.invoice.paid", customer) for customer in sorted((first, second))]
        assert (row["part"], row["caught"], row["problem"]) == ("events", 1, None)
        await lists.lose("stripe", lost=False)
        await lists.read(door, "stripe")
        assert len(door.events()) == 2


async def test_an_event_that_was_found_and_is_then_delivered_is_a_repeat(lists: Lists) -> None:
    async with lists.replica(only="stripe") as door:
        await lists.pays()
        await lists.read(door, "stripe")
        (event,) = door.events()
        answer = await door.stripe(
            {**event.data, "api_version": "of the endpoint"}, lists.secrets["STRIPE_WEBHOOK_SECRET"]
        )
        assert (answer.json()["repeated"], answer.json()["set_aside"]) == (1, None), "versions render it differently"


async def test_twilio(lists: Lists) -> None:
    async with lists.replica(only="twilio") as door:
        await lists.settled("twilio")
        await lists.connect(door, "twilio")
        first = await lists.texts("delivered")
        await delivered(lists, "twilio", 1)
        await lists.lose("twilio")
        second = await lists.texts("lost")
        await lists.post("twilio", f"/2010-04-01/Accounts/{lists.secrets['TWILIO_ACCOUNT_SID']}/Calls.json", basic(lists),
                         data={"To": "+15005550012", "From": lists.secrets["TWILIO_FROM"], "Twiml": "<Response/>"})  # fmt: skip
        await until(lambda: lists.twilio.voice.state()[0]["status"] == "no-answer")
        rows = await lists.read(door, "twilio")
        found = {event.id: event for event in door.events()}
        (call,) = lists.twilio.voice.calls
        assert set(found) == {f"{first}:received", f"{second}:received", f"{call}:no-answer"}
        assert found[f"{second}:received"].data["Body"] == "lost"
        assert found[f"{second}:received"].data.keys() <= found[f"{first}:received"].data.keys()
        assert [(row["part"], row["caught"]) for row in rows] == [("calls", 1), ("messages", 1)]


def basic(lists: Lists) -> dict[str, str]:
    import base64

    given = f"{lists.secrets['TWILIO_ACCOUNT_SID']}:{lists.secrets['TWILIO_AUTH_TOKEN']}".encode()
    return {"Authorization": "Basic " + base64.b64encode(given).decode()}


async def test_hubspot(lists: Lists) -> None:
    async with lists.replica(only="hubspot") as door:
        await lists.connect(door, "hubspot")
        first = await lists.hubspot_object("contacts")
        await delivered(lists, "hubspot", 1)
        await lists.lose("hubspot")
        deal, ticket = await lists.hubspot_object("deals"), await lists.hubspot_object("tickets")
        for _ in range(2):
            await lists.read(door, "hubspot")
        assert told(door) == [
            ("com.hubspot.contact.creation", f"contact:{first}"),
            ("com.hubspot.deal.creation", f"deal:{deal}"),
            ("com.hubspot.ticket.creation", f"ticket:{ticket}"),
        ]
        assert len({event.source for event in door.events()}) == 1, "the account is the same for both"


async def test_quickbooks(lists: Lists) -> None:
    """Neither of the two names the other's id: what was told of is known by the invoice and the time."""
    async with lists.replica(only="quickbooks") as door:
        await lists.connect(door, "quickbooks")
        one, other = await lists.invoice(), await lists.invoice()
        await lists.changes(one, "delivered")
        await delivered(lists, "quickbooks", 1)
        await lists.lose("quickbooks")
        await lists.changes(other, "lost")
        lost = lists.quickbooks.webhooks.deliveries[-1]
        for _ in range(2):
            await lists.read(door, "quickbooks")
        kind = "com.intuit.qbo.invoice.updated"
        assert told(door) == sorted((kind, f"invoice:{given['Id']}") for given in (one, other))
        await lists.lose("quickbooks", lost=False)
        from sandbox.vendors.quickbooks import signature

        body = lost.body.encode()
        answer = await door.post("quickbooks", body, {"Content-Type": "application/json"} | signature("", body))
        assert (answer.status, answer.json()["repeated"]) == (200, 1), "it comes after all"


async def test_elevenlabs(lists: Lists) -> None:
    async with lists.replica(only="elevenlabs") as door:
        await lists.connect(door, "elevenlabs")
        first = await lists.talks()
        await delivered(lists, "elevenlabs", 1)
        await lists.lose("elevenlabs")
        second = await lists.talks()
        await lists.read(door, "elevenlabs")
        await lists.read(door, "elevenlabs")
        assert told(door) == sorted(("com.elevenlabs.post_call_transcription", key) for key in (first, second))
        by_webhook, by_list = (event.data["data"] for event in door.events())
        assert by_list.keys() == by_webhook.keys()
        details = [path for path in lists.elevenlabs.requests if path.startswith("GET /v1/convai/conversations/")]
        assert details == [f"GET /v1/convai/conversations/{second}"], "what is known is not read again"


# -- Airtable: a ping only says that there is something to read -------------------------------------------------------------


async def test_airtables_payloads_are_read_because_of_a_ping_and_without_one(lists: Lists) -> None:
    async with lists.replica(only="airtable") as door:
        base, table = await lists.base()
        hook = await lists.hook(base, door.to("airtable"))
        lists.secrets["AIRTABLE_WEBHOOK_SECRET"] = hook["macSecretBase64"]
    async with lists.replica(only="airtable") as door:
        await lists.airtable_api(
            f"/v0/{base}/{table}", {"records": [{"fields": {"Name": "no ping, it went elsewhere"}}]}
        )
        await lists.read(door, "airtable")
        await lists.settled("airtable")
        assert [event.type for event in door.events()] == ["com.airtable.base.changed"]
        ping = {"base": {"id": base}, "webhook": {"id": hook["id"]}, "timestamp": "2026-12-01T09:30:00.000Z"}
        await lists.airtable_api(f"/v0/{base}/{table}", {"records": [{"fields": {"Name": "with a ping"}}]})
        await lists.airtable_api(f"/v0/{base}/{table}", {"records": [{"fields": {"Name": "and one more"}}]})
        assert (await pinged(door, ping, hook["macSecretBase64"])).status == 200
        await until(lambda: len(door.events()) == 3)
        assert [event.id for event in door.events()] == [f"{hook['id']}:{number}" for number in (1, 2, 3)]
        assert {event.subject for event in door.events()} == {base}
        assert "createdRecordsById" in door.events()[0].data["payload"]["changedTablesById"][table]


async def pinged(door: Door, ping: dict[str, Any], secret: str) -> Any:
    from tests.unit.webhooks import signing

    body = json.dumps(ping).encode()
    return await door.post("airtable", body, {"Content-Type": "application/json"} | signing.airtable(secret, body))


async def test_airtables_webhooks_are_kept_alive_and_those_that_ended_are_forgotten(lists: Lists) -> None:
    base, _ = await lists.base()
    async with lists.replica(only="airtable") as door:
        hook, foreign = (
            await lists.hook(base, door.to("airtable")),
            await lists.hook(base, "http://127.0.0.1:9/elsewhere"),
        )
        lists.ahead = timedelta(days=5)
        await lists.settled("airtable")
        await lists.admin.execute("update webhook_pollers set position = position - 'looked'")
        await lists.read(door, "airtable")
        assert lists.airtable.requests[f"POST /v0/bases/{base}/webhooks/{hook['id']}/refresh"] >= 1
        assert f"GET /v0/bases/{base}/webhooks/{foreign['id']}/payloads" not in lists.airtable.requests
        del lists.airtable.hooks._hooks[hook["id"]]
        async with asyncio.timeout(60):
            while len(await lists.rows("airtable")) > 1:
                await lists.admin.execute("update webhook_pollers set next_at = now() where part like '%/%'")
                door.room.poller.wake()  # type: ignore[union-attr]
                await asyncio.sleep(0.05)


# -- whatever goes wrong ----------------------------------------------------------------------------------------------------


async def test_a_restart_in_the_middle_of_the_pages_loses_nothing_and_tells_nothing_twice(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "MOST_PAGES", 1)  # a slice with more than one page is halved
    monkeypatch.setattr(stripe_list, "PAGE", 1)
    customers = sorted([await lists.pays() for _ in range(3)])
    paid = [e for e in lists.stripe.book.rows["events"].values() if e["type"] == "invoice.paid"]
    for number, event in enumerate(paid):
        event["created"] -= 600 * (len(paid) - number)
    async with lists.replica(only="stripe") as door:
        await until(lambda: door.events())
        lists.fault("stripe", "500", path="/v1/events", count=1000)
        await lists.settled("stripe")
        seen = door.events()
        assert 0 < len(seen) < 3
    lists.stripe.faults.clear()
    async with lists.replica(only="stripe") as door:
        await lists.read(door, "stripe")
        seen += door.events()
    assert sorted(str(event.subject) for event in seen) == customers


async def test_what_was_accepted_before_the_position_was_kept_is_not_told_again(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lists.pays()

    async def killed(*given: Any) -> bool:
        raise OSError("the process is gone")

    with monkeypatch.context() as patched:
        patched.setattr(PollStore, "reached", killed)
        async with lists.replica(only="stripe") as door:
            (row,) = await lists.settled("stripe")
            assert (len(door.events()), row["caught"]) == (1, 0)
    async with lists.replica(only="stripe") as door:
        (row,) = await lists.read(door, "stripe")
        assert (door.events(), row["caught"], row["problem"]) == ([], 0, None)


async def test_what_is_read_once_more_each_time_may_be_many_pages(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "MOST_PAGES", 1)
    monkeypatch.setattr(stripe_list, "PAGE", 1)
    for _ in range(4):
        await lists.pays()
    paid = [e for e in lists.stripe.book.rows["events"].values() if e["type"] == "invoice.paid"]
    for number, event in enumerate(paid):
        event["created"] -= 7 * number
    async with lists.replica(only="stripe") as door:
        await lists.read(door, "stripe")
        (row,) = await lists.read(door, "stripe")
        assert sorted(event.id for event in door.events()) == sorted(event["id"] for event in paid)
        assert "at" not in json.loads(row["position"]), "to the end, every time"
        assert row["positioned_at"] > datetime.now(UTC) - timedelta(minutes=1)


async def test_two_replicas_read_a_list_once(lists: Lists) -> None:
    customers = sorted([await lists.pays() for _ in range(3)])
    async with (
        lists.replica(only="stripe", poll_seconds=0.01) as one,
        lists.replica(only="stripe", poll_seconds=0.01) as two,
    ):
        async with asyncio.timeout(60):
            while not (rows := await lists.rows("stripe")) or rows[0]["rounds"] < 6:
                one.room.poller.wake()  # type: ignore[union-attr]
                two.room.poller.wake()  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        assert sorted(str(event.subject) for event in one.events() + two.events()) == customers
    assert (await lists.rows("stripe"))[0]["caught"] == 3


async def test_the_list_of_a_replica_that_died_is_read_on_by_another(lists: Lists) -> None:
    await lists.pays()
    async with lists.replica(only="stripe") as door:
        await lists.settled("stripe")
        await lists.admin.execute(
            "update webhook_pollers set lease_owner = 'gateway@gone:1:ab#77', lease_until = now() + interval '1 hour'"
        )
        await lists.pays()
        door.room.poller.wake()  # type: ignore[union-attr]
        await until(lambda: len(door.events()) == 2)
    assert len({event.id for event in door.events()}) == 2, "each payment is told once"


@pytest.mark.parametrize(
    ("kind", "code"), [("429", "vendor.too_often"), ("500", "vendor.failed"), ("wrong_body", "poll.unreadable")]
)
async def test_a_vendor_that_cannot_be_read_now_is_read_later(lists: Lists, kind: str, code: str) -> None:
    await lists.pays()
    lists.fault("stripe", kind, path="/v1/events", retry_after=120.0)
    async with lists.replica(only="stripe") as door:
        (row,) = await lists.settled("stripe")
        assert (row["problem"].split(":")[0], row["caught"], door.events()) == (code, 0, [])
        wait = (row["next_at"] - datetime.now(UTC)).total_seconds()
        assert (wait <= 120) if kind == "429" else (wait <= poller.LONGEST_WAIT), "it asked for two minutes"
        (row,) = await lists.read(door, "stripe")
        assert (row["problem"], row["caught"]) == (None, 1)


async def test_an_entry_that_does_not_fit_is_set_aside_once_and_the_position_moves_on(lists: Lists) -> None:
    await lists.pays()
    (event,) = (e for e in lists.stripe.book.rows["events"].values() if e["type"] == "invoice.paid")
    lists.stripe.book.rows["events"]["evt_odd"] = event | {
        "id": "evt_odd",
        "data": {"object": {"id": "", "object": "invoice"}},
    }
    async with lists.replica(only="stripe") as door:
        before = (await lists.settled("stripe"))[0]["position"]
        await lists.read(door, "stripe")
        assert [found.id for found in door.events()] == [event["id"]]
    (letter,) = await lists.letters()
    assert (letter["topic"], letter["code"]) == ("webhooks/stripe", "event.invalid_data")
    (row,) = await lists.rows("stripe")
    assert row["position"] > before
    assert row["problem"] is None


async def test_silence_of_days_is_caught_up_in_order(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "STEPS", 2)
    for _ in range(3):
        await lists.pays()
    paid = [e for e in lists.stripe.book.rows["events"].values() if e["type"] == "invoice.paid"]
    now = int(datetime.now(UTC).timestamp())
    for number, event in enumerate(paid):
        event["created"] = now - 86400 * (3 - number)
    async with lists.replica(only="stripe", poll_first_seconds=4 * 86400) as door:
        (row,) = await lists.settled("stripe")
        assert [event.id for event in door.events()] == [event["id"] for event in paid]
        assert row["rounds"] > 3, "so much a round"


async def test_what_is_out_of_the_lists_reach_is_told(lists: Lists) -> None:
    async with lists.replica(only="stripe", poll_first_seconds=90 * 86400) as door:
        (row,) = await lists.settled("stripe")
        assert "lost" in row["position"]
        assert door.events() == []


async def test_nothing_is_read_without_credentials_or_webhook_or_when_it_is_turned_off(lists: Lists) -> None:
    async with lists.replica() as door:
        assert set(door.room.poller.pauses()) == set(lists.emulators)  # type: ignore[union-attr]
    del lists.secrets["STRIPE_API_KEY"], lists.secrets["HUBSPOT_WEBHOOK_SECRET"]
    lists.secrets |= {"TWILIO_POLL_SECONDS": "0", "ELEVENLABS_POLL_SECONDS": "60"}
    async with lists.replica() as door:
        pauses = door.room.poller.pauses()  # type: ignore[union-attr]
        assert pauses == {"quickbooks": 3600.0, "elevenlabs": 60.0, "airtable": 3600.0}
    lists.secrets["HUBSPOT_POLL_SECONDS"] = "30"
    async with lists.replica(poll_seconds=0) as door:
        pauses = door.room.poller.pauses()  # type: ignore[union-attr]
        assert pauses == {"hubspot": 30.0, "elevenlabs": 60.0}, "one with a pause of its own needs no webhook"
