"""Texts without the secrets that a process knows, in whatever coding somebody says them back.

Vendors repeat a credential in messages, headers and redirects, and parsers quote the line that they could not read. On the
way it is URL-encoded, escaped for JSON, HTML or a log, or written as base64 or hex. A `Redactor` is told every secret when
it is used, under a scope (a vendor), and takes it out of what comes back in that scope; logs lose the secrets of all scopes.

    redactor.tell("stripe", "STRIPE_API_KEY", key)
    redactor.of("stripe").data(body)      # b"... [secret STRIPE_API_KEY] ..."

A secret that is cut off is found by its first half. Values shorter than 8 characters could be anything and stay.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html.entities import html5
from typing import Any

import orjson

from shared.errors import VioxError

SHORTEST = 8
LONGEST_HEAD = 40
LONGEST_NEEDLE = 16
KEPT_VALUES = 8  # of one name: tokens are renewed, and what was used a moment ago may still be said back
_ESCAPES = (b"%", b"\\u00", b"\\x", b"&#")  # of letters and digits
_ALNUM = re.compile(rb"[0-9A-Za-z]+")
_BASE64_BEFORE = re.compile(rb"[0-9A-Za-z+/_-]{0,3}\Z")
_BASE64_AFTER = re.compile(rb"[0-9A-Za-z+/_-]{0,4}={0,2}")
_NAMES = {
    mark: [name for name, stands_for in html5.items() if stands_for == mark and name.endswith(";")]
    for mark in map(chr, range(32, 127))
    if not mark.isalnum()
}


class Redactor:
    """The secrets of a process by scope."""

    def __init__(self) -> None:
        self._scopes: dict[str, Redactions] = {}

    def of(self, scope: str) -> Redactions:
        return self._scopes.setdefault(scope, Redactions())

    def tell(self, scope: str, name: str, value: str | None) -> None:
        """A secret is about to be used. `name` takes its place in texts."""
        if value:
            self.of(scope).tell(name, value)

    def everywhere(self, text: str) -> str:
        """A text without the secrets of any scope."""
        for scope in list(self._scopes.values()):  # lines are written by threads, too
            text = scope.text(text)
        return text


class Redactions:
    """The secrets of one scope."""

    def __init__(self) -> None:
        self._secrets: dict[tuple[str, str], list[_Spelling]] = {}

    def tell(self, name: str, value: str) -> None:
        if (name, value) in self._secrets or len(value) < SHORTEST:
            return
        former = [key for key in self._secrets if key[0] == name]
        for key in former[: max(len(former) - KEPT_VALUES + 1, 0)]:
            del self._secrets[key]
        self._secrets[name, value] = _spellings(value)

    def data(self, given: bytes) -> bytes:
        """Bytes without the secrets. The same object when none is in them."""
        escaped = any(sign in given for sign in _ESCAPES)
        wide = b"\0" in given
        for (name, _), spellings in list(self._secrets.items()):
            for spelling in spellings:
                if (wide or not spelling.wide) and spelling.may_be_in(given, escaped=escaped):
                    given = spelling.replaced(given, name.encode())
        return given

    def text(self, given: str) -> str:
        """A text without the secrets. The same object when none is in it."""
        plain = given.encode("utf-8", "surrogatepass")
        hidden = self.data(plain)
        return given if hidden is plain else hidden.decode("utf-8", "surrogatepass")

    def value(self, given: Any) -> Any:
        """A JSON value without the secrets in its texts and keys. The same object when none is in it."""
        try:
            plain = orjson.dumps(given)
        except TypeError:  # a number of more than 64 bits, half a character: looked through piece by piece
            walked = self._walked(given)
            return given if walked == given else walked
        return given if self.data(plain) is plain else self._walked(given)

    def _walked(self, given: Any) -> Any:
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, list):
            return [self._walked(one) for one in given]
        if isinstance(given, dict):
            return {self.text(key): self._walked(one) for key, one in given.items()}
        return given

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors raised inside say no secret."""
        try:
            yield
        except VioxError as error:
            error.message = self.text(error.message)
            raise


