"""What a run is about, in a few words: from the event or task that began it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.money import as_written
from shared.operations.sentences import agent_name, cut, vendor_name

_KINDS = {
    "viox.lead.created": "New lead",
    "viox.client.signed": "New client",
    "viox.ticket.created": "Ticket",
    "viox.candidate.applied": "Application",
    "viox.briefing.due": "Briefing",
    "viox.upkeep.due": "Upkeep",
    "viox.automation.requested": "Automation wanted",
    "viox.task.requested": "Task",
    "com.twilio.message.received": "Text message",
    "viox.mail.received": "Mail",
    "com.twilio.message.status": "Text message on its way",
    "com.twilio.call.completed": "Phone call",
    "com.elevenlabs.post_call_transcription": "Conversation by phone",
    "com.stripe.invoice.paid": "Invoice paid",
    "com.stripe.invoice.payment_failed": "Payment failed",
    "com.stripe.charge.dispute.created": "Dispute",
    "com.stripe.checkout.session.completed": "Checkout paid",
    "com.n8n.execution.failed": "Automation failed",
    "viox.run.live": "Live calls",
}


# What colleagues hand over in a task's context, and which of its fields say what it is about.
_HANDED = {
    "ticket": ("Ticket", ("subject", "body")),
    "lead": ("Lead", ("interest", "email", "phone")),
    "hire": ("New colleague", ("name",)),
    "inquiry": ("Wants work", ("name", "text")),
    "payment_question": ("Payment question", ("question",)),
    "refund": ("Refund", ("reason",)),
}
MISSED = frozenset({"no-answer", "busy", "failed", "canceled"})


def kind(type_: str) -> str:
    """What began a run, without anything of its content."""
    if type_ in _KINDS:
        return _KINDS[type_]
    parts = type_.split(".")
    where = f"{vendor_name(parts[1])}: " if parts[0] == "com" and len(parts) > 2 else ""
    named = " ".join(parts[2:] if where else parts[1:]).replace("_", " ")
    return f"{where}{named}" if where else named.capitalize() or type_


def title(type_: str, data: Any, *, content: bool = True) -> str:
    """`New lead: Ana Rossi, a garden plan`; without `content` only `New lead`."""
    told = _about(type_, data) if content and isinstance(data, Mapping) else ""
    if type_ == "viox.task.requested" and told:
        return told
    return f"{kind(type_)}: {told}" if told else kind(type_)


def began(body: Mapping[str, Any], *, content: bool = True) -> str:
    """The first sentence of a story."""
    type_, data = body["type"], body.get("data")
    if not content:
        return f"It began with: {kind(type_)}."
    data = data if isinstance(data, Mapping) else {}
    match type_:
        case "viox.lead.created":
            return f"{_person(data) or 'Somebody'} asked for {cut(data.get('interest'), 120) or 'something'}."
        case "com.twilio.message.received":
            return f"{data.get('From')} wrote: “{cut(data.get('Body'), 300)}”"
        case "viox.mail.received":
            return _mail(data, 300)
        case "viox.task.requested":
            return f"{_asker(body)} asked: “{cut(data.get('instruction'), 300)}”"
        case "viox.ticket.created":
            return f"{data.get('from') or data.get('email') or 'A customer'} wrote: “{cut(data.get('subject'), 200)}”"
    told = _about(type_, data)
    return f"{kind(type_)}: {told}." if told else f"{kind(type_)}."


def _asker(body: Mapping[str, Any]) -> str:
    source = str(body.get("source") or "")
    if source.startswith(("/viox/agents/", "/viox/delegations/")):
        return agent_name(source.rstrip("/").rsplit("/", 1)[-1])
    if source == "/viox/cli":  # of the command line or the console: somebody of the business
        return "A person of the business"
    return "A timer" if "timer" in source else "Somebody"


def _handed_over(context: Any) -> str:
    """`Ticket: Locked account`; nothing where a task brings none of these."""
    for name, (kind_, fields) in _HANDED.items() if isinstance(context, Mapping) else ():
        about = context.get(name)
        if isinstance(about, Mapping):
            told = next(
                (cut(about[field], 100) for field in fields if isinstance(about.get(field), str) and about[field]), ""
            )
            return f"{kind_}: {told}" if told else kind_
    return ""


def _mail(data: Mapping[str, Any], longest: int) -> str:
    """What a mail says, and whether it is known who wrote it."""
    if data.get("kind") == "undelivered":
        return f"A mail of ours did not arrive: {cut('; '.join(map(str, data.get('lost') or ())), longest)}."
    who = data.get("sender") if data.get("verified") else f"Somebody in the name of {data.get('sender')}"
    return f"{who} wrote a mail, “{cut(data.get('subject'), 100)}”: “{cut(data.get('text'), longest)}”"


def _person(data: Mapping[str, Any]) -> str:
    named = " ".join(str(data[key]) for key in ("first_name", "last_name") if data.get(key))
    return named or str(data.get("name") or data.get("email") or data.get("phone") or "")


def _about(type_: str, data: Mapping[str, Any]) -> str:
    match type_:
        case "viox.task.requested":
            return _handed_over(data.get("context")) or cut(data.get("instruction"), 140)
        case "com.twilio.message.received":
            return f"{data.get('From')}, “{cut(data.get('Body'), 100)}”"
        case "viox.mail.received":
            return f"{data.get('sender')}, “{cut(data.get('subject') or data.get('text'), 100)}”"
        case "com.twilio.call.completed":
            missed = "missed, from " if data.get("CallStatus") in MISSED else "from "
            return f"{missed}{data.get('From') or 'an unknown number'}"
        case "com.twilio.message.status":
            return f"{data.get('MessageStatus')}, to {data.get('To')}"
        case "com.elevenlabs.post_call_transcription":
            return _conversation(data)
        case "viox.lead.created":
            return ", ".join(part for part in (_person(data), cut(data.get("interest"), 80)) if part)
    if type_.startswith("com.stripe."):
        return _stripe(data)
    for key in ("subject", "title", "company", "client", "name", "workflow", "wish", "day", "date"):
        if isinstance(data.get(key), str) and data[key]:
            return cut(data[key], 120)
        if isinstance(data.get(key), Mapping) and data[key].get("name"):
            return cut(data[key]["name"], 120)
    return _person(data)


def _conversation(data: Mapping[str, Any]) -> str:
    """What was said first by who called, in a transcript."""
    inner = data.get("data")
    turns = inner.get("transcript") if isinstance(inner, Mapping) else None
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, Mapping) and turn.get("role") == "user" and turn.get("message"):
            return f"“{cut(turn['message'], 100)}”"
    return ""


def _stripe(data: Mapping[str, Any]) -> str:
    inner = data.get("data")
    found = inner.get("object") if isinstance(inner, Mapping) else data.get("object") or data
    if not isinstance(found, Mapping):
        return ""
    amount = next((found[k] for k in ("amount_due", "amount_paid", "amount_total", "amount") if found.get(k)), None)
    currency = found.get("currency")
    money = as_written(amount, currency) if isinstance(amount, int) and isinstance(currency, str) else ""
    who = found.get("customer_email") or found.get("number") or found.get("id") or ""
    return ", ".join(part for part in (money, cut(who, 60)) if part)
