"""Tools that are no HTTP operation: e-mail against a mail server that misbehaves, records against a real Postgres."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.postgres import Postgres
from sandbox.vendors.common import Fault
from sandbox.vendors.mail import PASSWORD, USER, Mail
from sandbox.vendors.main import start
from services.tool_gateway.call import outcome
from services.tool_gateway.call.outcome import AttemptResult
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.connectors.postgres import Records
from services.tool_gateway.connectors.smtp import Mailer
from services.tool_gateway.wire.credentials import Secrets, redacted
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.transport import MaybeSent, NotSent
from shared.errors import BadInput
from shared.redaction import Redactions
from shared.store.pool import Pool
from tests.integration.gateway.world import until

TOOLS = catalogue.load().tools
LETTER = {"to": ["Ana López <ana@example.com>"], "subject": "Your quote ✓", "text": "Dear Ana,\n.\nhere it is: 5 €"}


async def agreed() -> None:
    """A gate that lets everything through."""


@pytest.fixture
async def mail() -> AsyncIterator[Mail]:
    made = Mail()
    runner, _ = await start(made, 0)
    yield made
    await runner.cleanup()


def settings(mail: Mail, **more: str) -> Secrets:
    return Secrets(
        {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mail.smtp_port),
            "SMTP_TLS": "none",
            "SMTP_USERNAME": USER,
            "SMTP_PASSWORD": PASSWORD,
            "SMTP_FROM": "The Office <office@viox.example>",
        }
        | more
    )


async def send(
    mail: Mail, arguments: Any = None, *, key: str = "run.1.0", guard: Guard | None = None, **more: str
) -> AttemptResult:
    tool, secrets = TOOLS["email_send"], settings(mail, **more)
    given = arguments or LETTER | {"to": ["ana@example.com"]}
    assert tool.problem_with(given) is None
    prepared = prepare(tool, given, secrets, key=key)
    try:
        answer = await Mailer(secrets, guard or Guard(loopback=True), Redactions()).send(prepared, 3.0, agreed)
    except NotSent as error:
        return outcome.of_not_sent(1, error)
    except MaybeSent as error:
        return outcome.of_maybe_sent(tool, 1, error)
    return outcome.of_answer(tool, answer, 1)


async def test_a_mail_arrives_as_it_was_written(mail: Mail) -> None:
    told = await send(
        mail,
        LETTER | {"to": ["ana@example.com"], "cc": ["bo@example.com"], "bcc": ["eve@example.com"], "html": "<p>hi</p>"},
    )
    assert told.state == "succeeded"
    assert told.result["accepted"] == ["ana@example.com", "bo@example.com", "eve@example.com"]
    (message,) = mail.messages
    assert "bo@example.com" in str(message["headers"])
    assert "eve@example.com" not in str(message["headers"]) + message["raw"], "bcc is in no header"
    assert "here it is: 5 €" in str(message)
    assert "run.1.0@viox.example" in str(message)


@pytest.mark.parametrize(
    ("kind", "more", "state", "sent"),
    [
        ("550", {}, "failed", 0),
        ("451", {}, "requested", 0),
        ("421", {}, "requested", 0),
        ("550", {"method": "MAIL"}, "failed", 0),
        ("451", {"method": "DATA"}, "requested", 0),
        ("550", {"method": "DATA"}, "failed", 0),
        ("cut_before", {}, "unknown", 0),
        ("cut_after", {}, "unknown", 1),
        ("slow", {}, "unknown", 1),
    ],
)
async def test_what_went_wrong_is_told_as_it_was(
    mail: Mail, kind: str, more: dict[str, Any], state: str, sent: int
) -> None:
    mail.clock.stop()
    mail.faults.append(Fault(kind, **more))
    told = await send(mail)
    assert told.state == state, told
    await until(lambda: len(mail.messages) >= sent)
    mail.clock.go_on()
    assert len(mail.messages) == sent


async def tarpit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that goes on for ever, each answer well within any time limit."""
    writer.write(b"220 slow\r\n")
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while line := await reader.readline():
            await asyncio.sleep(0.2)
            writer.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 ok\r\n")


