"""What our own calls cause: marked, not heard by who caused it, and stopped where it comes back again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from sandbox.vendors.twilio import NUMBER, UNREACHABLE
from shared.bus import topics
from shared.bus.dead_letters import Redrives
from shared.bus.kafka import Record
from shared.store.pool import Pool, is_transient
from tests.integration.gateway.world import until
from tests.integration.webhooks.lists import Lists
from tests.integration.webhooks.test_lists import basic
from tests.integration.webhooks.world import Door

CALL = (
    "insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, vendor, effect, state, arguments,"
    " arguments_sha256, result, closed_at) values ($1, gen_random_uuid(), 1, 0, $2, 'c', $3, $4, 'once', 'succeeded', '{}', '',"
    " $5, now())"
)
TOOLS = {
    "twilio_send_message": "twilio",
    "airtable_create_records": "airtable",
    "quickbooks_update_invoice": "quickbooks",
    "elevenlabs_call": "elevenlabs",
}


@pytest.fixture
async def lists(gateway_pool: Pool, admin: Any, postgres: Postgres) -> AsyncIterator[Lists]:
    made = Lists(gateway_pool, admin, postgres.dsn("viox_gateway"))
    await made.open()
    for tool, vendor in TOOLS.items():
        await admin.execute(
            "insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to)"
            " values ($1, $2, 'POST', '/', 'once', '{}', '', '{}', '{}')",
            tool,
            vendor,
        )
    yield made
    await made.close()


async def called(lists: Lists, call: str, agent: str, tool: str, result: Any) -> None:
    """As if the agent had made this call just now."""
    await lists.pool.execute(CALL, call, agent, tool, TOOLS[tool], result)


def causes(door: Door) -> dict[str | None, tuple[str | None, str | None]]:
    return {
        event.subject: (event.extensions.get("causedbycall"), event.extensions.get("causedbyagent"))
        for event in door.events()
    }


async def heard(lists: Lists) -> dict[str, list[str]]:
    """Event → the agents that start a run because of it."""
    rows = await lists.admin.fetch("select message_id, receivers from outbox where topic like 'viox.events.%'")
    return {row["message_id"]: list(row["receivers"]) for row in rows}


async def test_an_invoice_that_we_changed(lists: Lists) -> None:
    async with lists.replica(only="quickbooks") as door:
        await lists.connect(door, "quickbooks")
        ours, other, theirs = await lists.invoice(), await lists.invoice(), await lists.invoice()
        await called(lists, "run.1.0", "controller", "quickbooks_update_invoice", {"Invoice": {"Id": ours["Id"]}})
        await called(lists, "run.2.0", "operator", "quickbooks_update_invoice", {"Invoice": {"Id": other["Id"]}})
        for invoice in (ours, other, theirs):
            await lists.changes(invoice, "paid soon")
        await until(lambda: len(door.events()) == 3)
        assert causes(door) == {
            f"invoice:{ours['Id']}": ("run.1.0", "controller"),
            f"invoice:{other['Id']}": ("run.2.0", "operator"),
            f"invoice:{theirs['Id']}": (None, None),
        }
        by_subject = {event.subject: event.id for event in door.events()}
        receivers = await heard(lists)
        assert receivers[by_subject[f"invoice:{ours['Id']}"]] == [], "Controller caused it itself"
        assert receivers[by_subject[f"invoice:{other['Id']}"]] == ["controller"], "another agent's work is news"
        assert receivers[by_subject[f"invoice:{theirs['Id']}"]] == ["controller"]


async def test_records_that_we_wrote_and_one_that_somebody_else_did(lists: Lists) -> None:
    async with lists.replica(only="airtable") as door:
        base, table = await lists.base()
        hook = await lists.hook(base, door.to("airtable"))
        made = [
            await lists.airtable_api(f"/v0/{base}/{table}", {"records": [{"fields": {"Name": name}}]})
            for name in ("ours", "theirs")
        ]
        await called(lists, "run.3.0", "operator", "airtable_create_records", made[0])
        lists.ahead = lists.ahead * 0
        await lists.read(door, "airtable")
        await lists.settled("airtable")
        assert [event.extensions.get("causedbycall") for event in door.events()] == ["run.3.0", None]
        assert await heard(lists) == {f"{hook['id']}:1": [], f"{hook['id']}:2": ["operator"]}


async def test_news_of_a_message_and_of_a_call_that_we_made_are_heard(lists: Lists) -> None:
    async with lists.replica(only="twilio") as door:
        sid, call = "SM" + "1" * 32, "CA" + "1" * 32
        await called(lists, "run.4.0", "voice", "twilio_send_message", {"sid": sid, "status": "queued"})
        await called(lists, "run.5.0", "voice", "elevenlabs_call", {"callSid": call, "conversation_id": "conv_1"})
        await form(lists, door, {"MessageSid": sid, "MessageStatus": "undelivered", "To": "+14155550123"})
        await form(lists, door, {"CallSid": call, "CallStatus": "completed", "To": "+14155550124"})
        await form(lists, door, {"MessageSid": "SM" + "2" * 32, "MessageStatus": "sent", "To": "+14155550125"})
        assert causes(door) == {
            "+14155550123": ("run.4.0", "voice"),
            f"call:{call}": ("run.5.0", "voice"),
            "+14155550125": (None, None),
        }
        told = await heard(lists)
        assert told.pop("SM" + "2" * 32 + ":sent") == [], "one that is on its way is no news"
        assert set(map(tuple, told.values())) == {("voice",)}


async def form(lists: Lists, door: Door, fields: dict[str, str]) -> Any:
    from urllib.parse import urlencode

    from tests.unit.webhooks import signing

    body = urlencode(fields).encode()
    answer = await door.post(
        "twilio", body, signing.twilio(lists.secrets["TWILIO_AUTH_TOKEN"], body, door.to("twilio"))
    )
    assert answer.status == 200, answer.text
    return answer


# -- loops ------------------------------------------------------------------------------------------------------------------


class Replier:
    """An agent that answers whatever it hears of a message by a message to the same number: a loop, if nobody stops it."""

    def __init__(self, lists: Lists, door: Door) -> None:
        self._lists, self._door = lists, door
        self.sent: list[str] = []

    async def run(self) -> None:
        done = 0
        while True:
            events = self._door.events()
            for event in events[done:]:
                if event.data.get("MessageStatus") == "undelivered":
                    await self.sends(str(event.subject))
            done = len(events)
            await asyncio.sleep(0.01)

    async def sends(self, to: str) -> None:
        """A text message through the emulator, with the call's row that the gateway would have."""
        path = f"/2010-04-01/Accounts/{self._lists.secrets['TWILIO_ACCOUNT_SID']}/Messages.json"
        body = {"To": to, "From": NUMBER, "Body": "Did you get this?"}
        made = await self._lists.post("twilio", path, basic(self._lists), data=body)
        self.sent.append(to)
        await called(
            self._lists,
            f"run.{len(self.sent)}.1",
            "voice",
            "twilio_send_message",
            {"sid": made["sid"], "status": "queued"},
        )


