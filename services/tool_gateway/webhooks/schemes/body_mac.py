"""A keyed digest of the raw body in one header: QuickBooks, Airtable, and senders that a configuration describes.

There is no time in such a signature: repeats are known by the ids of the events, for good.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence

from services.tool_gateway.webhooks.schemes.proof import (
    MISSING,
    PROVED,
    WRONG,
    Incoming,
    Verdict,
    base64_sha256,
    hex_sha256,
    matches_any,
)

SPELLINGS: dict[str, Callable[[bytes, bytes], str]] = {"hex": hex_sha256, "base64": base64_sha256}


def verify(
    request: Incoming, keys: Sequence[bytes], *, header: str, spelling: str = "hex", prefix: str = ""
) -> Verdict:
    """Check that `header` holds the prefix and the HMAC-SHA256 of the body with one of the keys."""
    given = request.header(header)
    if given is None:
        return MISSING
    expected = [prefix + SPELLINGS[spelling](key, request.body) for key in keys]
    return PROVED if matches_any(expected, [given]) else WRONG


def base64_key(secret: str) -> bytes:
    """A key that is handed out as base64. Raises ValueError when it is none."""
    try:
        return base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
