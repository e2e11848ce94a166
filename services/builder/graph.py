"""What Builder does, in the order of the work.

An automation failed: it is looked at; what passes by itself is run again once (n8n) or left to its schedule (Make); everything
else goes to a person, with its cause, once a day for each cause.

An automation is wanted: the model drafts it from known parts; rules put it together and check it; n8n gets it inactive; a person
agrees that it is activated (policy.cedar); it is tested by its webhook; when the test is red it is switched off again.
"""

from __future__ import annotations

from langgraph.graph import END

from services.builder.domain import failures, workflows
from services.builder.domain.failures import Failure, Watched
from services.builder.domain.workflows import Built, Draft, Need
from services.builder.prompts import CAUSE, DRAFT, REDRAFT
from shared.runtime.flow import Flow
from shared.runtime.work import Work

LOOKS = 6  # at whether the test has run, five seconds apart


def what_came(work: Work) -> str:
    match work.trigger.type:
        case "com.n8n.execution.failed":
            return "look_at_execution"
        case "com.make.scenario.failed":
            return "look_at_scenario"
        case "viox.automation.requested":
            return "look_around"
    return "look_around" if need_of(work) else "improvise"


# -- an automation failed ------------------------------------------------------------------------------------------------


def look_at_execution(work: Work) -> None:
    if execution := failures.execution_id(work.trigger.data):
        work.call("execution", "n8n_get_execution", {"id": execution, "includeData": True})


def by_execution(work: Work) -> str:
    return "run_again" if watched(work).may_retry(failure_of(work), work.value("execution")) else by_cause(work)


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


def by_scenario(work: Work) -> str:
    """Make runs an active scenario again by itself: what passes is left to that, unless it does not pass."""
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
    workflow = str((work.trigger.data.get("workflow") or {}).get("id") or "")
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


# -- an automation is wanted ---------------------------------------------------------------------------------------------


def look_around(work: Work) -> None:
    need = needed(work)
    work.keep("need", need)
    if built := work.kept("built", Built):
        work.call("standing", "n8n_get_workflow", {"id": built.workflow_id})
    work.call("credentials", "n8n_list_credentials", {"limit": 250})
    work.call("taken", "n8n_list_workflows", {"name": workflows.name_for(need, ())})


def by_standing(work: Work) -> str:
    if work.value("standing"):
        return "note_standing"
    found = work.result("credentials")
    return "draft" if found and found.ok else "give_up"


def note_standing(work: Work) -> None:
    found = work.value("standing")
    state = "active" if found.get("active") else "inactive"
    work.conclude(f"{found.get('name')} was built before; it is {state}. Ask for changes in a task of their own.")


def draft(work: Work) -> None:
    work.ask(DRAFT, credentials=credential_names(work), outside={"need": needed(work)})


def redraft(work: Work) -> None:
    work.ask(REDRAFT, credentials=credential_names(work), outside={"need": needed(work), "wrong": problems(work)})


def by_draft(work: Work) -> str:
    if drafted(work).missing:
        return "ask_back"
    return "redraft" if problems(work) else "create"


def by_redraft(work: Work) -> str:
    if drafted(work).missing:
        return "ask_back"
    return "give_up" if problems(work) else "create"


def ask_back(work: Work) -> None:
    """What the need does not say is asked; the answer comes as a task in this conversation, whenever it comes."""
    asked = "\n".join(f"- {one}" for one in drafted(work).missing)
    text = (
        f"The automation “{needed(work).title}” cannot be built before this is known:\n{asked}\n{how_to_answer(work)}"
    )
    work.call("told", "person_tell", {"subject": "A question about an automation", "text": text})


def close_question(work: Work) -> None:
    asked = " ".join(drafted(work).missing)
    told = work.result("told")
    how = "The owner was asked." if told and told.ok else "Nobody could be asked."
    work.conclude(f"Nothing was built: it is not known yet. {asked} {how} {how_to_answer(work)}")


def create(work: Work) -> None:
    """n8n creates workflows inactive."""
    work.call("created", "n8n_create_workflow", workflow(work))


def by_creation(work: Work) -> str:
    return "activate" if work.value("created") else "give_up"


def activate(work: Work) -> None:
    """policy.cedar has a person agree before this call is made."""
    made = workflow(work)
    identity = str(work.value("created")["id"])
    path = workflows.path_for(needed(work), work.trigger.id)
    work.keep("built", Built(workflow_id=identity, name=made["name"], path=path))
    work.call("activated", "n8n_activate_workflow", {"id": identity})


def by_activation(work: Work) -> str:
    result = work.result("activated")
    assert result is not None  # noqa: S101  # activate has just asked for it
    if result.ok:
        return "test"
    return "leave_inactive" if result.state in ("rejected", "expired", "denied") else "switch_off"


def leave_inactive(work: Work) -> None:
    why = work.result("activated").why  # type: ignore[union-attr]  # by_activation has read it
    work.conclude(f"{built(work).name} stands in n8n and stays inactive: {why}.")


