"""Stripe keeps its events for 30 days, as the very objects that it delivers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.tool_gateway.webhooks.polling.step import Desk, Listing, items
from shared.bus.events import REGISTRY

TOOL = "stripe_list_events"
TYPES = sorted(name.removeprefix("com.stripe.") for name in REGISTRY if name.startswith("com.stripe."))


async def events(desk: Desk, since: datetime, until: datetime, pages: int) -> list[Any] | None:
    """Newest first, by seconds."""
    found: list[Any] = []
    created = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
    after: dict[str, str] = {}
    for _ in range(pages):
        answer = await desk.ask(TOOL, {"types": TYPES, "created": created, "limit": 100} | after)
        found += items(answer, "data")
        if not answer.get("has_more") or not found:
            return found[::-1]
        after = {"starting_after": str(found[-1].get("id") if isinstance(found[-1], dict) else "")}
    return None


LISTS = {"events": Listing(events, days=30)}
