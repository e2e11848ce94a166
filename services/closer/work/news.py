"""News of the CRM, and the day's report: all by rule."""

from __future__ import annotations

from services.closer import domain
from services.closer.work import forms
from services.closer.work.reading import items, local
from services.closer.work.writing import done, trouble
from shared.runtime.work import Work


def read_contact(work: Work) -> None:
    work.call("contact", "hubspot_get_contact", {"contactId": str(work.trigger.data["objectId"])})


def recall_contact(work: Work) -> None:
    if (contact := work.value("contact")) and (email := contact["properties"].get("email")):
        work.call("memory", "memory_recall", {"entity": f"person:{email.lower()}"})


def complete_contact(work: Work) -> None:
    """What memory knows and people left out."""
    contact = work.value("contact")
    if contact and (missing := forms.missing_in(contact, items(work, "memory"))):
        work.call("contact completed", "hubspot_update_contact", {"contactId": contact["id"], "properties": missing})


def read_deal(work: Work) -> None:
    deal = str(work.trigger.data["objectId"])
    work.call("deal", "hubspot_get_deal", {"dealId": deal, "properties": ["dealname", "dealstage", "amount"]})
    work.call("its contacts", "hubspot_list_associations", {"fromType": "deals", "fromId": deal, "toType": "contacts"})


def take_up_deal(work: Work) -> None:
    """A deal that people entered gets its task, as one of ours has."""
    deal, linked = work.value("deal"), (work.value("its contacts") or {}).get("results") or []
    if deal and linked and deal["properties"].get("dealstage") not in domain.CLOSED:
        due = domain.working_day(local(work), 1, domain.TERMS.hour)
        subject = f"Call about {deal['properties'].get('dealname') or 'the deal'}"
        task = forms.task_form(str(linked[0]["toObjectId"]), subject, due, domain.price_of(deal, None, "usd"))
        work.call("task entered", "hubspot_create_task", task)


def tell_news(work: Work) -> None:
    kind, found = ("Contact", work.value("contact")) if work.result("contact") else ("Deal", work.value("deal"))
    if found is None:
        why = "; ".join(one.why for one in work.failures()) or "it is gone"
        return work.conclude(f"{kind} {work.trigger.data['objectId']} cannot be read: {why}.")
    named = found["properties"].get("email") or found["properties"].get("dealname") or found["id"]
    return work.conclude(f"{kind} {named} is in the CRM: {done(work) or 'nothing else to do'}.{trouble(work)}")


def count_day(work: Work) -> None:
    start, end = domain.day_of(work.trigger.context["report"], local(work))
    work.call("deals", "hubspot_search_deals", forms.deals_between(start, end))


def tell_day(work: Work) -> None:
    found = work.result("deals")
    if found is None or not found.ok:
        return work.fail("closer.no_report", f"HubSpot did not list the deals: {found.why if found else 'not asked'}.")
    return work.conclude(domain.day_in_words(found.value))
