"""Airtable's lists: what a query asks for, filtering, sorting, pages; how a record is shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from multidict import MultiMapping

from sandbox.vendors import formula

SORT = re.compile(r"^sort\[(\d+)\]\[(field|direction)\]$")


class Refused(Exception):
    """A request Airtable would answer with 422 (or another status)."""

    def __init__(self, kind: str, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.kind, self.message, self.status = kind, message, status


def asked(query: MultiMapping[str]) -> dict[str, Any]:
    """The parameters of a GET in the shape of a listRecords body."""
    made: dict[str, Any] = dict(query)
    made["fields"] = query.getall("fields[]", [])
    made["returnFieldsByFieldId"] = query.get("returnFieldsByFieldId") in ("1", "true")
    rules: dict[int, dict[str, str]] = {}
    for name, value in query.items():
        if found := SORT.match(name):
            rules.setdefault(int(found[1]), {})[found[2]] = value
    return made | {"sort": [rule for _, rule in sorted(rules.items())]}


def page(table: dict[str, Any], query: dict[str, Any]) -> dict[str, Any]:
    """One page of a table's records. The offset is good as long as the record it points behind exists."""
    size = int(query.get("pageSize") or 100)
    if not 1 <= size <= 100:
        raise Refused("INVALID_REQUEST_UNKNOWN", "pageSize must be between 1 and 100")
    names = {f["name"]: f["name"] for f in table["fields"]} | {f["id"]: f["name"] for f in table["fields"]}
    rows = _sorted(_matching(table, query.get("filterByFormula")), query.get("sort") or [], names)
    if query.get("maxRecords"):
        rows = rows[: int(query["maxRecords"])]
    wanted = query.get("fields") or []
    if unknown := [name for name in wanted if name not in names]:
        raise Refused("UNKNOWN_FIELD_NAME", f'Unknown field name: "{unknown[0]}"')
    start = _offset(query.get("offset"))
    part = rows[start : start + size]
    kept = {names[name] for name in wanted} or set(names.values())
    records = [r | {"fields": {k: v for k, v in r["fields"].items() if k in kept}} for r in part]
    more = {"offset": f"itr{start + size}/{part[-1]['id']}"} if len(rows) > start + size else {}
    by_id = bool(query.get("returnFieldsByFieldId"))
    return {"records": [shown(table, record, by_id) for record in records]} | more


def shown(table: dict[str, Any], record: dict[str, Any], by_id: bool = False) -> dict[str, Any]:
    """A record with its fields under their names, or under their ids."""
    if not by_id:
        return record
    return record | {"fields": by_field_id(table, record["fields"])}


def by_field_id(table: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    ids = {f["name"]: f["id"] for f in table["fields"]}
    return {ids[name]: value for name, value in fields.items()}


def at_most_ten(items: list[Any]) -> None:
    if not 1 <= len(items) <= 10:
        raise Refused("INVALID_REQUEST_UNKNOWN", "between 1 and 10 records per request")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _matching(table: dict[str, Any], wanted: str | None) -> list[dict[str, Any]]:
    rows = list(table["records"].values())
    if not wanted:
        return rows
    try:
        return [r for r in rows if formula.matches(wanted, r["id"], r["fields"])]
    except ValueError as error:
        raise Refused("INVALID_FILTER_BY_FORMULA", f"The formula is invalid: {error}") from error


def _sorted(rows: list[dict[str, Any]], rules: list[dict[str, str]], names: dict[str, str]) -> list[dict[str, Any]]:
    for rule in reversed(rules):
        if rule.get("field") not in names:
            raise Refused("UNKNOWN_FIELD_NAME", f'Unknown field name: "{rule.get("field")}"')
        name = names[rule["field"]]
        rows.sort(key=lambda r: _order(r["fields"].get(name)), reverse=rule.get("direction") == "desc")
    return rows


def _order(value: Any) -> tuple[int, float, str]:
    """Blank before numbers before text, each in its own order."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value).casefold()


def _offset(given: str | None) -> int:
    if not given:
        return 0
    found = re.fullmatch(r"itr(\d+)/rec\w+", given)
    if not found:
        raise Refused("LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "the offset is stale")
    return int(found[1])
