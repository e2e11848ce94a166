"""A mail server: SMTP with AUTH PLAIN and LOGIN on one port, the mailbox and faults over HTTP control on another.

Faults: a code ("550", "451", "421") answers a command, "cut_before" drops the connection before a message is accepted,
"cut_after" when it is, "slow" delays the answer. `method` is the SMTP command (MAIL, RCPT or DATA; a code means RCPT
and the rest DATA unless it is given), `path` a part of the recipient's address (of the sender's for MAIL).
"""

from __future__ import annotations

import asyncio
import email.policy
import hmac
import uuid
import weakref
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.vendors.common import Emulator, Fault

USER = "office@viox.example"
PASSWORD = "sandbox-mail-password"
CODES = {"550": "550 5.1.1 mailbox unavailable", "451": "451 4.3.0 try again later", "421": "421 4.3.2 closing"}
MOST_BYTES = 10_000_000


class Mail(Emulator):
    """One submission server that delivers everything it accepts into a mailbox of its own."""

    vendor = "mail"
    lasting = ("effects", "messages")
    kinds = (*CODES, "cut_before", "cut_after", "slow")

    def __init__(self, smtp_port: int = 0) -> None:
        super().__init__()
        self.smtp_port = smtp_port
        self._server: asyncio.Server | None = None
        self._connections: weakref.WeakSet[SMTP] = weakref.WeakSet()
        self.app.on_startup.append(self._start)
        self.app.on_cleanup.append(self._stop)
        self.reset()

    def reset(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def state(self) -> Any:
        return {"smtp_port": self.smtp_port, "messages": self.messages}

    def error(self, status: int, message: str) -> web.Response:
        return web.json_response({"error": message}, status=status)

    def unauthorized(self, request: web.Request) -> web.Response | None:
        return self.error(404, "mail is sent by SMTP; only /_sandbox/ is here")

    # -- SMTP: hooks that aiosmtpd calls by name ---------------------------------------------------------------------

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        if fault := self._fault("MAIL", address):
            return await self._answered(fault, server, "250 OK")
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if (fault := self._fault("RCPT", address)) and fault.kind != "slow":
            return await self._answered(fault, server, "")
        envelope.rcpt_tos.append(address)
        return await self._answered(fault, server, "250 OK") if fault else "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        fault = self._fault("DATA", ",".join(envelope.rcpt_tos))
        if fault and fault.kind not in ("slow", "cut_after"):
            return await self._answered(fault, server, "")
        accepted = f"250 2.0.0 queued as {self._deliver(envelope)}"
        return await self._answered(fault, server, accepted) if fault else accepted

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        right = (
            isinstance(given, LoginPassword)
            and hmac.compare_digest(given.login, USER.encode())
            and hmac.compare_digest(given.password, PASSWORD.encode())
        )
        # not handled: the library answers a failure with 535
        return AuthResult(success=right, handled=False)

    def _fault(self, command: str, address: str) -> Fault | None:
        self.requests[command] += 1
        for fault in self.faults:
            meant = fault.method or ("RCPT" if fault.kind in CODES else "DATA")
            if meant == command and fault.matches(command, address):
                return fault
        return None

    async def _answered(self, fault: Fault, server: SMTP, answer: str) -> str:
        if fault.kind in CODES:
            return CODES[fault.kind]
        if fault.kind == "slow":
            await self.clock.sleep(fault.seconds)
            return answer
        if isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        raise ConnectionResetError

    def _deliver(self, envelope: Envelope) -> str:
        raw = envelope.original_content or b""
        parsed = BytesParser(_class=EmailMessage, policy=email.policy.default).parsebytes(raw)
        message_id, subject = str(parsed["Message-ID"] or ""), str(parsed["Subject"] or "")
        queued = uuid.uuid4().hex[:12]
        self.messages.append(
            {
                "id": queued,
                "from": envelope.mail_from,
                "to": list(envelope.rcpt_tos),
                "subject": subject,
                "message_id": message_id,
                "headers": [[name, str(value)] for name, value in parsed.items()],
                "text": _body(parsed, "plain"),
                "html": _body(parsed, "html"),
                "raw": raw.decode(errors="replace"),
                "attachments": [_attachment(part) for part in parsed.iter_attachments()],
            }
        )
        self.effect("deliver", id=queued, to=list(envelope.rcpt_tos), subject=subject, message_id=message_id)
        return queued

    # -- the server --------------------------------------------------------------------------------------------------

    def _connection(self) -> SMTP:
        made = SMTP(
            self,
            hostname="mail.viox.example",
            ident="sandbox",
            data_size_limit=MOST_BYTES,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._connections.add(made)
        return made

    async def _start(self, app: web.Application) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, "127.0.0.1", self.smtp_port)
        self.smtp_port = int(self._server.sockets[0].getsockname()[1])

    async def _stop(self, app: web.Application) -> None:
        if self._server:
            self._server.close()
        for connection in list(self._connections):
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else None


def _attachment(part: Any) -> dict[str, Any]:
    content = part.get_payload(decode=True) or b""
    return {"filename": part.get_filename(), "content_type": part.get_content_type(), "size": len(content)}
