"""E-mail over SMTP submission (RFC 6409) with aiosmtplib.

Settings: SMTP_HOST, SMTP_PORT (587), SMTP_TLS (starttls, implicit or none), SMTP_USERNAME with SMTP_PASSWORD or OAuth
(mail_login.py; no user: no authentication), SMTP_FROM (an address, with or without a name). Nothing has been sent until the
server is given the message; from then on only its answer says whether it took it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any

import aiosmtplib
import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.catalogue.tools import Credential, Tool
from services.tool_gateway.connectors.mail_login import Account, credential_of
from services.tool_gateway.mail.references import message_id
from services.tool_gateway.wire import addresses
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard, Refused
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, MaybeSent, NotSent
from shared.errors import BadInput
from shared.redaction import Redactions
from shared.waiting import within

VENDOR = "email"
LOGIN = Credential("basic", ("SMTP_USERNAME", "SMTP_PASSWORD"))
WIRE_FORMAT = SMTP.clone(max_line_length=998)  # a longer Message-ID than 76 would be encoded as words, and be none
MODES = ("starttls", "implicit", "none")
FIRST_WAIT_SECONDS = 60.0
RECONNECT_SECONDS = 5.0
LATER, NEVER = range(400, 500), range(500, 600)
BUSY = frozenset({421, 432})  # said of the connection or the sender: other messages would hear the same


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    """The message as it will be handed over. Its Message-ID is made of the call's id. Raises BadInput."""
    sender = _address(secrets.get("SMTP_FROM"), "SMTP_FROM")
    message = EmailMessage(policy=WIRE_FORMAT)
    message["From"] = sender
    for header, name in (("To", "to"), ("Cc", "cc"), ("Reply-To", "reply_to")):
        if given := _addresses(arguments.get(name), name):
            message[header] = given
    message["Subject"] = " ".join(str(arguments["subject"]).split())
    message["Date"] = datetime.now(UTC)
    if earlier := arguments.get("in_reply_to"):
        _check_id(earlier)
        message["In-Reply-To"] = earlier
        message["Auto-Submitted"] = "auto-replied"  # RFC 3834: other machines do not answer it
    message.set_content(arguments["text"])
    if html := arguments.get("html"):
        message.add_alternative(html, subtype="html")
    bcc = [one.addr_spec for one in _addresses(arguments.get("bcc"), "bcc")]
    recipients = [a.addr_spec for h in ("To", "Cc") if h in message for a in message[h].addresses] + bcc
    own = message_id(key, list(dict.fromkeys(recipients)), sender.domain, secrets)
    message["Message-ID"] = own
    # Some providers replace Message-IDs, and none what is referred to: an answer refers to it as well.
    message["References"] = " ".join([*([earlier] if earlier else []), own])
    url = f"smtp://{secrets.get('SMTP_HOST')}:{_port(secrets)}"
    headers = [("MAIL FROM", sender.addr_spec), *(("RCPT TO", one) for one in dict.fromkeys(recipients))]
    authenticated = secrets.or_none("SMTP_USERNAME") is not None
    auth = (credential_of(LOGIN, secrets),) if authenticated else ()
    return Prepared("SEND", url, headers, message.as_bytes(), auth)


