"""What People Ops' nodes read of their record: the candidate's file, their words, the calendar, the checklist."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from services.people_ops.prompts import CHOICE, MARKS, OFFER_REPLY
from services.people_ops.rules import anonymous, calendar, candidates, onboarding, rubric
from services.people_ops.rules.calendar import Picked
from services.people_ops.rules.candidates import File, OfferAnswer, Pipeline
from services.people_ops.rules.onboarding import Hire, Onboarding
from shared.business import Business
from shared.runtime.work import Result, Work

REPLIED = "viox.candidate.replied"


def zone(work: Work) -> ZoneInfo:
    return ZoneInfo(work.business.time_zone)


def file(work: Work) -> File:
    """The file of the conversation's candidate."""
    found = work.kept("file", File)
    assert found is not None  # noqa: S101  # what_came sends conversations without one elsewhere
    return found


def keep(work: Work, made: File, **changed: Any) -> File:
    made = made.model_copy(update=changed)
    work.keep("file", made)
    return made


def applied(work: Work) -> File:
    """The file of a new application."""
    data = work.trigger.data
    known = {key: str(data.get(key) or "").strip() for key in ("candidate_id", "name", "email", "position")}
    return File(**known, phone=data.get("phone") or None, stage="incomplete" if candidates.missing(data) else "applied")


def application(work: Work) -> str:
    """The application without who wrote it."""
    data = work.trigger.data
    return anonymous.anonymous(str(data.get("resume_text", "")), str(data.get("name", "")), work.now.year)


def screening(work: Work) -> rubric.Screening:
    marks = work.answer(MARKS)
    assert marks is not None  # noqa: S101  # the question is not optional
    return rubric.weighed(marks.marks, rubric.rubric_for(file(work).position), application(work))


def words(work: Work) -> str:
    """What the candidate wrote."""
    said, asked = work.trigger.heard, work.trigger.context.get("inquiry")
    if isinstance(asked, dict):
        who = ", ".join(str(asked[name]) for name in ("name", "email", "phone") if asked.get(name))
        return f"{who}: {asked.get('text') or ''}"
    return said.words if said else str(work.trigger.data.get("text", ""))


def picked(work: Work) -> Picked | None:
    plain = calendar.picked(words(work), file(work).offered, zone(work))
    if plain:
        return plain
    answer = work.answer(CHOICE)
    if answer is None:
        return None
    number = int(answer.answer) if answer.answer.isdecimal() else 0
    return answer.answer if number <= len(file(work).offered) else "unclear"


def chosen(work: Work) -> datetime | None:
    """The slot that the candidate takes."""
    answer = picked(work)
    return file(work).offered[int(answer) - 1] if answer in ("1", "2", "3") else None


def offer_reply(work: Work) -> OfferAnswer | None:
    answer = work.answer(OFFER_REPLY)
    return candidates.offer_answer(words(work)) or (answer.answer if answer else None)


def taken(work: Work) -> set[str]:
    """Slots that somebody has."""
    rows = (work.value("calendar") or {}).get("rows") or []
    return {row["entity"] for row in rows if row["data"].get("holder")}


def free(work: Work) -> list[datetime]:
    return calendar.offer(work.now, zone(work), taken(work), file(work).shown, partial(_is_open, work.business))


def _is_open(business: Business, slot: datetime) -> bool:
    """Whether the business is open from the slot's beginning to its last minute."""
    last = slot + calendar.LENGTH - timedelta(minutes=1)
    return business.next_open(slot) == slot and business.next_open(last) == last


def decision(work: Work, name: str) -> str:
    """What a person answered; nothing when nobody did."""
    return str((work.value(name) or {}).get("answer") or "")


def base_of(work: Work) -> str | None:
    bases = (work.value("bases") or {}).get("bases") or []
    return next((one["id"] for one in bases if one["name"] == candidates.BASE), None)


def pipeline_of(work: Work) -> Pipeline | None:
    """The table of the pipeline, where there is one by now."""
    if found := file(work).pipeline:
        return found
    base, schema = base_of(work), work.value("schema") or {}
    made = [*(schema.get("tables") or []), *([work.value("table")] if work.value("table") else [])]
    table = next((one["id"] for one in made if one["name"] == candidates.TABLE), None)
    return Pipeline(base=base, table=table) if base and table else None


def row_call(work: Work, made: File, into: Pipeline | None) -> None:
    """Bring the candidate's row up to date; in our own records where there is no pipeline."""
    row = made.row(zone(work))
    if into is None:
        work.call("row", "records_write", {"entity": made.holder, "data": row})
        return
    merge = {"fieldsToMergeOn": ["Candidate"]}
    given = {"baseId": into.base, "tableId": into.table, "performUpsert": merge, "records": [{"fields": row}]}
    work.call("row", "airtable_upsert_records", given)


def write_to(work: Work, name: str, made: File, subject: str, *paragraphs: str, short: str | None = None) -> None:
    """To the candidate: by text message where it is short and there is a number, else by mail."""
    said = work.trigger.heard
    by_mail = said is not None and said.channel == "mail" and made.email  # who writes a mail gets one
    if short and made.phone and not by_mail:
        text = f"{work.business.name}: {short}"
        work.call(name, "twilio_send_message", {"To": made.phone, "Body": text})
    elif made.email:
        letter = candidates.letter(made, subject, *paragraphs, business=work.business.name)
        work.call(name, "email_send", letter | ({"in_reply_to": said.message_id} if said and said.message_id else {}))


def checklist(work: Work) -> Onboarding:
    found = work.kept("onboarding", Onboarding)
    assert found is not None  # noqa: S101  # what_came sends conversations without one elsewhere
    return found


def hire(work: Work) -> Hire | None:
    """Who begins: of a task's facts (None when they do not fit), or the candidate who accepted an offer."""
    if "hire" in work.trigger.context:
        try:
            return Hire.model_validate(work.trigger.context["hire"])
        except ValidationError:
            return None
    one = file(work)
    first = onboarding.first_day_in(one.terms)
    return Hire(name=one.name, email=one.email or None, phone=one.phone, position=one.position, starts_on=first)


def item_of(work: Work) -> str | None:
    """The item of the checklist that a timer or a task is about."""
    known = work.kept("onboarding", Onboarding)
    closing = work.trigger.context.get("close") or {}
    name = str((work.trigger.context.get("timer") or {}).get("name", ""))
    key = str(closing.get("item", "")) or name.removeprefix(onboarding.timer(""))
    return key if known and key in known.items else None


def failed(results: Iterable[Result | None]) -> str:
    """A sentence about what did not work, or nothing."""
    found = [f"{one.tool}: {one.why}" for one in results if one and not one.ok]
    return f" Did not work: {'; '.join(found)}." if found else ""
