"""Whether the CRM's own record says that a mail address and a phone number are one person's. Pure.

It does where one contact has both, as the business's own people typed them, and no other contact has the number. What came into
the contact by a form, an import or a program (we are one) may be what a stranger gave, and proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.bus.consent import address_key

CONTACT_TOOLS = frozenset({"hubspot_get_contact", "hubspot_get_contact_by_email"})
SEARCH_TOOL = "hubspot_search_contacts"
# HubSpot's names of the ways in which a property was set: typed by somebody who is signed in, in the browser or on the phone.
TYPED = frozenset({"CRM_UI", "MOBILE_IOS", "MOBILE_ANDROID"})
PERSON = re.compile(r"person:[\w.+'-]{1,64}@[\w-]+(\.[\w-]+)+", re.ASCII)
PHONE = re.compile(r"phone:\+[1-9]\d{6,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pair:
    """A mail address and a phone number as memory knows them: `person:…` and `phone:+…`."""

    person: str
    phone: str

    @property
    def email(self) -> str:
        return self.person.partition(":")[2]

    @property
    def number(self) -> str:
        return self.phone.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found: the contact that has both, if one does; why it proves nothing, else `missing` is empty."""

    contact: str | None = None
    missing: str = ""

    @property
    def holds(self) -> bool:
        return self.contact is not None and not self.missing


@dataclass(frozen=True, slots=True)
class LookUp:
    """A call on record: what was asked, and what came."""

    tool: str
    arguments: Mapping[str, Any]
    result: Any


def pair_of(one: str, other: str) -> Pair | None:
    """The two, whichever comes first; None for anything but an address and a number. `one` and `other` are keys of entities."""
    for person, phone in ((one, other), (other, one)):
        if PERSON.fullmatch(person) and PHONE.fullmatch(phone):
            return Pair(person, phone)
    return None


def proof_of(pair: Pair, contact: LookUp | None, number: LookUp | None) -> Proof:
    """What two look-ups say of the pair: the contact with the history of its properties, and whose the number is."""
    found = contact.result if contact and contact.tool in CONTACT_TOOLS else None
    if not isinstance(found, Mapping) or not found.get("id"):
        return Proof(missing="no contact was read")
    values = found.get("properties") or {}
    if _key(values.get("email")) != pair.email or _key(values.get("phone")) != pair.number:
        return Proof(missing="the contact does not have both")
    own = str(found["id"])
    for name in ("email", "phone"):
        if not _was_typed(found, name):
            return Proof(own, f"nobody of the business typed its {name}, as far as HubSpot knows")
    return Proof(own, _shared(pair, own, number))


def _was_typed(contact: Mapping[str, Any], name: str) -> bool:
    """Whether the present value, the newest of its history, was typed by somebody who was signed in."""
    history = (contact.get("propertiesWithHistory") or {}).get(name) or []
    newest: Mapping[str, Any] = max(history, key=lambda one: str(one.get("timestamp") or ""), default={})
    return _key(newest.get("value")) == _key(contact["properties"][name]) and newest.get("sourceType") in TYPED


def _shared(pair: Pair, contact: str, number: LookUp | None) -> str:
    """Why the number may be somebody else's, too; nothing where it is the contact's alone."""
    if number is None or number.tool != SEARCH_TOOL or not _asks_for(pair.number, number.arguments):
        return "it was not looked up who else has the number"
    found = number.result if isinstance(number.result, Mapping) else {}
    if [str(one.get("id")) for one in found.get("results") or []] != [contact]:
        return "other contacts have the number, too, or the search does not know it yet"
    return ""


def _asks_for(number: str, search: Mapping[str, Any]) -> bool:
    """Whether a search finds every contact of a number: in one of the ways that it is written, and nothing narrower."""
    groups = [group.get("filters") or [] for group in search.get("filterGroups") or []]
    wide = all(
        len(filters) == 1
        and (filters[0].get("propertyName"), filters[0].get("operator")) == ("phone", "EQ")
        and _key(filters[0].get("value")) == number
        for filters in groups
    )
    return bool(groups) and wide and int(search.get("limit") or 10) > 1 and not search.get("after")


def _key(given: Any) -> str:
    return address_key(given) if isinstance(given, str) else ""