class Mailer:
    """Hands messages to the submission server, a connection for each."""

    def __init__(self, secrets: Secrets, guard: Guard, redactions: Redactions, tokens: Tokens | None = None) -> None:
        self._secrets = secrets
        self._redactions = redactions
        self._guard = guard
        self._account = Account(LOGIN, secrets, redactions, tokens)

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer:
        """One submission of at most `seconds`. Raises NotSent or MaybeSent when the server did not say how it ended."""
        ends = asyncio.get_running_loop().time() + seconds
        client: aiosmtplib.SMTP | None = None
        try:
            try:
                async with asyncio.timeout_at(ends):
                    client = await self._connected(seconds)
                    refused = await self._introduce(client, prepared)
            except TimeoutError as error:
                late = NotSent("smtp.not_sent", f"not ready for the message within {seconds:g} s.")
                late.wait_seconds = RECONNECT_SECONDS
                raise late from error
            if isinstance(refused, Answer):
                return refused
            await gate()
            return await self._hand_over(client, prepared, refused, ends)
        finally:
            if client is not None:
                with contextlib.suppress(Exception):
                    await within(1.0, client.quit())
                client.close()

    async def probe(self, seconds: float) -> None:
        """Connect, log in, say good-bye. Raises NotSent or BadInput saying what is wrong."""
        with self._redactions.errors():
            client = await self._connected(seconds)
        with contextlib.suppress(Exception):
            await within(1.0, client.quit())
        client.close()

    async def _connected(self, seconds: float) -> aiosmtplib.SMTP:
        secrets = self._secrets
        host, mode = secrets.get("SMTP_HOST"), secrets.or_none("SMTP_TLS") or "starttls"
        if mode not in MODES:
            raise _final(BadInput("settings.invalid", f"{mode!r} is none of {', '.join(MODES)}.", field="SMTP_TLS"))
        # Logged in below, so that a refused token is told from other refusals.
        token = await self._account.token() if secrets.or_none("SMTP_USERNAME") else None
        client = aiosmtplib.SMTP(
            hostname=host,
            timeout=seconds,
            use_tls=mode == "implicit",
            start_tls=mode == "starttls",
            sock=await self._socket(host, _port(secrets)),
        )
        try:
            await client.connect()
            if token:
                await client.auth_xoauth2(self._account.user, token)
            elif secrets.or_none("SMTP_USERNAME"):
                await client.login(self._account.user, self._account.password)
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            if error.code in LATER:
                raise _later(error, host) from error
            if not isinstance(error, aiosmtplib.SMTPAuthenticationError):
                raise _final(
                    BadInput("smtp.refused", f"{host}: {error.code} {_said(error.message)}.", field="SMTP_HOST")
                ) from error
            if self._account.refused(token):
                raise _unreachable(f"{host} does not take the access token, so another one is fetched") from error
            raise _final(
                BadInput(
                    "credential.refused",
                    f"{host} refuses the login: {error.code} {_said(error.message)}.",
                    field="MAIL_OAUTH_REFRESH_TOKEN" if token else "SMTP_USERNAME",
                    remedy="Give the consent anew (docs/mail.md)."
                    if token
                    else "Check SMTP_USERNAME and SMTP_PASSWORD.",
                )
            ) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise _unreachable(f"{host}: {_said(str(error))}.") from error
        except asyncio.CancelledError:
            client.close()
            raise
        return client

    async def _socket(self, host: str, port: int) -> socket.socket:
        """A connection to an address that the outbound guard agrees to."""
        loop = asyncio.get_running_loop()
        problem: Exception | None = None
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _unreachable(f"{host}: {error}.") from error
        for info in found:
            try:
                made = self._guard.open(info)
            except Refused as error:
                raise _final(
                    BadInput("outbound.refused", f"{error}.", field="SMTP_HOST", remedy="See docs/tools.md.")
                ) from error
            made.setblocking(False)
            try:
                await within(5.0, loop.sock_connect(made, info[4]))
            except (OSError, TimeoutError) as error:
                made.close()
                problem = error
            else:
                return made
        raise _unreachable(f"{host}:{port}: {problem}.")

    async def _introduce(self, client: aiosmtplib.SMTP, prepared: Prepared) -> Answer | dict[str, str]:
        """MAIL FROM and RCPT TO. The refused recipients, or an answer when nobody is left to send to."""
        refused: dict[str, str] = {}
        accepted = 0
        try:
            for name, address in prepared.headers:
                if name == "MAIL FROM":
                    await client.mail(address)
                    continue
                try:
                    await client.rcpt(address)
                    accepted += 1
                except aiosmtplib.SMTPRecipientRefused as error:
                    if error.code in LATER:
                        raise _later(error, address) from error
                    refused[address] = f"{error.code} {_said(error.message)}"
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code in LATER:
                raise _later(error) from error
            return _refusal(error.code, _said(error.message))
        except (aiosmtplib.SMTPException, OSError) as error:
            lost = NotSent("smtp.not_sent", f"before the message was given: {_said(str(error))}.")
            lost.wait_seconds = RECONNECT_SECONDS
            raise lost from error
        return refused if accepted else _refusal(550, "; ".join(f"{a}: {why}" for a, why in refused.items()))

    async def _hand_over(
        self, client: aiosmtplib.SMTP, prepared: Prepared, refused: dict[str, str], ends: float
    ) -> Answer:
        try:
            async with asyncio.timeout_at(ends):
                reply = await client.data(prepared.body)
        except aiosmtplib.SMTPDataError as error:
            if error.code in LATER:
                raise _later(error) from error
            if error.code not in NEVER:
                raise MaybeSent(
                    "smtp.no_answer", f"an answer that is none: {error.code} {_said(error.message)}."
                ) from error
            return _refusal(error.code, _said(error.message))
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MaybeSent(
                "smtp.no_answer", f"given to the server, which did not say whether it took it: {_said(str(error))}."
            ) from error
        taken = [a for n, a in prepared.headers if n == "RCPT TO" and a not in refused]
        body = {"accepted": taken, "refused": refused, "response": f"{reply.code} {_said(reply.message)}"}
        return Answer(250, [("content-type", "application/json")], orjson.dumps(body))


