"""What a mail says: RFC 5322 bytes to the data of `viox.mail.received`. Pure, and bounded whatever bytes strangers send.

Who wrote it is believed for two reasons alone: the receiving server's DMARC check, where the deployment says which server that
is (MAIL_AUTHSERV_ID, RFC 8601); or because it answers a mail of ours that went to nobody else (references.py), unless that server
says otherwise. All else that a header says anybody may have written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import Message
from email.parser import BytesParser
from typing import Any

from services.tool_gateway.mail import bodies, headers, references
from services.tool_gateway.wire import addresses
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.consent import address_key
from shared.errors import BadInput
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
AUTHSERV_ID, OWN_ADDRESS = "MAIL_AUTHSERV_ID", "SMTP_FROM"
MOST_BOUNDARIES = 200  # multiparts within each other take the square of their number
MOST_HEADER_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail that was read. `id` is its own for ever: of its Message-ID, its bytes and who is proved to have written it, so that
    nobody who knows the one, or sees it before, keeps the other out."""

    id: str
    data: dict[str, Any]
    is_ours: bool  # it comes from the business's own address


def read_mail(raw: bytes, secrets: Secrets, *, truncated: bool = False) -> Letter:
    """Raises BadInput for what is no mail, one without a sender, and one that cannot be read: it is set aside, and holds up no
    other."""
    try:
        return _letter(raw, secrets, truncated=truncated)
    except BadInput:
        raise
    except Exception as error:  # the standard library's parsers have errors of their own
        log.warning("mail.unreadable", kind=type(error).__name__)  # what it says may be of the mail
        raise _unreadable(f"reading it ended in {type(error).__name__}.") from error


def _letter(raw: bytes, secrets: Secrets, *, truncated: bool) -> Letter:
    mail = _parsed(raw)
    found = headers.sender(mail)
    if found is None:
        raise BadInput(
            "mail.no_sender",
            "From does not name one address.",
            field="From",
            remedy="Send RFC 5322 bytes as they came, with all headers.",
        )
    name, sender = found
    data: dict[str, Any] = {
        "sender": sender,
        "sender_name": name,
        "recipients": headers.addresses(mail, "To", "Cc"),
        "subject": headers.words(mail, "Subject")[:1000],
        "text": bodies.new_words(mail),
        "message_id": next(iter(headers.ids(mail, "Message-ID")), None),
        "attachments": bodies.attachments(mail),
        "truncated": truncated,
        **_belonging(mail, sender, secrets),
    }
    content = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    said = [data["message_id"] or headers.first(mail, "Date"), sender, data["subject"], data["verified"], data["kind"]]
    return Letter(
        sha256_bytes("\0".join([*said, sha256_bytes(content)]).encode("utf-8", "replace"))[:40],
        data,
        sender == _own(secrets),
    )


def _parsed(raw: bytes) -> Message:
    head = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    if len(head) > MOST_HEADER_BYTES or raw.lower().count(b"boundary") > MOST_BOUNDARIES:
        raise _unreadable("it has more headers or parts than a mail has.")
    return BytesParser(Message, policy=policy.compat32).parsebytes(raw)


def _unreadable(why: str) -> BadInput:
    return BadInput("mail.unreadable", why, field="body", remedy="Read it in the mailbox, and answer it there.")


def _own(secrets: Secrets) -> str:
    return next(iter(addresses.plain([secrets.or_none(OWN_ADDRESS) or ""])), "")


def _belonging(mail: Message, sender: str, secrets: Secrets) -> dict[str, Any]:
    """Whose it is: of whom it is proved to come, what kind of a mail that makes it, and under what the address book has its
    conversation."""
    if mail.get_content_type() == "multipart/report" and (report := _undelivered(mail, secrets)):
        return report
    answers = [*headers.ids(mail, "In-Reply-To"), *reversed(headers.ids(mail, "References"))]
    found = references.answered(answers, sender, secrets)
    passed = headers.dmarc(mail, sender, (secrets.or_none(AUTHSERV_ID) or "").strip().lower())
    proved = "" if passed is False else "reply" if found and found.proved else "dmarc" if passed else ""
    machine = headers.is_of_a_machine(mail, sender, _own(secrets).rpartition("@")[2], proved=proved == "reply")
    key = references.reply_key(found.call, sender) if found else sender
    kind = "automatic" if machine else "message"
    return {"kind": kind, "verified": proved, "owner_key": key if proved else "", "lost": []}


# -- delivery reports (RFC 3464) -------------------------------------------------------------------------------------------


def _undelivered(mail: Message, secrets: Secrets) -> dict[str, Any] | None:
    """Of a report that a mail of ours did not arrive: whom it did not reach and why. None of any other report."""
    parts = bodies.leaves(mail)
    lost = [one for part in parts if part.get_content_type() == "message/delivery-status" for one in _lost_in(part)]
    for address, why in lost:
        if found := references.answered(_returned(parts), address, secrets):
            told = f"{address} ({why})" if why else address
            return {
                "kind": "undelivered",
                "verified": "reply",
                "owner_key": references.reply_key(found.call, address),
                "lost": [told],
            }
    return None


def _lost_in(part: Message) -> Iterator[tuple[str, str]]:
    payload = part.get_payload()
    groups = [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []
    for group in groups[: bodies.MOST_PARTS]:
        address = next(
            iter(addresses.plain([headers.first(group, "Final-Recipient").rpartition(";")[2].strip()])), None
        )
        if address and headers.first(group, "Action").lower() == "failed":
            reason = headers.first(group, "Diagnostic-Code").rpartition(";")[2].strip()
            yield address_key(address), f"{headers.first(group, 'Status')} {reason}".strip()[:200]


def _returned(parts: list[Message]) -> list[str]:
    """Message-IDs of what a report returns; those that a mail of ours named as its own among them."""
    found: list[str] = []
    for part in parts:
        payload = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list):
            returned = [one for one in payload[:1] if isinstance(one, Message)]
            found += [one for inner in returned for one in headers.ids(inner, "Message-ID", "References")]
        elif part.get_content_type() == "text/rfc822-headers":
            inner = BytesParser(Message, policy=policy.compat32).parsebytes(
                bodies.text_of(part).encode(), headersonly=True
            )
            found += headers.ids(inner, "Message-ID", "References")
    return found
