"""Duplicates among contacts: which two are one person by rule, which could be, and which a person has kept apart.

Two contacts are the same with one address, with one name at one company, or with one number when their names do not
contradict each other. One number with two names is a household or an office as often as a duplicate: that is judged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from pydantic import BaseModel, Field

PROPERTIES = ["email", "firstname", "lastname", "phone", "mobilephone", "company"]
PAGE, MOST_PAGES = 100, 50
MOST_PROPOSALS = 20  # that a person is asked to decide on in one night
MOST_JUDGED = 20
MOST_ALIKE = 10  # compared with each other; a number that more contacts share is that of a switchboard
ASKED_AGAIN_AFTER = timedelta(days=7)

_GMAIL = ("gmail.com", "googlemail.com")
_EXTENSION = re.compile(r"(?:ext\.?|x|#)\s*\d+\s*$", re.IGNORECASE)
_LEGAL_FORMS = re.compile(r"\b(?:inc|llc|ltd|limited|corp|corporation|co|company|gmbh|ag|kg|sa|sarl|bv|plc|and)\b")
_LEAST_DIGITS, _TELLING_DIGITS = 7, 9  # a number without its country is told by its last nine


class Contact(BaseModel):
    """A contact, as far as duplicates are told by it."""

    id: str
    email: str = ""
    first: str = ""
    last: str = ""
    phones: list[str] = Field(default_factory=list)
    company: str = ""

    @property
    def told(self) -> str:
        """Who it is, in a line."""
        about = ", ".join(part for part in (self.email, *self.phones, self.company) if part)
        return f"{' '.join(part for part in (self.first, self.last) if part) or 'no name'} ({self.id}: {about})"


class Pair(BaseModel):
    """Two contacts: the older one is kept, the other becomes part of it."""

    keep: Contact
    merge: Contact
    why: str

    @property
    def key(self) -> str:
        return key_of(self.keep.id, self.merge.id)

    @property
    def told(self) -> str:
        return f"{self.merge.told} into {self.keep.told}: {self.why}"


class Found(BaseModel):
    """What was found among contacts. `unsure`: one number, two names."""

    same: list[Pair] = Field(default_factory=list)
    unsure: list[Pair] = Field(default_factory=list)


def key_of(one: str, other: str) -> str:
    """A pair's name on record, whichever of both comes first."""
    return "+".join(sorted((one, other), key=int))


def contact_in(row: Mapping[str, Any]) -> Contact:
    """A contact as HubSpot lists it."""
    has = {name: str(value or "").strip() for name, value in (row.get("properties") or {}).items()}
    phones = dict.fromkeys(has.get(name, "") for name in ("phone", "mobilephone"))
    return Contact(
        id=str(row["id"]),
        email=has.get("email", ""),
        first=has.get("firstname", ""),
        last=has.get("lastname", ""),
        phones=[number for number in phones if number],
        company=has.get("company", ""),
    )


# -- what makes two the same -------------------------------------------------------------------------------------------------


def address_key(email: str) -> str:
    """The mailbox that an address reaches: case, +tags, and the dots of Gmail do not matter. Empty for what is none."""
    local, at, domain = email.strip().lower().rpartition("@")
    local = local.split("+")[0]
    if not (local and at and domain):
        return ""
    if domain in _GMAIL:
        local, domain = local.replace(".", ""), _GMAIL[0]
    return f"{local}@{domain}"


def digits_of(phone: str) -> str:
    """A number's digits; with + where it says its country. Empty for one too short, and for an extension of a shared one."""
    if _EXTENSION.search(phone):
        return ""
    plain = phone.strip().replace("(0)", "")
    digits = re.sub(r"\D", "", plain)
    if plain.startswith("00"):
        plain, digits = "+", digits[2:]
    if len(digits) < _LEAST_DIGITS:
        return ""
    return f"+{digits}" if plain.startswith("+") else digits.lstrip("0")


def same_number(one: str, other: str) -> bool:
    """Whether two numbers (`digits_of`) are one. Of two with their country all digits count, else those that both have."""
    if one.startswith("+") and other.startswith("+"):
        return one == other
    short, long = sorted((one.lstrip("+"), other.lstrip("+")), key=len)
    return (len(short) >= _TELLING_DIGITS and long.endswith(short)) or short == long


def plain(words: str) -> str:
    """Words without case, accents and punctuation."""
    apart = unicodedata.normalize("NFKD", words.casefold())
    return " ".join(re.findall(r"\w+", "".join(one for one in apart if not unicodedata.combining(one))))


def name_key(contact: Contact) -> str:
    """First and last name at a company. Empty where one of the three lacks: a name alone is no proof."""
    company = " ".join(_LEGAL_FORMS.sub(" ", plain(contact.company)).split())
    parts = (plain(contact.first), plain(contact.last), company)
    return "|".join(parts) if all(parts) else ""


def names_agree(one: Contact, other: Contact) -> bool:
    """Whether nothing in two names speaks against one person: each part is equal, lacks, or is the other's initial."""
    return all(_part_agrees(a, b) for a, b in ((one.first, other.first), (one.last, other.last)))


