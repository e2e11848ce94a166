"""The text that bytes stand for: by byte order mark, by what the bytes show, by what is declared, in this order. Pure."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK_BYTES = tuple(mark for mark, _ in _MARKS)
_PARAMETER = re.compile(r"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_IN_DOCUMENT = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
# Codecs of Python that are no charset of anybody's text.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"})
_UTF_8 = frozenset({"utf-8", "ascii"})


def charset_of(content_type: str | None) -> str | None:
    """The charset that a Content-Type declares, as Python names it; None when there is none, or none that is known."""
    found = _PARAMETER.search(content_type or "")
    return _known(found[1]) if found else None


def is_utf8(raw: bytes, declared: str | None) -> bool:
    """Whether the bytes can be read as UTF-8 as they are: neither mark nor pattern nor declaration says otherwise."""
    return declared in (None, *_UTF_8) and not raw.startswith(_MARK_BYTES) and b"\0" not in raw[:4]


def decoded(raw: bytes, declared: str | None) -> str:
    """The text. What is no character in its charset becomes U+FFFD."""
    for mark, marked in _MARKS:
        if raw.startswith(mark) and not (marked == "utf-32-le" and len(raw) % 4):
            return raw[len(mark) :].decode(marked, "replace")
    charset = _by_zeros(raw[:4]) or declared
    if charset and charset not in _UTF_8:
        return _eight_bit(raw) if charset == "iso8859-1" else raw.decode(charset, "replace")
    return _utf8(raw)


def declared_inside(raw: bytes) -> str | None:
    """The charset that an XML declaration or a page's head names."""
    found = _IN_DOCUMENT.search(raw[:1024])
    return _known(found[1].decode("ascii")) if found else None


def _known(name: str) -> str | None:
    try:
        found = codecs.lookup(name).name
        b"a".decode(found)  # LookupError for codecs that make no text
    except (LookupError, ValueError):
        return None
    return None if found in _NO_CHARSETS else found


def _by_zeros(start: bytes) -> str | None:
    """UTF-16 and UTF-32 without a mark: text in a markup or JSON begins with ASCII (RFC 4627, section 3)."""
    zeros = [byte == 0 for byte in start]
    if zeros == [True, True, True, False]:
        return "utf-32-be"
    if zeros == [False, True, True, True]:
        return "utf-32-le"
    if zeros[:2] == [True, False]:
        return "utf-16-be"
    return "utf-16-le" if zeros[:2] == [False, True] and len(start) > 1 else None


def _utf8(raw: bytes) -> str:
    """UTF-8 with a character cut in its middle stays UTF-8; where nothing beyond ASCII is UTF-8, it is an 8-bit charset."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
    beyond = set(re.findall(r"[^\x00-\x7f]", text))
    return _eight_bit(raw) if beyond == {"\ufffd"} else text


def _eight_bit(raw: bytes) -> str:
    """What says ISO-8859-1 is Windows-1252 in practice (WHATWG Encoding, section 4.2), where that has the characters."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
