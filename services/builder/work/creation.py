"""A wanted automation: drafted, checked, created, activated by a person's leave, tested, rolled back where the test is red."""

from __future__ import annotations

from services.builder.prompts import DRAFT, REDRAFT
from services.builder.rules import workflows
from services.builder.rules.workflows import Built
from services.builder.work.reading import (
    built,
    credential_names,
    drafted,
    how_to_answer,
    needed,
    problems,
    red,
    run_of_test,
    workflow,
)
from shared.runtime.work import Work

LOOKS = 6  # at whether the test has run, five seconds apart


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