async def trips(lists: Lists) -> list[Any]:
    return list(await lists.admin.fetch("select * from webhook_trips where released_at is null"))


async def test_a_loop_is_stopped_other_things_go_on_and_a_person_releases_it(lists: Lists, postgres: Postgres) -> None:
    async with lists.replica(only="twilio", loop_runs=6, webhook_trip_events=1000) as door:
        await lists.connect(door, "twilio")
        replier = Replier(lists, door)
        running = asyncio.create_task(replier.run())
        try:
            await replier.sends(UNREACHABLE)
            async with asyncio.timeout(120):
                while not (stopped := await trips(lists)) or not stopped[0]["letters"]:
                    await asyncio.sleep(0.05)
            (trip,) = stopped
            assert (trip["agent"], trip["source"], trip["subject"]) == ("voice", "/twilio", UNREACHABLE)
            lost = [e for e in door.events() if e.subject == UNREACHABLE and e.data["MessageStatus"] == "undelivered"]
            assert len(lost) == 6, "as many as may be"
            letters = await lists.letters()
            assert {letter["code"] for letter in letters} == {"webhook.loop"}
            assert str(trip["trip_id"]) in letters[0]["error"]

            before = len(door.events())
            await form(lists, door, {"MessageSid": "SM" + "9" * 32, "MessageStatus": "delivered", "To": "+14155550100"})
            await lists.texts("somebody else")
            await until(lambda: len(door.events()) == before + 2)
            again = {"MessageSid": "SM" + "8" * 32, "MessageStatus": "delivered", "To": UNREACHABLE}
            await form(lists, door, again)
            await until(lambda: len(door.events()) == before + 3)  # nobody's echo: it goes on, too

            await release(postgres, trip["trip_id"])
            redrives = Redrives(topics.GATEWAY, door.room._pool, _taken(door), _nothing, is_transient)
            assert await redrives.take() == len(letters)
            async with asyncio.timeout(120):
                while not (stopped := await trips(lists)):
                    assert not running.done()
                    await asyncio.sleep(0.05)
            assert stopped[0]["trip_id"] != trip["trip_id"], "the cause is still there: it is stopped again"
        finally:
            running.cancel()


def _taken(door: Door) -> Any:
    async def accept(records: list[Record]) -> None:
        for record in records:
            await door.room.webhooks.redrive(record)

    return accept


async def _nothing(record: Record, error: Exception) -> None:
    raise AssertionError(error)


async def release(postgres: Postgres, trip: Any) -> None:
    """As `viox webhooks --release` does, with an operator's rights."""
    from shared.operations.store import SQL

    connection = await asyncpg.connect(postgres.dsn("viox_operator_cli"))
    try:
        row = await connection.fetchrow(SQL["release_trip"], trip, "ana")
        assert row is not None
        assert await connection.fetchrow(SQL["release_trip"], trip, "ana") is None, "once"
        await connection.fetch(SQL["redrive_held"], row["letters"])
    finally:
        await connection.close()


async def test_many_small_loops_are_one_big_one(lists: Lists) -> None:
    async with lists.replica(only="twilio", loop_runs=100, loop_runs_of_all=5, webhook_trip_events=1000) as door:
        for number in range(8):
            sid = "SM" + f"{number:032}"
            await called(lists, f"run.{number}.2", "voice", "twilio_send_message", {"sid": sid})
            await form(lists, door, {"MessageSid": sid, "MessageStatus": "undelivered", "To": f"+1415555020{number}"})
        await form(lists, door, {"MessageSid": "SM" + "7" * 32, "MessageStatus": "undelivered", "To": "+14155550300"})
        assert len(door.events()) == 6, "five echoes, and what nobody here caused"
        (trip,) = await trips(lists)
        assert (trip["agent"], trip["held"]) == ("", 3)


async def test_a_repeat_of_what_was_accepted_is_not_held(lists: Lists) -> None:
    async with lists.replica(only="twilio", loop_runs=1) as door:
        answers: list[Any] = []
        for sid in ("SM" + "1" * 32, "SM" + "2" * 32, "SM" + "1" * 32):
            if not answers or sid[-1] == "2":
                await called(lists, f"run.{sid[-1]}.3", "voice", "twilio_send_message", {"sid": sid})
            answers.append(
                await form(lists, door, {"MessageSid": sid, "MessageStatus": "undelivered", "To": "+14155550123"})
            )
        assert len(door.events()) == 1
        assert len(await lists.letters()) == 1
