"""Northwind Home Services' back office as tables: what it keeps, what it accepts, where, and what it starts with.

A rule says what a value must be: "str", "int", "num", "bool", "any" or choices "a|b"; a dict is an object (names end
in "!" when required, in "?" when null is welcome), a list an array of its only item, a tuple (name, {value: rules})
an object whose kind one of its fields names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Rule = Any


@dataclass(frozen=True)
class Resource:
    """One kind of thing. `filters` are (query name, how it is written, field); `first` is the status it starts in."""

    prefix: str
    rule: Rule = field(default_factory=dict)
    key: str = "id"
    filters: tuple[tuple[str, str, str], ...] = ()
    paging: str = "pages"
    first: str = ""


@dataclass(frozen=True)
class Endpoint:
    """One operation: `does` names the emulator's method; `moves` is (statuses it may be in, status it gets)."""

    method: str
    path: str
    does: str
    rule: Rule = None
    body: tuple[str, ...] = ()
    moves: tuple[frozenset[str], str] = (frozenset(), "")
    child: str = ""

    @property
    def family(self) -> str:
        return self.path.split("/")[1]


JSON = ("application/json",)
FORM = ("application/x-www-form-urlencoded",)
FILES = ("multipart/form-data",)
TEXT = ("text/plain",)

JOB = {
    "title!": "str",
    "customer!": {"name!": "str", "phone?": "str"},
    "priority": "low|normal|urgent",
    "territory": "str",
    "technician_id?": "str",
    "tags": ["str"],
    "budget?": "num",
    "custom": "any",
}
TECHNICIAN = {"name!": "str", "skills": ["str"], "territory": "str", "contact!": "any", "pin": "str", "hired_on": "str"}
SLOT = {"technician_id!": "str", "starts_at!": "str", "minutes!": "int", "postcode": "str"}
ITEM = {
    "sku!": "str",
    "name!": "str",
    "unit_price!": "num",
    "on_hand": "int",
    "class": "part|consumable|tool",
    "supplier?": {"name!": "str"},
}
ORDER = {"supplier!": "str", "lines!": [{"sku!": "str", "quantity!": "int", "unit_price": "num"}], "memo?": "str"}
WARRANTY = (
    "kind",
    {
        "labour": {"kind!": "str", "job_id!": "str", "months!": "int"},
        "parts": {"kind!": "str", "job_id!": "str", "skus!": ["str"], "serial?": "str"},
    },
)
CLAIM = ("kind", {"repair": {"kind!": "str", "fault!": "str"}, "refund": {"kind!": "str", "amount!": "num"}})
CATEGORY: dict[str, Rule] = {"name!": "str", "markup?": "num"}
CATEGORY["children"] = [CATEGORY]
VEHICLE = {"plate!": "str", "model": "str", "position": {"lat!": "num", "lng!": "num"}}
SHEET = {"technician_id!": "str", "week!": "str", "entries!": [{"job_id?": "str", "from!": "str", "hours!": "num"}]}
REPORT = {"details!": {"job_id!": "str", "passed!": "bool", "findings": ["str"]}, "files!": ["any"], "inspector": "str"}

RESOURCES = {
    "jobs": Resource(
        "JOB-", JOB, first="open", filters=(("status", "many", "status"), ("tags", "|", "tags"), ("filter", "deep", ""))
    ),
    "technicians": Resource(
        "TECH-", TECHNICIAN, first="active", filters=(("skills", " ", "skills"), ("territories", ",", "territory"))
    ),
    "slots": Resource(
        "SLOT-",
        SLOT,
        first="free",
        filters=(("from", "from", "starts_at"), ("to", "to", "starts_at"), ("near", "json", "")),
    ),
    "items": Resource("", ITEM, key="sku", filters=(("sku", ",", "sku"),)),
    "purchase-orders": Resource("PO-", ORDER, first="draft", paging="cursor", filters=(("status", ",", "status"),)),
    "warranties": Resource("WAR-", WARRANTY, first="active", filters=(("nw_region", "cookie", "region"),)),
    "price-book": Resource("CAT-", CATEGORY),
    "territories": Resource("", key="code"),
    "vehicles": Resource("VAN-", VEHICLE, paging="bare"),
    "time-sheets": Resource("TS-", SHEET, first="draft", filters=(("week", "many", "week"),)),
    "inspection-reports": Resource("REP-", REPORT, first="processing"),
}

