"""What HubSpot makes of two objects that are merged."""

from __future__ import annotations

from typing import Any

from sandbox.vendors.hubspot_schema import OPTIONS

MOST = 250
"""Merges that one object can take part in."""
STAGES = OPTIONS["lifecyclestage"]
MERGED, ADDRESSES = "hs_merged_object_ids", "hs_additional_emails"

Item = dict[str, Any]


def merged_ids(item: Item) -> list[str]:
    return _listed(item["properties"].get(MERGED))


def too_many(primary: Item, other: Item) -> bool:
    return len(merged_ids(primary)) + len(merged_ids(other)) + 1 > MOST


def properties(kind: str, primary: Item, other: Item) -> dict[str, str | None]:
    """The primary one's, where it has any; of lifecycle stages the later one, and every address that either had."""
    first, second = primary["properties"], other["properties"]
    made: dict[str, str | None] = second | {name: value for name, value in first.items() if value not in (None, "")}
    made[MERGED] = ";".join([*merged_ids(primary), *merged_ids(other), other["id"]])
    stages = [one.get("lifecyclestage") for one in (first, second)]
    if known := [stage for stage in stages if stage in STAGES]:
        made["lifecyclestage"] = max(known, key=STAGES.index)
    if kind == "contacts":
        addresses = [*_listed(first.get(ADDRESSES)), second.get("email"), *_listed(second.get(ADDRESSES))]
        further = dict.fromkeys(one for one in addresses if one and one != made.get("email"))
        made[ADDRESSES] = ";".join(further) or None
    return made


def named_by(item: Item, by: str) -> set[str]:
    """The values of a unique property by which an object is found: a merged contact has several addresses."""
    values = {str(item["properties"].get(by)).lower()}
    return values | set(_listed(item["properties"].get(ADDRESSES))) if by == "email" else values


def _listed(value: str | None) -> list[str]:
    return [one for one in (value or "").split(";") if one]
