"""What a mail says: RFC 5322 bytes to the data of `viox.mail.received`. Pure, and safe with whatever bytes strangers send.

Who wrote it is believed for two reasons alone: the receiving server's DMARC check, where the deployment says which server that
is (MAIL_AUTHSERV_ID, RFC 8601); or because it answers a mail of ours that went to nobody else (references.py). All else that a
header says anybody may have written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import getaddresses
from typing import Any

from mailparser_reply import EmailReplyParser

from services.tool_gateway.answers.charsets import charset_of, decoded
from services.tool_gateway.mail import references
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.consent import address_key
from shared.errors import BadInput
from shared.html_text import HtmlText
from shared.telemetry.digest import sha256_bytes

AUTHSERV_ID, OWN_ADDRESS = "MAIL_AUTHSERV_ID", "SMTP_FROM"
LONGEST_TEXT, MOST_ADDRESSES, MOST_ATTACHMENTS, MOST_PARTS = 50_000, 50, 50, 200
LANGUAGES = ["en", "de", "fr", "it", "es", "nl", "pl", "da", "sv", "cs"]
_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_IDS = re.compile(r"<[^<>\s]{1,400}>")
_BROKEN = "\ue000"  # of no alphabet
_LONG_LINE = re.compile(r"([^\n]{199}[^\s])(?=[^\s])")  # never at a blank, which the parser would strip
_COMMENT = re.compile(r"\([^()]*\)")
_MACHINES = re.compile(r"(mailer-daemon|postmaster|(no|do-?not)-?reply|bounces?)([+.=-].*)?@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail that was read. `id` is its own for ever: of its Message-ID and of what it says, so that nobody who knows the
    one keeps the other out."""

    id: str
    data: dict[str, Any]
    is_ours: bool  # it comes from the business's own address


def read_mail(raw: bytes, secrets: Secrets, *, truncated: bool = False) -> Letter:
    """Raises BadInput for what is no mail, or one without a sender."""
    mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(raw)
    name, sender = _sender(mail)
    parts = [part for _, part in zip(range(MOST_PARTS), mail.walk(), strict=False)]
    body, message_id = _body(mail, parts), next(iter(_ids(mail, "Message-ID")), None)
    lost, returned = _undelivered(parts) if _is_report(mail) else ([], [])
    data: dict[str, Any] = {
        "sender": sender,
        "sender_name": name,
        "recipients": [one for _, one in _addresses(mail, "To", "Cc")][:MOST_ADDRESSES],
        "subject": _header(mail, "Subject")[:1000],
        "text": body,
        "kind": "undelivered" if lost and returned else "automatic" if _of_a_machine(mail, sender) else "message",
        "message_id": message_id,
        "attachments": [_attachment(part) for part in parts if part.get_filename()][:MOST_ATTACHMENTS],
        "truncated": truncated,
        "lost": lost,
    }
    own = next((plain for _, plain in getaddresses([secrets.or_none(OWN_ADDRESS) or ""])), "")
    said = [message_id or _header(mail, "Date"), sender, data["subject"], body]
    return Letter(
        f"mail:{sha256_bytes(chr(0).join(said).encode())[:32]}",
        data | _belonging(mail, data, returned, secrets),
        address_key(own) == sender,
    )


def _belonging(mail: EmailMessage, data: dict[str, Any], returned: list[str], secrets: Secrets) -> dict[str, str]:
    """Whose it is: of whom it is proved to come, and under what the address book has its conversation."""
    sender = data["sender"]
    if data["kind"] == "undelivered":
        reached = address_key(str(data["lost"][0]).partition(" ")[0])
        found = references.answered(returned, reached, secrets)
        if found is None:
            return {"verified": "", "owner_key": "", "kind": "automatic"}
        return {"verified": "reply", "owner_key": references.reply_key(found.call, reached)}
    answers = [*_ids(mail, "In-Reply-To"), *reversed(_ids(mail, "References"))]
    found = references.answered(answers, sender, secrets)
    verified = "reply" if found and found.proved else "dmarc" if _passes_dmarc(mail, sender, secrets) else ""
    if found:
        return {"verified": verified, "owner_key": references.reply_key(found.call, sender)}
    return {"verified": verified, "owner_key": sender if verified else ""}


# -- headers ---------------------------------------------------------------------------------------------------------------


def _all(mail: EmailMessage, name: str) -> list[str]:
    """Values of a header. The library's parsers of single headers break on some that strangers write."""
    try:
        values = [str(one) for one in mail.get_all(name, [])]
    except Exception:  # noqa: BLE001  # as it came, then
        values = [str(value) for key, value in mail.raw_items() if key.lower() == name.lower()]
    return [_clean(" ".join(one.split())) for one in values]


def _header(mail: EmailMessage, name: str) -> str:
    return next(iter(_all(mail, name)), "")


def _ids(mail: EmailMessage, name: str) -> list[str]:
    return _IDS.findall(" ".join(_all(mail, name))[:20_000])


def _addresses(mail: EmailMessage, *names: str) -> list[tuple[str, str]]:
    given = [value[:20_000] for name in names for value in _all(mail, name)]
    return [(name[:250], address_key(one)) for name, one in getaddresses(given) if _ADDRESS.fullmatch(one)]


