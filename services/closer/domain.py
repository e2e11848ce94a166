"""Closer's rules: what a lead is worth, how it is named, when to follow up. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.bus.consent import wish
from shared.money import amount_in, as_plain

YES = re.compile(r"\b(yes|yeah|yep|sure|sounds good|call me|please do|interested|ok|okay)\b")
# Whoever says one of these may say yes to something, but not plainly: `positive` is for what is plain.
NO = re.compile(
    r"\b(no|nope|not|never|none|nothing|cannot|stop|unsubscribe|spam|scam|remove|dont|wont|cant|didnt)\b|n't\b"
)


@dataclass(frozen=True, slots=True)
class Lead:
    """Somebody who may buy. Amounts in cents; phone in E.164."""

    email: str
    first_name: str = ""
    last_name: str = ""
    phone: str | None = None
    company: str | None = None
    interest: str | None = None
    amount_cents: int | None = None

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.email.split("@")[0]


def lead_of(data: dict[str, Any]) -> Lead:
    """The lead in the data of a viox.lead.created event."""
    known: dict[str, Any] = {
        field: data.get(field) for field in Lead.__dataclass_fields__ if data.get(field) is not None
    }
    return Lead(**(known | {"email": str(data["email"]).lower()}))


def lead_in_text(text: str) -> Lead | None:
    """A lead described in plain words, when it has at least an e-mail address."""
    email = re.search(r"[\w.+-]+@[\w-]+\.[\w.-]*\w", text)
    if not email:
        return None
    phone = re.search(r"\+\d[\d ()-]{6,}\d", text)
    name = re.search(r"\b([A-Z][a-zà-ž]+)\s+([A-Z][a-zà-ž]+)\b", text)
    return Lead(
        email=email.group().lower(),
        first_name=name.group(1) if name else "",
        last_name=name.group(2) if name else "",
        phone="+" + re.sub(r"\D", "", phone.group()) if phone else None,
        interest=_interest(text),
        amount_cents=amount_in(text),
    )


def _interest(text: str) -> str:
    """What follows "wants", "interested in" or the like; the whole text when nothing of the kind is said."""
    said = re.search(
        r"\b(?:wants?|interested in|asks? (?:for|about)|needs?|looking for)\s+(.+?)(?:\s+for\s+[$€\d]|[,.;\n]|$)",
        text,
        re.I,
    )
    return (said.group(1) if said else text).strip()[:500]


def follow_up_at(at: datetime) -> datetime:
    """Ten in the morning (UTC) of the next working day."""
    day = at.astimezone(UTC).replace(hour=10, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return day


def priority(amount_cents: int | None) -> str:
    """HubSpot's task priorities."""
    if amount_cents is None:
        return "MEDIUM"
    return "HIGH" if amount_cents >= 500_000 else "MEDIUM" if amount_cents >= 50_000 else "LOW"


def plan_for(lead: Lead, at: datetime) -> dict[str, Any]:
    """What the rules say of a new lead's CRM entries. What the lead wrote is not in it: <angle brackets> say where it goes."""
    return {
        "deal_name": "<company or name>: <interest, 60 characters at most>",
        "amount": as_plain(lead.amount_cents) if lead.amount_cents is not None else None,
        "priority": priority(lead.amount_cents),
        "noted_at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "follow_up_at": follow_up_at(at).isoformat().replace("+00:00", "Z"),
        "sms": "Hi <first name>, thanks for asking about <interest>. When is a good time for a short call?",
    }


def filled(plan: dict[str, Any], lead: Lead) -> dict[str, Any]:
    """The plan with what the lead wrote in its places."""
    subject = _short(lead.interest or "your request")
    return plan | {
        "lead": asdict(lead),
        "name": lead.name,
        "deal_name": f"{lead.company or lead.name}: {subject}",
        "sms": plan["sms"].replace("<first name>", lead.first_name or "there").replace("<interest>", subject),
    }


def reply_facts(text: str) -> dict[str, Any]:
    """What an incoming text message means. Both are said only of what is plain: whole words, and a no outweighs any yes."""
    plain = text.lower().replace("’", "'")
    return {"wants_to_stop": wish(text) == "stop", "positive": bool(YES.search(plain)) and not NO.search(plain)}


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Closer's rules put before the model, as one line of JSON. None when they have nothing to say."""
    at = datetime.fromisoformat(trigger["time"])
    data = trigger["data"]
    match trigger["type"]:
        case "viox.lead.created":
            return json.dumps({"lead_plan": plan_for(lead_of(data), at)}, sort_keys=True)
        case "com.twilio.message.received":
            return json.dumps({"reply": reply_facts(str(data.get("Body", "")))}, sort_keys=True)
        case "viox.task.requested":
            lead = lead_in_text(data["instruction"])
            return json.dumps({"lead_plan": plan_for(lead, at)}, sort_keys=True) if lead else None
        case _:
            return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "..."
