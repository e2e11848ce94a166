"""The parts of plain sentences about tool calls: names of agents and vendors, verbs, and what a call is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.money import as_written

VENDORS = {
    "hubspot": "HubSpot",
    "twilio": "Twilio",
    "airtable": "Airtable",
    "stripe": "Stripe",
    "quickbooks": "QuickBooks",
    "elevenlabs": "ElevenLabs",
    "make": "Make",
    "n8n": "n8n",
    "northwind": "Northwind",
}
AGENTS = {"people-ops": "People Ops", "chief-of-staff": "Chief of Staff", "gateway": "The gateway"}
# base and past of the verbs that names of tools begin with
_VERBS = {
    "get": ("read", "read"),
    "list": ("list", "listed"),
    "search": ("search for", "searched for"),
    "find": ("look for", "looked for"),
    "lookup": ("look up", "looked up"),
    "query": ("ask for", "asked for"),
    "create": ("create", "created"),
    "add": ("add", "added"),
    "update": ("update", "updated"),
    "set": ("set", "set"),
    "write": ("write", "wrote"),
    "upsert": ("write", "wrote"),
    "send": ("send", "sent"),
    "delete": ("delete", "deleted"),
    "cancel": ("cancel", "cancelled"),
    "retry": ("run again", "ran again"),
    "rerun": ("run again", "ran again"),
    "run": ("run", "ran"),
    "merge": ("merge", "merged"),
    "replace": ("replace", "replaced"),
    "start": ("start", "started"),
    "stop": ("stop", "stopped"),
    "pay": ("pay", "paid"),
    "void": ("void", "voided"),
    "close": ("close", "closed"),
    "capture": ("capture", "captured"),
    "activate": ("activate", "activated"),
    "deactivate": ("switch off", "switched off"),
    "refresh": ("renew", "renewed"),
    "enable": ("switch on", "switched on"),
    "disable": ("switch off", "switched off"),
    "end": ("end", "ended"),
    "place": ("make", "made"),
    "finalize": ("finalize", "finalized"),
    "import": ("import", "imported"),
    "call": ("call", "called"),
}
# Ours, whose names say less than they do.
_OURS = {
    "memory_recall": ("recall what is known", "recalled what is known"),
    "memory_remember": ("remember something", "remembered something"),
    "memory_link": ("note who may be the same person", "noted who may be the same person"),
    "memory_forget": ("forget something", "forgot something"),
    "knowledge_search": ("search the business's documents", "searched the business's documents"),
    "notes_find": ("look through the notes", "looked through the notes"),
    "notes_add": ("add a note", "added a note"),
    "records_query": ("ask the records", "asked the records"),
    "records_list": ("list records", "listed records"),
    "records_read": ("read a record", "read a record"),
    "records_write": ("write a record", "wrote a record"),
    "records_claim": ("claim a record", "claimed a record"),
    "payload_read": ("read a large result", "read a large result"),
    "api_draft": ("draft tools from a document", "drafted tools from a document"),
    "person_ask": ("ask a person", "asked a person"),
    "person_tell": ("tell a person", "told a person"),
    "task_delegate": ("give a colleague a task", "gave a colleague a task"),
    "timer_set": ("set a timer", "set a timer"),
    "timer_list": ("look at the timers", "looked at the timers"),
    "timer_cancel": ("cancel a timer", "cancelled a timer"),
    "wait_until": ("wait a while", "waited a while"),
    "email_send": ("send a mail", "sent a mail"),
    "twilio_send_message": ("send a text message through Twilio", "sent a text message through Twilio"),
    "elevenlabs_call": ("make a phone call through ElevenLabs", "made a phone call through ElevenLabs"),
    "twilio_lookup_number": ("check a number with Twilio", "checked a number with Twilio"),
    "hubspot_get_contact_by_email": ("look up a contact in HubSpot", "looked up a contact in HubSpot"),
    "airtable_whoami": ("ask Airtable who we are there", "asked Airtable who we are there"),
    "hubspot_associate": ("link two records in HubSpot", "linked two records in HubSpot"),
    "hubspot_search_contacts": ("look for a contact in HubSpot", "looked for a contact in HubSpot"),
    "quickbooks_query": ("look into the books in QuickBooks", "looked into the books in QuickBooks"),
    "quickbooks_aged_receivables": ("read who owes how long in QuickBooks", "read who owes how long in QuickBooks"),
    "quickbooks_balance_sheet": ("read the balance sheet in QuickBooks", "read the balance sheet in QuickBooks"),
    "quickbooks_profit_and_loss": ("read profit and loss in QuickBooks", "read profit and loss in QuickBooks"),
    "quickbooks_query_customers": ("look for a customer in QuickBooks", "looked for a customer in QuickBooks"),
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|\d+")
_FIRST = ("a", "an")
_TITLES = ("subject", "name", "title", "DisplayName", "dealname", "hs_task_subject", "question", "words", "fullName")
_PLACES = (
    "email",
    "to",
    "To",
    "PhoneNumber",
    "phone",
    "entity",
    "agent",
    "customer",
    "charge",
    "invoice",
    "dispute",
    "id",
)


@dataclass(frozen=True, slots=True)
class Deed:
    base: str
    past: str


def agent_name(agent: str) -> str:
    return AGENTS.get(agent) or agent.replace("-", " ").capitalize()


def vendor_name(vendor: str | None) -> str:
    return VENDORS.get(vendor or "") or (vendor or "").replace("_", " ").capitalize()


def vendor_of(tool: str) -> str | None:
    """The vendor that a tool's name begins with, where it is one of those that come with us."""
    first = tool.partition("_")[0]
    return first if first in VENDORS else None