def _sender(mail: EmailMessage) -> tuple[str, str]:
    """Name and address. With several in From nobody knows whose words they are, and no check is of all of them."""
    found = _addresses(mail, "From")
    if len(found) != 1 or len(_all(mail, "From")) != 1 or len(found[0][1]) > 254:
        raise BadInput(
            "mail.no_sender",
            f"From names {len(found)} addresses; a mail comes from one.",
            field="From",
            remedy="Send RFC 5322 bytes as they came, with all headers.",
        )
    return found[0]


def _of_a_machine(mail: EmailMessage, sender: str) -> bool:
    """Whether nobody waits for an answer (RFC 3834), so that two machines do not write to each other for ever."""
    submitted = _header(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    return (
        submitted not in ("", "no")
        or _header(mail, "Precedence").lower() in ("bulk", "junk", "list", "auto_reply")
        or any(_all(mail, name) for name in ("List-Id", "List-Unsubscribe", "X-Autoreply", "X-Auto-Response-Suppress"))
        or _header(mail, "Return-Path") == "<>"
        or bool(_MACHINES.match(sender))
        or _is_report(mail)
    )


def _passes_dmarc(mail: EmailMessage, sender: str, secrets: Secrets) -> bool:
    """By the newest result of the server that the deployment names: below it anybody may have put another."""
    server = (secrets.or_none(AUTHSERV_ID) or "").strip().lower()
    for value in _all(mail, "Authentication-Results") if server else []:
        head, _, results = _COMMENT.sub("", value).lower().partition(";")
        if head.split()[:1] != [server]:
            continue
        found = next((one.split() for one in results.split(";") if one.strip().startswith("dmarc=")), [])
        named = [one.partition("=")[2] for one in found if one.startswith("header.from=")]
        return found[:1] == ["dmarc=pass"] and named in ([], [sender.rpartition("@")[2]])
    return False


# -- bodies ----------------------------------------------------------------------------------------------------------------


def _body(mail: EmailMessage, parts: list[EmailMessage]) -> str:
    """What the sender wrote now: plain text, else the words of the HTML, without quoted letters and signature."""
    for kind in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == kind and not part.get_filename() and not _is_attached(part):
                text = _text_of(part)
                plain = _words(text) if kind == "text/html" else text
                if plain.strip():
                    return _new_in(plain)
    return ""


def _new_in(text: str) -> str:
    """Long lines are broken for the parser, whose patterns take time that grows with the square of a line, and joined after."""
    text = _clean(text.replace("\r\n", "\n").replace("\r", "\n"))[:LONGEST_TEXT].strip()
    broken = _LONG_LINE.sub(rf"\1\n{_BROKEN}", text.replace(_BROKEN, " "))
    replies = EmailReplyParser(languages=LANGUAGES).read(broken).replies
    new = (replies[0].body or replies[0].content or "").strip() if replies else ""
    return new.replace(f"\n{_BROKEN}", "") or text


def _words(html: str) -> str:
    reader = HtmlText()
    reader.feed(html[: 20 * LONGEST_TEXT])
    reader.close()
    return reader.text()


def _text_of(part: EmailMessage) -> str:
    raw = part.get_payload(decode=True)
    return decoded(raw, charset_of(str(part.get("Content-Type", "")))) if isinstance(raw, bytes) else ""


def _is_attached(part: EmailMessage) -> bool:
    return str(part.get("Content-Disposition", "")).lower().startswith("attachment")


def _attachment(part: EmailMessage) -> dict[str, Any]:
    content = part.get_payload(decode=True)
    size = len(content) if isinstance(content, bytes) else 0
    return {"filename": _clean(part.get_filename() or "")[:250], "content_type": part.get_content_type(), "size": size}


# -- delivery reports (RFC 3464) -------------------------------------------------------------------------------------------


def _is_report(mail: EmailMessage) -> bool:
    return mail.get_content_type() == "multipart/report"


def _undelivered(parts: list[EmailMessage]) -> tuple[list[str], list[str]]:
    """Whom a mail did not reach, each with the reason, and the Message-IDs of what was returned."""
    lost: list[str] = []
    for group in (
        one for part in parts if part.get_content_type() == "message/delivery-status" for one in _groups(part)
    ):
        address = _header(group, "Final-Recipient").rpartition(";")[2].strip()
        if _header(group, "Action").lower() == "failed" and _ADDRESS.fullmatch(address):
            why = f"{_header(group, 'Status')} {_header(group, 'Diagnostic-Code').rpartition(';')[2].strip()}".strip()
            lost.append(f"{address_key(address)} ({why[:200]})" if why else address_key(address))
    return lost[:MOST_ADDRESSES], list(_returned(parts))


def _groups(part: EmailMessage) -> list[EmailMessage]:
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, EmailMessage)] if isinstance(payload, list) else []


def _returned(parts: list[EmailMessage]) -> Iterator[str]:
    for part in parts:
        if part.get_content_type() == "message/rfc822":
            yield from (one for inner in _groups(part) for one in _ids(inner, "Message-ID"))
        elif part.get_content_type() == "text/rfc822-headers":
            inner = BytesParser(EmailMessage, policy=policy.default).parsebytes(
                _text_of(part).encode(), headersonly=True
            )
            yield from _ids(inner, "Message-ID")


def _clean(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)
