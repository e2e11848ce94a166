"""An application: received, screened without who it is of, entered into the pipeline, decided on."""

from __future__ import annotations

from services.people_ops.prompts import MARKS
from services.people_ops.rules import candidates, rubric
from services.people_ops.work.interview import by_calendar, look_at_calendar
from services.people_ops.work.reading import (
    application,
    applied,
    base_of,
    decision,
    failed,
    file,
    keep,
    pipeline_of,
    row_call,
    screening,
    write_to,
)
from shared.runtime.work import Work

DECIDED_WITHIN = "7d"
LOOKS = 2  # at the pipeline, before the row goes into our own records


def receive(work: Work) -> None:
    keep(work, applied(work))


def by_content(work: Work) -> str:
    return "ask_for_missing" if candidates.missing(work.trigger.data) else "screen"


def ask_for_missing(work: Work) -> None:
    made, gaps = file(work), ", ".join(candidates.missing(work.trigger.data))
    thanks = f"thank you for applying{f' as {made.position}' if made.position else ''}."
    write_to(work, "written", made, "Your application", thanks, f"Please send us what is missing: {gaps}.")


def close_incomplete(work: Work) -> None:
    gaps = ", ".join(candidates.missing(work.trigger.data))
    asked = work.result("written")
    how = "They were asked for it." if asked and asked.ok else f"They could not be asked.{failed([asked])}"
    work.conclude(f"{file(work).name or 'Somebody'} applied without {gaps}. {how}")


def screen(work: Work) -> None:
    """The model sees the application without who wrote it, and the rubric of the position."""
    work.ask(
        MARKS,
        rubric=[one.model_dump() for one in rubric.rubric_for(file(work).position)],
        outside={"application": application(work)},
    )


def look_around(work: Work) -> None:
    keep(work, file(work), screening=screening(work))
    work.call("bases", "airtable_list_bases", {})
    look_at_calendar(work)


def open_pipeline(work: Work) -> None:
    if base := base_of(work):
        work.call("schema", "airtable_get_base_schema", {"baseId": base})


def add_table(work: Work) -> None:
    if (base := base_of(work)) and work.value("schema") and pipeline_of(work) is None:
        work.call("table", "airtable_create_table", {"baseId": base} | candidates.table())


def by_table(work: Work) -> str:
    """Who was a moment late finds the table of the other, when it looks again."""
    lost = work.result("table") is not None and pipeline_of(work) is None
    return "open_pipeline" if lost and len(work.results("schema")) < LOOKS else "enter"


def enter(work: Work) -> None:
    """The row stands before anybody is written to."""
    into = pipeline_of(work)
    made = keep(work, file(work), pipeline=into)
    row_call(work, made, into)


def by_total(work: Work) -> str:
    """High enough and proven: invited. Everybody else: a person decides."""
    found = file(work).screening
    return by_calendar(work) if found and found.invites else "ask_person"


def ask_person(work: Work) -> None:
    """The applicant hears that somebody looks at it, and a person decides, with the reasons."""
    made = file(work)
    thanks = f"thank you for applying as {made.position}. We look at every application ourselves and will be in touch."
    write_to(work, "written", made, "Your application", thanks)
    choices = [candidates.INVITE, candidates.DECLINE, candidates.KEEP]
    given = {"question": candidates.question(made), "choices": choices, "expires": DECIDED_WITHIN}
    work.call("decision", "person_ask", given)


def by_decision(work: Work) -> str:
    match decision(work, "decision"):
        case candidates.INVITE:
            return "look_at_calendar"
        case candidates.DECLINE:
            return "decline"
    return "keep_on_file"


def decline(work: Work) -> None:
    """A person decided so."""
    made = keep(work, file(work), stage="declined", slot=None)
    regret = f"thank you for your interest in working with us as {made.position}. We have decided not to go on with your application."
    write_to(work, "declined", made, "Your application", regret, "We wish you all the best.")
    row_call(work, made, made.pipeline)


def keep_on_file(work: Work) -> None:
    row_call(work, keep(work, file(work), stage="on file"), file(work).pipeline)


def close_application(work: Work) -> None:
    made = file(work)
    by = "a person decided so" if decision(work, "decision") or decision(work, "outcome") else "nobody has decided"
    total = f", {made.screening.total} of 100" if made.screening else ""
    work.conclude(f"{made.name}, {made.position}{total}: {made.stage} ({by}).{failed(work.failures())}")


def note_repeat(work: Work) -> None:
    made = file(work)
    work.conclude(f"{made.name} applied again; the application stands at “{made.stage}”.")
