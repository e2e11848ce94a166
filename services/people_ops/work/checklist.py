"""Onboarding: a checklist whose items are asked about until people close them."""

from __future__ import annotations

from services.people_ops.rules import onboarding
from services.people_ops.rules.candidates import File
from services.people_ops.rules.onboarding import Onboarding
from services.people_ops.work.reading import checklist, decision, failed, hire, item_of, keep, row_call, zone
from shared.runtime.work import Work


def begin_onboarding(work: Work) -> None:
    """A checklist, a timer for each item, and the row of who was hired."""
    hired = hire(work)
    assert hired is not None  # noqa: S101  # what_came sends others elsewhere
    begun = onboarding.begun(hired, work.now, zone(work))
    work.keep("onboarding", begun)
    for key, item in begun.items.items():
        given = {"name": onboarding.timer(key), "at": item.due.isoformat(), "instruction": f"Onboarding: {item.title}."}
        work.call(f"timer {key}", "timer_set", given)
    if known := work.kept("file", File):
        made = keep(work, known, stage="hired")
        row_call(work, made, made.pipeline)
        work.call("offer timer", "timer_cancel", {"name": "offer"})
    text = begun.told()
    work.call("told", "person_tell", {"subject": f"Onboarding of {begun.name}", "text": text})


def refuse_hire(work: Work) -> None:
    remedy = "Give context.hire with name, and email, phone, position and starts_on (YYYY-MM-DD) where they are known."
    work.fail("people-ops.invalid_hire", "Nobody is onboarded: the facts of the hire do not fit.", remedy)


def close_begun(work: Work) -> None:
    begun = checklist(work)
    work.conclude(
        f"{begun.name} begins on {begun.first_day}: {len(begun.items)} items are set.{failed(work.failures())}"
    )


def ask_about_item(work: Work) -> None:
    key, known = item_of(work), checklist(work)
    item = known.items[str(key)]
    if item.closed is None:
        question = f"Onboarding of {known.name} (first day {known.first_day}): {item.title}. Is it done?"
        work.call("item", "person_ask", {"question": question, "choices": list(onboarding.CHOICES), "expires": "2d"})


def by_item(work: Work) -> str:
    item = checklist(work).items[str(item_of(work))]
    if item.closed is not None:
        return "close_onboarding"
    if decision(work, "item") in (onboarding.DONE, onboarding.NOT_NEEDED):
        return "tick_off"
    return "ask_again_later" if item.reminders < onboarding.MOST_REMINDERS else "give_item_up"


def tick_off(work: Work) -> None:
    work.keep("onboarding", checklist(work).with_item(str(item_of(work)), closed=decision(work, "item")))


def ask_again_later(work: Work) -> None:
    key, known = str(item_of(work)), checklist(work)
    item = known.items[key]
    work.keep("onboarding", known.with_item(key, reminders=item.reminders + 1))
    at = (work.now + onboarding.ASK_AGAIN).isoformat()
    given = {"name": onboarding.timer(key), "at": at, "instruction": f"Onboarding: {item.title}."}
    work.call("timer", "timer_set", given)


def give_item_up(work: Work) -> None:
    known = checklist(work)
    item = known.items[str(item_of(work))]
    text = f"Onboarding of {known.name}: “{item.title}” was not done after {item.reminders} reminders. Nobody is reminded any more."
    work.call("told", "person_tell", {"subject": f"Onboarding of {known.name}", "text": text})


def close_item(work: Work) -> None:
    """A person says that an item is done, before anybody asked."""
    key = str(item_of(work))
    work.keep("onboarding", checklist(work).with_item(key, closed=onboarding.DONE))
    work.call("timer", "timer_cancel", {"name": onboarding.timer(key)})


def close_onboarding(work: Work) -> None:
    known: Onboarding = checklist(work)
    left = ", ".join(known.left)
    work.conclude(
        f"Onboarding of {known.name}: {f'open: {left}' if left else 'everything is done'}.{failed(work.failures())}"
    )
