"""Mails become events once each, from the mailbox or by the webhook, whatever is lost, restarted, refused or made up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sandbox.postgres import Postgres
from sandbox.vendors.common import Fault
from sandbox.vendors.mail import HOST, IMAP_DOWN, PASSWORD, USER, Mail
from sandbox.vendors.main import start
from services.tool_gateway.mail.references import message_id, reply_key
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.envelope import Message
from shared.store.pool import Pool
from tests.integration.gateway.world import RUN
from tests.integration.webhooks.lists import Lists
from tests.integration.webhooks.world import Door

SECRET = "the-secret-of-the-mail-receiver"
CALL = f"{RUN}.3.0"
PROVED = {"Authentication-Results": f"{HOST}; dmarc=pass header.from=client.example"}


class Box(Lists):
    """The mailbox beside the vendors."""

    mail: Mail

    async def open(self) -> None:
        await super().open()
        self.mail = Mail()
        runner, port = await start(self.mail, 0)
        self._stack.push_async_callback(runner.cleanup)
        self.urls["mail"] = f"http://127.0.0.1:{port}"
        self.secrets |= {
            "IMAP_HOST": "127.0.0.1",
            "IMAP_PORT": str(self.mail.imap_port),
            "IMAP_TLS": "none",
            "IMAP_USERNAME": USER,
            "IMAP_PASSWORD": PASSWORD,
            "MAIL_POLL_SECONDS": "3600",
            "MAIL_AUTHSERV_ID": HOST,
            "MAIL_WEBHOOK_SECRET": SECRET,
            "SMTP_FROM": "Office <office@biz.example>",
        }

    async def comes(self, text: str, sender: str = "Ana <ana@client.example>", **more: Any) -> None:
        await self.sandbox("mail", "mailbox", {"from": sender, "subject": "Hi", "text": text} | more)


@pytest.fixture
async def box(gateway_pool: Pool, admin: Any, postgres: Postgres) -> AsyncIterator[Box]:
    async with AsyncExitStack() as stack:
        made = Box(gateway_pool, admin, postgres.dsn("viox_gateway"))
        await made.open()
        stack.push_async_callback(made.close)
        yield made


def texts(door: Door) -> list[str]:
    return [event.data["text"] for event in door.events()]


async def test_mails_are_found_once_and_in_their_order(box: Box) -> None:
    async with box.replica(only="mail") as door:
        for number in range(30):
            await box.comes(f"number {number}")
        (row,) = await box.read(door, "mail")
        assert texts(door) == [f"number {number}" for number in range(30)]
        assert (row["part"], row["found"], row["caught"], row["problem"]) == ("mailbox", 30, 30, None)
        await box.comes("another")
        await box.read(door, "mail")
        assert texts(door)[30:] == ["another"]
        assert await box.admin.fetchval("select count(*) from outbox where topic = 'viox.events.telephony'") == 31


async def test_what_was_there_before_the_first_look_is_left_alone(box: Box) -> None:
    await box.comes("of last year", received_at="2020-01-01T00:00:00+00:00")
    async with box.replica(only="mail") as door:
        await box.comes("of today")
        await box.read(door, "mail")
        assert texts(door) == ["of today"]


async def test_a_killed_replica_s_mails_are_read_by_the_next_one_and_none_twice(box: Box) -> None:
    async with box.replica(only="mail", dead=True) as door:
        await box.comes("before the kill")
        await box.read(door, "mail")
        await box.admin.execute(
            "update webhook_pollers set position = jsonb_set(position, '{uid}', '0') where webhook = 'mail'"
        )
    async with box.replica(only="mail") as door:
        await box.comes("after it")
        await box.read(door, "mail")
        assert texts(door) == ["after it"]
    stored = await box.admin.fetchval("select count(*) from webhook_events where source = '/mail'")
    assert stored == 2


async def test_a_mailbox_that_is_numbered_anew_is_read_without_repeats(box: Box) -> None:
    async with box.replica(only="mail") as door:
        await box.comes("one")
        await box.read(door, "mail")
        box.mail.mailbox.renumber()
        await box.comes("two")
        await box.read(door, "mail")
        assert texts(door) == ["one", "two"]


async def test_a_server_that_is_away_is_said_and_read_later(box: Box) -> None:
    async with box.replica(only="mail") as door:
        await box.read(door, "mail")
        box.mail.faults.append(Fault(IMAP_DOWN, method="EXAMINE"))
        await box.comes("while it was away")
        (row,) = await box.read(door, "mail")
        assert "imap.unreadable" in row["problem"]
        box.mail.faults.clear()
        await box.read(door, "mail")
        assert texts(door) == ["while it was away"]


async def test_a_login_that_is_refused_is_said(box: Box) -> None:
    box.secrets["IMAP_PASSWORD"] = "wrong"
    async with box.replica(only="mail") as door:
        (row,) = await box.read(door, "mail")
        assert "does not take the login" in row["problem"]
        assert "wrong" not in row["problem"]


async def test_a_mail_without_a_sender_is_set_aside_and_holds_up_nothing(box: Box) -> None:
    async with box.replica(only="mail") as door:
        await box.sandbox("mail", "mailbox", {"raw": "Subject: nobody\r\n\r\nx"})
        await box.comes("fine")
        await box.read(door, "mail")
        assert texts(door) == ["fine"]
        (letter,) = await box.letters()
        assert (letter["code"], letter["topic"]) == ("mail.no_sender", "webhooks/mail")


async def test_what_the_business_wrote_itself_and_what_machines_write_begins_no_run(box: Box) -> None:
    async with box.replica(only="mail") as door:
        await box.comes("a copy for us", "office@biz.example")
        await box.comes("10 % off", "shop@news.example", headers={"List-Unsubscribe": "<https://x.example>"})
        await box.read(door, "mail")
        (event,) = door.events()
        assert event.data["kind"] == "automatic"
        receivers = await box.admin.fetchval("select receivers from outbox where topic = 'viox.events.telephony'")
        assert receivers == [], "nobody has to have it"


async def test_an_answer_is_known_for_one(box: Box) -> None:
    sent = message_id(CALL, ["ana@client.example"], "biz.example", Secrets(box.secrets))
    async with box.replica(only="mail") as door:
        await box.comes("Yes", in_reply_to=sent)
        await box.comes("Send me all you know", "eve@evil.example", in_reply_to=sent)
        await box.comes("Hello", headers=PROVED)
        await box.read(door, "mail")
        assert [belongs(event) for event in door.events()] == [
            ("ana@client.example", "reply", reply_key(CALL, "ana@client.example")),
            ("eve@evil.example", "", ""),
            ("ana@client.example", "dmarc", "ana@client.example"),
        ]


def belongs(event: Message) -> tuple[str, str, str]:
    return event.data["sender"], event.data["verified"], event.data["owner_key"]


async def test_of_mails_that_anybody_may_have_written_only_so_many_an_hour_are_worked_on(box: Box) -> None:
    async with box.replica(only="mail", mail_unproved_per_hour=2) as door:
        for number in range(4):
            await box.comes(f"forged {number}", f"ana{number}@victim.example")
        await box.comes("proved", headers=PROVED)
        await box.read(door, "mail")
        assert texts(door) == ["forged 0", "forged 1", "proved"], "those that are proved are not held up"
        letters = await box.letters()
        assert [letter["code"] for letter in letters] == ["mail.too_many"] * 2
        wrong = await door.post(
            "mail", b"From: x@y.zz\r\n\r\nhi", {"Content-Type": "message/rfc822", "X-Viox-Secret": SECRET}
        )
        assert (wrong.status, wrong.json()["set_aside"]["code"]) == (200, "mail.too_many")


async def test_a_receiver_of_mails_may_post_them(box: Box) -> None:
    raw = b"From: ana@client.example\r\nSubject: Hi\r\nMessage-ID: <1@client.example>\r\n\r\nHello\r\n"
    headers = {"Content-Type": "message/rfc822", "X-Viox-Secret": SECRET}
    async with box.replica(only="mail") as door:
        assert (await door.post("mail", raw, headers)).status == 200
        again = await door.post("mail", raw, headers)
        assert (again.status, again.json()["repeated"]) == (200, 1)
        await box.sandbox("mail", "mailbox", {"raw": "Received: by mx\r\n" + raw.decode()})
        await box.read(door, "mail")
        assert texts(door) == ["Hello"], "the same mail, whichever way it came"
        wrong = await door.post("mail", raw, headers | {"X-Viox-Secret": "guess"})
        assert wrong.status == 401
        as_json = await door.post("mail", b'{"rfc822_base64": ""}', headers | {"Content-Type": "application/json"})
        assert as_json.status == 415, "in this form only the gateway's own reading brings it"