async def greylisting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers in Latin-1."""
    writer.write(b"220 bonjour\r\n")
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while line := await reader.readline():
            writer.write(b"450 r\xe9essayez\r\n" if line.startswith(b"RCPT") else b"250 ok\r\n")


async def odd_ending(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that takes the message and says so with another code than the standard's."""
    writer.write(b"220 hello\r\n")
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while command := await reader.readline():
            writer.write(b"354 go on\r\n" if command == b"DATA\r\n" else b"250 ok\r\n")
            if command == b"DATA\r\n":
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"200 fine\r\n")


async def submit(serve: Any, seconds: float, recipients: int = 1, **more: str) -> Exception:
    """What handing a message to such a server raises."""
    served: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(
        lambda reader, writer: served.append(asyncio.create_task(serve(reader, writer))), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    known = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "none", "SMTP_FROM": "a@b.co"}
    secrets = Secrets(known | more)
    to = [f"ana{n}@example.com" for n in range(recipients)]
    prepared = prepare(TOOLS["email_send"], LETTER | {"to": to}, secrets, key="k")
    try:
        with pytest.raises((NotSent, MaybeSent)) as error:
            await Mailer(secrets, Guard(loopback=True), Redactions()).send(prepared, seconds, agreed)
    finally:
        server.close()
        await asyncio.gather(*served)
    return error.value


async def test_a_submission_ends_in_time_however_slow_the_server(mail: Mail) -> None:
    error = await submit(tarpit, 1.0, recipients=30)
    assert isinstance(error, NotSent)
    assert "within 1 s" in str(error)


async def test_an_end_that_is_neither_yes_nor_no_is_not_sent_again() -> None:
    assert isinstance(await submit(odd_ending, 30.0), MaybeSent)


async def test_what_a_server_says_in_another_encoding_can_be_stored(mail: Mail) -> None:
    error = await submit(greylisting, 30.0)
    assert isinstance(error, NotSent)
    assert "r?essayez" in str(error).encode().decode()


@pytest.mark.parametrize(
    ("kind", "command", "said"),
    [
        ("451", "RCPT", "451 4.3.0 try again later"),
        ("451", "MAIL", "451 4.3.0 try again later"),
        ("451", "DATA", "451 4.3.0 try again later"),
        ("421", "RCPT", "421 4.3.2 closing"),
        ("421", "DATA", "421 4.3.2 closing"),
    ],
)
async def test_a_server_that_says_later_is_asked_again_after_minutes(
    mail: Mail, kind: str, command: str, said: str
) -> None:
    mail.faults.append(Fault(kind, method=command))
    told = await send(mail)
    assert told.state == "requested"
    assert told.wait_seconds >= 60
    assert said in (told.error or {})["message"]
    assert told.throttled == (kind == "421"), "a full mailbox of one is no reason to keep everybody's mail"
    assert mail.messages == []