def _said(text: str) -> str:
    """What the server said. aiosmtplib keeps bytes that are no UTF-8 as half characters, which nothing can store."""
    return text.encode("utf-8", "replace").decode()


def _refusal(code: int, message: str) -> Answer:
    """For good: what HTTP would call 422."""
    body = {"message": f"{code} {message}".strip()}
    return Answer(422, [("content-type", "application/json")], orjson.dumps(body))


def _final(problem: BadInput) -> NotSent:
    made = NotSent(problem.code, problem.message, field=problem.field, remedy=problem.remedy)
    made.final = True
    return made


def _unreachable(message: str) -> NotSent:
    """No connection, or none any more: servers restart, and limits on connections look like this, too."""
    made = NotSent("smtp.not_connected", message, field="SMTP_HOST")
    made.wait_seconds = RECONNECT_SECONDS
    return made


def _later(error: aiosmtplib.SMTPResponseException, about: str = "") -> NotSent:
    """The server takes nothing now but may later (RFC 5321, section 4.2.1): greylisting, limits, a full disk.

    Seconds do not help; nothing has been sent, to nobody, so that the whole message is tried again.
    """
    said = " ".join(_said(error.message).split())
    later = NotSent("smtp.try_again", f"{about}{': ' if about else ''}{error.code} {said}.")
    later.wait_seconds = FIRST_WAIT_SECONDS
    later.throttled = error.code in BUSY
    return later


def _addresses(given: Any, field: str) -> list[Address]:
    """The addresses of a field. One text may hold several, parted by commas or semicolons as in a mail program."""
    found: list[Address] = []
    for text in [given] if isinstance(given, str) else given or []:
        if any(c in text for c in "\r\n"):
            raise _no_address(text, field)
        found += [_address(part, field) for part in addresses.parts(text) or [text]]
    return found


def _address(text: str, field: str) -> Address:
    name, plain = parseaddr(text)
    if any(c in text for c in "\r\n") or plain.count("@") != 1 or len(addresses.parts(text)) > 1:
        raise _no_address(text, field)
    try:
        return Address(display_name=name, addr_spec=plain)
    except (ValueError, IndexError) as error:
        raise _no_address(text, field) from error


def _no_address(text: str, field: str) -> BadInput:
    return BadInput(
        "tool.invalid_arguments",
        f"{field}: {text!r} is not an e-mail address.",
        field=field,
        remedy="Give each address like ana@example.com or Ana <ana@example.com>.",
    )


def _check_id(text: str) -> None:
    if not (text.startswith("<") and text.endswith(">") and text.isprintable()):
        raise BadInput("tool.invalid_arguments", "in_reply_to: a Message-ID is written <…@…>.", field="in_reply_to")


def _port(secrets: Secrets) -> int:
    text = secrets.or_none("SMTP_PORT") or "587"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise BadInput("settings.invalid", f"{text!r} is not a port.", field="SMTP_PORT", remedy="Usually 587.")
    return int(text)
