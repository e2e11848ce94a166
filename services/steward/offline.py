"""Steward without a model: acknowledges the ticket by mail, remembers it, says how urgent it is."""

from __future__ import annotations

from typing import Any

from shared.models.offline import Seen, call_missing, cannot, say
from shared.models.port import AssistantMessage, ChatRequest

WHEN = {"high": "within the hour", "raised": "today", "normal": "within one working day"}


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "urgency" not in facts:
        if kind:
            return say(f"[offline] {kind} {data.get('objectId', '')} noted; what the ticket says is at the vendor.")
        return cannot("without a model Steward acknowledges tickets of viox.ticket.created, and takes no tasks.")
    work = call_missing(request, seen, *_work(data, facts["urgency"]))
    if work:
        return work
    told = " The customer has been told." if seen.result("email_send") else ""
    return say(
        f"[offline] Ticket {data.get('ticket_id')} ({data.get('subject')}): {facts['urgency']} urgency.{told}{seen.trouble()}"
    )


def _work(data: dict[str, Any], urgency: str) -> list[tuple[str, dict[str, Any]]]:
    ticket, subject = data["ticket_id"], str(data.get("subject") or "your request")
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("notes_add", {"entity": f"ticket:{ticket}", "text": f"{urgency} urgency: {subject}", "tags": ["ticket"]})
    ]
    if address := data.get("customer_email"):
        text = f"Thank you for writing to us. We have your request and will answer {WHEN[urgency]}.\n\nYour reference: {ticket}\n"
        wanted.append(("email_send", {"to": [address], "subject": f"Re: {subject}"[:250], "text": text}))
    return wanted
