"""An offer: how the interview was, on which terms, the letter, the answer."""

from __future__ import annotations

from services.people_ops.prompts import OFFER_REPLY
from services.people_ops.rules import candidates
from services.people_ops.work.reading import decision, failed, file, keep, offer_reply, row_call, words, write_to
from shared.runtime.work import Work

DECIDED_WITHIN = "7d"
OFFER_WITHIN = "5d"


def ask_how_it_was(work: Work) -> None:
    made = keep(work, file(work), stage="interviewed")
    choices = [candidates.OFFER, candidates.SECOND, candidates.DECLINE, candidates.KEEP]
    question = f"{made.name} was to have an interview as {made.position}. How do we go on?"
    work.call("outcome", "person_ask", {"question": question, "choices": choices, "expires": DECIDED_WITHIN})
    row_call(work, made, made.pipeline)


def by_outcome(work: Work) -> str:
    match decision(work, "outcome"):
        case candidates.OFFER:
            return "ask_for_terms"
        case candidates.SECOND:
            return "look_at_calendar"
        case candidates.DECLINE:
            return "decline"
    return "keep_on_file"


def ask_for_terms(work: Work) -> None:
    """Pay and dates are a person's: their words go into the letter as they are."""
    made = file(work)
    question = f"What do we offer {made.name}? Your words go into the letter as they are: pay, hours, and the first day as YYYY-MM-DD."
    work.call("terms", "person_ask", {"question": question, "expires": DECIDED_WITHIN})


def by_terms(work: Work) -> str:
    return "send_offer" if decision(work, "terms") else "keep_on_file"


def send_offer(work: Work) -> None:
    """policy.cedar has a person agree to exactly this letter."""
    made = keep(work, file(work), terms=decision(work, "terms"))
    offer = f"we are glad to offer you the position of {made.position}:"
    write_to(work, "offer", made, f"Our offer: {made.position}", offer, made.terms, "Please answer yes or no.")


def by_sending(work: Work) -> str:
    sent = work.result("offer")
    return "await_reply" if sent and sent.ok else "tell_of_trouble"


def await_reply(work: Work) -> None:
    made = keep(work, file(work), stage="offered")
    work.call("timer", "timer_set", {"name": "offer", "after": OFFER_WITHIN, "instruction": "No answer to the offer."})
    row_call(work, made, made.pipeline)


def close_offer(work: Work) -> None:
    work.conclude(f"{file(work).name} has our offer.{failed([work.result('timer'), work.result('row')])}")


def read_reply(work: Work) -> None:
    if offer_reply(work) is None:
        work.ask(OFFER_REPLY, outside={"answer": words(work)})


def by_reply(work: Work) -> str:
    match offer_reply(work):
        case "accepted":
            return "begin_onboarding"
        case "declined":
            return "withdraw"
    return "pass_on"
