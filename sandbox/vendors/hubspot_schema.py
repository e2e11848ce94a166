"""What HubSpot's account defines: object types, properties and their options, association types, pipelines, owners."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from aiohttp import web

TYPES = {"0-1": "contacts", "0-2": "companies", "0-3": "deals", "0-5": "tickets", "0-46": "notes", "0-27": "tasks"}
TYPE_IDS = {name: number for number, name in TYPES.items()}
SINGULAR = {
    "contacts": "contact",
    "companies": "company",
    "deals": "deal",
    "tickets": "ticket",
    "notes": "note",
    "tasks": "task",
}
PLURAL = {one: many for many, one in SINGULAR.items()}
PROPERTIES = {
    "contacts": {
        "email",
        "firstname",
        "lastname",
        "phone",
        "mobilephone",
        "company",
        "lifecyclestage",
        "website",
        "hs_lead_status",
        "jobtitle",
        "address",
        "city",
        "state",
        "zip",
        "country",
        "hubspot_owner_id",
    },
    "companies": {
        "name",
        "domain",
        "phone",
        "website",
        "address",
        "city",
        "state",
        "zip",
        "country",
        "industry",
        "type",
        "description",
        "numberofemployees",
        "annualrevenue",
        "lifecyclestage",
        "hubspot_owner_id",
    },
    "deals": {
        "dealname",
        "pipeline",
        "dealstage",
        "amount",
        "closedate",
        "description",
        "dealtype",
        "hs_priority",
        "hs_next_step",
        "hubspot_owner_id",
    },
    "tickets": {
        "subject",
        "content",
        "hs_pipeline",
        "hs_pipeline_stage",
        "hs_ticket_priority",
        "hs_ticket_category",
        "hubspot_owner_id",
    },
    "notes": {"hs_timestamp", "hs_note_body", "hubspot_owner_id"},
    "tasks": {
        "hs_timestamp",
        "hs_task_subject",
        "hs_task_body",
        "hs_task_status",
        "hs_task_priority",
        "hs_task_type",
        "hubspot_owner_id",
    },
}
REQUIRED = {
    "notes": ("hs_timestamp",),
    "tasks": ("hs_timestamp",),
    "deals": ("dealname", "dealstage"),
    "tickets": ("subject", "hs_pipeline_stage"),
}
UNIQUE = {"contacts": "email"}
"""Besides the id, the only properties by which one object can be named."""
CALCULATED = {
    "hs_object_id",
    "createdate",
    "hs_createdate",
    "lastmodifieddate",
    "hs_lastmodifieddate",
    "hs_merged_object_ids",
    "hs_additional_emails",
}
DEFAULT_SHOWN = {
    "contacts": ("email", "firstname", "lastname", "createdate", "lastmodifieddate"),
    "companies": ("name", "domain", "createdate", "hs_lastmodifieddate"),
    "deals": ("dealname", "dealstage", "pipeline", "amount", "closedate", "createdate", "hs_lastmodifieddate"),
    "tickets": (
        "subject",
        "content",
        "hs_pipeline",
        "hs_pipeline_stage",
        "hs_ticket_priority",
        "createdate",
        "hs_lastmodifieddate",
    ),
    "notes": ("hs_createdate", "hs_lastmodifieddate"),
    "tasks": ("hs_createdate", "hs_lastmodifieddate"),
}
SEARCHED = {
    "contacts": ("firstname", "lastname", "email", "phone", "company"),
    "companies": ("name", "domain", "phone", "website"),
    "deals": ("dealname", "description"),
    "tickets": ("subject", "content"),
    "notes": ("hs_note_body",),
    "tasks": ("hs_task_subject", "hs_task_body"),
}
PIPELINES = {
    "deals": (
        "default",
        "Sales Pipeline",
        (
            ("appointmentscheduled", "Appointment Scheduled"),
            ("qualifiedtobuy", "Qualified To Buy"),
            ("presentationscheduled", "Presentation Scheduled"),
            ("decisionmakerboughtin", "Decision Maker Bought-In"),
            ("contractsent", "Contract Sent"),
            ("closedwon", "Closed Won"),
            ("closedlost", "Closed Lost"),
        ),
    ),
    "tickets": (
        "0",
        "Support Pipeline",
        (("1", "New"), ("2", "Waiting on contact"), ("3", "Waiting on us"), ("4", "Closed")),
    ),
}
DEFAULTS = {"deals": {"pipeline": "default"}, "tickets": {"hs_pipeline": "0"}}
OWNERS = (("1", "owner@example.com", "Olga", "Owner"), ("2", "sales@example.com", "Sam", "Seller"))
LEVELS = ("LOW", "MEDIUM", "HIGH")
STAGES = {name: tuple(stage for stage, _ in stages) for name, (_, _, stages) in PIPELINES.items()}
OPTIONS = {
    "dealstage": STAGES["deals"],
    "pipeline": ("default",),
    "hs_pipeline_stage": STAGES["tickets"],
    "hs_pipeline": ("0",),
    "hs_priority": ("low", "medium", "high"),
    "dealtype": ("newbusiness", "existingbusiness"),
    "hs_ticket_priority": (*LEVELS, "URGENT"),
    "hs_task_priority": ("NONE", *LEVELS),
    "hs_task_status": ("NOT_STARTED", "IN_PROGRESS", "WAITING", "COMPLETED", "DEFERRED"),
    "hs_task_type": ("TODO", "EMAIL", "CALL"),
    "hubspot_owner_id": tuple(owner for owner, *_ in OWNERS),
    "lifecyclestage": (
        "subscriber",
        "lead",
        "marketingqualifiedlead",
        "salesqualifiedlead",
        "opportunity",
        "customer",
        "evangelist",
        "other",
    ),
    "hs_lead_status": (
        "NEW",
        "OPEN",
        "IN_PROGRESS",
        "OPEN_DEAL",
        "UNQUALIFIED",
        "ATTEMPTED_TO_CONTACT",
        "CONNECTED",
        "BAD_TIMING",
    ),
}
NUMBERS = {"amount", "numberofemployees", "annualrevenue"}
TIMES = {"hs_timestamp", "closedate"}
# both directions of every pair: the unlabelled type, and the "Primary" one where there is
PAIRS = (
    ("contacts", "companies", 279, 280),
    ("deals", "contacts", 3, 4),
    ("deals", "companies", 341, 342),
    ("contacts", "tickets", 15, 16),
    ("tickets", "companies", 339, 340),
    ("deals", "tickets", 27, 28),
    ("contacts", "notes", 201, 202),
    ("companies", "notes", 189, 190),
    ("deals", "notes", 213, 214),
    ("tickets", "notes", 227, 228),
    ("contacts", "tasks", 203, 204),
    ("companies", "tasks", 191, 192),
    ("deals", "tasks", 215, 216),
    ("tickets", "tasks", 229, 230),
)
ASSOCIATION = {(a, b): there for a, b, there, _ in PAIRS} | {(b, a): back for a, b, _, back in PAIRS}
PRIMARY = {
    ("contacts", "companies"): 1,
    ("companies", "contacts"): 2,
    ("deals", "companies"): 5,
    ("companies", "deals"): 6,
    ("companies", "tickets"): 25,
    ("tickets", "companies"): 26,
}
EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
THEN = "2026-01-02T03:04:05.678Z"


class Invalid(Exception):
    """A value a property cannot have: the property, what is said about it, HubSpot's word for it."""

    def __init__(self, name: str, message: str, code: str) -> None:
        super().__init__(message)
        self.name, self.message, self.code = name, message, code


