"""The operator's token: who has it is answered fully. While one is exchanged for another several are good, newest first."""

from __future__ import annotations

import hmac

from services.tool_gateway.wire.credentials import Secrets

SETTING = "VIOX_OPERATOR_TOKEN"


def tokens(secrets: Secrets) -> list[str]:
    """Those that are taken. Raises BadInput when a file that should hold them cannot be read."""
    return [one for part in (secrets.or_none(SETTING) or "").split(",") if (one := part.strip())]


def is_operator(header: str, known: list[str]) -> bool:
    """Whether an Authorization header has one of them. Takes the same time whichever it is."""
    scheme, _, given = header.partition(" ")
    raw = given.strip().encode("utf-8", "surrogateescape")
    found = [hmac.compare_digest(raw, one.encode()) for one in known]
    return scheme == "Bearer" and any(found)
