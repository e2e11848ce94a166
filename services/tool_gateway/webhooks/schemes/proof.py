"""What all schemes share: the request as it came, the verdict on it, and comparisons that give nothing away.

A scheme computes the one text that a right signature has and compares it with what was sent, byte for byte. What was sent
is never decoded: another spelling of the same digest (capitals, other padding, characters that decoders skip) is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FUTURE_SECONDS = 300  # clocks differ; a time further ahead would keep a captured request usable for longer
_SECONDS = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came. `url` is the one the sender called; `headers` have names in small letters and all values."""

    method: str
    url: str
    headers: Mapping[str, Sequence[str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The header's value; None when it is missing, and when it is there twice: which one would count?"""
        values = self.headers.get(name.lower(), ())
        return values[0] if len(values) == 1 else None

    @property
    def content_type(self) -> str:
        return (self.header("content-type") or "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refusal` is None for a request that its sender proved, else a stable code for why it is refused."""

    refusal: str | None = None

    @property
    def proved(self) -> bool:
        return self.refusal is None


PROVED = Verdict()
MISSING = Verdict("signature_missing")
MALFORMED = Verdict("signature_malformed")
WRONG = Verdict("signature_wrong")
STALE = Verdict("too_old")
FUTURE = Verdict("from_the_future")

Verify = Callable[[Incoming, Sequence[str], float], Verdict]
"""(request, secrets with the newest first, now) → verdict."""


def same(expected: str, given: str) -> bool:
    """Compares in constant time. Headers may hold any bytes."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))


def matches_any(expected: Sequence[str], given: Sequence[str]) -> bool:
    """Whether one of the given texts is one of the expected. Every pair is compared, whatever came before."""
    found = False
    for mine in expected:
        for theirs in given:
            found |= same(mine, theirs)
    return found


def hex_sha256(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def base64_sha256(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def seconds(text: str | None) -> int | None:
    """A time in whole seconds, in the one spelling that senders use; None for anything else."""
    return int(text) if text is not None and _SECONDS.fullmatch(text) else None


def within(sent_at: float, now: float, past_seconds: float) -> Verdict:
    """Whether a signed time is near enough to now, on both sides."""
    if sent_at < now - past_seconds:
        return STALE
    return FUTURE if sent_at > now + FUTURE_SECONDS else PROVED
