"""Afterwards: did it help? One mail some days later, and its answer read. Messages that waited; the report of a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.steward import domain
from services.steward.domain import ReportOrder
from services.steward.prompts import SATISFACTION
from services.steward.rules import letters
from services.steward.work import views
from services.steward.work.answering import CLOSED, WAITING_ON_US
from shared.runtime.work import Work

RUNS_OF_DAY = """
select trigger_type, status, count(*) from runs
where agent = 'steward' and started_at >= to_timestamp($1) and started_at < to_timestamp($2) group by 1, 2 order by 1, 2"""


def ask_satisfaction(work: Work) -> None:
    """Once a ticket, and only who got an answer."""
    case = views.case(work)
    if case and case.status == "answered" and case.surveyed_at is None:
        views.keep(work, surveyed_at=work.now)
        views.send(work, "survey", letters.survey(case.ticket, work.business.name))


def close_survey(work: Work) -> None:
    asked = work.result("survey")
    if asked is None:
        return work.conclude("The customer is not asked: there is no answer to ask about, or it was asked already.")
    if not asked.ok:
        return work.fail("steward.not_asked", f"The customer could not be asked whether it helped: {asked.why}.")
    return work.conclude("The customer was asked whether our answer helped.")


def is_awaited(work: Work) -> bool:
    """Whether what a customer writes now may be the answer to our question."""
    case = views.case(work)
    asked = case.surveyed_at if case and case.rated is None else None
    return asked is not None and work.now - asked <= domain.SURVEY_ANSWERS


def read_satisfaction(work: Work) -> None:
    """By rule where the reply leaves no doubt; else the model reads it."""
    reply = _reply(work)
    if domain.verdict_by_words(reply) is None:
        work.ask(SATISFACTION, outside={"reply": reply[:3000]})


def by_verdict(work: Work) -> str:
    verdict = _verdict(work)
    return {"happy": "note_happy", "unhappy": "apologise"}.get(verdict, "look_up")


def note_happy(work: Work) -> None:
    views.keep(work, status="closed", rated="happy")
    views.move(work, CLOSED)
    views.remember(work, f"Was happy with our answer to: {views.ticket(work).subject or 'a request'}")


def close_happy(work: Work) -> None:
    work.conclude(
        f"Ticket {views.ticket(work).ticket_id or ''}: the customer is happy with our answer.".replace(" :", ":")
    )


def apologise(work: Work) -> None:
    """It did not help: a person takes over."""
    views.keep(work, status="escalated", rated="unhappy")
    views.send(work, "sorry", letters.sorry(views.ticket(work), work.business.name))
    views.move(work, WAITING_ON_US)


def _reply(work: Work) -> str:
    ticket = views.ticket(work)
    return ticket.body or ticket.subject


def _verdict(work: Work) -> str:
    if by_words := domain.verdict_by_words(_reply(work)):
        return by_words
    judged = work.answer(SATISFACTION)
    return judged.verdict if judged else "new_request"


# -- messages that waited --------------------------------------------------------------------------------------------------


def deliver(work: Work) -> None:
    """A text message that waited for the end of quiet hours."""
    case, text = views.case(work), work.trigger.context[views.DELIVER].get("text")
    if case and text and case.ticket.phone:
        work.call("later", "twilio_send_message", {"To": case.ticket.phone, "Body": str(text)[:1600]})


def close_delivery(work: Work) -> None:
    made = work.result("later")
    if made is None or not made.ok:
        why = made.why if made else "nobody is known to send it to"
        return work.fail("steward.not_delivered", f"The message that waited was not sent: {why}.")
    return work.conclude("The message that waited was sent.")


# -- a day -----------------------------------------------------------------------------------------------------------------


def read_day(work: Work) -> None:
    day = ReportOrder.model_validate(work.trigger.context["report"]).day
    start = datetime.combine(day, datetime.min.time(), ZoneInfo(work.business.time_zone))
    span = [int(one.timestamp()) for one in (start, start + timedelta(days=1))]
    work.call("runs", "records_query", {"sql": RUNS_OF_DAY, "parameters": span, "limit": 100})


def close_report(work: Work) -> None:
    day, looked = work.trigger.context["report"]["day"], work.result("runs")
    if looked is None or not looked.ok:
        return work.fail(
            "steward.no_report", f"The day {day} could not be read: {looked.why if looked else 'not asked'}."
        )
    rows = (looked.value or {}).get("rows") or []
    lines = [f"{count} x {kind}: {status}" for kind, status, count in rows] or ["nothing happened"]
    return work.conclude(f"Steward, {day}\n- " + "\n- ".join(lines))
