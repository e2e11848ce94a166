"""What HubSpot keeps of each property: every value with when and how it was set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HISTORY = "_history"
"""Under which an object keeps it: property → values, newest first."""
APP = "INTEGRATION"  # a program with a token: what everybody is who uses the API
PERSON = "CRM_UI"  # somebody who is signed in
MERGE = "MERGE_OBJECTS"
USER = 9001

Item = dict[str, Any]


def note(item: Item, values: Mapping[str, str | None], how: str, app: int, at: str) -> None:
    """Put down that these values were set."""
    who: dict[str, Any] = {"sourceType": how, "sourceId": str(app)}
    if how == PERSON:
        who |= {"sourceId": f"userId:{USER}", "updatedByUserId": USER}
    kept = item.setdefault(HISTORY, {})
    for name, value in values.items():
        kept[name] = [{"value": value or "", "timestamp": at} | who, *kept.get(name, [])]


def shown(item: Item, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    return {name: item.get(HISTORY, {}).get(name, []) for name in names}
