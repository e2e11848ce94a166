"""Closer without a model: the same steps, decided by rules from what a model would have seen."""

from __future__ import annotations

from typing import Any

from services.closer import domain
from shared.models.offline import Seen, call, cannot, say
from shared.models.port import AssistantMessage, ChatRequest

NOTE_TO_CONTACT, TASK_TO_CONTACT, DEAL_TO_CONTACT = 202, 204, 3  # HubSpot's association type ids


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if kind == "com.twilio.message.received":
        return _answer(request, seen, data, facts.get("reply", {}))
    if kind == "com.hubspot.contact.creation":
        return _existing_contact(request, seen, str(data.get("objectId")))
    lead = domain.lead_of(data) if kind == "viox.lead.created" else domain.lead_in_text(seen.task())
    if "lead_plan" in facts and lead:
        return _work_lead(request, seen, domain.filled(facts["lead_plan"], lead))
    if kind:
        return say(f"[offline] {kind} noted; nothing for sales to do.")
    return cannot("without a model Closer works on leads, and needs at least the lead's e-mail address.")


def _work_lead(request: ChatRequest, seen: Seen, plan: dict[str, Any]) -> AssistantMessage:
    lead = plan["lead"]
    if not seen.called("hubspot_get_contact_by_email"):
        return call(request, ("hubspot_get_contact_by_email", {"email": lead["email"]}))
    found = seen.result("hubspot_get_contact_by_email")
    properties = {
        "firstname": lead["first_name"],
        "lastname": lead["last_name"],
        "phone": lead["phone"],
        "company": lead["company"],
    }
    known = {key: value for key, value in properties.items() if value}
    if not found and not seen.called("hubspot_create_contact"):
        return call(request, ("hubspot_create_contact", {"properties": {"email": lead["email"], **known}}))
    missing = {key: value for key, value in known.items() if found and not found["properties"].get(key)}
    if missing and not seen.called("hubspot_update_contact"):
        return call(request, ("hubspot_update_contact", {"contactId": found["id"], "properties": missing}))
    contact = found or seen.result("hubspot_create_contact")
    if not contact:
        return say(f"[offline] {plan['name']} could not be entered: {'; '.join(seen.failures())}")
    if not seen.called("hubspot_create_deal"):
        return call(request, *_entries(plan, contact["id"]))
    return say(_summary(seen, plan, created=not found))


def _entries(plan: dict[str, Any], contact: str) -> list[tuple[str, dict[str, Any]]]:
    """Deal, note, task and message: independent of each other, so they go out together."""
    lead = plan["lead"]
    deal = {"dealname": plan["deal_name"], "pipeline": "default", "dealstage": "appointmentscheduled"}
    if plan["amount"] is not None:
        deal["amount"] = plan["amount"]
    body = f"Interested in: {lead['interest'] or 'not said'}"
    entries: list[tuple[str, dict[str, Any]]] = [
        ("hubspot_create_deal", {"properties": deal, "associations": _to(contact, DEAL_TO_CONTACT)}),
        (
            "hubspot_create_note",
            {
                "properties": {"hs_timestamp": plan["noted_at"], "hs_note_body": body},
                "associations": _to(contact, NOTE_TO_CONTACT),
            },
        ),
        (
            "hubspot_create_task",
            {
                "properties": {
                    "hs_timestamp": plan["follow_up_at"],
                    "hs_task_subject": f"Call {plan['name']}",
                    "hs_task_status": "NOT_STARTED",
                    "hs_task_priority": plan["priority"],
                },
                "associations": _to(contact, TASK_TO_CONTACT),
            },
        ),
    ]
    if lead["phone"]:
        entries.append(("twilio_send_message", {"To": lead["phone"], "Body": plan["sms"]}))
    return entries


def _existing_contact(request: ChatRequest, seen: Seen, contact_id: str) -> AssistantMessage:
    if not seen.called("hubspot_get_contact"):
        return call(request, ("hubspot_get_contact", {"contactId": contact_id}))
    contact = seen.result("hubspot_get_contact")
    if not contact:
        return say(f"[offline] Contact {contact_id} cannot be read: {'; '.join(seen.failures()) or 'it is gone'}.")
    return say(f"[offline] {contact['properties'].get('email') or contact_id} is in the CRM; nothing else to do yet.")


def _answer(request: ChatRequest, seen: Seen, sms: dict[str, Any], reply: dict[str, Any]) -> AssistantMessage:
    """The lead answered: note it on their contact, reply once unless they want to stop."""
    contact = _contact_of_conversation(seen)
    sender, text = str(sms.get("From")), str(sms.get("Body", ""))
    wanted: list[tuple[str, dict[str, Any]]] = []
    if contact and not seen.called("hubspot_create_note"):
        noted_at = str(_facts_of_conversation(seen).get("noted_at", "2026-01-01T00:00:00Z"))
        wanted.append(
            (
                "hubspot_create_note",
                {
                    "properties": {"hs_timestamp": noted_at, "hs_note_body": f"Answered by text message: {text}"},
                    "associations": _to(contact, NOTE_TO_CONTACT),
                },
            )
        )
    if not reply.get("wants_to_stop") and not seen.called("twilio_send_message"):
        body = "Great, we will call you." if reply.get("positive") else "Thanks, we will get back to you."
        wanted.append(("twilio_send_message", {"To": sender, "Body": body}))
    if wanted:
        return call(request, *wanted)
    ending = "They asked to stop; nothing was sent." if reply.get("wants_to_stop") else "Replied."
    return say(f"[offline] {sender} answered: {text!r}. {ending}{seen.trouble()}")


def _summary(seen: Seen, plan: dict[str, Any], *, created: bool) -> str:
    done = ["contact created" if created else "contact found"]
    for tool, what in (
        ("hubspot_create_deal", f"deal {plan['deal_name']!r}"),
        ("hubspot_create_note", "note"),
        ("hubspot_create_task", f"follow-up on {plan['follow_up_at'][:10]}"),
        ("twilio_send_message", "text message sent"),
    ):
        if seen.result(tool):
            done.append(what)
    return f"[offline] {plan['name']}: {', '.join(done)}.{seen.trouble()}"


def _to(contact: str, kind: int) -> list[dict[str, Any]]:
    return [{"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}]}]


def _facts_of_conversation(seen: Seen) -> dict[str, Any]:
    given = next(iter(seen.results("hubspot_create_note", whole=True)), None)
    return {"noted_at": given[0]["properties"]["hs_timestamp"]} if given else {}


def _contact_of_conversation(seen: Seen) -> str | None:
    for tool in ("hubspot_create_contact", "hubspot_get_contact_by_email"):
        if found := seen.result(tool, whole=True):
            return str(found["id"])
    return None
