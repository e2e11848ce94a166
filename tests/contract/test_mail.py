"""The standard library's SMTP client takes the mail server for a real one."""

from __future__ import annotations

import json
import smtplib
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Any

import pytest

from sandbox.vendors.mail import PASSWORD, USER, Mail
from sandbox.vendors.main import made, read
from tests.contract.emulators import Served
from tests.contract.waiting import eventually

TO = "ana@client.example"


@pytest.fixture
def emulator() -> Mail:
    return Mail()


def connection(served: Served, *, login: bool = True) -> smtplib.SMTP:
    assert isinstance(served.emulator, Mail)
    client = smtplib.SMTP("127.0.0.1", served.emulator.smtp_port, timeout=60)
    if login:
        client.login(USER, PASSWORD)
    return client


def mail(to: str = TO) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"], made["Message-ID"] = USER, to, "Grüße", "<1@viox.example>"
    made.set_content("Hello Ana\n.\nBye")
    return made


def state(served: Served) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{served.url}/_sandbox/state", timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["messages"]
    return found


def test_a_message_arrives_as_it_was_sent(served: Served) -> None:
    message = mail(f"{TO}, bo@client.example")
    message.add_alternative("<p>Hello Ana</p>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="offer.pdf")
    with connection(served) as client:
        assert client.send_message(message) == {}
    (kept,) = state(served)
    assert (kept["from"], kept["to"]) == (USER, [TO, "bo@client.example"])
    assert (kept["subject"], kept["message_id"]) == ("Grüße", "<1@viox.example>")
    assert kept["text"] == "Hello Ana\n.\nBye\n"
    assert kept["html"] == "<p>Hello Ana</p>\n"
    assert kept["attachments"] == [{"filename": "offer.pdf", "content_type": "application/pdf", "size": 4}]
    (effect,) = served.emulator.effects
    assert (effect["operation"], effect["message_id"]) == ("deliver", "<1@viox.example>")


@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_who_sends_has_to_log_in(served: Served, mechanism: str) -> None:
    with connection(served, login=False) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.send_message(mail())
        assert refused.value.smtp_code == 530
    with connection(served, login=False) as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(USER, "wrong")
    with connection(served, login=False) as client:
        client.ehlo()
        client.user, client.password = USER, PASSWORD
        assert client.auth(mechanism, getattr(client, f"auth_{mechanism}"))[0] == 235
        client.send_message(mail())
    assert len(state(served)) == 1


def test_one_recipient_refused_another_served(served: Served) -> None:
    served.fault(kind="550", path="nobody@")
    with connection(served) as client:
        refused = client.send_message(mail(f"nobody@client.example, {TO}"))
    assert refused["nobody@client.example"][0] == 550
    assert state(served)[0]["to"] == [TO]


@pytest.mark.parametrize(
    ("command", "error"), [("RCPT", smtplib.SMTPRecipientsRefused), ("DATA", smtplib.SMTPDataError)]
)
def test_a_temporary_failure_passes(served: Served, command: str, error: type[Exception]) -> None:
    served.fault(kind="451", method=command)
    with connection(served) as client:
        with pytest.raises(error) as failed:
            client.send_message(mail())
        assert "451" in str(failed.value)
        assert state(served) == []
        client.send_message(mail())
    assert len(state(served)) == 1


@pytest.mark.parametrize(("kind", "kept"), [("cut_before", 0), ("cut_after", 1)])
def test_a_lost_connection_says_nothing_of_the_message(served: Served, kind: str, kept: int) -> None:
    served.fault(kind=kind)
    client = connection(served)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.send_message(mail())
    client.close()
    assert len(state(served)) == kept
    assert len(served.emulator.effects) == kept
    with connection(served) as again:
        again.send_message(mail())
    assert len(state(served)) == kept + 1


def test_slow_answers_come_late(served: Served) -> None:
    served.fault(kind="slow", seconds=0.4)
    with ThreadPoolExecutor(1) as pool, connection(served) as client, served.stopped():
        sending = pool.submit(client.send_message, mail())
        eventually(lambda: state(served), "the message")
        assert not sending.done(), "it is there, and its sender does not know yet"
        served.passes(0.4)
        assert sending.result(60) == {}
    assert len(state(served)) == 1


def test_control_knows_its_faults_and_forgets(served: Served) -> None:
    for kind in ("wrong_body", "429"):
        with pytest.raises(urllib.error.HTTPError) as unknown:
            served.fault(kind=kind)
        unknown.value.close()
    with connection(served) as client:
        client.send_message(mail())
    urllib.request.urlopen(urllib.request.Request(f"{served.url}/_sandbox/reset", b""), timeout=60).close()
    assert state(served) == []
    assert served.emulator.effects == []


def test_the_command_line_gives_mail_three_ports() -> None:
    ports = read(["twilio=8092", "mail=8099:8025:8143"])
    assert ports == {"twilio": 8092, "mail": (8099, 8025, 8143)}
    emulator, port = made("mail", ports["mail"])
    assert isinstance(emulator, Mail)
    assert (emulator.smtp_port, port) == (8025, 8099)
    with pytest.raises(ValueError, match="one port"):
        made("twilio", (1, 2, 3))