def _part_agrees(one: str, other: str) -> bool:
    short, long = sorted((plain(one), plain(other)), key=len)
    return short in ("", long) or (len(short) == 1 and long.startswith(short))


# -- pairs --------------------------------------------------------------------------------------------------------------------


def duplicates(contacts: Iterable[Contact], apart: Iterable[str] = ()) -> Found:
    """Pairs among contacts, but for those that are `apart`. Of more than two that are one, all become part of the oldest."""
    known = sorted({one.id: one for one in contacts}.values(), key=lambda one: int(one.id))
    kept_apart, reasons = set(apart), dict[str, tuple[Contact, Contact, str]]()
    for one, other, why in (*_by(known, "the same address", _address), *_by(known, "one name, one company", name_key)):
        reasons.setdefault(key_of(one.id, other.id), (one, other, why))
    unsure = []
    for one, other in _by_number(known):
        if names_agree(one, other):
            reasons.setdefault(key_of(one.id, other.id), (one, other, "the same number"))
        else:
            unsure.append(Pair(keep=one, merge=other, why="one number, two names"))
    certain = [edge for key, edge in reasons.items() if key not in kept_apart]
    same = [pair for pair in _into_the_oldest(certain) if pair.key not in kept_apart]
    gone = {pair.merge.id for pair in same}
    open_ = [pair for pair in unsure if pair.key not in kept_apart and not gone & {pair.keep.id, pair.merge.id}]
    return Found(same=same, unsure=open_)


def _address(contact: Contact) -> str:
    return address_key(contact.email)


def _by(contacts: Sequence[Contact], why: str, key: Callable[[Contact], str]) -> Iterator[tuple[Contact, Contact, str]]:
    groups: dict[str, list[Contact]] = {}
    for one in contacts:
        if value := key(one):
            groups.setdefault(value, []).append(one)
    for group in groups.values():
        yield from ((one, other, why) for one, other in combinations(group[:MOST_ALIKE], 2))


def _by_number(contacts: Sequence[Contact]) -> Iterator[tuple[Contact, Contact]]:
    """Pairs of one number, the older one first. Compared are only those whose last digits are the same."""
    groups: dict[str, list[tuple[str, Contact]]] = {}
    for one in contacts:
        for number in dict.fromkeys(digits for phone in one.phones if (digits := digits_of(phone))):
            groups.setdefault(number[-_LEAST_DIGITS:], []).append((number, one))
    for group in groups.values():
        alike = [
            (one, other) for (a, one), (b, other) in combinations(group, 2) if one is not other and same_number(a, b)
        ]
        people = {one.id for pair in alike for one in pair}
        if len(people) <= MOST_ALIKE:
            yield from alike


def _into_the_oldest(edges: Iterable[tuple[Contact, Contact, str]]) -> list[Pair]:
    """(oldest, other) for everybody who is connected with somebody, with the reason of their nearest connection."""
    oldest: dict[str, str] = {}
    people: dict[str, Contact] = {}
    why: dict[str, str] = {}

    def root(number: str) -> str:
        while oldest.get(number, number) != number:
            number = oldest[number]
        return number

    for one, other, reason in edges:
        people |= {one.id: one, other.id: other}
        for number in (one.id, other.id):
            why.setdefault(number, reason)
        first, second = sorted((root(one.id), root(other.id)), key=int)
        oldest[second] = first
    found = [(root(number), number) for number in people]
    pairs = [Pair(keep=people[top], merge=people[number], why=why[number]) for top, number in found if top != number]
    return sorted(pairs, key=lambda pair: int(pair.merge.id))


def once_each(pairs: Iterable[Pair]) -> list[Pair]:
    """Without those of which one becomes part of another contact anyway."""
    gone: set[str] = set()
    found = []
    for pair in pairs:
        if not gone & {pair.keep.id, pair.merge.id}:
            found.append(pair)
            gone.add(pair.merge.id)
    return found


# -- what people decided ------------------------------------------------------------------------------------------------------


class Decision(BaseModel):
    """What is on record of a pair: a person said no, or was asked and has not answered yet. Dates are ISO."""

    rejected: str | None = None
    different: str | None = None  # by the judgement of one number with two names
    asked: str | None = None

    def settles(self, day: date) -> bool:
        """Whether the pair is left alone on a day: for ever when it was decided, else for a week."""
        if self.rejected or self.different:
            return True
        return bool(self.asked) and day - date.fromisoformat(str(self.asked)) < ASKED_AGAIN_AFTER


def decisions_in(data: Mapping[str, Any]) -> dict[str, Decision]:
    """Those on record, by pair."""
    return {key: Decision.model_validate(one) for key, one in data.items() if isinstance(one, Mapping)}


def settled(known: Mapping[str, Decision], day: date) -> set[str]:
    return {key for key, one in known.items() if one.settles(day)}


def outdated(known: Mapping[str, Decision], contacts: Iterable[Contact]) -> list[str]:
    """Pairs of which one is no contact any more. Only to be asked when all contacts were read."""
    there = {one.id for one in contacts}
    return [key for key in known if not set(key.split("+")) <= there]
