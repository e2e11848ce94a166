"""Operator without a model: builds the blueprint stage by stage, reading ids from the answers so far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from services.operator.domain import batches, blueprint
from shared.models.offline import Seen, call, cannot, say
from shared.models.port import AssistantMessage, ChatRequest

Wanted = list[tuple[str, dict[str, Any]]]


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    if "blueprint" not in seen.facts():
        if kind:
            return say(f"[offline] {kind} noted: {json.dumps(data)[:200]}")
        return cannot("without a model Operator sets up a client's base when viox.client.signed is published.")
    plan, built = blueprint(data), Built(seen)
    for stage in (_base, _tables, _fields, _links, _clients, _people_and_projects, _work, _read_back):
        wanted = [step for step in stage(plan, built) if not built.tried(step)]
        if wanted:
            return call(request, *wanted)
    return say(_summary(plan, built))


class Built:
    """What stands so far, read from the results in the conversation."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._tried = [(tool, given) for tool, given, _, _ in self._all()]
        self.base: str | None = None
        self.tables: dict[str, str] = {}
        self.records: dict[tuple[str, str], str] = {}
        self.failures: list[str] = []
        for tool, given, result, failed in self._all():
            self._read(tool, given, result, failed)

    def tried(self, step: tuple[str, dict[str, Any]]) -> bool:
        return step in self._tried

    @property
    def count(self) -> int:
        return len(self._tried)

    def _all(self) -> Iterator[tuple[str, dict[str, Any], Any, bool]]:
        for tool in (
            "airtable_create_base",
            "airtable_create_table",
            "airtable_create_field",
            "airtable_upsert_records",
            "airtable_get_base_schema",
        ):
            for given, result, failed in self._seen.results(tool):
                yield tool, given, result, failed

    def _read(self, tool: str, given: dict[str, Any], result: Any, failed: bool) -> None:
        if failed:
            self.failures.append(str(result.get("message", result)))
        elif tool == "airtable_create_base":
            self.base = result["id"]
            self.tables |= {t["name"]: t["id"] for t in result["tables"]}
        elif tool == "airtable_create_table":
            self.tables[result["name"]] = result["id"]
        elif tool == "airtable_upsert_records":
            for record in result["records"]:
                self.records[given["tableId"], record["fields"]["Name"]] = record["id"]


def _base(plan: dict[str, Any], built: Built) -> Wanted:
    first = next(iter(plan["fields"]))
    table = {"name": first, "fields": [{"name": "Name", "type": "singleLineText"}]}
    return [("airtable_create_base", {"name": plan["base"], "workspaceId": plan["workspace"], "tables": [table]})]


def _tables(plan: dict[str, Any], built: Built) -> Wanted:
    if built.base is None:
        return []
    return [
        (
            "airtable_create_table",
            {"baseId": built.base, "name": name, "fields": [{"name": "Name", "type": "singleLineText"}]},
        )
        for name in list(plan["fields"])[1:]
    ]


def _fields(plan: dict[str, Any], built: Built) -> Wanted:
    return [
        ("airtable_create_field", {"baseId": built.base, "tableId": built.tables[table], "name": name, **kind})
        for table, fields in plan["fields"].items()
        if table in built.tables
        for name, kind in fields.items()
    ]


def _links(plan: dict[str, Any], built: Built) -> Wanted:
    return [
        (
            "airtable_create_field",
            {
                "baseId": built.base,
                "tableId": built.tables[table],
                "name": name,
                "type": "multipleRecordLinks",
                "options": {"linkedTableId": built.tables[linked]},
            },
        )
        for table, name, linked in plan["links"]
        if table in built.tables and linked in built.tables
    ]


def _clients(plan: dict[str, Any], built: Built) -> Wanted:
    return _upserts(plan, built, "Clients")


def _people_and_projects(plan: dict[str, Any], built: Built) -> Wanted:
    return _upserts(plan, built, "Contacts", "Projects")


def _work(plan: dict[str, Any], built: Built) -> Wanted:
    return _upserts(plan, built, "Tasks", "Invoices", "Meetings")


def _read_back(plan: dict[str, Any], built: Built) -> Wanted:
    return [("airtable_get_base_schema", {"baseId": built.base})] if built.base else []


def _upserts(plan: dict[str, Any], built: Built, *names: str) -> Wanted:
    wanted: Wanted = []
    for name in names:
        if table := built.tables.get(name):
            rows = [{"fields": _linked(row, built)} for row in plan["records"][name]]
            wanted += [
                (
                    "airtable_upsert_records",
                    {
                        "baseId": built.base,
                        "tableId": table,
                        "performUpsert": {"fieldsToMergeOn": ["Name"]},
                        "records": batch,
                    },
                )
                for batch in batches(rows)
            ]
    return wanted


def _linked(row: dict[str, Any], built: Built) -> dict[str, Any]:
    """Replace {"$link": [table, name]} by that record's id; leave the field out when it does not exist."""
    fields: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            table, name = value["$link"]
            record = built.records.get((built.tables.get(table, ""), name))
            if record:
                fields[key] = [record]
        else:
            fields[key] = value
    return fields


def _summary(plan: dict[str, Any], built: Built) -> str:
    trouble = f" {len(built.failures)} calls failed: {'; '.join(built.failures[:5])}." if built.failures else ""
    rows = len(built.records)
    return f"[offline] {plan['base']}: {len(built.tables)} tables, {rows} records, {built.count} calls.{trouble}"
