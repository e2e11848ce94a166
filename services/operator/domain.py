"""Operator's rules: the blueprint of a client's base. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

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


def records(client: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Table → rows. A value {"$link": [table, name]} stands for the record of that name."""
    name, packages = client["name"], client["packages"]
    link = {"$link": ["Clients", name]}
    return {
        "Clients": [{"Name": name, "Status": "Active", "Email": client["contacts"][0]["email"]}],
        "Contacts": [
            {"Name": c["name"], "Email": c["email"], "Client": link} | ({"Role": c["role"]} if c.get("role") else {})
            for c in client["contacts"]
        ],
        "Projects": [
            {"Name": p["name"], "Status": "Todo", "Budget": float(major(p["amount_cents"])), "Client": link}
            | ({"Start": p["starts_on"]} if p.get("starts_on") else {})
            for p in packages
        ],
        "Tasks": [
            {
                "Name": f"Kick off {p['name']}",
                "Status": "Todo",
                "Priority": "High",
                "Project": {"$link": ["Projects", p["name"]]},
            }
            for p in packages
        ],
        "Invoices": [
            {
                "Name": f"Deposit {p['name']}",
                "Amount": float(major(Decimal(p["amount_cents"]) / 2)),
                "Status": "Draft",
                "Project": {"$link": ["Projects", p["name"]]},
            }
            for p in packages
        ],
        "Meetings": [{"Name": f"Welcome {name}", "Client": link}],
    }


def batches(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows as they go into one request each."""
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def blueprint(client: dict[str, Any]) -> dict[str, Any]:
    """The base to build for a signed client: 1 base, 6 more tables, 27 fields, 6 links, 6 batches of records, 1 read-back.

    Each ten contacts or packages more take a further batch of each table they are in.
    """
    return {
        "base": f"{client['name']} back office",
        "workspace": client["airtable_workspace_id"],
        "fields": FIELDS,
        "links": LINKS,
        "records": records(client),
    }


def pattern() -> dict[str, Any]:
    """The blueprint without anything a client wrote: <angle brackets> say where it goes. One row stands for all of its kind."""
    client = {
        "name": "<name>",
        "airtable_workspace_id": "<airtable_workspace_id>",
        "contacts": [{"name": "<contact's name>", "email": "<contact's email>", "role": "<contact's role, if any>"}],
        "packages": [{"name": "<package's name>", "amount_cents": 0, "starts_on": "<package's starts_on, if any>"}],
    }
    made = blueprint(client)
    made["records"]["Projects"][0]["Budget"] = "<package's amount_cents / 100>"
    made["records"]["Invoices"][0]["Amount"] = "<half of package's amount_cents / 100, to the cent>"
    return made


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Operator's rules put before the model, as one line of JSON."""
    if trigger["type"] == "viox.client.signed":
        return json.dumps({"blueprint": pattern()}, sort_keys=False)
    return None