ENDPOINTS = (
    Endpoint("GET", "/jobs", "list"),
    Endpoint("POST", "/jobs", "create", JOB, JSON),
    Endpoint("GET", "/jobs/by-ids/{ids}", "several", child=","),
    Endpoint("GET", "/jobs/{id}", "read"),
    Endpoint("PATCH", "/jobs/{id}", "change", JOB, ("application/merge-patch+json", *JSON)),
    Endpoint("DELETE", "/jobs/{id}", "remove", moves=(frozenset({"open"}), "")),
    Endpoint(
        "POST",
        "/jobs/{id}/complete",
        "act",
        {"signed_by!": "str", "hours": "num"},
        JSON,
        (frozenset({"open", "scheduled"}), "completed"),
    ),
    Endpoint("GET", "/jobs/{id}/notes", "children", child="notes"),
    Endpoint("POST", "/jobs/{id}/notes", "add", "str", TEXT, child="notes"),
    Endpoint("POST", "/jobs/{id}/photos", "add", {"file!": "any", "caption": "str"}, FILES, child="photos"),
    Endpoint("GET", "/technicians", "list"),
    Endpoint("POST", "/technicians", "create", TECHNICIAN, JSON),
    Endpoint("GET", "/technicians/{id}", "read"),
    Endpoint("PUT", "/technicians/{id}", "replace", TECHNICIAN, JSON),
    Endpoint("PUT", "/technicians/{id}/skills", "set_field", ["str"], JSON, child="skills"),
    Endpoint("GET", "/slots", "list"),
    Endpoint("POST", "/slots/bulk", "create_many", [SLOT], JSON),
    Endpoint(
        "POST",
        "/slots/{id}/hold",
        "act",
        {"job_id!": "str", "hold_minutes": "int"},
        JSON,
        (frozenset({"free"}), "held"),
    ),
    Endpoint("GET", "/items", "list"),
    Endpoint("POST", "/items", "create", ITEM, JSON),
    Endpoint("GET", "/items/{id}", "read"),
    Endpoint("PATCH", "/items/{id}", "change", ITEM, JSON),
    Endpoint(
        "POST",
        "/items/{id}/adjustments",
        "adjust",
        {"quantity!": "int", "reason!": "count|damage|return", "notify": "bool", "labels": ["str"]},
        FORM,
        child="adjustments",
    ),
    Endpoint("GET", "/purchase-orders", "list"),
    Endpoint("POST", "/purchase-orders", "create", ORDER, JSON),
    Endpoint("GET", "/purchase-orders/{id}", "read"),
    Endpoint("DELETE", "/purchase-orders/{id}", "remove", moves=(frozenset({"draft", "approved"}), "")),
    Endpoint("POST", "/purchase-orders/{id}/approve", "act", moves=(frozenset({"draft"}), "approved")),
    Endpoint(
        "POST",
        "/purchase-orders/{id}/receive",
        "act",
        {"orderId": "str", "received!": [{"sku!": "str", "quantity!": "int"}]},
        JSON,
        (frozenset({"approved"}), "received"),
    ),
    Endpoint("GET", "/warranties", "list"),
    Endpoint("POST", "/warranties", "create", WARRANTY, JSON),
    Endpoint("GET", "/warranties/{id}", "read"),
    Endpoint("POST", "/warranties/{id}/claims", "add", CLAIM, JSON, child="claims"),
    Endpoint("GET", "/price-book/categories", "tree"),
    Endpoint("POST", "/price-book/categories", "grow", CATEGORY, JSON),
    Endpoint("PUT", "/price-book/categories/{id}", "regrow", CATEGORY, JSON),
    Endpoint("GET", "/price-book/prices/{sku}", "price"),
    Endpoint("GET", "/territories/{ids}", "several", child="."),
    Endpoint("PUT", "/territories/{id}/postcodes", "set_field", "str", TEXT, child="postcodes"),
    Endpoint("GET", "/vehicles", "list"),
    Endpoint("GET", "/vehicles/near/{point}", "near"),
    Endpoint("PUT", "/vehicles/{id}", "replace", VEHICLE, JSON),
    Endpoint(
        "POST", "/vehicles/{id}/odometer", "add", {"kilometres!": "int", "read_on": "str"}, FORM, child="odometer"
    ),
    Endpoint("GET", "/time-sheets", "list"),
    Endpoint("POST", "/time-sheets", "create", SHEET, JSON),
    Endpoint("POST", "/time-sheets/{id}/submit", "act", moves=(frozenset({"draft"}), "submitted")),
    Endpoint("POST", "/inspection-reports", "create", REPORT, FILES),
    Endpoint("GET", "/inspection-reports/{id}", "read"),
)

AUTH = {"purchase-orders": "oauth", "vehicles": "basic", "time-sheets": "bearer"}
"""How a family wants to be asked; the others take the API key."""


