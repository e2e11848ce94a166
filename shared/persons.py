"""One person, known by a mail address and by a phone number: the steps by which a role's rules find that out.

    check_contact   the CRM's contact is read with the history of both, and who else has the number is searched
    link_person     the gateway is asked to put down that they are one; whether that is proven is the gateway's to say
    recall_again    what is remembered is looked up anew, where that has just been confirmed

Each is the body of a node, and asks for nothing where nothing is to be found out. A record from before memory knew of links
(its answers say nothing of them) asks for nothing either, so that it is replayed as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.bus.consent import address_key
from shared.runtime.work import Result, Work

CHECKED, ALONE, LINKED = "contact checked", "number checked", "same person"
NAMES = frozenset({CHECKED, ALONE, LINKED})
"""Of these calls: they look something up, and nobody has to be told of them."""
SAME_AS = "same_as"
BOTH = ["email", "phone"]
AGAIN = timedelta(days=1)  # until what proved nothing is looked at again


def check_contact(work: Work, contact: Mapping[str, Any] | None, memory: str) -> None:
    """`contact`: the one that was found; `memory`: the name of the call that recalled what is known of one of the two."""
    pair = _pair(contact)
    if pair is None or not knows_links(work, memory) or _is_settled(pair, same_as(work, memory), work.now):
        return
    number = str(((contact or {}).get("properties") or {})["phone"])
    ways = dict.fromkeys((number, pair[1]))  # as the contact has it, and as it is dialled
    groups = [{"filters": [{"propertyName": "phone", "operator": "EQ", "value": way}]} for way in ways]
    read = {"contactId": str((contact or {})["id"]), "properties": BOTH, "propertiesWithHistory": BOTH}
    work.call(CHECKED, "hubspot_get_contact", read)
    work.call(ALONE, "hubspot_search_contacts", {"filterGroups": groups, "properties": BOTH, "limit": 2})


def link_person(work: Work) -> None:
    checked, alone = work.result(CHECKED), work.result(ALONE)
    pair = _pair(checked.value) if checked and checked.ok else None
    if pair and checked and alone:
        proof = {"contact_call": checked.call_id, "number_call": alone.call_id}
        claim_same(work, *pair, "the CRM's contact has both", **proof)


def claim_same(work: Work, email: str, number: str, basis: str, **proof: str) -> None:
    """Put down that they are one: claimed, unless the calls of `proof` prove it. `basis` says how it is known, in our words."""
    told = {"entity": f"person:{email.lower()}", "other": f"phone:{number}", "basis": basis}
    work.call(LINKED, "memory_link", told | proof)


def recall_again(work: Work, memory: str) -> None:
    linked, before = work.value(LINKED) or {}, work.result(memory)
    if before and before.ok and linked.get("new") and linked.get("state") == "confirmed":
        for one in _asked(work, memory):
            work.call(memory, one.tool, one.arguments)


def may_claim(work: Work, email: str | None, number: str | None, memory: str) -> bool:
    """Whether memory can be told that the two are said to be one, and does not know of it."""
    if not (email and number and knows_links(work, memory)) or work.result(LINKED):
        return False
    return not {f"person:{email}".lower(), f"phone:{number}"} & {one["entity"] for one in same_as(work, memory)}


def knows_links(work: Work, memory: str) -> bool:
    """Whether memory answered, and says of whom it is asked who else that is."""
    return any(SAME_AS in (one.value or {}) for one in work.results(memory))


def same_as(work: Work, memory: str) -> list[dict[str, Any]]:
    """Who else those are, or may be, who were recalled under a name."""
    return [other for one in work.results(memory) for other in (one.value or {}).get(SAME_AS) or []]


def confirmed(work: Work, memory: str, kind: str) -> str | None:
    """The name under which who was recalled is confirmed to be known as a kind of entity: `person` is a mail address."""
    found = (one["entity"] for one in same_as(work, memory) if one["state"] == "confirmed")
    return next((one.partition(":")[2] for one in found if one.startswith(f"{kind}:")), None)


def _asked(work: Work, memory: str) -> list[Result]:
    """What was recalled under a name: once for each entity."""
    return list({str(one.arguments.get("entity")): one for one in work.results(memory)}.values())


def _pair(contact: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """The address and the number of a contact that has both, in their plain forms."""
    known = (contact or {}).get("properties") or {}
    email, number = (address_key(str(known.get(name) or "")) for name in BOTH)
    return (email, number) if "@" in email and re.fullmatch(r"\+[1-9]\d{6,14}", number) else None


def _is_settled(pair: tuple[str, str], others: Iterable[Mapping[str, Any]], now: datetime) -> bool:
    """Whether what was recalled of the one names the other as the same person; or as one who may be, found out lately."""
    names = {f"person:{pair[0]}", f"phone:{pair[1]}"}
    known = [one for one in others if one["entity"] in names]
    return any(one["state"] == "confirmed" or now - datetime.fromisoformat(one["since"]) < AGAIN for one in known)
