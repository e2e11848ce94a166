"""Addresses that a call names and whose owners asked not to be written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.tool_gateway.call.call import Contact
from shared.bus.consent import address_key
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
LONGEST_ADDRESS = 100


async def opted_out(connection: Any, arguments: list[Mapping[str, Any]]) -> frozenset[Contact]:
    """Of all that could be addresses in the arguments of some calls, those that must not be written to."""
    texts = {
        address_key(text)
        for given in arguments
        for text in given.values()
        if isinstance(text, str) and len(text) <= LONGEST_ADDRESS and any(c.isdigit() for c in text)
    }
    if not texts:
        return frozenset()
    rows = await connection.fetch(SQL["opted_out"], sorted(texts))
    return frozenset((row["channel"], row["address"]) for row in rows)