class _Spelling:
    """A secret in one coding. Characters that this coding leaves alone may be escaped once more, each in a way of its own."""

    def __init__(self, text: str, *, encoded: bool = False, escapable: bool = True, marker: str = "utf-8") -> None:
        self._text = text
        self._encoded = encoded
        self._marker = marker
        self.wide = marker != "utf-8"
        self._head = text[: min(max(SHORTEST, (len(text) + 1) // 2), LONGEST_HEAD)]
        plain = self._head.encode(marker)
        runs = [plain] if self.wide else _ALNUM.findall(plain) or [plain]
        self._needle = max(runs, key=len)[:LONGEST_NEEDLE]
        first = "" if self.wide else chr(self._needle[0])
        self._escaped_needles = [] if encoded or not escapable or not first else _escapes_of(first)
        self._pattern: re.Pattern[bytes] | None = None

    def may_be_in(self, given: bytes, *, escaped: bool) -> bool:
        """A cheap look. Escapers leave letters and digits alone, or escape every one of them."""
        return self._needle in given or (escaped and any(needle in given for needle in self._escaped_needles))

    def replaced(self, given: bytes, name: bytes) -> bytes:
        if self._pattern is None:
            parts = [re.escape(self._head.encode(self._marker))]
            if not self.wide:
                parts = [_escaped(character) for character in self._head]
            self._pattern = re.compile(b"".join(parts))
        made, end = [], 0
        for found in self._pattern.finditer(given):
            if found.start() < end:
                continue
            start, stop = found.start(), self._end(given, found.end())
            if self._encoded:  # the characters beside hold bits of it, too
                before = _BASE64_BEFORE.search(given, max(end, start - 3), start)
                after = _BASE64_AFTER.match(given, stop)
                start, stop = before.start() if before else start, after.end() if after else stop
            made += [given[end:start], (b"[secret " + name + b"]").decode().encode(self._marker)]
            end = stop
        return b"".join([*made, given[end:]]) if made else given

    def _end(self, given: bytes, end: int) -> int:
        """Where the rest of the secret ends, as far as it is there."""
        for character in self._text[len(self._head) :]:
            if self.wide:
                plain = character.encode(self._marker)
                if not given.startswith(plain, end):
                    break
                end += len(plain)
                continue
            found = _one(character).match(given, end)
            if found is None:
                break
            end = found.end()
        return end


def _spellings(value: str) -> list[_Spelling]:
    plain = value.encode()
    encoded = {core for before in range(3) for core in _base64_cores(plain, before) if len(core) >= SHORTEST}
    spelled = [_Spelling(value), *(_Spelling(core, encoded=True) for core in sorted(encoded))]
    spelled += [_Spelling(text, escapable=False) for text in (plain.hex(), plain.hex().upper())]
    return [*spelled, _Spelling(value, marker="utf-16-le"), _Spelling(value, marker="utf-16-be")]


def _base64_cores(plain: bytes, before: int) -> list[str]:
    """The characters of base64 that only the secret decides, when so many bytes (modulo 3) stand before it."""
    whole = base64.b64encode(bytes(before) + plain).decode().rstrip("=")
    core = whole[(0, 2, 3)[before] : (before + len(plain)) * 8 // 6]
    return [core, core.translate(str.maketrans("+/", "-_"))]


@cache
def _one(character: str) -> re.Pattern[bytes]:
    return re.compile(_escaped(character))


@cache
def _escaped(character: str) -> bytes:
    """A pattern of one character: itself, or as URLs, JSON, HTML, mail and programs' logs write it."""
    plain = character.encode("utf-8", "surrogatepass")
    ways = [
        re.escape(plain),
        b"".join(rb"(?i:%%(?:25)*%02x)" % byte for byte in plain),
        b"".join(rb"(?i:\\+u%04x)" % int.from_bytes(unit, "big") for unit in _utf16(character)),
        b"".join(rb"(?i:\\+x%02x)" % byte for byte in plain),
        b"".join(rb"\\+%03o" % byte for byte in plain),
        b"".join(rb"=%02X" % byte for byte in plain),
        rb"(?i:&(?:amp;)*#(?:0*%d|x0*%x);)" % (ord(character), ord(character)),
    ]
    if not character.isalnum():
        ways.append(rb"\\+" + re.escape(plain))
    if names := _NAMES.get(character):
        ways.append(rb"&(?:amp;)*(?:" + b"|".join(name.encode() for name in names) + rb")")
    if character == " ":
        ways.append(rb"\+")
    return rb"(?:" + b"|".join(ways) + rb")"


def _escapes_of(character: str) -> list[bytes]:
    """How a letter or digit looks where everything is escaped."""
    code = ord(character)
    numbers = {f"%{code:02x}", f"%{code:02X}", f"u{code:04x}", f"u{code:04X}", f"x{code:02x}", f"x{code:02X}"}
    return [each.encode() for each in sorted(numbers | {f"25{code:02x}", f"25{code:02X}", f"#{code};"})]


def _utf16(character: str) -> list[bytes]:
    encoded = character.encode("utf-16-be", "surrogatepass")
    return [encoded[at : at + 2] for at in range(0, len(encoded), 2)]
