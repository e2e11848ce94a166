"""What Builder's nodes read of their record: the failure, the need, the draft, the test."""

from __future__ import annotations

from typing import Any

from services.builder.prompts import CAUSE, DRAFT, REDRAFT
from services.builder.rules import apis, failures, workflows
from services.builder.rules.apis import Api
from services.builder.rules.failures import Failure, Watched
from services.builder.rules.workflows import Built, Draft, Need
from shared.runtime.work import Work


def watched(work: Work) -> Watched:
    return work.kept("watched", Watched) or Watched()


def news_of(work: Work) -> dict[str, Any]:
    """What is told of a failure: by a workflow's error trigger, by Make, or by Operator, who found it."""
    handed = work.trigger.context.get("failed_workflow")
    return dict(handed) if isinstance(handed, dict) else work.trigger.data


def failure_of(work: Work) -> Failure:
    data = news_of(work)
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


def api_of(work: Work) -> Api | None:
    return apis.api_of(work.trigger.instruction, work.trigger.context) if work.trigger.is_task else None


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
