"""The words of a mail: of its own parts, not of mails that are attached to it; plain text, else the words of its HTML. Pure.

Everything is bounded: strangers write mails, and the parsers of headers and of HTML take time that grows faster than their input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from typing import Any

from mailparser_reply import EmailReplyParser

from services.tool_gateway.answers.charsets import charset_of, decoded
from shared.html_text import HtmlText

LONGEST_TEXT, LONGEST_HTML, MOST_PARTS, DEEPEST, MOST_ATTACHMENTS = 20_000, 200_000, 100, 10, 50
LONGEST_HEADER = 1000  # of a part
LANGUAGES = ["en", "de", "fr", "it", "es", "nl", "pl", "da", "sv", "cs"]
UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<![^<>]{0,200}>", re.DOTALL)
_NO_TAG = re.compile(r"<(?!/?[A-Za-z][^<>]{0,2000}>)")
_BROKEN = "\ue000"  # of no alphabet
_LONG_LINE = re.compile(r"([^\n]{199}[^\s])(?=[^\s])")  # never at a blank, which the parser would strip


def new_words(mail: Message) -> str:
    """What the sender wrote now, without quoted letters and signature."""
    return _new_in(_text(mail, 0))


def attachments(mail: Message) -> list[dict[str, Any]]:
    """Name, type and size in bytes of each file; attached mails among them."""
    found = [part for part in leaves(mail) if _is_attached(part) or part.get_content_maintype() == "message"]
    return [_attachment(part) for part in found[:MOST_ATTACHMENTS]]


def leaves(mail: Message) -> list[Message]:
    """The parts that hold something, with headers that can be read in time. Attached mails are such a part as a whole."""
    return [part for part, _ in zip(_walk(mail, 0), range(MOST_PARTS), strict=False)]


def clean(text: str) -> str:
    """The text as it can be stored."""
    return UNSTORABLE.sub("\ufffd", text)


def text_of(part: Message) -> str:
    raw = part.get_payload(decode=True)
    return (
        decoded(raw, charset_of(str(part.get("Content-Type", ""))[:LONGEST_HEADER])) if isinstance(raw, bytes) else ""
    )


def _walk(part: Message, depth: int) -> Iterator[Message]:
    for name in ("Content-Type", "Content-Disposition"):
        if len(value := str(part.get(name, ""))) > LONGEST_HEADER:
            part.replace_header(name, value[:LONGEST_HEADER])
    if part.get_content_maintype() != "multipart":
        yield part
    elif depth < DEEPEST:
        for one in _children(part):
            yield from _walk(one, depth + 1)


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, Message)][:MOST_PARTS] if isinstance(payload, list) else []


def _text(part: Message, depth: int) -> str:
    kind = part.get_content_type()
    if _is_attached(part) or depth > DEEPEST:
        return ""
    if kind == "text/plain":
        return text_of(part)
    if kind == "text/html":
        return _words(text_of(part))
    if part.get_content_maintype() != "multipart":
        return ""
    told = [(one.get_content_type(), text) for one in _children(part) if (text := _text(one, depth + 1)).strip()]
    if kind == "multipart/alternative":
        return next((text for kind, text in told if kind == "text/plain"), told[-1][1] if told else "")
    return "\n\n".join(text.strip("\r\n") for _, text in told)


def _new_in(text: str) -> str:
    """Long lines are broken for the parser, whose patterns take time that grows with the square of a line, and joined after."""
    text = clean(text.replace("\r\n", "\n").replace("\r", "\n"))[:LONGEST_TEXT].strip()
    broken = _LONG_LINE.sub(rf"\1\n{_BROKEN}", text.replace(_BROKEN, " "))
    replies = EmailReplyParser(languages=LANGUAGES).read(broken).replies
    new = (replies[0].body or replies[0].content or "").strip() if replies else ""
    return new.replace(f"\n{_BROKEN}", "") or text


def _words(html: str) -> str:
    """Whatever is no tag that ends soon is text: what looks like the beginning of one makes the parser begin again and again."""
    reader = HtmlText()
    reader.feed(_NO_TAG.sub("&lt;", _COMMENT.sub(" ", html[:LONGEST_HTML])))
    reader.close()
    return reader.text()


def _is_attached(part: Message) -> bool:
    return str(part.get("Content-Disposition", ""))[:LONGEST_HEADER].strip().lower().startswith("attachment")


def _attachment(part: Message) -> dict[str, Any]:
    content = part.get_payload(decode=True)
    size = len(content) if isinstance(content, bytes) else 0
    named = {"filename": clean(part.get_filename() or "")[:250], "content_type": clean(part.get_content_type())[:250]}
    return named | {"size": size}