RICH_TEXT = {"hs_note_body", "hs_task_body"}
_ACTIVE = re.compile(r"<(script|style|iframe|object)\b.*?</\1\s*>", re.I | re.S)
_HANDLER = re.compile(r"""\s+on\w+\s*=\s*("[^"]*"|'[^']*'|[^\s>]+)""", re.I)
_CLOSED = re.compile(r"\s*/>")
_BARE = re.compile(r"&(?!#?\w+;)")


def sanitized(text: str) -> str:
    """Rich text as HubSpot keeps it: nothing that acts, HTML instead of XHTML, ampersands as entities."""
    return _BARE.sub("&amp;", _CLOSED.sub(">", _HANDLER.sub("", _ACTIVE.sub("", text))))


def kind_of(name: str) -> str:
    """The object type by its name, its singular or its id."""
    kind = PLURAL.get(name, TYPES.get(name, name))
    if kind not in PROPERTIES:
        raise web.HTTPNotFound
    return kind


def check(kind: str, properties: dict[str, Any], *, new: bool) -> None:
    """Raise `Invalid` unless an object of this kind may have these."""
    for name, value in properties.items():
        if name in CALCULATED:
            raise Invalid(name, f'"{name}" is a read only property', "READ_ONLY_VALUE")
        if name not in PROPERTIES[kind]:
            raise Invalid(name, f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST")
        if value not in (None, ""):
            _check_value(name, str(value))
    for name in REQUIRED.get(kind, ()):
        if not properties.get(name) and (new or name in properties):
            raise Invalid(name, f'Property "{name}" is required', "REQUIRED_FIELD")
    if kind == "companies" and new and not (properties.get("name") or properties.get("domain")):
        raise Invalid("name", 'Property "name" is required', "REQUIRED_FIELD")


def _check_value(name: str, value: str) -> None:
    if name in OPTIONS and value not in OPTIONS[name]:
        raise Invalid(name, f"{value} was not one of the allowed options: {list(OPTIONS[name])}", "INVALID_OPTION")
    if name in NUMBERS and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise Invalid(name, f"{value} was not a valid number.", "INVALID_DOUBLE")
    if name in TIMES and not value.isdigit():
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise Invalid(name, f"{value} was not a valid long.", "INVALID_LONG") from None
    if name == "email" and not EMAIL.match(value):
        raise Invalid("email", f"Email address {value} is invalid", "INVALID_EMAIL")


def types_between(source: str, target: str) -> list[dict[str, Any]]:
    """The association types from one kind to another, the unlabelled first. Empty: these two are not associated."""
    found = [(ASSOCIATION.get((source, target)), None), (PRIMARY.get((source, target)), "Primary")]
    return [{"category": "HUBSPOT_DEFINED", "typeId": number, "label": label} for number, label in found if number]


def pipelines(kind: str) -> list[dict[str, Any]]:
    """The pipelines of deals or tickets; other kinds have none."""
    if kind not in PIPELINES:
        return []
    number, label, stages = PIPELINES[kind]
    times = {"createdAt": THEN, "updatedAt": THEN, "archived": False}
    closed = {"closedwon": "1.0", "closedlost": "0.0"}
    shown = []
    for order, (stage, title) in enumerate(stages):
        about = (
            {"isClosed": str(stage in closed).lower(), "probability": closed.get(stage, f"{(order + 1) / 10:.1f}")}
            if kind == "deals"
            else {"isClosed": str(stage == "4").lower(), "ticketState": "CLOSED" if stage == "4" else "OPEN"}
        )
        shown.append({"id": stage, "label": title, "displayOrder": order, "metadata": about, **times})
    return [{"id": number, "label": label, "displayOrder": 0, "stages": shown, **times}]


def owners() -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "type": "PERSON",
            "email": email,
            "firstName": first,
            "lastName": last,
            "userId": int(number),
            "createdAt": THEN,
            "updatedAt": THEN,
            "archived": False,
        }
        for number, email, first, last in OWNERS
    ]


def properties(kind: str) -> list[dict[str, Any]]:
    """Every property of a kind, with its type and options."""
    rows = []
    for name in sorted(PROPERTIES[kind] | {"hs_object_id"}):
        options = [
            {"label": option, "value": option, "displayOrder": order, "hidden": False}
            for order, option in enumerate(OPTIONS.get(name, ()))
        ]
        type_, field = (
            ("enumeration", "select")
            if options
            else ("number", "number")
            if name in NUMBERS
            else ("datetime", "date")
            if name in TIMES
            else ("string", "text")
        )
        rows.append(
            {
                "name": name,
                "label": name,
                "type": type_,
                "fieldType": field,
                "groupName": "info",
                "description": "",
                "options": options,
                "hasUniqueValue": UNIQUE.get(kind) == name,
            }
        )
    return rows
