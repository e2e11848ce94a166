"""A charge was disputed: evidence is gathered in parallel, written from what was found, and given to the bank behind a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.controller.domain import Charge, Dispute, DisputeOrder, newest
from services.controller.prompts import EVIDENCE
from services.controller.rules import disputes as rules
from services.controller.rules.disputes import Evidence, Source
from services.controller.work import views
from shared.runtime.work import Work


def read_dispute(work: Work) -> None:
    given = views.event_object(work)
    work.call("dispute", "stripe_get_dispute", {"dispute": _dispute_id(work)})
    if charge := given.get("charge"):
        _read_charge(work, str(charge))


def by_dispute(work: Work) -> str:
    dispute = dispute_of(work)
    if dispute is None or not dispute.is_open:
        return "close_dispute"
    return "gather_evidence" if work.result("charge") else "read_disputed_charge"


def read_disputed_charge(work: Work) -> None:
    dispute = dispute_of(work)
    if dispute is not None and dispute.charge:
        _read_charge(work, dispute.charge)


def gather_evidence(work: Work) -> None:
    """What all of us know of this customer and payment: CRM, notes, calls, memory, Stripe. The deadline is watched from now on."""
    dispute, charge, email = dispute_of(work), charge_of(work), email_of(work)
    assert dispute is not None  # noqa: S101  # by_dispute looked
    if at := rules.remind_at(dispute, work.now):
        told = {"name": rules.TIMER, "at": views.told(at), "instruction": f"Look after the dispute {dispute.id}."}
        work.call("timer", "timer_set", told | {"context": {"dispute": {"dispute": dispute.id}}})
    if charge and charge.customer:
        work.call("customer", "stripe_get_customer", {"customer": charge.customer})
        work.call("payments", "stripe_list_charges", {"customer": charge.customer, "limit": 20})
        work.call(
            "subscriptions", "stripe_list_subscriptions", {"customer": charge.customer, "status": "all", "limit": 10}
        )
    if email:
        work.call("contact", "hubspot_get_contact_by_email", {"email": email})
        work.call("notes", "notes_find", {"words": f'"{email}"', "limit": 20})
        work.call("memory", "memory_recall", {"entity": f"person:{email}", "limit": 20})
    if charge and charge.description:
        work.call(
            "knowledge",
            "knowledge_search",
            {"question": f"Refund and cancellation terms: {charge.description}"[:900], "limit": 5},
        )


def read_contact(work: Work) -> None:
    """What stands at the contact in the CRM, its calls with us included."""
    contact = work.value("contact")
    if not contact:
        return
    of_contact = [
        {"filters": [{"propertyName": "associations.contact", "operator": "EQ", "value": str(contact["id"])}]}
    ]
    asked = {"filterGroups": of_contact, "properties": ["hs_note_body", "hs_timestamp"], "limit": 50}
    work.call("crm notes", "hubspot_search_notes", asked)
    phone = ((contact.get("properties") or {}).get("phone") or "").replace(" ", "")
    if phone:
        work.call("calls", "memory_recall", {"entity": f"phone:{phone}", "limit": 20})


def by_sources(work: Work) -> str:
    """Earlier payments and general terms alone do not say what this one was for."""
    return "write_evidence" if any(not one.is_weak for one in sources_of(work)) else "ask_for_evidence"


def ask_for_evidence(work: Work) -> None:
    """Nothing speaks about this payment: a person may know."""
    dispute = dispute_of(work)
    assert dispute is not None  # noqa: S101  # by_dispute looked
    due = rules.due_in_words(dispute)
    question = f"{rules.in_words(dispute)} needs evidence until {due}. What was delivered, and what do you know?"
    work.call("told", "person_ask", {"question": question, "expires": "2d"})


def by_told(work: Work) -> str:
    """Terms alone are no evidence of any payment."""
    return "write_evidence" if any(not one.is_general for one in sources_of(work)) else "close_dispute"


def write_evidence(work: Work) -> None:
    dispute, charge = dispute_of(work), charge_of(work)
    assert dispute is not None  # noqa: S101  # by_dispute looked
    facts = {"reason": dispute.reason, "amount": dispute.amount, "currency": dispute.currency}
    found = [{"ref": one.ref, "where": one.where, "text": one.text} for one in sources_of(work)]
    outside = {"sources": found, "payment": charge.description if charge else None}
    work.ask(EVIDENCE, outside=outside, dispute=facts)


def by_evidence(work: Work) -> str:
    evidence = work.answer(EVIDENCE)
    return "give_evidence" if evidence and rules.is_grounded(evidence, sources_of(work)) else "close_dispute"


def give_evidence(work: Work) -> None:
    """Once and for good: the gateway asks a person first."""
    evidence = work.answer(EVIDENCE)
    assert evidence is not None  # noqa: S101  # by_evidence looked
    fields = rules.fields(evidence, sources_of(work), charge_of(work))
    arguments = {"dispute": _dispute_id(work), "evidence": fields, "submit": True}
    work.call("submitted", "stripe_update_dispute", arguments)


def note_dispute(work: Work) -> None:
    submitted = work.result("submitted")
    if submitted is not None and submitted.ok:
        work.call("watch", "timer_cancel", {"name": rules.TIMER})
    dispute = dispute_of(work)
    if dispute is not None:
        data = {"status": (work.value("submitted") or {}).get("status") or dispute.status or "needs_response"}
        work.call(
            "record", "records_write", {"entity": f"stripe:{dispute.id}", "data": data | {"amount": dispute.amount}}
        )


def close_dispute(work: Work) -> None:
    dispute, submitted, told = dispute_of(work), work.result("submitted"), work.result("told")
    looked = work.result("dispute")
    if dispute is None:
        return work.conclude(f"Stripe has no dispute {_dispute_id(work)}.")
    head = rules.in_words(dispute)
    if looked is not None and not looked.ok and submitted is None:
        head += f" (Stripe could not be asked: {looked.why})"
    if not dispute.is_open:
        return work.conclude(f"{head} is {dispute.status}; nothing is to be done.")
    if submitted is not None and submitted.ok:
        count = len(_cited(work))
        return work.conclude(f"{head}: evidence from {count} source{'s' * (count != 1)} was given to the bank.")
    due = f"It is due until {rules.due_in_words(dispute)}.{_watched(work)}"
    if submitted is not None:
        return work.fail("controller.no_evidence_given", f"{head}: no evidence was given: {submitted.why}. {due}")
    if told is not None and not told.ok:
        return work.fail(
            "controller.no_evidence", f"{head}: nothing was found that speaks about it, and nobody said anything. {due}"
        )
    return work.fail(
        "controller.evidence_unfounded", f"{head}: no evidence could be written from what was found. {due}"
    )


# -- parts -----------------------------------------------------------------------------------------------------------------


def _dispute_id(work: Work) -> str:
    return views.order(work, DisputeOrder).dispute if work.trigger.is_task else str(views.event_object(work)["id"])


def _read_charge(work: Work, charge: str) -> None:
    work.call("charge", "stripe_get_charge", {"charge": charge})


def dispute_of(work: Work) -> Dispute | None:
    looked = work.result("dispute")
    if looked is not None and looked.ok and looked.value is None:
        return None
    given = newest(views.event_object(work), work.value("dispute"))
    return Dispute.model_validate(given | {"id": _dispute_id(work)})


def charge_of(work: Work) -> Charge | None:
    found = work.value("charge")
    return Charge.model_validate(found) if found else None


def email_of(work: Work) -> str | None:
    return rules.email_of(work.value("charge"), work.value("customer"))


def sources_of(work: Work) -> list[Source]:
    return rules.sources_of(_found(work))


def _found(work: Work) -> Iterator[tuple[str, Any]]:
    """(where from, text) of everything that speaks about the payment, in the order in which it weighs."""
    if told := work.value("told"):
        yield f"told by {told.get('by')}", told["answer"]
    for one in views.items(work.value("crm notes"), "results"):
        properties = one.get("properties") or {}
        yield (
            f"HubSpot note {one.get('id')} of {str(properties.get('hs_timestamp') or '')[:10]}",
            properties.get("hs_note_body"),
        )
    for one in views.items(work.value("notes"), "rows"):
        yield f"our note of {str(one.get('created_at') or '')[:10]}", one.get("text")
    for name in ("memory", "calls"):
        for one in views.items(work.value(name)):
            yield views.place(one), one.get("text")
    for one in views.items(work.value("knowledge")):
        yield f"{rules.GENERAL} {views.place(one)}", one.get("text")
    for one in views.objects(work.value("payments")):
        if one.get("id") != (work.value("charge") or {}).get("id") and one.get("description"):
            yield f"{rules.EARLIER} {one['id']}", f"Earlier payment, {one.get('status')}: {one['description']}"


def _cited(work: Work) -> list[Source]:
    evidence: Evidence | None = work.answer(EVIDENCE)
    return [one for one in sources_of(work) if evidence and f"[{one.ref}]" in evidence.statement]


def _watched(work: Work) -> str:
    timer = work.result("timer")
    return f" It is looked at again {timer.arguments['at'][:16]}." if timer and timer.ok else ""
