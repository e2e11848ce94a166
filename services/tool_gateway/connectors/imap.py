"""The business's mailbox over IMAP (RFC 9051, and 3501 before it) with the standard library's client, read only.

Settings: IMAP_HOST, IMAP_PORT (993), IMAP_TLS (implicit, starttls or none), IMAP_USERNAME, IMAP_PASSWORD or OAuth (mail_login.py),
IMAP_MAILBOX (INBOX). The mailbox is opened with EXAMINE and read with BODY.PEEK: what people see as unread stays unread.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import imaplib
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.catalogue.tools import Credential, Tool
from services.tool_gateway.connectors.mail_login import Account, credential_of
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard, Refused
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, NotSent
from shared.errors import BadInput
from shared.redaction import Redactions

VENDOR, HOST = "mailbox", "IMAP_HOST"
LOGIN = Credential("basic", ("IMAP_USERNAME", "IMAP_PASSWORD"))
PORTS = {"implicit": 993, "starttls": 143, "none": 143}
DEFAULT_LIMIT = 25
LARGEST = 600_000  # bytes of a mail that are read; attachments stand at its end
SOON_OVER = 20.0  # seconds before the end: what was read by then is handed on
ENOUGH = 3_000_000  # bytes of one answer
RECONNECT_SECONDS = 30.0
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_FETCHED = re.compile(rb"UID (\d+)|RFC822\.SIZE (\d+)|INTERNALDATE (\"[^\"]+\")")


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    """Which mailbox, and what is wanted of it. Raises BadInput."""
    del tool, key
    mailbox = secrets.or_none("IMAP_MAILBOX") or "INBOX"
    if any(c in mailbox for c in '"\\\r\n'):
        raise BadInput("settings.invalid", f"{mailbox!r} is no name of a mailbox.", field="IMAP_MAILBOX")
    url = f"imap://{secrets.get(HOST)}:{_port(secrets)}/{mailbox}"
    return Prepared("READ", url, [], orjson.dumps(dict(arguments)), (credential_of(LOGIN, secrets),))


class Mailbox:
    """Reads in a thread of its own, a connection for each time."""

    def __init__(self, secrets: Secrets, guard: Guard, redactions: Redactions, tokens: Tokens | None = None) -> None:
        self._secrets = secrets
        self._guard = guard
        self._account = Account(LOGIN, secrets, redactions, tokens)

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer:
        """The mails as JSON: {uid_validity, last_uid, more, messages: [{uid, received_at, size, truncated, rfc822_base64}]}, the
        oldest first; `last_uid` is up to where it was read, also where nothing came. Raises NotSent when the server cannot be
        read now."""
        await gate()
        ends = time.monotonic() + seconds
        return await asyncio.to_thread(self._read, prepared, ends, await self._account.token())

    def _read(self, prepared: Prepared, ends: float, token: str | None) -> Answer:
        wanted, mailbox = orjson.loads(prepared.body), prepared.url.split("/", 3)[3]
        try:
            with self._connected(ends, token) as client:
                found = _mails(client, mailbox, wanted, ends)
        except Refused as error:
            raise _final(BadInput("outbound.refused", f"{error}.", field=HOST, remedy="See docs/tools.md.")) from error
        except ssl.SSLError as error:
            raise _unreadable(f"TLS: {error.reason or error}") from error
        except (imaplib.IMAP4.error, OSError, EOFError) as error:
            raise _unreadable(str(error) or type(error).__name__) from error
        except (ValueError, TypeError, IndexError) as error:
            raise _unreadable("the server answers as no IMAP server does") from error
        return Answer(200, [("content-type", "application/json")], orjson.dumps(found))

    @contextlib.contextmanager
    def _connected(self, ends: float, token: str | None) -> Iterator[imaplib.IMAP4]:
        secrets = self._secrets
        host, port, mode = secrets.get(HOST), _port(secrets), _mode(secrets)
        client = _Client(host, port, self._guard, mode, ends)
        try:
            if mode == "starttls":
                client.starttls(ssl.create_default_context())
            self._log_in(client, token)
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.logout()
            with contextlib.suppress(Exception):  # a lost connection is not closed by that
                client.shutdown()

    def _log_in(self, client: imaplib.IMAP4, token: str | None) -> None:
        user, password = self._account.user, "" if token else self._account.password
        try:
            if token:
                # The second answer is to the reason of a refusal, which has to be heard before the refusal itself.
                said = iter([f"user={user}\1auth=Bearer {token}\1\1".encode(), b""])
                client.authenticate("XOAUTH2", lambda _: next(said, b""))
            elif "AUTH=PLAIN" in client.capabilities:
                client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
            else:
                client.login(user, password)
        except imaplib.IMAP4.abort:
            raise
        except (imaplib.IMAP4.error, UnicodeEncodeError) as error:
            if self._account.refused(token):
                raise _unreadable("the server does not take the access token, so another one is fetched") from error
            raise _final(_not_taken(token)) from error


def _not_taken(token: str | None) -> BadInput:
    if token:
        remedy = "Give the consent for IMAP anew, and set MAIL_OAUTH_REFRESH_TOKEN (docs/mail.md)."
        return BadInput(
            "credential.refused",
            "the server does not take our tokens.",
            field="MAIL_OAUTH_REFRESH_TOKEN",
            remedy=remedy,
        )
    remedy = "Check IMAP_USERNAME and IMAP_PASSWORD; some providers want a password made for programs, or OAuth (docs/mail.md)."
    return BadInput("credential.refused", "the server does not take the login.", field="IMAP_PASSWORD", remedy=remedy)


class _Client(imaplib.IMAP4):
    """Connects to addresses that the guard lets through, and gives up when the time is over."""

    def __init__(self, host: str, port: int, guard: Guard, mode: str, ends: float) -> None:
        self._guard, self._mode, self._ends = guard, mode, ends
        super().__init__(host, port, _left(ends))

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """Called by the base class, which the standard library's documentation invites to override."""
        self.host, self.port = host, port
        self.sock = self._dial(host, port)
        if self._mode == "implicit":
            self.sock = ssl.create_default_context().wrap_socket(
                self.sock, server_hostname=host
            )  # closes it when it fails
        self.file = self.sock.makefile("rb")

    def _dial(self, host: str, port: int) -> socket.socket:
        problem: OSError | None = None
        for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            made = self._guard.open(info)
            try:
                made.settimeout(_left(self._ends))
                made.connect(info[4])
            except OSError as error:
                made.close()
                problem = error
            else:
                return made
        raise OSError(f"{host}:{port}: {problem}")


