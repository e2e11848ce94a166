"""Contacts in the CRM: looked through for duplicates, which are merged when a person agrees to each pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from services.operator.prompts import SAME
from services.operator.rules import contacts
from services.operator.rules.contacts import Contact, Decision, Found, Pair
from shared.runtime.work import Work

RECORD = "contacts:duplicates"  # what people decided of pairs, and how far the contacts were looked through
LOOKED_UP_TO = "looked_up_to"


def read_decisions(work: Work) -> None:
    work.call("decisions", "records_read", {"entity": RECORD})


def by_decisions(work: Work) -> str:
    """Without them nobody is asked: a person would be asked again what they have decided."""
    found = work.result("decisions")
    return "turn_page" if found and found.ok else "give_up_contacts"


def turn_page(work: Work) -> None:
    after = _next(work) if work.results("page") else _data(work).get(LOOKED_UP_TO)
    work.call(
        "page", "hubspot_list_contacts", {"limit": contacts.PAGE, "after": after, "properties": contacts.PROPERTIES}
    )


def by_page(work: Work) -> str:
    pages = work.results("page")
    if not pages[-1].ok:
        return "compare" if len(pages) > 1 else "give_up_contacts"
    return "turn_page" if _next(work) and len(pages) < contacts.MOST_PAGES else "compare"


def compare(work: Work) -> None:
    """Rules compare. One number with two names is judged by the model."""
    if unsure := _unsure(work):
        pairs = [{"pair": one.key, "one": one.keep, "other": one.merge} for one in unsure]
        work.ask(SAME, outside={"pairs": pairs})


def propose(work: Work) -> None:
    """A person is told whom the numbers of the calls to come stand for. That they are asked is on record before."""
    proposed = _proposed(work)
    if data := _told_of(work, proposed):
        work.call("asked", "records_write", {"entity": RECORD, "data": data})
    if proposed:
        lines = [f"- {pair.told}" for pair in proposed]
        text = "\n".join(["Each is merged when you agree to its call, and left as it is when you reject it.", *lines])
        subject = f"{_counted(len(proposed), 'contact')} may be there twice"
        work.call("told", "person_tell", {"subject": subject, "text": text[:20_000]})


def by_proposals(work: Work) -> str:
    return "merge" if _open(work) else "close_contacts"


def merge(work: Work) -> None:
    """At most one at a time into the same contact. Each waits for a person (common.cedar)."""
    into: set[str] = set()
    for pair in _open(work):
        if pair.keep.id not in into:
            into.add(pair.keep.id)
            given = {"primaryObjectId": pair.keep.id, "objectIdToMerge": pair.merge.id}
            work.call("merge", "hubspot_merge_contacts", given)


def by_merges(work: Work) -> str:
    return "merge" if _open(work) else "note_decisions"


def note_decisions(work: Work) -> None:
    """What a person rejected is not asked again; what was merged is a pair no more."""
    made: dict[str, Any] = {}
    for one in work.results("merge"):
        if one.ok:
            made[_key(one.arguments)] = None
        elif one.state == "rejected":
            made[_key(one.arguments)] = _stored(Decision(rejected=_day(work).isoformat()))
    if made:
        work.call("noted", "records_write", {"entity": RECORD, "data": made})


def close_contacts(work: Work) -> None:
    work.conclude(" ".join(_told(work)))


def give_up_contacts(work: Work) -> None:
    why = "; ".join(f"{one.tool}: {one.why}" for one in work.failures())
    work.fail("operator.contacts_unread", f"The contacts were not looked through: {why}.")


# -- what is read of the record ----------------------------------------------------------------------------------------------


def _data(work: Work) -> Mapping[str, Any]:
    return (work.value("decisions") or {}).get("data") or {}


def _day(work: Work) -> date:
    told = work.trigger.data.get("day")
    return date.fromisoformat(told) if told else work.business.local(work.now).date()


def _next(work: Work) -> str | None:
    page = work.results("page")[-1]
    found = ((((page.value or {}).get("paging") or {}).get("next")) or {}).get("after")
    return str(found) if found else None


def _read(work: Work) -> list[Contact]:
    rows = [row for page in work.results("page") if page.ok for row in page.value.get("results") or []]
    return [contacts.contact_in(row) for row in rows]


def _found(work: Work) -> Found:
    known = contacts.decisions_in(_data(work))
    return contacts.duplicates(_read(work), contacts.settled(known, _day(work)))


def _unsure(work: Work) -> list[Pair]:
    return _found(work).unsure[: contacts.MOST_JUDGED]


def _all(work: Work) -> list[Pair]:
    """Those that are one by rule, and those that the model takes for one."""
    judged = work.answer(SAME)
    return contacts.once_each(
        [*_found(work).same, *(pair for pair in _unsure(work) if judged and pair.key in judged.same)]
    )


def _proposed(work: Work) -> list[Pair]:
    return _all(work)[: contacts.MOST_PROPOSALS]


def _open(work: Work) -> list[Pair]:
    """Proposals that no call was made for yet, when it is on record that a person is asked."""
    if not (asked := work.result("asked")) or not asked.ok:
        return []
    made = {_key(one.arguments) for one in work.results("merge")}
    return [pair for pair in _proposed(work) if pair.key not in made]


def _key(given: Mapping[str, Any]) -> str:
    return contacts.key_of(given["primaryObjectId"], given["objectIdToMerge"])


def _told_of(work: Work, proposed: Iterable[Pair]) -> dict[str, Any]:
    """What goes on record before anybody is asked; null takes an entry away."""
    known, after, whole = contacts.decisions_in(_data(work)), _next(work), _is_whole(work)
    day, judged = _day(work).isoformat(), work.answer(SAME)
    made: dict[str, Any] = dict.fromkeys(contacts.outdated(known, _read(work))) if whole else {}
    if judged:
        made |= {one.key: _stored(Decision(different=day)) for one in _unsure(work) if one.key not in judged.same}
    made |= {pair.key: _stored(Decision(asked=day)) for pair in proposed}
    if after != _data(work).get(LOOKED_UP_TO):
        made[LOOKED_UP_TO] = after
    return made


def _is_whole(work: Work) -> bool:
    """Whether this run has read all contacts there are."""
    pages = work.results("page")
    return not _data(work).get(LOOKED_UP_TO) and pages[-1].ok and _next(work) is None


def _stored(decision: Decision) -> dict[str, Any]:
    return decision.model_dump(exclude_none=True)


def _told(work: Work) -> list[str]:
    """The summary, sentence by sentence."""
    read, pairs, merges = _read(work), _all(work), work.results("merge")
    said = [f"Looked through {_counted(len(read), 'contact')}: {_counted(len(pairs), 'possible duplicate')}."]
    merged = [one for one in merges if one.ok]
    rejected = [one for one in merges if one.state == "rejected"]
    others = [one for one in merges if not one.ok and one.state != "rejected"]
    if merges:
        said.append(f"{len(merged)} merged, {len(rejected)} kept apart by a person.")
    said += [f"Contact {one.arguments['objectIdToMerge']} was not merged: {one.why}." for one in others]
    if (asked := work.result("asked")) and not asked.ok and pairs:
        said.append(f"Nobody was asked, as it could not be put on record: {asked.why}.")
    if len(pairs) > contacts.MOST_PROPOSALS:
        said.append(f"{len(pairs) - contacts.MOST_PROPOSALS} more are left for another night.")
    if left := contacts.settled(contacts.decisions_in(_data(work)), _day(work)):
        said.append(f"{_counted(len(left), 'pair')} decided earlier or asked of lately, and not asked again.")
    page = work.results("page")[-1]
    if not page.ok:
        said.append(f"Reading ended early: {page.why}.")
    elif _next(work):
        said.append("The rest of the contacts comes next time.")
    return said


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
