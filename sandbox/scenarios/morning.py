"""A morning of a small business: events in their upstreams' own formats, permuted by a seed, and what must come of them.

The checks read the vendors' state, not ours: what a lead's CRM and phone, and a client's base, really look like.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sandbox.scenarios import upstream

FIRST = ("Ana", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Keiko", "Liam")
LAST = (
    "Lopez",
    "Nakamura",
    "Okafor",
    "Petrov",
    "Quinn",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Usman",
    "Vega",
    "Weber",
    "Yilmaz",
)
WANTS = (
    "a kitchen renovation",
    "monthly bookkeeping",
    "a new website",
    "solar panels",
    "office cleaning",
    "a garden plan",
)
COMPANIES = ("Harbor Dental", "Northwind Yoga", "Cedar & Sons", "Blue Finch Cafe", "Atlas Movers", "Maple Clinic")
PACKAGES = ("Setup", "Automation", "Training", "Care plan", "Reporting", "Migration")
LEADS = 4
OPERATOR_CALLS = 47


@dataclass
class Morning:
    """Events to publish now, replies to publish once the leads have been written to, and the facts to check against."""

    leads: list[dict[str, Any]]
    answers: dict[str, str]
    client: dict[str, Any]
    stranger: str
    tag: str
    failed_execution: str = ""
    answer: str = ""  # of the owner, to what agents ask
    events: list[dict[str, Any]] = field(default_factory=list)

    def replies(self) -> list[dict[str, Any]]:
        """The leads' text messages, as Twilio's webhook parameters."""
        return [
            event("com.twilio.message.received", "twilio", _sms(phone, text, self.tag), subject=phone)
            for phone, text in self.answers.items()
        ]


def morning(seed: int, vendors: Mapping[str, str]) -> Morning:
    """Make the morning. Names, amounts and order come from the seed; a tag keeps one demo apart from the next.

    `vendors` are the emulators' addresses: what Stripe and n8n tell is what happened there.
    """
    dice = random.Random(seed)
    tag = uuid4().hex[:6]
    names = [(a, b) for a, b in zip(dice.sample(FIRST, LEADS + 2), dice.sample(LAST, LEADS + 2), strict=True)]
    leads = [_lead(dice, first, last, tag) for first, last in names[:LEADS]]
    answers = {leads[0]["phone"]: "Yes please, call me tomorrow.", leads[1]["phone"]: "STOP"}
    client = _client(dice, tag)
    found = Morning(leads, answers, client, _phone(tag, 99), tag)
    failure = upstream.failed_workflow(vendors["n8n"], tag)
    found.failed_execution = failure["execution"]["id"]
    found.events = [
        *(event("viox.lead.created", "website", lead, subject=lead["email"]) for lead in leads),
        event("viox.client.signed", "contracts", client, subject=client["client_id"]),
        *(event(f"com.stripe.{told['type']}", "stripe", told) for told in upstream.money(vendors["stripe"], dice, tag)),
        event("com.twilio.message.received", "twilio", _sms(found.stranger, "Hi, I have a problem with my order", tag)),
        event(
            "viox.ticket.created",
            "helpdesk",
            {
                "ticket_id": f"T-{tag}",
                "subject": "Cannot log in, urgent",
                "body": "I am locked out since this morning.",
                "customer_email": f"c.{tag}@example.com",
            },
        ),
        event(
            "viox.candidate.applied",
            "careers",
            {
                "candidate_id": f"C-{tag}",
                "name": " ".join(names[-1]),
                "email": f"job.{tag}@example.com",
                "position": "Technician",
                "resume_text": "7 years of field service.",
            },
        ),
        event("viox.briefing.due", "clock", {"day": datetime.now(UTC).date().isoformat()}),
        event("com.n8n.execution.failed", "n8n", failure),
        event("viox.automation.requested", "owner", {"request_id": f"A-{tag}", "title": "Post new reviews to chat"}),
    ]
    dice.shuffle(found.events)
    return found


def event(kind: str, source: str, data: dict[str, Any], subject: str | None = None) -> dict[str, Any]:
    """A CloudEvent in structured JSON form."""
    made = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": f"/upstream/{source}",
        "type": kind,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }
    return made | ({"subject": subject} if subject else {})


def _lead(dice: random.Random, first: str, last: str, tag: str) -> dict[str, Any]:
    number = dice.randrange(1000, 9999)
    return {
        "email": f"{first}.{last}.{tag}@example.com".lower(),
        "first_name": first,
        "last_name": last,
        "phone": _phone(tag, number),
        "company": dice.choice(COMPANIES),
        "interest": dice.choice(WANTS),
        "amount_cents": dice.randrange(20_000, 2_000_000, 2_500),
        "source": "website",
    }


def _client(dice: random.Random, tag: str) -> dict[str, Any]:
    people = zip(dice.sample(FIRST, 3), dice.sample(LAST, 3), strict=True)
    return {
        "client_id": f"client-{tag}",
        "name": f"{dice.choice(COMPANIES)} {tag}",
        "airtable_workspace_id": "wspSandbox0000001",
        "contacts": [{"name": f"{a} {b}", "email": f"{a}.{tag}@client.example".lower()} for a, b in people],
        "packages": [
            {"name": p, "amount_cents": dice.randrange(50_000, 900_000, 5_000)} for p in dice.sample(PACKAGES, 3)
        ],
        "signed_at": datetime.now(UTC).isoformat(),
    }


def _sms(sender: str, text: str, tag: str) -> dict[str, Any]:
    sid = "SM" + uuid4().hex
    return {
        "MessageSid": sid,
        "SmsSid": sid,
        "SmsMessageSid": sid,
        "AccountSid": "AC" + "5a" * 16,
        "From": sender,
        "To": "+15005550006",
        "Body": text,
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsStatus": "received",
        "ApiVersion": "2010-04-01",
        "FromCountry": "US",
    }


def _phone(tag: str, number: int) -> str:
    return f"+1415{int(tag, 16) % 1000:03d}{number:04d}"


# -- what must come of it ---------------------------------------------------------------------------------------------


def problems(found: Morning, state: Mapping[str, Any]) -> list[str]:
    """What the vendors' state (by vendor) lacks or has too much of. Empty when the morning went as it should."""
    trouble: list[str] = []
    for lead in found.leads:
        trouble += _lead_problems(lead, found.answers, state["hubspot"], state["twilio"])
    trouble += _base_problems(found.client, state["airtable"])
    sent = [m["body"] for m in state["twilio"]["messages"] if m["to"] == found.stranger]
    if len(sent) != 2 or found.answer not in sent[-1]:
        trouble.append(f"who wrote about an order was told {sent}, not that it came and what a person answered")
    for address in (f"c.{found.tag}@example.com", f"job.{found.tag}@example.com"):
        mails = [m for m in state["mail"]["messages"] if address in str(m["to"])]
        if len(mails) != 1:
            trouble.append(f"{len(mails)} mails to {address}")
    retries = [e for e in state["n8n"]["executions"] if str(e.get("retryOf")) == found.failed_execution]
    if len(retries) != 1:
        trouble.append(f"the failed workflow was run again {len(retries)} times")
    return trouble