def greeted(line: bytes, at: bytes = b"") -> Any:
    """A server whose answer to a command (to the connection, without one) is this line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            writer.write(b"220 hello\r\n" if at else line)
            while command := await reader.readline():
                if at and command.startswith(at):
                    writer.write(line)
                elif command.startswith(b"EHLO"):
                    writer.write(b"250-me\r\n250 AUTH PLAIN\r\n")
                elif command.startswith(b"AUTH"):
                    writer.write(b"235 ok\r\n")
                else:
                    writer.write(b"250 ok\r\n")

    return serve


@pytest.mark.parametrize(
    ("line", "command", "wait"),
    [
        (b"421 4.7.0 too many connections\r\n", b"", 60.0),
        (b"450 4.3.2 busy\r\n", b"", 60.0),
        (b"454 4.7.0 temporary authentication failure\r\n", b"AUTH", 60.0),
        (b"432 4.3.2 Concurrent connections limit exceeded\r\n", b"MAIL", 60.0),
        (b"452 4.5.3 too many recipients\r\n", b"RCPT", 60.0),
        (b"554 5.7.1 go away\r\n", b"", None),
        (b"535 5.7.8 wrong password\r\n", b"AUTH", None),
    ],
)
async def test_later_is_later_at_every_command_and_never_is_never(
    line: bytes, command: bytes, wait: float | None
) -> None:
    error = await submit(greeted(line, command), 30.0, SMTP_USERNAME="u", SMTP_PASSWORD="secret-word")
    assert isinstance(error, NotSent)
    assert (error.wait_seconds, error.final) == (wait, wait is None)
    assert line.decode().strip() in error.message


def test_waits_of_a_mail_go_over_more_than_ten_minutes() -> None:
    later = NotSent("smtp.try_again", "451 4.7.1 Greylisted, please try again in 5 minutes.")
    later.wait_seconds = 60.0
    told = [outcome.of_not_sent(attempt, later) for attempt in range(1, outcome.MAX_LATER_ATTEMPTS + 1)]
    assert {one.state for one in told[:-1]} == {"requested"}
    assert min(one.wait_seconds for one in told[:-1]) >= 60
    assert 600 < sum(one.wait_seconds for one in told[:-1]) < 3600
    assert told[-1].state == "failed"
    assert "in 5 minutes" in str(told[-1].error)


@pytest.mark.parametrize(
    ("to", "recipients"),
    [
        (["Ana <ana@x.com>, Bo <bo@x.com>"], ["ana@x.com", "bo@x.com"]),
        (["Ana <ana@x.com>; bo@x.com;"], ["ana@x.com", "bo@x.com"]),
        (['"López, Ana" <ana@x.com>', "bo@x.com"], ["ana@x.com", "bo@x.com"]),
        (["ana@x.com", "ana@x.com"], ["ana@x.com"]),
    ],
)
def test_several_addresses_in_one_text_are_all_written_to(to: list[str], recipients: list[str]) -> None:
    made = prepare(
        TOOLS["email_send"], LETTER | {"to": to}, Secrets({"SMTP_HOST": "h", "SMTP_FROM": "a@b.co"}), key="k"
    )
    assert [value for name, value in made.headers if name == "RCPT TO"] == recipients


@pytest.mark.parametrize("to", [["ana@x.com, nobody"], ["ana@x.com bo@x.com"], ["ana@x.com,\r\nbo@x.com"]])
def test_one_wrong_address_among_several_is_named(to: list[str]) -> None:
    with pytest.raises(BadInput) as error:
        prepare(TOOLS["email_send"], LETTER | {"to": to}, Secrets({"SMTP_HOST": "h", "SMTP_FROM": "a@b.co"}), key="k")
    assert error.value.field == "to"
    assert "ana@example.com" in (error.value.remedy or "")


def test_the_sender_is_one_address() -> None:
    with pytest.raises(BadInput) as error:
        prepare(TOOLS["email_send"], LETTER, Secrets({"SMTP_HOST": "h", "SMTP_FROM": "a@b.co, c@d.co"}), key="k")
    assert error.value.field == "SMTP_FROM"


async def test_one_refused_recipient_does_not_keep_the_others_from_getting_it(mail: Mail) -> None:
    mail.faults.append(Fault("550", path="gone@"))
    told = await send(mail, LETTER | {"to": ["gone@example.com", "ana@example.com"]})
    assert told.state == "succeeded"
    assert list(told.result["refused"]) == ["gone@example.com"]
    assert told.result["accepted"] == ["ana@example.com"]


async def test_login_guard_and_settings_are_named(mail: Mail) -> None:
    refused = await send(mail, SMTP_PASSWORD="wrong")  # the point of the test
    assert (refused.state, refused.error and refused.error["code"]) == ("failed", "credential.refused")
    outside = await send(mail, guard=Guard())
    assert (outside.state, outside.error and outside.error["code"]) == ("failed", "outbound.refused")
    for name, value in (("SMTP_PORT", "99999"), ("SMTP_FROM", "nobody"), ("SMTP_HOST", "")):
        with pytest.raises(BadInput) as error:
            prepare(TOOLS["email_send"], LETTER, settings(mail, **{name: value}), key="k")
        assert error.value.field == name
    assert mail.messages == []


@pytest.mark.parametrize(
    "wrong",
    [{"to": ["a@b.co\r\nBcc: x@y.z"]}, {"to": []}, {"to": ["nobody"]}, {"subject": ""}, {"in_reply_to": "<a>\r\nX: y"}],
)
def test_no_header_can_be_smuggled_in(wrong: dict[str, Any]) -> None:
    tool = TOOLS["email_send"]
    given = LETTER | {"to": ["ana@example.com"]} | wrong
    if tool.problem_with(given) is None:
        with pytest.raises(BadInput):
            prepare(tool, given, Secrets({"SMTP_HOST": "h", "SMTP_FROM": "a@b.co"}), key="k")
    made = prepare(
        tool,
        LETTER | {"to": ["ana@example.com"], "subject": "a\r\nBcc: x@y.z"},
        Secrets({"SMTP_HOST": "h", "SMTP_FROM": "a@b.co"}),
    )
    assert b"\r\nBcc:" not in made.body


def test_the_ledger_sees_the_message_and_no_password() -> None:
    secrets = Secrets({"SMTP_HOST": "h", "SMTP_FROM": "a@b.co", "SMTP_USERNAME": "u", "SMTP_PASSWORD": "secret-word"})
    prepared = prepare(TOOLS["email_send"], LETTER | {"to": ["ana@example.com"]}, secrets, key="k")
    url, headers = redacted(prepared)
    assert url == "smtp://h:587"
    assert ("RCPT TO", "ana@example.com") in headers
    assert "secret-word" not in repr((url, headers, prepared.body))


# -- records ------------------------------------------------------------------------------------------------------------


class Desk:
    """Calls record tools as the gateway does."""

    def __init__(self, pool: Pool, secrets: Secrets) -> None:
        self._records, self._secrets = Records(pool, secrets), secrets

    async def __call__(self, name: str, key: str = "r.1.0", **arguments: Any) -> AttemptResult:
        tool = TOOLS[name]
        assert tool.problem_with(arguments) is None
        prepared = prepare(tool, arguments, self._secrets, key=key)
        try:
            answer = await self._records.send(prepared, 5.0, agreed)
        except MaybeSent as error:
            return outcome.of_maybe_sent(tool, 1, error)
        return outcome.of_answer(tool, answer, 1)


@pytest.fixture
async def desk(gateway_pool: Pool, postgres: Postgres) -> Desk:
    return Desk(gateway_pool, Secrets({"VIOX_QUERY_DSN": postgres.dsn("viox_query")}))


async def test_records_are_merged_once_per_call_and_found(desk: Desk) -> None:
    assert (await desk("records_read", entity="customer:ana")).result is None
    await desk("records_write", "a.1.0", entity="customer:ana", data={"city": "Bern", "tags": ["vip"], "old": 1})
    again = await desk("records_write", "a.2.0", entity="customer:ana", data={"city": "Basel", "old": None})
    assert (again.result["data"], again.result["version"]) == ({"city": "Basel", "tags": ["vip"]}, 2)
    repeat = await desk("records_write", "a.2.0", entity="customer:ana", data={"city": "Basel", "old": None})
    assert repeat.result["version"] == 2, "the same call again changes nothing"
    await desk("records_write", "b.1.0", entity="customer:ana", data={"city": "Genf"})
    late = await desk("records_write", "a.2.0", entity="customer:ana", data={"city": "Basel", "old": None})
    assert late.result["data"]["city"] == "Genf", "nor when somebody else has written since"
    found = await desk("records_list", prefix="customer:", contains={"tags": ["vip"]})
    assert [row["entity"] for row in found.result["rows"]] == ["customer:ana"]
    assert (await desk("records_list", prefix="customer_")).result["rows"] == []


async def test_of_many_who_claim_the_same_at_once_one_has_it(desk: Desk) -> None:
    """Two candidates, or twenty, and one slot."""
    claims = [desk("records_claim", f"c{n}.1.0", entity="interview:1", holder=f"candidate:{n}") for n in range(20)]
    told = [one.result for one in await asyncio.gather(*claims)]
    (winner,) = [one for one in told if one["mine"]]
    assert {one["data"]["holder"] for one in told} == {winner["data"]["holder"]}, "everybody hears whose it is"
    assert winner["version"] == 1


async def test_a_claim_is_the_same_twice_and_can_be_given_up(desk: Desk) -> None:
    mine = {"entity": "interview:2", "holder": "candidate:a", "data": {"position": "Technician"}}
    first, again = await desk("records_claim", "a.1.0", **mine), await desk("records_claim", "a.1.0", **mine)
    assert first.result == again.result
    other = await desk("records_claim", "b.1.0", **mine | {"holder": "candidate:b", "data": {"position": "Sales"}})
    assert not other.result["mine"]
    assert other.result["data"] == {"holder": "candidate:a", "position": "Technician"}, "who lost has changed nothing"
    await desk("records_write", "a.2.0", entity="interview:2", data={"holder": None})
    assert (await desk("records_claim", "b.2.0", **mine | {"holder": "candidate:b"})).result["mine"]
    assert not (await desk("records_claim", "a.3.0", **mine)).result["mine"]


async def test_notes_are_found_by_words_and_entity(desk: Desk) -> None:
    for key in ("n.1.0", "n.1.0", "n.2.0"):
        await desk("notes_add", key, entity="customer:ana", text=f"Prefers mornings; call {key}", tags=["call"])
    assert len((await desk("notes_find", entity="customer:ana")).result["rows"]) == 2
    assert len((await desk("notes_find", words="mornings -evening")).result["rows"]) == 2
    assert (await desk("notes_find", words="evening")).result["rows"] == []


async def test_questions_are_answered_with_limits_and_parameters(desk: Desk) -> None:
    for number in range(5):
        await desk("records_write", f"q.{number}.0", entity=f"order:{number}", data={"total": number})
    told = await desk(
        "records_query",
        sql="select entity, data->>'total' as total from records where entity like $1 order by 1",
        parameters=["order:%"],
        limit=3,
    )
    assert told.result == {
        "columns": ["entity", "total"],
        "rows": [["order:0", "0"], ["order:1", "1"], ["order:2", "2"]],
        "more": True,
    }


@pytest.mark.parametrize(
    "sql",
    [
        "delete from records",
        "insert into records values ('x')",
        "select 1; delete from public.records",
        "select * from public.oauth_tokens",
        "select * from public.ledger_entries",
        "set role viox_gateway",
        "select set_config('role', 'viox_gateway', false)",
        "with gone as (delete from public.records returning 1) select * from gone",
        "create table t (a int)",
        "copy records to '/tmp/x'",
        "select pg_read_file('/etc/passwd')",
        "select lo_create(0)",
        "drop view business.records",
        "selec 1",
        "select $1::int",
        "select query_to_xml('select * from public.oauth_tokens', true, true, '')",
        "commit",
        "select pg_sleep(60)",
    ],
)
async def test_a_question_can_do_nothing_else(desk: Desk, admin: Any, sql: str) -> None:
    await desk("records_write", entity="order:1", data={"total": 1})
    told = await desk("records_query", sql=sql)
    assert told.state == "failed", told
    assert await admin.fetchval("select count(*) from records") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "select length(repeat('x', 1000000000) || repeat('y', 70000000))",
        "select length(string_agg(repeat('x', 1000), '')) from generate_series(1, 900000)",
        "select count(*) from (select n, repeat('x', 200) from generate_series(1, 20000000) n order by 2, 1 desc offset 1) t",
    ],
)
async def test_a_question_takes_so_much_memory_disk_and_time_and_no_more(desk: Desk, admin: Any, sql: str) -> None:
    started = await admin.fetchval("select pg_postmaster_start_time()")
    told = await desk("records_query", sql=sql)
    assert told.state == "failed", told
    assert "it takes" in (told.error or {})["message"]
    assert "Ask for less." in (told.error or {})["message"]
    assert (await desk("records_query", sql="select 1 as n")).result["rows"] == [[1]]
    assert await admin.fetchval("select pg_postmaster_start_time()") == started


async def test_a_question_may_not_loosen_its_limits(desk: Desk) -> None:
    shown = await desk(
        "records_query",
        sql="select current_setting('temp_file_limit'), current_setting('work_mem'),"
        " current_setting('max_parallel_workers_per_gather')",
    )
    assert shown.result["rows"] == [["256MB", "8MB", "0"]]
    wider = await desk("records_query", sql="select set_config('temp_file_limit', '-1', false)")
    assert wider.state == "failed"
