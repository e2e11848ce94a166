"""Message-IDs of the mails that calls send, by which an answer finds its conversation.

A Message-ID holds the call's id and a code that only this gateway can make (HMAC-SHA256, cut to 80 bits). Of a mail with one
recipient the code is of the recipient, too: who answers it from that address has been sent it, and nobody else can have made
the code. The address book keeps each conversation under a key of the call and the recipient, so that an answer goes on
with the conversation that asked, whoever else writes to the same person.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from services.tool_gateway.wire.box import KEY_NAME
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.consent import address_key

PURPOSE = b"viox message id\0"
_OURS = re.compile(r"<([0-9a-f-]{36}\.\d+\.\d+)\.([a-z2-7]{16})@[^<>@\s]+>")


@dataclass(frozen=True, slots=True)
class Answered:
    """The call whose mail somebody answers. `proved`: the answer comes from the one whom the mail went to."""

    call: str
    proved: bool


def message_id(call: str, recipients: Sequence[str], domain: str, secrets: Secrets) -> str:
    """The Message-ID of the mail that a call sends. Without VIOX_SECRET_KEY it proves nothing."""
    keys = _keys(secrets)
    if not keys or not call:
        return f"<{call or 'unidentified'}@{domain}>"
    return f"<{call}.{_code(keys[0], call, recipients[0] if len(recipients) == 1 else '')}@{domain}>"


def answered(ids: Iterable[str], sender: str, secrets: Secrets) -> Answered | None:
    """By what In-Reply-To and References name: the first that is truly ours."""
    keys = _keys(secrets)
    for given in ids:
        if not (found := _OURS.fullmatch(given.strip())):
            continue
        call, code = found[1], found[2]
        if any(hmac.compare_digest(_code(key, call, sender), code) for key in keys):
            return Answered(call, proved=True)
        if any(hmac.compare_digest(_code(key, call, ""), code) for key in keys):
            return Answered(call, proved=False)
    return None


def reply_key(call: str, address: str) -> str:
    """Under which the address book has the conversation of a call's mail with one recipient."""
    return f"reply:{call}:{sha256(address_key(address).encode()).hexdigest()[:32]}"


def _keys(secrets: Secrets) -> list[bytes]:
    return [one.strip().encode() for one in (secrets.or_none(KEY_NAME) or "").split(",") if one.strip()]


def _code(key: bytes, call: str, recipient: str) -> str:
    made = hmac.new(key, PURPOSE + f"{call}\0{address_key(recipient)}".encode(), sha256).digest()[:10]
    return base64.b32encode(made).decode().lower()
