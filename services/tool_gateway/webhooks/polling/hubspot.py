"""HubSpot keeps no list of what it told of. Searching by the time of creation finds what was created and is still there;
changes, deletions, merges and associations cannot be found so. An item has neither `eventId` nor `subscriptionId`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from services.tool_gateway.answers.paths import at
from services.tool_gateway.webhooks.polling.step import Desk, Listing, NotNow, items
from services.tool_gateway.webhooks.reading import moment

ACCOUNT = "hubspot_get_account"
FARTHEST = 10_000  # a search ends there
INDEX_SECONDS, OVERLAP_SECONDS = 60.0, 900.0  # the index shows new objects after seconds, sometimes minutes
KINDS = {"contact": "contacts", "deal": "deals", "ticket": "tickets"}


async def created(kind: str, desk: Desk, since: datetime, until: datetime, pages: int) -> list[Any] | None:
    """Oldest first."""
    between = {"operator": "BETWEEN", "value": _milliseconds(since), "highValue": _milliseconds(until)}
    search = {
        "filterGroups": [{"filters": [{"propertyName": "createdate", **between}]}],
        "sorts": ["createdate"],
        "properties": ["createdate", "hs_object_source"],
        "limit": 100,
    }
    rows: list[Any] = []
    after: dict[str, str] = {}
    for _ in range(min(pages, FARTHEST // 100)):
        answer = await desk.ask(f"hubspot_search_{KINDS[kind]}", search | after)
        rows += items(answer, "results")
        following = at(answer, "paging.next.after")
        if following is None:
            return await _told(desk, kind, rows)
        after = {"after": str(following)}
    return None


async def _told(desk: Desk, kind: str, rows: list[Any]) -> list[Any]:
    if not rows:
        return []
    account = await desk.ask(ACCOUNT, {})
    portal = account.get("portalId") if isinstance(account, dict) else None
    if not isinstance(portal, int | str):
        raise NotNow("poll.unreadable", "the account does not say its portalId.")
    return [[_item(kind, row, portal)] for row in rows]


def _item(kind: str, row: Any, portal: int | str) -> Any:
    """What the webhook has of it. What is no object goes on as it is, to be set aside."""
    if not isinstance(row, dict):
        return row
    number, made = row.get("id"), moment(row.get("createdAt"))
    source = at(row, "properties.hs_object_source")
    return {
        "subscriptionType": f"{kind}.creation",
        "portalId": portal,
        "changeFlag": "CREATED",
        **({"objectId": int(number) if str(number).isdigit() else number} if number is not None else {}),
        **({"occurredAt": int(made.timestamp() * 1000)} if made else {}),
        **({"changeSource": source} if source else {}),
    }


def _milliseconds(when: datetime) -> str:
    return str(int(when.astimezone(UTC).timestamp() * 1000))


LISTS = {
    f"{kind}s": Listing(partial(created, kind), lag_seconds=INDEX_SECONDS, overlap_seconds=OVERLAP_SECONDS)
    for kind in KINDS
}
