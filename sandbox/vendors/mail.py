"""A mail server: SMTP with AUTH PLAIN and LOGIN on one port, IMAP on another, control over HTTP on a third.

What is submitted goes out and stands in `messages`. What comes in is put into the business's mailbox by control:
`POST /_sandbox/mailbox` with `{"raw": …}` or `{"from", "subject", "text", "in_reply_to", "headers": {}}`; IMAP shows it.

Faults: a code ("550", "451", "421") answers a command, "cut_before" drops the connection before a message is accepted,
"cut_after" when it is, "slow" delays the answer, "imap_down" ends IMAP connections. `method` is the SMTP command (MAIL, RCPT or
DATA; a code means RCPT and the rest DATA unless it is given), for "imap_down" the IMAP command; `path` a part of the recipient's
address (of the sender's for MAIL).
"""

from __future__ import annotations

import asyncio
import base64
import email.policy
import hmac
import uuid
import weakref
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import make_msgid
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.vendors.common import Emulator, Fault
from sandbox.vendors.mailbox import Connection, Mailbox, bearer

USER = "office@viox.example"
PASSWORD = "sandbox-mail-password"
HOST = "mail.viox.example"
CODES = {"550": "550 5.1.1 mailbox unavailable", "451": "451 4.3.0 try again later", "421": "421 4.3.2 closing"}
MOST_BYTES = 10_000_000
IMAP_DOWN = "imap_down"
TOKEN_PATH, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = (
    "/oauth2/token",
    "sandbox-mail",
    "sandbox-mail-client",
    "1//sandbox-mail",
)


class Mail(Emulator):
    """One submission server that delivers everything it accepts into a mailbox of its own."""

    vendor = "mail"
    lasting = ("effects", "messages", "mailbox.rows", "mailbox.validity")
    kinds = (*CODES, "cut_before", "cut_after", "slow", IMAP_DOWN)

    def __init__(self, smtp_port: int = 0, imap_port: int = 0) -> None:
        super().__init__()
        self.smtp_port, self.imap_port = smtp_port, imap_port
        self.access_token = ""
        self._servers: list[asyncio.Server] = []
        self._connections: weakref.WeakSet[SMTP] = weakref.WeakSet()
        self.app.router.add_post("/_sandbox/mailbox", self._receive)
        self.app.router.add_post(TOKEN_PATH, self._token)
        self.app.on_startup.append(self._start)
        self.app.on_cleanup.append(self._stop)
        self.reset()

    def reset(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.mailbox = Mailbox()

    def state(self) -> Any:
        return {
            "smtp_port": self.smtp_port,
            "imap_port": self.imap_port,
            "messages": self.messages,
            "mailbox": self.mailbox.rows,
        }

    def error(self, status: int, message: str) -> web.Response:
        return web.json_response({"error": message}, status=status)

    def unauthorized(self, request: web.Request) -> web.Response | None:
        if request.path == TOKEN_PATH:
            return None
        return self.error(404, "mail is sent by SMTP; only /_sandbox/ is here")

    # -- what comes in -------------------------------------------------------------------------------------------------------

    async def _receive(self, request: web.Request) -> web.Response:
        given = await request.json()
        at = datetime.fromisoformat(given["received_at"]) if given.get("received_at") else None
        return web.json_response({"uid": self.mailbox.put(given.get("raw") or _written(given), at)}, status=201)

    async def _token(self, request: web.Request) -> web.Response:
        """An access token for the refresh token (RFC 6749, section 6). The one before is good no more."""
        given = await request.post()
        if (given.get("client_secret"), given.get("refresh_token")) != (CLIENT_SECRET, REFRESH_TOKEN):
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.access_token = f"ya29.{uuid.uuid4().hex}"
        return web.json_response({"access_token": self.access_token, "expires_in": 3600, "token_type": "Bearer"})

    def _is_login(self, user: str, secret: str, *, token: bool = False) -> bool:
        right = self.access_token if token else PASSWORD
        return bool(right) and hmac.compare_digest(f"{user}\0{secret}".encode(), f"{USER}\0{right}".encode())

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        """Called by aiosmtpd for the mechanism of this name."""
        given = base64.b64decode(args[1]).decode(errors="replace") if len(args) > 1 else ""
        return AuthResult(success=self._is_login(*bearer(given), token=True), handled=False)

    async def _imap(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(reader, writer, self.mailbox, self._is_login, self._imap_is_cut).serve()

    def _imap_is_cut(self, command: str) -> bool:
        self.requests[f"IMAP {command}"] += 1
        return any(fault.kind == IMAP_DOWN and fault.matches(command, "") for fault in self.faults)

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
        right = isinstance(given, LoginPassword) and self._is_login(
            given.login.decode(errors="replace"), given.password.decode(errors="replace")
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
            hostname=HOST,
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
        smtp = await loop.create_server(self._connection, "127.0.0.1", self.smtp_port)
        imap = await asyncio.start_server(self._imap, "127.0.0.1", self.imap_port)
        self._servers = [smtp, imap]
        self.smtp_port, self.imap_port = (int(one.sockets[0].getsockname()[1]) for one in self._servers)

    async def _stop(self, app: web.Application) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()


def _written(given: dict[str, Any]) -> str:
    """A mail as a mail program would write it."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"] = given["from"], given.get("to", USER)
    made["Subject"] = given.get("subject", "")
    made["Date"], made["Message-ID"] = datetime.now(UTC), given.get("message_id") or make_msgid(domain="mail.example")
    if earlier := given.get("in_reply_to"):
        made["In-Reply-To"] = made["References"] = earlier
    for name, value in given.get("headers", {}).items():
        made[name] = value
    made.set_content(given.get("text", ""))
    return made.as_bytes().decode()


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else None


def _attachment(part: Any) -> dict[str, Any]:
    content = part.get_payload(decode=True) or b""
    return {"filename": part.get_filename(), "content_type": part.get_content_type(), "size": len(content)}
