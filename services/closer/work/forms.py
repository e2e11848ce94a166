"""HubSpot's forms: what a contact, a deal, a note and a task are entered with, and what is searched for. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.closer import domain
from services.closer.domain import CLOSED, Lead, number, stamp
from shared.money import as_plain

CONTACT = ["email", "firstname", "lastname", "phone", "company"]
NAMES = {"email": "email", "phone": "phone", "company": "company", "first_name": "firstname", "last_name": "lastname"}
NOTE, TASK, DEAL = 202, 204, 3  # HubSpot's association type ids, to contacts


def _to(contact: str, kind: int) -> list[dict[str, Any]]:
    return [{"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}]}]


def contacts_with(phone: str) -> dict[str, Any]:
    """A search for the contacts of a number."""
    filters = [{"propertyName": "phone", "operator": "EQ", "value": phone}]
    return {"filterGroups": [{"filters": filters}], "properties": CONTACT, "limit": 2}


def deals_of(contact: str) -> dict[str, Any]:
    """A search for the deals of a contact."""
    filters = [{"propertyName": "associations.contact", "operator": "EQ", "value": contact}]
    return {"filterGroups": [{"filters": filters}], "properties": ["dealname", "dealstage", "amount"], "limit": 100}


def first(found: Any) -> dict[str, Any] | None:
    """The one that a search found. Two of a number are none: nobody knows who wrote."""
    rows = (found or {}).get("results") or []
    return rows[0] if len(rows) == 1 else None


def lead_in(contact: dict[str, Any] | None) -> Lead | None:
    """Who a contact is. None for one with neither a mail address nor a number."""
    about = {name: (contact or {}).get("properties", {}).get(own) for name, own in NAMES.items()}
    return Lead(**about) if about["email"] or number(about["phone"]) else None


def contact_properties(lead: Lead) -> dict[str, str]:
    named = {"firstname": lead.first_name, "lastname": lead.last_name, "phone": lead.phone, "company": lead.company}
    return {name: value.strip() for name, value in named.items() if value and value.strip()}


def deal_form(lead: Lead, subject: str, contact: str, currency: str) -> dict[str, Any]:
    name = " ".join(f"{lead.company or lead.name}: {subject}".split())[:250]
    made = {"dealname": name, "pipeline": "default", "dealstage": "appointmentscheduled"}
    if lead.amount_cents is not None:
        made["amount"] = as_plain(lead.amount_cents, currency)
    return {"properties": made, "associations": _to(contact, DEAL)}


def note_form(contact: str, text: str, at: datetime) -> dict[str, Any]:
    return {"properties": {"hs_timestamp": stamp(at), "hs_note_body": text}, "associations": _to(contact, NOTE)}


def task_form(contact: str, subject: str, at: datetime, amount: int | None) -> dict[str, Any]:
    made = {
        "hs_timestamp": stamp(at),
        "hs_task_subject": " ".join(subject.split())[:250],
        "hs_task_status": "NOT_STARTED",
        "hs_task_priority": domain.priority(amount, domain.TERMS),
    }
    return {"properties": made, "associations": _to(contact, TASK)}


def open_deals(found: Any) -> list[dict[str, Any]]:
    """Of a search's answer those that are neither won nor lost."""
    return [one for one in (found or {}).get("results", []) if one["properties"].get("dealstage") not in CLOSED]


def deals_between(start: datetime, end: datetime) -> dict[str, Any]:
    """A search for the deals that were created in a span of time."""
    between = {"value": _milliseconds(start), "highValue": _milliseconds(end)}
    filters = [{"propertyName": "createdate", "operator": "BETWEEN", **between}]
    return {"filterGroups": [{"filters": filters}], "properties": ["dealname", "dealstage", "amount"], "limit": 100}


def missing_in(contact: dict[str, Any], memory: list[dict[str, Any]]) -> dict[str, str]:
    """Properties that a contact lacks and memory has, by the names of facts."""
    known = {NAMES[one["name"]]: str(one["value"]) for one in memory if one.get("name") in NAMES and one.get("value")}
    return {name: value for name, value in known.items() if not contact["properties"].get(name)}


def _milliseconds(at: datetime) -> str:
    return str(int(at.timestamp() * 1000))
