"""A failed automation: looked at, run again once where that may mend it, told to a person where it does not."""

from __future__ import annotations

from services.builder.prompts import CAUSE
from services.builder.rules import failures
from services.builder.work.reading import escalation, failure_of, news_of, scenario_of, watched
from shared.runtime.work import Work


def look_at_execution(work: Work) -> None:
    if execution := failures.execution_id(news_of(work)):
        work.call("execution", "n8n_get_execution", {"id": execution, "includeData": True})
    take(work)


def take(work: Work) -> None:
    """Not what Operator hands over: that is taken already."""
    claim = failures.claim_on(failure_of(work), f"builder:{work.trigger.id}")
    if claim and not work.trigger.is_task:
        work.call("taken", "records_claim", claim)


def is_taken(work: Work) -> bool:
    """Whether another run looks after this failure."""
    claim = work.value("taken")
    return bool(claim) and not claim["mine"]


def note_taken(work: Work) -> None:
    holder = str((work.value("taken").get("data") or {}).get("by") or "another run").capitalize()
    work.conclude(f"{failure_of(work).told}. {holder} looks after it.")


def by_execution(work: Work) -> str:
    if is_taken(work):
        return "note_taken"
    passes = watched(work).may_retry(failure_of(work), work.value("execution"))
    return "run_again" if passes and not work.trigger.is_task else by_cause(work)


def run_again(work: Work) -> None:
    """Once. That it was is kept, so that no other news of the same execution runs it a second time."""
    failure = failure_of(work)
    work.keep("watched", watched(work).with_retry(failure))
    work.call("retry", "n8n_retry_execution", {"id": failure.execution})


def by_retry(work: Work) -> str:
    return "let_it_run" if work.value("retry") else "tell_person"


def let_it_run(work: Work) -> None:
    if work.value("retry").get("status") in ("new", "running", "waiting"):
        work.call("pause", "wait_until", {"after": "5s"})


def look_at_retry(work: Work) -> None:
    work.call("again", "n8n_get_execution", {"id": str(work.value("retry")["id"]), "includeData": True})


def by_second_run(work: Work) -> str:
    return "note_success" if (work.value("again") or {}).get("status") == "success" else "tell_person"


def note_success(work: Work) -> None:
    work.conclude(f"{failure_of(work).told}. It was run again, and succeeded.")


def look_at_scenario(work: Work) -> None:
    data = work.trigger.data
    if scenario := failures.scenario_id(data):
        work.call("scenario", "make_get_scenario", {"scenarioId": scenario})
        if execution := failures.make_execution(data):
            work.call("execution", "make_get_execution", {"scenarioId": scenario, "executionId": execution})
    take(work)


def by_scenario(work: Work) -> str:
    """Make runs an active scenario again by itself: what passes is left to that, unless it does not pass."""
    if is_taken(work):
        return "note_taken"
    seen = watched(work).with_transient(work.now)
    passes = failure_of(work).kind == "transient" and len(seen.transient) < failures.MANY_TRANSIENT
    return "leave_to_schedule" if passes and scenario_of(work).get("isActive") is True else by_cause(work)


def leave_to_schedule(work: Work) -> None:
    work.keep("watched", watched(work).with_transient(work.now))
    following = scenario_of(work).get("nextExec")
    when = f" Its next run is at {following}." if following else ""
    work.conclude(f"{failure_of(work).told}. That passes by itself, and Make runs it again.{when}")


def by_cause(work: Work) -> str:
    failure = failure_of(work)
    if watched(work).knows(failure, work.now):
        return "note_repeat"
    return "read_parts" if failure.kind == "unclear" else "tell_person"


def note_repeat(work: Work) -> None:
    work.conclude(f"{failure_of(work).told}. A person was told of the same less than a day ago.")


def read_parts(work: Work) -> None:
    """What the automation is made of, for whoever has to explain the failure."""
    workflow = str((news_of(work).get("workflow") or {}).get("id") or "")
    if workflow:
        work.call("parts", "n8n_get_workflow", {"id": workflow})


def explain(work: Work) -> None:
    outside = {"failure": failure_of(work), "parts": (work.value("parts") or {}).get("nodes")}
    work.ask(CAUSE, outside=outside)


def tell_person(work: Work) -> None:
    failure = failure_of(work)
    work.keep("watched", watched(work).with_told(failure, work.now))
    subject = f"An automation failed: {failure.automation}"[:150]
    work.call("told", "person_tell", {"subject": subject, "text": escalation(work), "by": "sms"})


def close_failure(work: Work) -> None:
    told = work.result("told")
    ending = "A person was told." if told and told.ok else f"No person could be told: {told.why if told else 'nobody'}."
    work.conclude(f"{escalation(work)} {ending}")
