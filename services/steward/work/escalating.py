"""What Steward does not know, a person answers: the customer is told honestly, a person is asked with a summary."""

from __future__ import annotations

from datetime import timedelta

from services.steward import domain
from services.steward.prompts import ANSWER
from services.steward.rules import answers, letters
from services.steward.work import views
from services.steward.work.answering import WAITING_ON_US, doubt, sources
from shared.runtime.work import Work

ASK = "person"
AT_ONCE = timedelta(minutes=1)


def acknowledge(work: Work) -> None:
    """No invention: the customer hears that a colleague looks at it, and until when there is an answer."""
    ticket, judged = views.ticket(work), views.triage(work)
    summary = judged.summary if judged else ticket.question[:300]
    views.keep(work, status="escalated", summary=summary, doubt=why(work))
    letter = letters.acknowledgement(ticket, work.business.name, views.urgency(work))
    views.send(work, "acknowledgement", letter)
    views.move(work, WAITING_ON_US)


def take_back(work: Work) -> None:
    """A mail of ours did not arrive: what was answered is not, and a person is asked how to reach them."""
    views.keep(work, status="escalated")
    views.move(work, WAITING_ON_US)


def by_asker(work: Work) -> str:
    return "ask_later" if views.is_delegated(work) else "ask_person"


def ask_later(work: Work) -> None:
    """A colleague waits for this run, and a person may take days: the person is asked in a run of its own."""
    told = {"name": ASK, "at": (work.now + AT_ONCE).isoformat(), "instruction": "Ask a person about the ticket."}
    work.call("ask timer", "timer_set", told | {"context": {ASK: {}}})


def by_timer(work: Work) -> str:
    asked = work.result("ask timer")
    return "leave_to_people" if asked and asked.ok else "ask_person"


def ask_person(work: Work) -> None:
    ticket, urgency, case, judged = views.ticket(work), views.urgency(work), views.case(work), views.triage(work)
    within = domain.PERSON_WITHIN[urgency]
    summary = judged.summary if judged else (case.summary if case else "")
    question = letters.question(ticket, urgency, summary, why(work), within)
    work.call("person", "person_ask", {"question": question, "expires": within})


def by_person(work: Work) -> str:
    told = work.value("person")
    return "pass_on" if told and not letters.is_no_reply(told["answer"]) else "leave_to_people"


def pass_on(work: Work) -> None:
    """A person answered: the customer gets it in the person's words."""
    letter = letters.from_person(views.ticket(work), work.business.name, work.value("person")["answer"])
    views.send(work, "from a person", letter)


def leave_to_people(work: Work) -> None:
    """Nobody answered yet, or nothing is to be answered: the ticket stays with us in HubSpot."""
    ticket = views.ticket(work)
    views.keep(work, status="closed" if work.value("person") else "escalated")
    views.remember(work, f"Asked: {ticket.subject or ticket.question[:150]}. It is with a colleague.")
    views.send_later(work)


def why(work: Work) -> str:
    """Why a person is asked."""
    case, said = views.case(work), work.trigger.heard
    if said and said.lost:
        return f"our last mail did not arrive: {'; '.join(said.lost)}"
    if work.results("sorry"):
        return "our answer did not help"
    if work.trigger.is_task and "ticket" not in work.trigger.context:
        return case.doubt if case and case.doubt else "it is not answered yet"
    return doubt(work) or "our answer did not help"


def close_ticket(work: Work) -> None:
    """What became of it, for the owner: done as done, and what is not as not done."""
    ticket, case = views.ticket(work), views.case(work)
    head = f"Ticket {ticket.ticket_id or 'from ' + (ticket.customer_email or ticket.phone or 'nobody known')}"
    head += f" ({ticket.subject or 'no subject'}): {views.urgency(work)} urgency"
    told = "; ".join([head, *_what_happened(work)]) + "."
    written, asked = views.sent(work), work.result("person")
    reached = any(one.ok or one.until for one in written) or bool(asked and asked.ok)
    if case is not None and case.status != "answered" and not reached and views.hubspot_ticket(work) is None:
        return work.fail("steward.nobody_reached", told, "Write to the customer, or ask for it again.")
    return work.conclude(told)


def _what_happened(work: Work) -> list[str]:
    done = []
    for one in views.sent(work):
        until = one.until
        done.append(
            f"{one.name}: sent"
            if one.ok
            else f"{one.name}: {f'goes out {until}' if until else f'not sent ({one.why})'}"
        )
    if not views.sent(work):
        done.append("the customer was not written to")
    person = work.result("person")
    if person is not None:
        done.append(
            f"{(person.value or {}).get('by') or 'a person'} answered"
            if person.ok
            else f"no person answered ({person.why})"
        )
        done.append(f"asked because {why(work)}")
    if (later := work.result("ask timer")) and later.ok:
        done.append(f"a person is asked because {why(work)}")
    if refund := work.value("refund"):
        done.append(f"Controller: {refund.get('text') or refund.get('status')}".rstrip("."))
    done += _sources(work)
    done += [
        f"{one.tool} did not work ({one.why})" for one in work.failures() if one.name in ("opened", "moved", "entered")
    ]
    return done


def _sources(work: Work) -> list[str]:
    """What the answer rests on: documents and colleagues by name."""
    answer = work.answer(ANSWER)
    if answer is None or doubt(work):
        return []
    return ["from " + "; ".join(one.where for one in answers.cited(answer, sources(work)))]