def a_week_later(found: Morning, state: Mapping[str, Any]) -> list[str]:
    """What is not as it should be once follow-ups are due: who did not answer hears again, who said stop never does."""
    trouble = []
    for lead in found.leads:
        sent = sum(m["to"] == lead["phone"] for m in state["twilio"]["messages"])
        reply = found.answers.get(lead["phone"])
        if reply is None and sent != 2:
            trouble.append(f"{lead['phone']}: {sent} messages, not a second one to who did not answer")
        if reply == "STOP" and sent != 1:
            trouble.append(f"{lead['phone']}: {sent} messages to who said stop")
    return trouble


def _lead_problems(
    lead: dict[str, Any], answers: dict[str, str], hubspot: dict[str, Any], twilio: dict[str, Any]
) -> list[str]:
    objects, links = hubspot["objects"], {tuple(link) for link in hubspot["associations"]}
    contacts = [c for c in objects["contacts"].values() if c["properties"].get("email") == lead["email"]]
    if len(contacts) != 1:
        return [f"{lead['email']}: {len(contacts)} contacts"]
    contact = contacts[0]["id"]
    reply = answers.get(lead["phone"])
    trouble = []
    for kind, wanted in (("deals", 1), ("tasks", 1), ("notes", 2 if reply else 1)):
        mine = [o for o in objects[kind].values() if (kind, o["id"], "contacts", contact) in links]
        if len(mine) != wanted:
            trouble.append(f"{lead['email']}: {len(mine)} {kind} instead of {wanted}")
        if kind == "deals" and mine and mine[0]["properties"]["amount"] != f"{lead['amount_cents'] / 100:.2f}":
            trouble.append(f"{lead['email']}: amount {mine[0]['properties']['amount']}")
    sent = [m for m in twilio["messages"] if m["to"] == lead["phone"]]
    wanted_sms = 2 if reply and reply != "STOP" else 1
    if len(sent) != wanted_sms:
        trouble.append(f"{lead['phone']}: {len(sent)} messages instead of {wanted_sms}")
    return trouble


def _base_problems(client: dict[str, Any], airtable: dict[str, Any]) -> list[str]:
    bases = [b for b in airtable["bases"] if b["name"] == f"{client['name']} back office"]
    if len(bases) != 1:
        return [f"{client['name']}: {len(bases)} bases"]
    tables = {t["name"]: t for t in bases[0]["tables"]}
    packages = len(client["packages"])
    wanted = {
        "Clients": 1,
        "Contacts": len(client["contacts"]),
        "Projects": packages,
        "Tasks": packages,
        "Invoices": packages,
        "Meetings": 1,
        "Documents": 0,
    }
    trouble = [f"table {name} is missing" for name in wanted if name not in tables]
    for name, count in wanted.items():
        if name in tables and len(tables[name]["records"]) != count:
            trouble.append(f"{name}: {len(tables[name]['records'])} records instead of {count}")
    links = sum(
        f["type"] == "multipleRecordLinks" and "inverseLinkFieldId" in f.get("options", {})
        for t in tables.values()
        for f in t["fields"]
    )
    if links != 12:  # six, each mirrored
        trouble.append(f"{links} link fields instead of 12")
    return trouble