def _mails(client: imaplib.IMAP4, mailbox: str, wanted: Mapping[str, Any], ends: float) -> dict[str, Any]:
    _said(*client.select(f'"{mailbox}"', readonly=True))
    validity = int(_said(*client.response("UIDVALIDITY"))[0])
    following = int(client.response("UIDNEXT")[1][0] or 0)  # as it was before anything is searched
    uids = _uids(client, wanted, validity)
    messages: list[dict[str, Any]] = []
    size = read = 0
    for uid in uids[: wanted.get("limit", DEFAULT_LIMIT)]:
        if messages and ends - time.monotonic() < SOON_OVER:
            break
        client.sock.settimeout(_left(ends))
        if message := _mail(client, uid):
            messages.append(message)
            size += len(message["rfc822_base64"])
        read += 1
        if size > ENOUGH:
            break
    last, more = uids[read - 1] if read else 0, read < len(uids)
    known = (wanted.get("after_uid") or 0) if wanted.get("uid_validity") == validity else 0
    reached = last if more else max(last, following - 1, known)
    return {"uid_validity": validity, "last_uid": reached if reached >= 0 else None, "more": more, "messages": messages}


def _uids(client: imaplib.IMAP4, wanted: Mapping[str, Any], validity: int) -> list[int]:
    """Those that are asked for, the oldest first. IMAP's `n:*` always has the last mail, even below n."""
    after = wanted.get("after_uid") if wanted.get("uid_validity") == validity else None
    if after is not None:
        found = _said(*client.uid("SEARCH", "UID", f"{after + 1}:*"))
    else:
        # By days, in the server's own time zone; whoever asks looks at received_at.
        day = datetime.fromisoformat(wanted["since"]).astimezone(UTC) - timedelta(days=1)
        found = _said(*client.uid("SEARCH", "SINCE", f"{day.day:02}-{_MONTHS[day.month - 1]}-{day.year}"))
    return sorted(uid for uid in map(int, (found[0] or b"").split()) if uid > (after or 0))


def _mail(client: imaplib.IMAP4, uid: int) -> dict[str, Any] | None:
    """None for one that has gone since."""
    parts = _said(*client.uid("FETCH", str(uid), f"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[]<0.{LARGEST}>)"))
    literal = next((part for part in parts if isinstance(part, tuple)), None)
    if literal is None:
        return None
    told = b" ".join(part if isinstance(part, bytes) else part[0] for part in parts if part)
    found = {place: match for one in _FETCHED.finditer(told) for place, match in enumerate(one.groups()) if match}
    arrived = imaplib.Internaldate2tuple(b"INTERNALDATE " + found.get(2, b""))
    size = int(found.get(1, len(literal[1])))
    return {
        "uid": int(found.get(0, uid)),
        "received_at": datetime.fromtimestamp(time.mktime(arrived) if arrived else time.time(), UTC).isoformat(),
        "size": size,
        "truncated": size > len(literal[1]),
        "rfc822_base64": base64.b64encode(literal[1]).decode(),
    }


def _said(status: str, data: list[Any]) -> list[Any]:
    if status not in ("OK", "UIDVALIDITY") or not data:
        raise imaplib.IMAP4.error(f"the server said {status}")
    return data


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("not read within its time")
    return left


def _port(secrets: Secrets) -> int:
    text = secrets.or_none("IMAP_PORT") or str(PORTS[_mode(secrets)])
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise BadInput("settings.invalid", f"{text!r} is not a port.", field="IMAP_PORT", remedy="Usually 993.")
    return int(text)


def _mode(secrets: Secrets) -> str:
    mode = secrets.or_none("IMAP_TLS") or "implicit"
    if mode not in PORTS:
        raise BadInput("settings.invalid", f"{mode!r} is none of {', '.join(PORTS)}.", field="IMAP_TLS")
    return mode


def _final(problem: BadInput) -> NotSent:
    made = NotSent(problem.code, problem.message, field=problem.field, remedy=problem.remedy)
    made.final = True
    return made


def _unreadable(message: str) -> NotSent:
    made = NotSent("imap.unreadable", f"{message}.", field=HOST)
    made.wait_seconds = RECONNECT_SECONDS
    return made
