"""Addresses that a call names and whose owners asked not to be written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.tool_gateway.call.call import Contact
from services.tool_gateway.wire import addresses
from shared.bus.consent import address_key
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
LONGEST_ADDRESS = 320


async def opted_out(connection: Any, arguments: list[Mapping[str, Any]]) -> frozenset[Contact]:
    """Of all that could be addresses in the arguments of some calls, those that must not be written to."""
    texts = {
        address_key(plain)
        for given in arguments
        for value in given.values()
        for text in (value if isinstance(value, list) else [value])
        if isinstance(text, str) and len(text) <= LONGEST_ADDRESS
        for plain in _addresses(text)
    }
    if not texts:
        return frozenset()
    rows = await connection.fetch(SQL["opted_out"], sorted(texts))
    return frozenset((row["channel"], row["address"]) for row in rows)


def _addresses(text: str) -> list[str]:
    """What could be a number or mail addresses in a text."""
    if "@" in text:
        return addresses.plain([text])
    return [text] if any(c.isdigit() for c in text) else []
