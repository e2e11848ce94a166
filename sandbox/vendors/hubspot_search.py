"""HubSpot's search: filter groups (any) of filters (all), a free query, one sort, pages by offset."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sandbox.vendors.hubspot_schema import CALCULATED, PLURAL, PROPERTIES, SEARCHED

Item = dict[str, Any]
Linked = Callable[[str, str], bool]
"""(other kind, its id) → whether the object at hand is associated with it."""
MOST, FARTHEST = 200, 10_000


def value_of(item: Item, name: str) -> str | None:
    """A property, also one that HubSpot fills in itself."""
    match name:
        case "hs_object_id":
            return str(item["id"])
        case "createdate" | "hs_createdate":
            return str(item["createdAt"])
        case "lastmodifieddate" | "hs_lastmodifieddate":
            return str(item["updatedAt"])
        case _:
            value = item["properties"].get(name)
            return None if value in (None, "") else str(value)


def check(kind: str, given: dict[str, Any]) -> None:
    """Raise ValueError when a search asks for more, or other, than HubSpot answers."""
    groups = given.get("filterGroups") or []
    sizes = [len(group.get("filters") or []) for group in groups]
    if len(groups) > 5 or sum(sizes) > 18 or any(size > 6 for size in sizes):
        raise ValueError("at most 5 filterGroups, 6 filters in each and 18 in all")
    for name in [f["propertyName"] for g in groups for f in g["filters"]] + [
        _sort(s)[0] for s in given.get("sorts") or []
    ]:
        known = name in PROPERTIES[kind] | CALCULATED or name.removeprefix("associations.") in PLURAL
        if not known:
            raise ValueError(f"there is no property {name} of {kind}")
    if not 1 <= int(given.get("limit") or 10) <= MOST:
        raise ValueError(f"limit must be between 1 and {MOST}")
    if int(given.get("after") or 0) + int(given.get("limit") or 10) > FARTHEST:
        raise ValueError(f"a search ends at {FARTHEST} results")


def found(kind: str, items: list[Item], given: dict[str, Any], linked: Callable[[Item], Linked]) -> list[Item]:
    """What a search finds, in order: by its sort, else by id."""
    groups = [group["filters"] for group in given.get("filterGroups") or []]
    rows = [item for item in items if not groups or any(all(_holds(item, f, linked(item)) for f in g) for g in groups)]
    for word in str(given.get("query") or "").lower().split():
        rows = [item for item in rows if any(word in (value_of(item, n) or "").lower() for n in SEARCHED[kind])]
    rows.sort(key=lambda item: int(item["id"]))
    for name, descending in [_sort(sort) for sort in given.get("sorts") or []][:1]:
        rows.sort(key=lambda item: _order(value_of(item, name)), reverse=descending)
    return rows


def _holds(item: Item, wanted: dict[str, Any], linked: Linked) -> bool:
    name, operator, value = wanted["propertyName"], wanted["operator"], wanted.get("value")
    if name.startswith("associations."):
        if operator not in ("EQ", "IN"):
            raise ValueError(f"operator {operator} on {name}")
        others = [str(value)] if operator == "EQ" else [str(other) for other in wanted["values"]]
        return any(linked(PLURAL[name.removeprefix("associations.")], other) for other in others)
    has = value_of(item, name)
    match operator:
        case "HAS_PROPERTY":
            return has is not None
        case "NOT_HAS_PROPERTY":
            return has is None
        case "EQ":
            return has is not None and _same(has, value)
        case "NEQ":
            return has is None or not _same(has, value)
        case "IN":
            return has is not None and any(_same(has, other) for other in wanted["values"])
        case "NOT_IN":
            return has is not None and not any(_same(has, other) for other in wanted["values"])
        case "CONTAINS_TOKEN":
            return has is not None and _contains(has, str(value))
        case "NOT_CONTAINS_TOKEN":
            return has is None or not _contains(has, str(value))
        case "LT" | "LTE" | "GT" | "GTE":
            left, right = _order(has), _order(str(value))
            compared = {"LT": left < right, "LTE": left <= right, "GT": left > right, "GTE": left >= right}
            return has is not None and compared[operator]
        case "BETWEEN":
            return has is not None and _order(str(value)) <= _order(has) <= _order(str(wanted["highValue"]))
        case _:
            raise ValueError(f"operator {operator}")


def _same(has: str, wanted: Any) -> bool:
    return has.lower() == str(wanted).lower() or (_order(has)[0] == 1 and _order(has) == _order(str(wanted)))


def _contains(has: str, wanted: str) -> bool:
    """A word of the text, or the whole of it; * stands for anything."""
    pattern = ".*".join(re.escape(part) for part in wanted.split("*"))
    words = [has, *has.split(), *re.findall(r"\w+", has)]
    return any(re.fullmatch(pattern, word, re.IGNORECASE | re.DOTALL) for word in words)


def _order(value: str | None) -> tuple[int, float, str]:
    """Numbers and times by size, other text by letters, nothing before everything."""
    if value is None:
        return 0, 0.0, ""
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return 1, float(value), ""
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return 2, 0.0, value.lower()
    return 1, (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000, ""


def _sort(sort: Any) -> tuple[str, bool]:
    if isinstance(sort, str):
        return sort.removeprefix("-"), sort.startswith("-")
    return sort["propertyName"], sort.get("direction") == "DESCENDING"