def seed() -> dict[str, dict[str, dict[str, Any]]]:
    """The company as it is when the emulator starts."""
    return {name: {row[RESOURCES[name].key]: _born(row) for row in rows} for name, rows in _rows().items()}


def _born(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"version": 1, "created_at": "2026-01-05T08:00:00Z"}


def _rows() -> dict[str, list[dict[str, Any]]]:
    ana = {"name": "Ana Ruiz", "phone": "+13125550101"}
    point = {"lat": 41.88, "lng": -87.63}
    return {
        "jobs": [
            {
                "id": "JOB-1",
                "status": "open",
                "title": "Boiler leaks",
                "customer": ana,
                "priority": "urgent",
                "territory": "N",
                "technician_id": "TECH-1",
                "tags": ["boiler", "leak"],
                "budget": 400.0,
            },
            {
                "id": "JOB-2",
                "status": "scheduled",
                "title": "Fit thermostat",
                "customer": ana,
                "priority": "normal",
                "territory": "S",
                "technician_id": None,
                "tags": ["thermostat"],
                "budget": None,
            },
            {
                "id": "JOB-3",
                "status": "completed",
                "title": "Clear drain",
                "customer": ana,
                "priority": "low",
                "territory": "N",
                "technician_id": "TECH-2",
                "tags": [],
                "budget": 90.0,
            },
        ],
        "technicians": [
            {
                "id": "TECH-1",
                "status": "active",
                "name": "Sam Okafor",
                "skills": ["gas", "plumbing"],
                "territory": "N",
                "contact": "sam@northwind.example",
                "hired_on": "2021-03-01",
            },
            {
                "id": "TECH-2",
                "status": "active",
                "name": "Lea Brandt",
                "skills": ["plumbing"],
                "territory": "S",
                "contact": {"phone": "+13125550102"},
                "hired_on": "2023-09-15",
            },
        ],
        "slots": [
            {
                "id": "SLOT-1",
                "status": "free",
                "technician_id": "TECH-1",
                "starts_at": "2026-02-02T09:00:00Z",
                "minutes": 90,
                "postcode": "60601",
            },
            {
                "id": "SLOT-2",
                "status": "free",
                "technician_id": "TECH-2",
                "starts_at": "2026-02-03T13:00:00Z",
                "minutes": 60,
                "postcode": "60614",
            },
        ],
        "items": [
            {
                "sku": "VLV-15",
                "name": "Ball valve 15 mm",
                "unit_price": 12.5,
                "on_hand": 40,
                "class": "part",
                "supplier": {"name": "Pipe & Co"},
            },
            {
                "sku": "THM-2",
                "name": "Room thermostat",
                "unit_price": 89.0,
                "on_hand": 6,
                "class": "part",
                "supplier": None,
            },
        ],
        "purchase-orders": [
            {
                "id": f"PO-{number}",
                "status": status,
                "supplier": "Pipe & Co",
                "memo": None,
                "lines": [{"sku": "VLV-15", "quantity": 20, "unit_price": 9.0}],
            }
            for number, status in enumerate(("draft", "approved", "received"), 1)
        ],
        "warranties": [
            {"id": "WAR-1", "status": "active", "kind": "labour", "job_id": "JOB-3", "months": 12, "region": "midwest"},
            {
                "id": "WAR-2",
                "status": "active",
                "kind": "parts",
                "job_id": "JOB-3",
                "skus": ["VLV-15"],
                "serial": None,
                "region": "midwest",
            },
        ],
        "price-book": [
            {
                "id": "CAT-1",
                "name": "Plumbing",
                "markup": 0.3,
                "children": [{"id": "CAT-2", "name": "Valves", "markup": None, "children": []}],
            }
        ],
        "territories": [
            {"code": "N", "name": "North", "postcodes": ["60601", "60611"]},
            {"code": "S", "name": "South", "postcodes": ["60614"]},
        ],
        "vehicles": [
            {"id": "VAN-1", "plate": "NW 101", "model": "Transit", "position": point},
            {"id": "VAN-2", "plate": "NW 102", "model": "Sprinter", "position": point | {"lat": 41.95}},
        ],
        "time-sheets": [
            {
                "id": "TS-1",
                "status": "draft",
                "technician_id": "TECH-1",
                "week": "2026-W05",
                "entries": [{"job_id": "JOB-3", "from": "2026-01-26T09:00:00Z", "hours": 1.5}],
            }
        ],
        "inspection-reports": [
            {
                "id": "REP-1",
                "status": "ready",
                "details": {"job_id": "JOB-3", "passed": True, "findings": []},
                "files": [{"filename": "drain.jpg", "size": 3, "content_type": "image/jpeg"}],
                "inspector": "Lea Brandt",
            }
        ],
    }
