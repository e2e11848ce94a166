"""An answer as it came over the wire, and its body without content encodings. Pure."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

from services.tool_gateway.catalogue.tools import MAX_RESPONSE_BYTES

GZIP = b"\x1f\x8b\x08"
PLAIN_CODINGS = frozenset({"", "identity", "none", "utf-8", "utf8", "chunked", "binary"})
_TEXT_TYPE = re.compile(r"^text/|json|xml|javascript|x-www-form-urlencoded|^$")
_WHITE_SPACE = b" \t\r\n\x00"


@dataclass(frozen=True, slots=True)
class Hidden:
    """What was taken out of an answer before anybody kept or read it, and the bytes as they came by digest and size.

    `withheld`: all of it, because what is sensitive could not be found in it; `problem` when it cannot be read at all.
    """

    values: int
    sha256: str
    bytes: int
    withheld: bool = False
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {"values": self.values, "original_sha256": self.sha256, "original_bytes": self.bytes} | (
            {"withheld": True} if self.withheld else {}
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response. `body` are the bytes as they came, all of them unless `cut`: then there were too many to keep.

    `hidden`: they are not as they came, because of what is sensitive in them.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: bool = False
    hidden: Hidden | None = None

    def header(self, name: str) -> str | None:
        """The first header of that name, which is given in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def media_type(self) -> str:
        """What the body is said to be, without parameters; empty when nothing is said."""
        return (self.header("content-type") or "").split(";")[0].split(",")[0].strip().lower()

    @property
    def encoded(self) -> bool:
        """Whether the body may unfold to more than it is."""
        return self.header("content-encoding") is not None or self.body.startswith(GZIP)

    def plain(self) -> bytes:
        """The body without its content encodings.

        Servers and proxies say `gzip` of what is not, and leave it out of what is: the bytes decide. Raises ValueError
        when they unfold to too much, are cut off, or are in a coding that was not asked for.
        """
        codings = [
            one.strip().lower()
            for key, value in self.headers
            if key.lower() == "content-encoding"
            for one in value.split(",")
        ]
        body = self.body
        for coding in reversed([one for one in codings if one not in PLAIN_CODINGS]):
            body = _unfolded(body, coding) if body else body
        if body.startswith(GZIP) and _TEXT_TYPE.search(self.media_type):
            body = _unfolded(body, "gzip")
        return body


def _unfolded(body: bytes, coding: str) -> bytes:
    if coding in ("gzip", "x-gzip") and body.startswith(GZIP):
        return _inflated(body, zlib.MAX_WBITS | 16, coding)
    if coding == "deflate":
        for window in (zlib.MAX_WBITS, -zlib.MAX_WBITS):  # the standard's, and the raw one that servers send as well
            try:
                return _inflated(body, window, coding)
            except zlib.error:
                continue
    if body.lstrip(_WHITE_SPACE + b"\xef\xbb\xbf")[:1] in (b"{", b"[", b"<", b'"', b""):
        return body  # a header that a proxy or a framework left behind: the body is not encoded at all
    known = coding in ("gzip", "x-gzip", "deflate")
    raise ValueError(f"not {coding}" if known else f"content encoding {coding!r} was not asked for")


def _inflated(body: bytes, window: int, coding: str) -> bytes:
    """Every member of a stream, one after another. Raises zlib.error when it is none, ValueError when it is too much."""
    parts: list[bytes] = []
    left = MAX_RESPONSE_BYTES
    while body:
        unfolding = zlib.decompressobj(window)
        part = unfolding.decompress(body, left + 1)
        parts.append(part)
        left -= len(part)
        if left < 0 or unfolding.unconsumed_tail:
            raise ValueError(f"unfolds to more than {MAX_RESPONSE_BYTES:,} bytes")
        if not unfolding.eof:
            if part.rstrip(_WHITE_SPACE).endswith((b"}", b"]")):
                break  # the checksum at the end is missing, which some servers never write
            raise ValueError(f"its {coding} is cut off")
        body = unfolding.unused_data if unfolding.unused_data.startswith(GZIP) else b""
    return b"".join(parts)
