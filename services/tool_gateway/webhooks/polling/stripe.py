"""Stripe keeps its events for 30 days, as the very objects that it delivers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.tool_gateway.webhooks.polling.step import Desk, Listing, NotNow, items
from shared.bus.events import REGISTRY

TOOL = "stripe_list_events"
PAGE = 100
TYPES = sorted(name.removeprefix("com.stripe.") for name in REGISTRY if name.startswith("com.stripe."))


async def events(desk: Desk, since: datetime, until: datetime, pages: int) -> list[Any] | None:
    """Newest first, by seconds."""
    found: list[Any] = []
    created = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
    after: dict[str, str] = {}
    for _ in range(pages):
        answer = await desk.ask(TOOL, {"types": TYPES, "created": created, "limit": PAGE} | after)
        found += items(answer, "data")
        if not answer.get("has_more") or not found:
            return found[::-1]
        after = {"starting_after": _last_id(found)}
    return None


def _last_id(found: list[Any]) -> str:
    """Of the last one that has an id: the next page may begin with what has none once more."""
    for event in reversed(found):
        if isinstance(event, dict) and isinstance(event.get("id"), str) and event["id"]:
            return str(event["id"])
    raise NotNow("poll.unreadable", "no event has an id.")


LISTS = {"events": Listing(events, days=30)}
