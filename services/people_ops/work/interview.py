"""An interview: times offered, chosen, claimed, confirmed; reminders, changes, silence."""

from __future__ import annotations

from datetime import timedelta

from services.people_ops.prompts import CHOICE
from services.people_ops.rules import calendar, candidates
from services.people_ops.work.reading import chosen, failed, file, free, keep, picked, row_call, words, write_to, zone
from shared.runtime.work import Work

ANSWERED_WITHIN = "3d"


def look_at_calendar(work: Work) -> None:
    work.call("calendar", "records_list", {"prefix": calendar.PREFIX, "limit": 200})


def by_calendar(work: Work) -> str:
    """Without an answer of the calendar nothing is offered: it could be taken."""
    known = work.result("calendar")
    return "invite" if known and known.ok else "tell_of_trouble"


def invite(work: Work) -> None:
    offered, made = free(work), file(work)
    taken = work.result("claim") is not None
    first = (
        "that time has just been taken."
        if taken
        else f"thank you for applying as {made.position}. We would like to meet you."
    )
    if made.rounds and not taken:
        first = "here are other times."
    made = keep(work, made, offered=offered, shown=[*made.shown, *offered], rounds=made.rounds + 1, stage="invited")
    texts = calendar.as_list(offered, zone(work)).replace("\n", "; ")
    short = f"{first[0].upper()}{first[1:]} Which time suits you? {texts}. Please answer with the number."
    write_to(work, "invited", made, "Your application", *candidates.invitation(offered, zone(work), first), short=short)


def by_invitation(work: Work) -> str:
    sent = work.result("invited")
    if sent and sent.ok:
        return "await_choice"
    return "invite_later" if sent and sent.until else "tell_of_trouble"


def invite_later(work: Work) -> None:
    """Quiet hours: the times are looked up anew when they are over."""
    made, sent = file(work), work.result("invited")
    keep(work, made, offered=[], shown=[one for one in made.shown if one not in made.offered], rounds=made.rounds - 1)
    given = {"name": "invitation", "at": sent and sent.until, "instruction": "Invite the candidate."}
    work.call("timer", "timer_set", given)


def close_later(work: Work) -> None:
    work.conclude(f"{file(work).name} is invited when quiet hours are over.{failed([work.result('timer')])}")


def await_choice(work: Work) -> None:
    made = file(work)
    work.call("timer", "timer_set", {"name": "no answer", "after": ANSWERED_WITHIN, "instruction": "No answer came."})
    row_call(work, made, made.pipeline)


def close_invited(work: Work) -> None:
    made = file(work)
    total = f", {made.screening.total} of 100" if made.screening else ""
    times = "; ".join(calendar.in_words(one, zone(work)) for one in made.offered)
    problems = failed([work.result("row"), work.result("timer")])
    work.conclude(f"{made.name}, {made.position}{total}: invited, offered {times}.{problems}")


def read_choice(work: Work) -> None:
    """By rule where it is plain, else by the model."""
    if picked(work) is None:
        offered = calendar.as_list(file(work).offered, zone(work))
        work.ask(CHOICE, offered=offered, outside={"answer": words(work)})


def by_choice(work: Work) -> str:
    made = file(work)
    match picked(work):
        case "withdraw":
            return "withdraw"
        case "none":
            return "offer_others" if made.rounds < calendar.MOST_ROUNDS else "pass_on"
        case "1" | "2" | "3" if made.stage == "invited":
            return "claim"
    return "pass_on"


def claim(work: Work) -> None:
    """Whoever claims the slot first has it: of two candidates one."""
    made, slot = file(work), chosen(work)
    assert slot is not None  # noqa: S101  # by_choice has seen it
    given = {"entity": calendar.entity(slot), "holder": made.holder, "data": {"position": made.position}}
    work.call("claim", "records_claim", given)


def by_claim(work: Work) -> str:
    result = work.result("claim")
    if result is None or not result.ok:
        return "tell_of_trouble"
    return "confirm" if (result.value or {}).get("mine") else "look_at_calendar"