def doing(tool: str, vendor: str | None) -> Deed:
    """What a call of this tool does, by its name."""
    if tool in _OURS:
        return Deed(*_OURS[tool])
    vendor = vendor or vendor_of(tool)
    rest = tool.removeprefix(f"{vendor}_") if vendor else tool
    parts = [word.lower() for word in _WORD.findall(rest)]
    where = f" in {vendor_name(vendor)}" if vendor else ""
    if not parts or parts[0] not in _VERBS:
        named = " ".join(parts) or tool
        return Deed(f"use {named}{where}", f"used {named}{where}")
    (base, past), things = _VERBS[parts[0]], " ".join(parts[1:]) or "something"
    counted = things if things.endswith("s") and not things.endswith("ss") else _with_article(things)
    return Deed(f"{base} {counted}{where}", f"{past} {counted}{where}")


def _with_article(things: str) -> str:
    if things == "something":
        return things
    return f"{_FIRST[things[0] in 'aeiou']} {things}"


def about(tool: str, arguments: Any) -> str:
    """What a call is about: a name, an address, an amount, as its arguments have it."""
    if not isinstance(arguments, Mapping):
        return ""
    flat = dict(arguments)
    if isinstance(flat.get("properties"), Mapping):
        flat |= flat["properties"]
    if tool == "twilio_send_message":
        return f"to {flat.get('To')}: “{cut(flat.get('Body'), 120)}”"
    if tool == "email_send":
        to = flat.get("to")
        return f"to {', '.join(map(str, to)) if isinstance(to, list) else to}: “{cut(flat.get('subject'), 120)}”"
    person = " ".join(str(flat[key]) for key in ("firstname", "lastname") if flat.get(key))
    found = [person] if person else [cut(flat[key], 120) for key in _TITLES if isinstance(flat.get(key), str)][:1]
    found = found or [cut(flat[key], 80) for key in _PLACES if isinstance(flat.get(key), str | int)][:1]
    found += [money(flat)] if money(flat) else []
    return ", ".join(found)


def money(arguments: Mapping[str, Any]) -> str:
    """An amount, where the arguments say its currency, too: without one nobody knows what a number is of."""
    value, currency = arguments.get("amount"), arguments.get("currency")
    if not isinstance(value, int) or isinstance(value, bool) or not isinstance(currency, str) or len(currency) != 3:
        return ""
    return as_written(value, currency)


def cut(value: Any, width: int) -> str:
    """On one line, no longer than this."""
    text = " ".join(str(value if value is not None else "").split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"
