"""The mail account by OAuth 2.0: sending and reading with one token, renewed when it is taken back, said when it cannot be had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from cryptography.fernet import Fernet

from sandbox.vendors.mail import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, TOKEN_PATH, USER, Mail
from sandbox.vendors.main import start
from services.tool_gateway.catalogue.catalogue import load
from services.tool_gateway.connectors import imap, smtp
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.transport import NotSent, Wire
from shared.redaction import Redactor
from shared.store.pool import Pool

TOOLS = load({}).tools
LETTER = {"to": ["ana@client.example"], "subject": "Hi", "text": "Hello"}


@dataclass
class Account:
    mail: Mail
    settings: dict[str, str]
    pool: Pool
    wire: Wire

    def __post_init__(self) -> None:
        self.redactor = Redactor()
        self.tokens = Tokens(Secrets(self.settings), self.pool, self.wire)

    async def send(self) -> int:
        secrets = Secrets(self.settings)
        mailer = smtp.Mailer(secrets, Guard(loopback=True), self.redactor.of("email"), self.tokens)
        return (await mailer.send(smtp.prepare(TOOLS["email_send"], LETTER, secrets, "r.1.0"), 30.0, agreed)).status

    async def read(self) -> Any:
        secrets = Secrets(self.settings)
        mailbox = imap.Mailbox(secrets, Guard(loopback=True), self.redactor.of("mailbox"), self.tokens)
        asked = {"since": "2020-01-01T00:00:00+00:00"}
        answer = await mailbox.send(imap.prepare(TOOLS["mailbox_list_messages"], asked, secrets, ""), 30.0, agreed)
        return orjson.loads(answer.body)["messages"]


async def agreed() -> None:
    """Nothing stands in the way."""


@pytest.fixture
async def account(gateway_pool: Pool) -> AsyncIterator[Account]:
    mail, wire = Mail(), Wire(Guard(loopback=True))
    runner, port = await start(mail, 0)
    mail.mailbox.put("From: ana@client.example\r\n\r\nHello")
    settings = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mail.smtp_port),
        "SMTP_TLS": "none",
        "SMTP_USERNAME": USER,
        "SMTP_FROM": USER,
        "IMAP_HOST": "127.0.0.1",
        "IMAP_PORT": str(mail.imap_port),
        "IMAP_TLS": "none",
        "IMAP_USERNAME": USER,
        "MAIL_OAUTH_CLIENT_ID": CLIENT_ID,
        "MAIL_OAUTH_CLIENT_SECRET": CLIENT_SECRET,
        "MAIL_OAUTH_REFRESH_TOKEN": REFRESH_TOKEN,
        "MAIL_OAUTH_TOKEN_URL": f"http://127.0.0.1:{port}{TOKEN_PATH}",
        "VIOX_SECRET_KEY": Fernet.generate_key().decode(),
    }
    yield Account(mail, settings, gateway_pool, wire)
    await wire.aclose()
    await runner.cleanup()


async def test_one_token_sends_and_reads(account: Account) -> None:
    assert await account.send() == 250
    first = account.mail.access_token
    assert len(await account.read()) == 1
    assert account.mail.access_token == first, "one for both"
    assert len(account.mail.messages) == 1


@pytest.mark.parametrize("what", ["send", "read"])
async def test_a_token_that_was_taken_back_is_renewed(account: Account, what: str) -> None:
    await account.read()
    token, account.mail.access_token = account.mail.access_token, "another"
    with pytest.raises(NotSent) as refused:
        await getattr(account, what)()
    assert not refused.value.final
    assert token not in refused.value.message
    assert await getattr(account, what)()


@pytest.mark.parametrize("what", ["send", "read"])
async def test_a_consent_that_was_taken_back_is_said(account: Account, what: str) -> None:
    account.settings["MAIL_OAUTH_REFRESH_TOKEN"] = "revoked-refresh-token"
    with pytest.raises(NotSent) as refused:
        await getattr(account, what)()
    assert refused.value.final
    assert "revoked-refresh-token" not in refused.value.message


@pytest.mark.parametrize("what", ["send", "read"])
async def test_a_server_that_takes_no_token_is_not_asked_for_ever(account: Account, what: str) -> None:
    """The consent is of another account: each new token is refused as well."""
    account.settings |= {"SMTP_USERNAME": "else@viox.example", "IMAP_USERNAME": "else@viox.example"}
    finals = []
    for _ in range(3):
        with pytest.raises(NotSent) as refused:
            await getattr(account, what)()
        finals.append(bool(refused.value.final))
    assert finals == [False, False, False], "each time another token, at the pace of retries"