def confirm(work: Work) -> None:
    slot = chosen(work)
    assert slot is not None  # noqa: S101  # it is claimed
    made = keep(work, file(work), slot=slot, stage="booked")
    when = calendar.in_words(slot, zone(work))
    write_to(
        work,
        "confirmed",
        made,
        "Your interview",
        f"we look forward to meeting you on {when}.",
        "Please write to us if you cannot come.",
        short=f"See you on {when}. Write to us if you cannot come.",
    )
    row_call(work, made, made.pipeline)
    work.call("timer", "timer_cancel", {"name": "no answer"})
    if slot - work.now > timedelta(days=1):
        at = (slot - timedelta(days=1)).isoformat()
        work.call("reminder", "timer_set", {"name": "reminder", "at": at, "instruction": "Remind of the interview."})
    over = (slot + calendar.LENGTH).isoformat()
    work.call("over", "timer_set", {"name": "interview over", "at": over, "instruction": "Ask how the interview was."})


def close_booked(work: Work) -> None:
    made = file(work)
    when = calendar.in_words(made.slot, zone(work)) if made.slot else ""
    work.conclude(f"{made.name} comes to an interview on {when}.{failed(work.failures())}")


def offer_others(work: Work) -> None:
    """The slot that they had is given up, and others are looked for."""
    give_up_slot(work)
    keep(work, file(work), slot=None, stage="invited")
    look_at_calendar(work)


def withdraw(work: Work) -> None:
    give_up_slot(work)
    made = keep(work, file(work), slot=None, stage="withdrawn")
    row_call(work, made, made.pipeline)
    text = f"{made.name} does not want to go on with the application as {made.position}."
    work.call("told", "person_tell", {"subject": f"{made.name} withdrew", "text": text})


def close_withdrawn(work: Work) -> None:
    work.conclude(f"{file(work).name} withdrew the application.{failed(work.failures())}")


def remind(work: Work) -> None:
    made = file(work)
    if made.stage == "booked" and made.slot:
        when = calendar.in_words(made.slot, zone(work))
        write_to(
            work,
            "reminded",
            made,
            "Your interview tomorrow",
            f"we look forward to meeting you on {when}.",
            short=f"See you on {when}.",
        )


def close_reminder(work: Work) -> None:
    done = work.result("reminded")
    was = "was reminded" if done and done.ok else "was not reminded"
    work.conclude(f"{file(work).name} {was} of the interview.{failed([done])}")


def tell_of_silence(work: Work) -> None:
    made = file(work)
    asked = "the offered times" if made.stage == "invited" else "the offer"
    text = f"{made.name} ({made.position}) has not answered to {asked}."
    work.call("told", "person_tell", {"subject": f"No answer of {made.name}", "text": text})


def close_silence(work: Work) -> None:
    work.conclude(f"{file(work).name} has not answered; a person was to be told.{failed([work.result('told')])}")


def let_pass(work: Work) -> None:
    """A timer of something that is over."""
    made = file(work)
    work.conclude(f"Nothing is waited for any more: {made.name} stands at “{made.stage}”.")


def pass_on_stranger(work: Work) -> None:
    """Words of somebody of whom there is no application."""
    text = f"Somebody who has not applied wrote to hiring:\n{words(work)}"
    work.call("told", "person_tell", {"subject": "A message to hiring", "text": text})


def close_stranger(work: Work) -> None:
    told = work.result("told")
    who = "a person was told" if told and told.ok else "nobody was told"
    work.conclude(f"Somebody who has not applied wrote; {who}.{failed([told])}")


def pass_on(work: Work) -> None:
    """What no rule understands goes to a person, in the candidate's own words."""
    made = file(work)
    text = f"{made.name} ({made.position}, {made.stage}) wrote:\n{words(work)}"
    work.call("told", "person_tell", {"subject": f"{made.name} wrote", "text": text})


def close_passed_on(work: Work) -> None:
    told = work.result("told")
    work.conclude(
        f"{file(work).name} wrote; {'a person was told' if told and told.ok else 'nobody was told'}.{failed([told])}"
    )


def tell_of_trouble(work: Work) -> None:
    made = file(work)
    text = f"{made.name} ({made.position}, {made.stage}): the next step failed.{failed(work.failures())} Please take it on."
    work.call("told", "person_tell", {"subject": f"Hiring: {made.name}", "text": text})


def close_trouble(work: Work) -> None:
    made = file(work)
    problems = failed(one for one in work.failures() if one.name != "told") or " There was no way to write to them."
    work.fail(
        "people-ops.not_done", f"{made.name}, {made.position} ({made.stage}): the next step was not done.{problems}"
    )


def give_up_slot(work: Work) -> None:
    made = file(work)
    if made.slot:
        work.call("given up", "records_write", {"entity": calendar.entity(made.slot), "data": {"holder": None}})
        for name in ("reminder", "interview over"):
            work.call("timer", "timer_cancel", {"name": name})
