"""A request that is ready but for its credentials: what every connector makes, and what the ledger keeps."""

from __future__ import annotations

from dataclasses import dataclass

from services.tool_gateway.catalogue.tools import Credential


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request of a call. `auth` is how it will prove who we are; no secret is in here.

    HTTP: method, URL, headers, body. SMTP: SEND, server, envelope, message. IMAP: READ, mailbox,
    nothing, what is wanted as JSON. Postgres: SQL, statement's name, nothing,
    its parameters as JSON. Office: ASK, what is asked, nothing, its arguments as JSON.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    auth: tuple[Credential, ...] = ()
