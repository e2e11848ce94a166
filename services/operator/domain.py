"""Operator's rules: the blueprint of a client's base, and what of it is still to be built. Pure: no I/O, no framework."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from shared.bus.events import ClientSigned
from shared.money import major

CHOICES = {"Todo": "gray", "Doing": "yellow", "Done": "green"}
ISO_DATE = {"dateFormat": {"name": "iso"}}
BATCH = 10  # Airtable takes at most ten records a request


def _select(*names: str) -> dict[str, Any]:
    return {"type": "singleSelect", "options": {"choices": [{"name": name} for name in names]}}


def _date() -> dict[str, Any]:
    return {"type": "date", "options": ISO_DATE}


def _money() -> dict[str, Any]:
    return {"type": "currency", "options": {"precision": 2, "symbol": "$"}}


def _number() -> dict[str, Any]:
    return {"type": "number", "options": {"precision": 0}}


TEXT = {"type": "multilineText"}
LINE = {"type": "singleLineText"}

# Table → its fields beyond the primary field "Name". The first table comes with the base.
FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "Clients": {
        "Status": _select("Active", "Paused", "Left"),
        "Email": {"type": "email"},
        "Phone": {"type": "phoneNumber"},
        "Since": _date(),
        "Notes": TEXT,
    },
    "Contacts": {"Email": {"type": "email"}, "Phone": {"type": "phoneNumber"}, "Role": LINE, "Notes": TEXT},
    "Projects": {"Status": _select(*CHOICES), "Budget": _money(), "Start": _date(), "Due": _date(), "Notes": TEXT},
    "Tasks": {
        "Status": _select(*CHOICES),
        "Priority": _select("Low", "Medium", "High"),
        "Due": _date(),
        "Hours": _number(),
        "Notes": TEXT,
    },
    "Invoices": {"Amount": _money(), "Status": _select("Draft", "Sent", "Paid"), "Issued": _date(), "Due": _date()},
    "Meetings": {"When": _date(), "Notes": TEXT},
    "Documents": {"Link": {"type": "url"}, "Kind": LINE},
}

# (table, link field, linked table)
LINKS = (
    ("Contacts", "Client", "Clients"),
    ("Projects", "Client", "Clients"),
    ("Tasks", "Project", "Projects"),
    ("Invoices", "Project", "Projects"),
    ("Meetings", "Client", "Clients"),
    ("Documents", "Project", "Projects"),
)


# What goes into the base at once, and what needs the ids of it: records that link to others come after them.
STAGES = (("Clients",), ("Contacts", "Projects"), ("Tasks", "Invoices", "Meetings"))


class Base(BaseModel):
    """The base that stands for a client: kept, so that a client who signs again gets what is missing and no second base."""

    id: str


@dataclass
class Built:
    """What stands: table → id, fields as (table, name), and records as (table, name) → id."""

    base: str | None = None
    tables: dict[str, str] = field(default_factory=dict)
    fields: set[tuple[str, str]] = field(default_factory=set)
    records: dict[tuple[str, str], str] = field(default_factory=dict)

    def see_schema(self, base: str, tables: Iterable[dict[str, Any]]) -> None:
        """A base's tables, as Airtable shows them."""
        self.base = base
        for table in tables:
            self.tables[table["name"]] = table["id"]
            self.fields |= {(table["name"], one["name"]) for one in table.get("fields", [])}

    def see_table(self, table: dict[str, Any]) -> None:
        self.tables[table["name"]] = table["id"]

    def see_records(self, table_id: str, written: Iterable[dict[str, Any]]) -> None:
        names = {table: name for name, table in self.tables.items()}
        for record in written:
            self.records[names.get(table_id, ""), record["fields"]["Name"]] = record["id"]


def client_in(data: Any) -> ClientSigned | None:
    """A client with all that their base needs; None where something lacks."""
    try:
        return ClientSigned.model_validate(data)
    except ValidationError:
        return None


def title(client: ClientSigned) -> str:
    return f"{client.name} back office"


def first_table() -> dict[str, Any]:
    return {"name": next(iter(FIELDS)), "fields": [{"name": "Name", "type": "singleLineText"}]}


def missing_tables(built: Built) -> list[dict[str, Any]]:
    return [
        {"name": name, "fields": [{"name": "Name", "type": "singleLineText"}]}
        for name in FIELDS
        if name not in built.tables
    ]


def missing_fields(built: Built) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table id, field) of what the tables that stand lack."""
    for table, fields in FIELDS.items():
        for name, kind in fields.items():
            if table in built.tables and (table, name) not in built.fields:
                yield built.tables[table], {"name": name, **kind}


def missing_links(built: Built) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table id, field) of the links between tables that are not there."""
    for table, name, linked in LINKS:
        if table in built.tables and linked in built.tables and (table, name) not in built.fields:
            options = {"linkedTableId": built.tables[linked]}
            yield built.tables[table], {"name": name, "type": "multipleRecordLinks", "options": options}


def missing(built: Built) -> list[str]:
    """What of the blueprint does not stand, in words."""
    lost = [f"table {name}" for name in FIELDS if name not in built.tables]
    lost += [
        f"field {name} of {table}"
        for table, fields in FIELDS.items()
        for name in fields
        if table in built.tables and (table, name) not in built.fields
    ]
    return lost + [f"link {t}.{n}" for t, n, _ in LINKS if t in built.tables and (t, n) not in built.fields]


def rows(client: ClientSigned, table: str, built: Built) -> list[dict[str, Any]]:
    """The rows of a table for this client, linked to what stands."""

    def link(linked: str, name: str) -> dict[str, Any]:
        record = built.records.get((linked, name))
        return {linked.removesuffix("s"): [record]} if record else {}

    match table:
        case "Clients":
            return [{"Name": client.name, "Status": "Active", "Email": client.contacts[0].email}]
        case "Contacts":
            return [
                {"Name": c.name, "Email": c.email} | link("Clients", client.name) | ({"Role": c.role} if c.role else {})
                for c in client.contacts
            ]
        case "Projects":
            return [
                {"Name": p.name, "Status": "Todo", "Budget": float(major(p.amount_cents))}
                | link("Clients", client.name)
                | ({"Start": p.starts_on} if p.starts_on else {})
                for p in client.packages
            ]
        case "Tasks":
            return [
                {"Name": f"Kick off {p.name}", "Status": "Todo", "Priority": "High"} | link("Projects", p.name)
                for p in client.packages
            ]
        case "Invoices":
            return [
                {"Name": f"Deposit {p.name}", "Amount": float(major(Decimal(p.amount_cents) / 2)), "Status": "Draft"}
                | link("Projects", p.name)
                for p in client.packages
            ]
        case "Meetings":
            return [{"Name": f"Welcome {client.name}"} | link("Clients", client.name)]
    return []


def batches(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows as they go into one request each."""
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def change_in_words(change: dict[str, Any]) -> str:
    """What people changed in a base, in a sentence: the payload of an Airtable webhook."""
    tables = change["payload"].get("changedTablesById") or {}
    kinds = {"created": "createdRecordsById", "changed": "changedRecordsById", "deleted": "destroyedRecordIds"}
    counts = {word: sum(len(table.get(key) or ()) for table in tables.values()) for word, key in kinds.items()}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no record changed"
    return f"Records of base {change['base']['id']}: {said}, in {len(tables)} table{'s' * (len(tables) != 1)}."