def test(work: Work) -> None:
    """A real run, by the webhook that every workflow has."""
    body = workflows.sample_of(drafted(work))
    work.call("test", "n8n_call_webhook", {"path": built(work).path, "body": body})


def by_test(work: Work) -> str:
    return "let_test_run" if work.result("test").ok else "switch_off"  # type: ignore[union-attr]  # test has asked for it


def let_test_run(work: Work) -> None:
    work.call("pause", "wait_until", {"after": "5s"})


def look_at_test(work: Work) -> None:
    work.call("runs", "n8n_list_executions", {"workflowId": built(work).workflow_id, "limit": 5})


def by_run(work: Work) -> str:
    match run_of_test(work).get("status"):
        case "success":
            return "hand_over"
        case None | "new" | "running" | "waiting":
            return "let_test_run" if len(work.results("runs")) < LOOKS else "switch_off"
    return "read_error"


def read_error(work: Work) -> None:
    work.call("error", "n8n_get_execution", {"id": str(run_of_test(work)["id"]), "includeData": True})


def switch_off(work: Work) -> None:
    """Roll back: what is not known to work does not run."""
    work.call("switched off", "n8n_deactivate_workflow", {"id": built(work).workflow_id})


def hand_over(work: Work) -> None:
    work.keep("built", built(work).model_copy(update={"active": True}))
    text = f"{built(work).name} is active in n8n. Its test ran as execution {run_of_test(work)['id']} and succeeded."
    work.call("told", "person_tell", {"subject": "A new automation is active", "text": text})


def close_built(work: Work) -> None:
    work.conclude(
        f"{built(work).name} was created, activated and tested in n8n: execution {run_of_test(work)['id']} succeeded."
    )


def close_red(work: Work) -> None:
    off = work.result("switched off")
    done = "It is switched off again." if off and off.ok else f"It could NOT be switched off: {off.why if off else ''}."
    work.fail("builder.test_failed", f"{built(work).name} was not put to use: {red(work)}. {done}")


def give_up(work: Work) -> None:
    wrong = problems(work) if work.answer(DRAFT) else []
    why = "; ".join([*wrong, *(one.why for one in work.failures())])
    work.fail("builder.not_built", f"“{needed(work).title}” was not built: {why}.")


# -- parts -----------------------------------------------------------------------------------------------------------------


def watched(work: Work) -> Watched:
    return work.kept("watched", Watched) or Watched()


def failure_of(work: Work) -> Failure:
    data = work.trigger.data
    if work.trigger.type == "com.make.scenario.failed":
        return failures.make_failure(data, work.value("scenario"), work.value("execution"))
    return failures.n8n_failure(data, work.value("execution"))


def scenario_of(work: Work) -> dict[str, object]:
    return dict((work.value("scenario") or {}).get("scenario") or {})


def escalation(work: Work) -> str:
    """What a person is told: what failed, why, and what was tried."""
    failure, retry, again = failure_of(work), work.result("retry"), work.value("again") or {}
    cause = work.answer(CAUSE) or f"Cause: {failures.MEANING[failure.kind]}."
    tried = ""
    if retry is not None:
        status = again.get("status") or "not known"
        tried = f" It was run again: {status}." if retry.ok else f" It could not be run again: {retry.why}."
    if scenario_of(work).get("isActive") is False:
        tried += " Make has switched it off."
    return f"{failure.told}. {cause}{tried}"


def need_of(work: Work) -> Need | None:
    """What is wanted: of an event, of a task's context, of a task's words, or of the answer to what was asked back."""
    if not work.trigger.is_task:
        return Need.model_validate(work.trigger.data)
    said = work.trigger.instruction
    if isinstance(wanted := work.trigger.context.get("automation"), dict):
        return Need.model_validate(workflows.need_fields(wanted, said, work.trigger.id))
    if (before := work.kept("need", Need)) and not work.kept("built", Built):
        return before.model_copy(update={"said": [*before.said, said]})
    return workflows.need_in(said, work.trigger.id)


def needed(work: Work) -> Need:
    """The need of this work, as it was when the work began."""
    if work.result("credentials") and (kept := work.kept("need", Need)):
        return kept
    need = need_of(work)
    assert need is not None  # noqa: S101  # what_came sends others elsewhere
    return need


def credentials_of(work: Work) -> list[dict[str, object]]:
    return list((work.value("credentials") or {}).get("data") or [])


def credential_names(work: Work) -> list[dict[str, object]]:
    return [{"name": one["name"], "type": one["type"]} for one in credentials_of(work)]


def drafted(work: Work) -> Draft:
    found = work.answer(REDRAFT) or work.answer(DRAFT)
    assert found is not None  # noqa: S101  # the questions are not optional
    return found


def workflow(work: Work) -> dict[str, object]:
    need = needed(work)
    taken = [str(one["name"]) for one in (work.value("taken") or {}).get("data") or []]
    path = workflows.path_for(need, work.trigger.id)
    return workflows.workflow_of(drafted(work), workflows.name_for(need, taken), path, credentials_of(work))


