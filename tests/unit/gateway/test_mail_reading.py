"""What a mail says, whose it is proved to be, and which conversation it goes on with; whatever bytes come."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from services.tool_gateway.catalogue.catalogue import load
from services.tool_gateway.connectors import smtp
from services.tool_gateway.mail import bodies, references
from services.tool_gateway.mail.bodies import LONGEST_TEXT
from services.tool_gateway.mail.reading import read_mail
from services.tool_gateway.webhooks.messages import opened
from services.tool_gateway.webhooks.schemes.proof import Incoming
from services.tool_gateway.webhooks.sources import mail as mail_source
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.events import MAIL_TYPE, check_data
from shared.errors import BadInput

KEY, OLDER = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SETTINGS = {"VIOX_SECRET_KEY": KEY, "SMTP_FROM": "Business <office@biz.example>", "MAIL_AUTHSERV_ID": "mx.biz.example"}
SECRETS = Secrets(SETTINGS)
NOW = datetime(2026, 11, 30, tzinfo=UTC)
CALL = "11111111-2222-5333-8444-555555555555.3.0"
PASSED = "mx.biz.example; dmarc=pass (p=reject) header.from=example.com; spf=pass smtp.mailfrom=example.com"
SENT = "On Mon, 30 Nov 2026 at 15:00, Business <office@biz.example> wrote:\n> Hello\n> did it help?"


def written(text: str = "Hello", sender: str = "Ana Lopez <Ana@Example.com>", **headers: str) -> bytes:
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Subject"] = sender, "office@biz.example", headers.pop("subject", "Hi")
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made.as_bytes()


def data(raw: bytes, secrets: Secrets = SECRETS) -> dict[str, Any]:
    found = read_mail(raw, secrets).data
    check_data(MAIL_TYPE, found)
    return found


def sent_to(*recipients: str, secrets: Secrets = SECRETS) -> str:
    """The Message-ID of a mail of ours."""
    return references.message_id(CALL, recipients, "biz.example", secrets)


# -- what it says ------------------------------------------------------------------------------------------------------------


def test_a_mail_is_read_with_who_wrote_it() -> None:
    found = data(written("Grüße\nAna", subject="Grüße und Küsse", Message_ID="<1@example.com>", Cc="bo@example.com"))
    assert (found["sender"], found["sender_name"]) == ("ana@example.com", "Ana Lopez")
    assert (found["subject"], found["text"]) == ("Grüße und Küsse", "Grüße\nAna")
    assert (found["recipients"], found["message_id"]) == (["office@biz.example", "bo@example.com"], "<1@example.com>")
    assert (found["kind"], found["verified"], found["owner_key"]) == ("message", "", "")


@pytest.mark.parametrize(
    "quoted",
    [
        SENT,
        "Am Mo., 30. Nov. 2026 um 15:00 Uhr schrieb Business <office@biz.example>:\n> Hallo",
        "From: Business <office@biz.example>\nSent: Monday, November 30, 2026 3:00 PM\nTo: Ana\nSubject: Hi\n\nHello",
        "-- \nAna Lopez\nExample Ltd",
    ],
)
def test_only_what_is_new_counts(quoted: str) -> None:
    assert data(written(f"Yes please, the first one.\n\n{quoted}"))["text"] == "Yes please, the first one."


def test_long_lines_come_whole() -> None:
    words = "word " * 300
    assert data(written(f"{words}\n\n{SENT}"))["text"] == words.strip()


def test_of_html_the_words_are_read() -> None:
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["Subject"] = "ana@example.com", "x"
    made.set_content("<style>p {}</style><p>Hello <b>there</b></p><p>Bye</p>", subtype="html")
    assert data(made.as_bytes())["text"] == "Hello there\n\nBye"


def test_an_attached_mail_is_not_the_sender_s_words() -> None:
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["Subject"] = "ana@example.com", "x"
    made.set_content("<p>See what he wrote.</p>", subtype="html")
    made.add_attachment(BytesParser(EmailMessage, policy=policy.default).parsebytes(written("unsubscribe")))
    found = data(made.as_bytes())
    assert found["text"] == "See what he wrote."
    assert [one["content_type"] for one in found["attachments"]] == ["message/rfc822"]


def test_all_that_the_sender_wrote_is_read() -> None:
    raw = b"From: a@b.cc\nContent-Type: multipart/mixed; boundary=B\n\n"
    raw += b"--B\nContent-Type: text/html\n\n<p>My question</p>\n--B\nContent-Type: text/plain\n\nSent by list\n--B--\n"
    assert data(raw)["text"] == "My question\n\nSent by list"
    named = b"From: a@b.cc\nContent-Type: text/plain; name=letter.txt\n\nHello"
    assert data(named)["text"] == "Hello"


def test_attachments_are_named_and_not_read() -> None:
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["Subject"] = "ana@example.com", "x"
    made.set_content("See the file.")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="offer.pdf")
    made.add_attachment("not the text", filename="note.txt")
    found = data(made.as_bytes())
    assert [(one["filename"], one["content_type"], one["size"]) for one in found["attachments"]] == [
        ("offer.pdf", "application/pdf", 4),
        ("note.txt", "text/plain", 14),
    ]
    assert found["text"] == "See the file."


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, "message"),
        ({"Auto_Submitted": "no"}, "message"),
        ({"Auto_Submitted": "auto-replied"}, "automatic"),
        ({"Precedence": "bulk"}, "automatic"),
        ({"List_Unsubscribe": "<https://news.example>"}, "automatic"),
        ({"List_Id": "news <news.shop.example>"}, "automatic"),
        ({"List_Id": "info <info.biz.example>", "Precedence": "list"}, "message"),
        ({"X_Auto_Response_Suppress": "All"}, "message"),
        ({"Return_Path": "<>"}, "automatic"),
    ],
)
def test_nobody_waits_for_an_answer_to_what_a_machine_wrote(headers: dict[str, str], kind: str) -> None:
    assert data(written(**headers))["kind"] == kind


@pytest.mark.parametrize("sender", ["MAILER-DAEMON@mx.example", "no-reply@shop.example", "noreply+7@shop.example"])
def test_addresses_of_machines_are_known(sender: str) -> None:
    assert data(written(sender=sender))["kind"] == "automatic"


def test_what_the_business_itself_wrote_is_no_news() -> None:
    assert read_mail(written(sender="Office <OFFICE@biz.example>"), SECRETS).is_ours
    assert not read_mail(written(), SECRETS).is_ours


# -- whose it is -----------------------------------------------------------------------------------------------------------


def test_the_receiving_server_proves_a_sender() -> None:
    found = data(written(Authentication_Results=PASSED))
    assert (found["verified"], found["owner_key"]) == ("dmarc", "ana@example.com")


@pytest.mark.parametrize(
    "result",
    [
        "mx.evil.example; dmarc=pass header.from=example.com",
        "mx.biz.example; dmarc=fail header.from=example.com",
        "mx.biz.example; dmarc=pass header.from=evil.example",
        "mx.biz.example; spf=pass smtp.mailfrom=example.com",
        "mx.biz.example.evil.example; dmarc=pass header.from=example.com",
        "(mx.biz.example) mx.evil.example; dmarc=pass header.from=example.com",
        "mx.biz.example; none",
        'mx.biz.example; spf=pass reason="dmarc=pass"; x=y',
        'mx.biz.example; spf=pass smtp.mailfrom="x; dmarc=pass header.from=example.com; y"@evil.com; dmarc=fail header.from=example.com',
        "mx.biz.example; spf=pass (x (dmarc=pass header.from=example.com)); dmarc=none",
        "mx.biz.example; dmarc=pass header.from=evil.example header.from=example.com",
        "mx.biz.example; dmarc=fail; dmarc=pass header.from=example.com",
    ],
)
def test_other_results_prove_nothing(result: str) -> None:
    assert data(written(Authentication_Results=result))["verified"] == ""


def test_the_newest_result_of_the_server_counts() -> None:
    """What a sender put in before stands below it."""
    fresh = "Authentication-Results: mx.biz.example; dmarc=fail header.from=example.com\r\n"
    raw = fresh.encode() + written(Authentication_Results=PASSED)
    assert data(raw)["verified"] == ""


def test_without_the_server_s_name_no_result_counts() -> None:
    without = Secrets({name: value for name, value in SETTINGS.items() if name != "MAIL_AUTHSERV_ID"})
    assert data(written(Authentication_Results=PASSED), without)["verified"] == ""


def test_who_answers_a_mail_that_went_to_nobody_else_is_proved_and_goes_on_with_its_conversation() -> None:
    found = data(written(In_Reply_To=sent_to("ana@example.com")))
    assert (found["verified"], found["owner_key"]) == ("reply", references.reply_key(CALL, "ana@example.com"))
    assert data(written(References=f"<0@x> {sent_to('ana@example.com')}"))["verified"] == "reply"


def test_somebody_else_s_answer_to_the_same_mail_is_somebody_else_s() -> None:
    """It was forwarded, or its Message-ID was seen: that is no proof of being its recipient."""
    found = data(written(sender="eve@evil.example", In_Reply_To=sent_to("ana@example.com")))
    assert (found["verified"], found["owner_key"]) == ("", "")


def test_of_a_mail_to_several_the_answer_alone_proves_nobody() -> None:
    sent = sent_to("ana@example.com", "bo@example.com")
    found = data(written(In_Reply_To=sent))
    assert (found["verified"], found["owner_key"]) == ("", "")
    found = data(written(In_Reply_To=sent, Authentication_Results=PASSED))
    assert (found["verified"], found["owner_key"]) == ("dmarc", references.reply_key(CALL, "ana@example.com"))


def test_what_the_named_server_refuses_no_answer_proves() -> None:
    """Whoever was sent our mail on has its Message-ID."""
    failed = "mx.biz.example; dmarc=fail header.from=example.com"
    found = data(written(In_Reply_To=sent_to("ana@example.com"), Authentication_Results=failed))
    assert (found["verified"], found["owner_key"]) == ("", "")


def test_a_provider_that_replaces_message_ids_is_answered_by_what_we_refer_to() -> None:
    kept = f"{sent_to('ana@example.com')} <0100018f@email.amazonses.com>"
    assert data(written(In_Reply_To="<0100018f@email.amazonses.com>", References=kept))["verified"] == "reply"


@pytest.mark.parametrize(
    ("result", "verified"),
    [
        (
            "spf=pass (sender IP is 1.2.3.4) smtp.mailfrom=example.com; dmarc=pass action=none header.from=example.com",
            "dmarc",
        ),
        ("spf=fail; dmarc=fail action=none header.from=example.com", ""),
        ("mx.evil.example; dmarc=pass header.from=example.com", ""),
    ],
)
def test_microsoft_s_results_name_no_server(result: str, verified: str) -> None:
    theirs = Secrets(SETTINGS | {"MAIL_AUTHSERV_ID": "microsoft365"})
    assert data(written(Authentication_Results=result), theirs)["verified"] == verified
    below = f"Authentication-Results: {result}\r\n".encode() + written(Authentication_Results="spf=x; dmarc=pass")
    assert data(below, theirs)["verified"] == verified, "what stands below is the sender's"


@pytest.mark.parametrize(
    ("sender", "read"),
    [
        ("ana@gmail.com <mallory@gmail.com>", "mallory@gmail.com"),
        ('"ana@gmail.com, x" <mallory@gmail.com>', "mallory@gmail.com"),
        ("Ana @ Home <ana@example.com>", "ana@example.com"),
        ("ana@example.com", "ana@example.com"),
        ("<ana@example.com>", "ana@example.com"),
        ("<ana@gmail.com> <mallory@gmail.com>", None),
        ("ana@gmail.com, mallory@gmail.com", None),
        ("ana@gmail.com mallory@gmail.com", None),
        ("Group: ana@example.com;", None),
        ("ana@a@example.com", None),
        ("", None),
    ],
)
def test_from_is_read_as_the_receiving_server_reads_it(sender: str, read: str | None) -> None:
    raw = f"From: {sender}\r\nSubject: x\r\n\r\nHello".encode()
    if read is None:
        with pytest.raises(BadInput, match="one address"):
            read_mail(raw, SECRETS)
    else:
        assert data(raw)["sender"] == read


@pytest.mark.parametrize(
    "made_up",
    [
        f"<{CALL}@biz.example>",
        f"<{CALL}.aaaaaaaaaaaaaaaa@biz.example>",
        sent_to("ana@example.com", secrets=Secrets({"VIOX_SECRET_KEY": OLDER})),
    ],
    ids=["no code", "a guess", "another key"],
)
def test_a_message_id_that_is_made_up_opens_nothing(made_up: str) -> None:
    assert data(written(In_Reply_To=made_up))["verified"] == ""


def test_a_key_that_was_exchanged_still_proves_what_it_made() -> None:
    both = Secrets(SETTINGS | {"VIOX_SECRET_KEY": f"{KEY},{OLDER}"})
    older = sent_to("ana@example.com", secrets=Secrets({"VIOX_SECRET_KEY": OLDER}))
    assert data(written(In_Reply_To=older), both)["verified"] == "reply"


def test_the_mail_that_a_call_sends_has_such_a_message_id() -> None:
    given = {"to": ["Ana <ana@example.com>"], "subject": "Hi", "text": "Hello"}
    settings = Secrets(SETTINGS | {"SMTP_HOST": "mx.biz.example"})
    prepared = smtp.prepare(load({}).tools["email_send"], given, settings, CALL)
    assert BytesParser().parsebytes(prepared.body)["Message-ID"].strip() == sent_to("ana@example.com")


# -- what did not arrive ---------------------------------------------------------------------------------------------------

REPORT = """\
From: MAILER-DAEMON@mx.example
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Type: text/plain

