"""The standard library's IMAP client takes the mailbox for a real one, and the gateway's connector reads it as it is."""

from __future__ import annotations

import asyncio
import base64
import imaplib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.vendors.mail import IMAP_DOWN, PASSWORD, USER, Mail
from services.tool_gateway.catalogue.catalogue import load
from services.tool_gateway.connectors import imap
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.transport import NotSent
from shared.redaction import Redactor
from tests.contract.emulators import Served

EARLY = "2020-01-01T00:00:00+00:00"


@pytest.fixture
def emulator() -> Mail:
    return Mail()


def put(served: Served, **given: Any) -> int:
    return int(served.control("mailbox", **given)["uid"])


def box(served: Served) -> Mail:
    assert isinstance(served.emulator, Mail)
    return served.emulator


@pytest.fixture
def client(served: Served) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", box(served).imap_port, timeout=60) as made:
        yield made


def test_a_client_reads_what_came(served: Served, client: imaplib.IMAP4) -> None:
    first = put(served, **{"from": "Ana <ana@client.example>", "subject": "Grüße", "text": "Hello"})
    second = put(served, raw="From: bo@client.example\r\n\r\nx", received_at=EARLY)
    assert client.login(USER, PASSWORD)[0] == "OK"
    assert client.select("INBOX", readonly=True) == ("OK", [b"2"])
    assert client.response("UIDVALIDITY")[1] == [b"1"]
    assert client.uid("SEARCH", "UID", f"{second + 1}:*")[1] == [b"2"], (
        "the last one in any case, as the protocol has it"
    )
    assert client.uid("SEARCH", "SINCE", "01-Jan-2021")[1] == [str(first).encode()]
    (told, part), _ = client.uid("FETCH", str(second), "(UID INTERNALDATE BODY.PEEK[]<0.9>)")[1]
    assert (part, b"BODY[]<0> {9}" in told) == (b"From: bo@", True)
    assert imaplib.Internaldate2tuple(told) is not None


def test_a_wrong_password_opens_nothing(client: imaplib.IMAP4) -> None:
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login(USER, "wrong")
    client.state = "AUTH"  # what a client that pretends to be logged in would try
    assert client.select("INBOX") == ("NO", [b"log in first"])


# -- the gateway's connector -------------------------------------------------------------------------------------------------

TOOL = load({}).tools["mailbox_list_messages"]


def read(served: Served, seconds: float = 30.0, *, guard: Guard | None = None, **changed: Any) -> Any:
    settings = {"IMAP_HOST": "127.0.0.1", "IMAP_PORT": str(box(served).imap_port), "IMAP_TLS": "none"}
    secrets = Secrets({**settings, "IMAP_USERNAME": USER, "IMAP_PASSWORD": changed.pop("password", PASSWORD)})
    mailbox = imap.Mailbox(secrets, guard or Guard(loopback=True), Redactor().of("mailbox"))
    prepared = imap.prepare(TOOL, {"since": EARLY} | changed, secrets, "")

    async def gate() -> None:
        """Nothing stands in the way."""

    answer = asyncio.run(mailbox.send(prepared, seconds, gate))
    assert answer.status == 200
    return json.loads(answer.body)


def test_mails_come_in_their_order_from_where_one_asks(served: Served) -> None:
    for number in range(5):
        put(served, **{"from": "ana@client.example", "subject": str(number)})
    found = read(served, limit=2)
    assert ([one["uid"] for one in found["messages"]], found["last_uid"], found["more"]) == ([1, 2], 2, True)
    found = read(served, after_uid=2, uid_validity=1)
    assert ([one["uid"] for one in found["messages"]], found["more"]) == ([3, 4, 5], False)
    assert b"Subject: 2" in base64.b64decode(found["messages"][0]["rfc822_base64"])
    assert (found := read(served, after_uid=5, uid_validity=1))["messages"] == []
    assert found["last_uid"] == 5
    box(served).mailbox.renumber()
    assert len(read(served, after_uid=5, uid_validity=1)["messages"]) == 5, "another numbering: by days"


def test_of_a_large_mail_its_beginning_is_read(served: Served) -> None:
    put(served, raw="From: ana@client.example\r\n\r\n" + "x" * (imap.LARGEST + 10))
    (found,) = read(served)["messages"]
    assert (found["truncated"], found["size"]) == (True, imap.LARGEST + 38)
    assert len(base64.b64decode(found["rfc822_base64"])) == imap.LARGEST


def test_one_answer_does_not_hold_more_than_fits(served: Served) -> None:
    for _ in range(8):
        put(served, raw="From: ana@client.example\r\n\r\n" + "x" * 550_000)
    found = read(served)
    assert found["more"]
    assert len(json.dumps(found)) < TOOL.max_answer_bytes


@pytest.mark.parametrize("password", ["wrong", "größer"])
def test_a_login_that_is_refused_says_what_to_set(served: Served, password: str) -> None:
    with pytest.raises(NotSent) as refused:
        read(served, password=password)
    assert (refused.value.field, refused.value.final) == ("IMAP_PASSWORD", True)
    assert password not in refused.value.message


def test_only_addresses_that_the_guard_lets_through_are_connected_to(served: Served) -> None:
    with pytest.raises(NotSent, match="guard"):
        read(served, guard=Guard())


def test_a_server_that_goes_away_is_read_later(served: Served) -> None:
    served.fault(kind=IMAP_DOWN, method="EXAMINE")
    with pytest.raises(NotSent) as lost:
        read(served)
    assert (lost.value.code, lost.value.final) == ("imap.unreadable", False)


def test_a_server_that_says_nothing_is_left_in_time(served: Served) -> None:
    began = time.monotonic()
    with pytest.raises(NotSent, match="time"):
        read(served, seconds=0.0)
    assert time.monotonic() - began < 30


def test_an_answer_that_makes_no_sense_is_said_and_read_later(served: Served) -> None:
    box(served).mailbox.validity = "soon"  # type: ignore[assignment]
    with pytest.raises(NotSent, match="as no IMAP server does") as odd:
        read(served)
    assert not odd.value.final