def problems(work: Work) -> list[str]:
    there = credentials_of(work)
    found = workflows.problems_of_draft(drafted(work), needed(work), there)
    return found or workflows.problems_of_workflow(workflow(work), there)


def built(work: Work) -> Built:
    found = work.kept("built", Built)
    assert found is not None  # noqa: S101  # activate has kept it
    return found


def run_of_test(work: Work) -> dict[str, object]:
    """The newest run of the new workflow: it has no other."""
    runs = (work.value("runs") or {}).get("data") or []
    return dict(runs[0]) if runs else {}


def red(work: Work) -> str:
    """Why the workflow was not put to use."""
    for name in ("activated", "test"):
        if (result := work.result(name)) and not result.ok:
            return result.why
    error = (work.value("error") or {}).get("data") or {}
    said = ((error.get("resultData") or {}).get("error") or {}).get("message")
    if run := run_of_test(work):
        return f"its test, execution {run['id']}, ended as {run['status']}" + (f": {said}" if said else "")
    return "n8n shows no run of its test"


def how_to_answer(work: Work) -> str:
    if work.trigger.type != "viox.automation.requested":
        return "Answer with another task in this conversation."
    return f"Answer with: viox ask builder TEXT --conversation automation:{needed(work).request_id}"


def graph() -> Flow:
    flow = Flow()
    flow.add_node("look_at_execution", look_at_execution)
    flow.add_node("run_again", run_again)
    flow.add_node("let_it_run", let_it_run)
    flow.add_node("look_at_retry", look_at_retry)
    flow.add_node("note_success", note_success)
    flow.add_node("look_at_scenario", look_at_scenario)
    flow.add_node("leave_to_schedule", leave_to_schedule)
    flow.add_node("note_repeat", note_repeat)
    flow.add_node("read_parts", read_parts)
    flow.add_node("explain", explain, asks=[CAUSE])
    flow.add_node("tell_person", tell_person)
    flow.add_node("close_failure", close_failure)
    flow.add_node("look_around", look_around)
    flow.add_node("note_standing", note_standing)
    flow.add_node("draft", draft, asks=[DRAFT])
    flow.add_node("redraft", redraft, asks=[REDRAFT])
    flow.add_node("ask_back", ask_back)
    flow.add_node("close_question", close_question)
    flow.add_node("create", create)
    flow.add_node("activate", activate)
    flow.add_node("leave_inactive", leave_inactive)
    flow.add_node("test", test)
    flow.add_node("let_test_run", let_test_run)
    flow.add_node("look_at_test", look_at_test)
    flow.add_node("read_error", read_error)
    flow.add_node("switch_off", switch_off)
    flow.add_node("hand_over", hand_over)
    flow.add_node("close_built", close_built)
    flow.add_node("close_red", close_red)
    flow.add_node("give_up", give_up)
    flow.add_open_loop("improvise")

    flow.begin(what_came, ["look_at_execution", "look_at_scenario", "look_around", "improvise"])
    causes = ["note_repeat", "read_parts", "tell_person"]
    flow.add_conditional_edges("look_at_execution", by_execution, ["run_again", *causes])
    flow.add_conditional_edges("run_again", by_retry, ["let_it_run", "tell_person"])
    flow.add_edge("let_it_run", "look_at_retry")
    flow.add_conditional_edges("look_at_retry", by_second_run, ["note_success", "tell_person"])
    flow.add_conditional_edges("look_at_scenario", by_scenario, ["leave_to_schedule", *causes])
    flow.add_edge("read_parts", "explain")
    flow.add_edge("explain", "tell_person")
    flow.add_edge("tell_person", "close_failure")

    flow.add_conditional_edges("look_around", by_standing, ["note_standing", "draft", "give_up"])
    flow.add_conditional_edges("draft", by_draft, ["ask_back", "redraft", "create"])
    flow.add_conditional_edges("redraft", by_redraft, ["ask_back", "give_up", "create"])
    flow.add_edge("ask_back", "close_question")
    flow.add_conditional_edges("create", by_creation, ["activate", "give_up"])
    flow.add_conditional_edges("activate", by_activation, ["test", "leave_inactive", "switch_off"])
    flow.add_conditional_edges("test", by_test, ["let_test_run", "switch_off"])
    flow.add_edge("let_test_run", "look_at_test")
    flow.add_conditional_edges("look_at_test", by_run, ["let_test_run", "hand_over", "read_error", "switch_off"])
    flow.add_edge("read_error", "switch_off")
    flow.add_edge("switch_off", "close_red")
    flow.add_edge("hand_over", "close_built")
    for last in (
        "note_success",
        "leave_to_schedule",
        "note_repeat",
        "close_failure",
        "note_standing",
        "close_question",
    ):
        flow.add_edge(last, END)
    for last in ("leave_inactive", "close_built", "close_red", "give_up"):
        flow.add_edge(last, END)
    return flow