It was not delivered.
--B
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {lost}
Action: {action}
Status: 5.1.1
Diagnostic-Code: smtp; 550 no such user

--B
Content-Type: {kind}

Message-ID: {sent}
Subject: x

--B--
"""


def report(
    lost: str = "Ana@example.com", action: str = "failed", kind: str = "message/rfc822", sent: str = ""
) -> bytes:
    return REPORT.format(lost=lost, action=action, kind=kind, sent=sent or sent_to("ana@example.com")).encode()


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
def test_a_report_names_whom_our_mail_did_not_reach(kind: str) -> None:
    found = data(report(kind=kind))
    assert (found["kind"], found["lost"]) == ("undelivered", ["ana@example.com (5.1.1 550 no such user)"])
    assert found["owner_key"] == references.reply_key(CALL, "ana@example.com")


@pytest.mark.parametrize("changed", [{"action": "delayed"}, {"sent": "<x@y.example>"}, {"lost": "bo@example.com"}])
def test_other_reports_are_nothing_to_act_on(changed: dict[str, str]) -> None:
    found = data(report(**changed))
    assert (found["kind"], found["owner_key"]) == ("automatic", "")


# -- its identity, and the door ----------------------------------------------------------------------------------------------


def test_the_same_mail_is_the_same_event_and_another_with_its_message_id_is_not() -> None:
    first = read_mail(written("Yes", Message_ID="<1@x>"), SECRETS).id
    assert read_mail(b"Received: by another\r\n" + written("Yes", Message_ID="<1@x>"), SECRETS).id == first
    assert read_mail(written("No", Message_ID="<1@x>"), SECRETS).id != first
    proved = written("Yes", Message_ID="<1@x>", Authentication_Results=PASSED)
    assert read_mail(proved, SECRETS).id != first, "one that nobody has proved does not stand for it"


def posted(body: bytes, kind: str = "message/rfc822") -> Incoming:
    return Incoming("POST", "", {"content-type": [kind]}, body)


def test_a_mail_that_is_posted_becomes_an_event() -> None:
    found = opened(mail_source(SECRETS), posted(written()), NOW)
    assert [(one.type, one.source, one.subject) for one in found.messages] == [(MAIL_TYPE, "/mail", "unproved-mail")]
    (proved,) = opened(mail_source(SECRETS), posted(written(Authentication_Results=PASSED)), NOW).messages
    assert (proved.subject or "").startswith("mail:")
    assert "ana" not in f"{proved.subject}{proved.id}", "an address stays in the event's data"


def test_what_is_no_mail_is_refused_by_name() -> None:
    for body in (b"", b"\xff\xfe", b"{}", b"From: a@b.cc, c@d.ee\r\n\r\nx", b"From: a@b.cc\r\nFrom: c@d.ee\r\n\r\nx"):
        found = opened(mail_source(SECRETS), posted(body), NOW)
        assert not found.messages
        assert found.problem is not None
        assert found.problem.field == "From"
    broken = opened(mail_source(SECRETS), posted(b'{"rfc822_base64": "!"}', "application/json"), NOW)
    assert broken.problem is not None


def test_an_entry_of_the_mailbox_says_when_it_came() -> None:
    entry = f'{{"rfc822_base64": "{base64.b64encode(written()).decode()}", "received_at": "2026-11-30T10:00:00+00:00"}}'
    (message,) = opened(mail_source(SECRETS), posted(entry.encode(), "application/json"), NOW).messages
    assert message.time.isoformat() == "2026-11-30T10:00:00+00:00"


# -- whatever comes ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=2000))
def test_no_bytes_break_it(body: bytes) -> None:
    with contextlib.suppress(BadInput):  # a second From, for instance
        check_data(MAIL_TYPE, read_mail(b"From: ana@example.com\r\n" + body, SECRETS).data)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300), st.text(max_size=100))
def test_no_words_break_it(text: str, header: str) -> None:
    raw = f"From: ana@example.com\r\nSubject: {header}\r\nTo: {header}\r\nReferences: {header}\r\n\r\n{text}"
    check_data(MAIL_TYPE, read_mail(raw.encode("utf-8", "surrogatepass"), SECRETS).data)


@pytest.mark.parametrize(
    "unit", ["On ", "> ", "From: a\n", "_", "On x <a@b.c> ", "Am Montag ", ">\n", "\u2028", "\ue000"]
)
def test_hostile_repetition_is_read(unit: str) -> None:
    """The parser of replies takes time that grows with the square of a line: lines are broken for it. Without that this test
    takes minutes."""
    raw = b"From: ana@example.com\r\n\r\n" + (unit * (2 * LONGEST_TEXT)).encode()
    assert len(data(raw)["text"]) <= LONGEST_TEXT


HOSTILE = {
    "tags": b"<a ",
    "comments": b"<!--",
    "sections": b"<![CDATA[",
    "endings": b"</",
    "styles": b"<style>",
    "instructions": b"<?x ",
    "entities": b"&#x",
    "quotes": b"<a b='",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_html_is_read(unit: bytes) -> None:
    """Within the time of a test, where the parser by itself takes minutes."""
    head = b"From: ana@example.com\r\nContent-Type: text/html\r\n\r\n"
    data(head + unit * (500_000 // len(unit)))


@pytest.mark.parametrize("unit", ['"', "(", "<", "a@b.cc, ", "=?utf-8?q?x?= ", "\\", "a@", ";", ":", "=?"])
@pytest.mark.parametrize(
    "name", ["From", "To", "Subject", "References", "Authentication-Results", "Content-Type", "List-Id"]
)
def test_hostile_headers_are_read_or_refused(name: str, unit: str) -> None:
    raw = f"{name}: {unit * (90_000 // len(unit))}\r\n".encode()
    with contextlib.suppress(BadInput):
        data((b"" if name == "From" else b"From: ana@example.com\r\n") + raw + b"\r\nHello")


def test_a_mail_that_breaks_the_parsers_is_set_aside_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(mail: object) -> str:
        raise KeyError("of the library")

    monkeypatch.setattr(bodies, "new_words", breaks)
    found = opened(mail_source(SECRETS), posted(written()), NOW)
    assert found.problem is not None
    assert (found.problem.code, "KeyError" in found.problem.message) == ("mail.unreadable", True)


def test_a_mail_that_is_built_to_be_unreadable_is_refused() -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(3000))
    with pytest.raises(BadInput, match="more headers or parts"):
        read_mail(b"From: a@b.cc\n" + nested, SECRETS)
    with pytest.raises(BadInput, match="more headers or parts"):
        read_mail(b"From: a@b.cc\n" + b"X: y\n" * 50_000 + b"\nHello", SECRETS)


def test_a_mail_of_very_many_parts_is_read_as_far_as_it_goes() -> None:
    parts = "".join("--B\nContent-Disposition: attachment\n\nx\n" for _ in range(1000))
    found = data(f'From: ana@example.com\nContent-Type: multipart/mixed; boundary="B"\n\n{parts}--B--\n'.encode())
    assert len(found["attachments"]) == 50
