"""Automations that run by themselves: failed runs are found once each, run again where that mends them, else told."""

from __future__ import annotations

from typing import Any

from services.operator.prompts import CAUSES
from services.operator.rules import automations
from services.operator.rules.automations import Failed, Failure
from shared.automations import CLAIMS
from shared.runtime.work import Result, Work

LOOKED_AFTER, RUN_AGAIN = "I look after it", "Run them again"


def list_failed(work: Work) -> None:
    for status in ("error", "crashed"):
        work.call("executions", "n8n_list_executions", {"status": status, "limit": automations.PAGE})
    work.call("teams", "make_list_teams", {})
    work.call("claimed", "records_list", {"prefix": CLAIMS, "limit": 200})


def list_scenarios(work: Work) -> None:
    for team in (work.value("teams") or {}).get("teams") or []:
        work.call("scenarios", "make_list_scenarios", {"teamId": team["id"], "limit": automations.PAGE})


def list_logs(work: Work) -> None:
    for scenario in _scenarios(work):
        given = {"scenarioId": scenario["id"], "status": 3, "limit": automations.MOST_OF_A_SCENARIO}
        work.call("logs", "make_list_executions", given)


def by_systems(work: Work) -> str:
    """One of both is enough: a business need not have the other."""
    return "take" if any(one.ok for one in _looks(work)) else "give_up_watch"


def take(work: Work) -> None:
    """Each failure is one agent's, once: Builder hears of some from the workflows themselves."""
    for one in _new(work):
        work.call("taken", "records_claim", {"entity": one.entity, "holder": _holder(work), "data": {"by": "operator"}})


def look_at_runs(work: Work) -> None:
    for one in _mine(work):
        if one.system == "n8n":
            work.call("run", "n8n_get_execution", {"id": one.execution, "includeData": True})
        else:
            given = {"scenarioId": int(one.automation), "executionId": one.execution}
            work.call("run", "make_get_execution", given)


def run_again(work: Work) -> None:
    for one in automations.repairable(_failures(work)):
        _run(work, one)


def let_run(work: Work) -> None:
    if any(one.ok for one in _repairs(work)):
        work.call("pause", "wait_until", {"after": "5s"})


def look_again(work: Work) -> None:
    for one in _repairs(work):
        if not one.ok:
            continue
        if one.tool == "n8n_retry_execution":
            work.call("again", "n8n_get_execution", {"id": str(one.value["id"]), "includeData": True})
        else:
            given = {"scenarioId": one.arguments["id"], "executionId": str(one.value["executionId"])}
            work.call("again", "make_get_execution", given)


def by_what_is_left(work: Work) -> str:
    return "read_workflows" if _left(work) else "close_watch"


def read_workflows(work: Work) -> None:
    for (system, automation), _ in automations.by_automation(_left(work)).items():
        if system == "n8n":
            work.call("workflow", "n8n_get_workflow", {"id": automation})


def explain(work: Work) -> None:
    """Why something failed that no rule explains, is judged."""
    if unclear := [one for one in _for_people(work) if one.kind == "unclear"]:
        work.ask(CAUSES, outside={"failures": [one.told for one in unclear]})


def escalate(work: Work) -> None:
    """Builder gets what it made, a person the rest: one question for all of it."""
    for failures in automations.by_automation(_for_builder(work)).values():
        first = failures[0]
        context = {
            "failed_workflow": {
                "workflow": {"id": first.run.automation, "name": first.name},
                "execution": {"id": first.run.execution, "error": {"message": first.message}},
            }
        }
        work.call(
            "builder",
            "task_delegate",
            {
                "agent": "builder",
                "instruction": "Look into the failure of a workflow that you built.",
                "context": context,
                "conversation": f"automation:{first.run.automation}",
            },
        )
    if left := _for_people(work):
        choices = [LOOKED_AFTER, RUN_AGAIN] if _can_run(left) else None
        work.call("asked", "person_ask", {"question": _question(work)[:2000], "choices": choices, "expires": "24h"})


def by_answer(work: Work) -> str:
    answer = (work.value("asked") or {}).get("answer")
    return "run_as_told" if answer == RUN_AGAIN else "close_watch"


def run_as_told(work: Work) -> None:
    for one in _can_run(_for_people(work)):
        _run(work, one, "told run")


def close_watch(work: Work) -> None:
    work.conclude(" ".join(_told(work)))


def give_up_watch(work: Work) -> None:
    why = "; ".join(f"{one.tool}: {one.why}" for one in work.failures())
    work.fail("operator.automations_unread", f"Neither n8n nor Make could be looked at: {why}.")


# -- what is read of the record ----------------------------------------------------------------------------------------------


def _looks(work: Work) -> list[Result]:
    return [*work.results("executions"), *work.results("teams")]


def _scenarios(work: Work) -> list[dict[str, Any]]:
    lists = [one.value for one in work.results("scenarios") if one.ok]
    return automations.watched_scenarios(lists)[: automations.MOST_SCENARIOS]


def _new(work: Work) -> list[Failed]:
    found = automations.failed_in_n8n(*(one.value for one in work.results("executions") if one.ok))
    logs = {one.arguments["scenarioId"]: one.value for one in work.results("logs") if one.ok}
    for scenario in _scenarios(work):
        found += automations.failed_in_make(scenario, logs.get(scenario["id"]))
    claimed = [row["entity"] for row in _rows(work.value("claimed"))]
    return automations.new_ones(found, claimed)[: automations.MOST_NEW]


def _rows(listed: Any) -> list[dict[str, Any]]:
    return list((listed or {}).get("rows") or [])


def _holder(work: Work) -> str:
    return f"operator:{work.trigger.id}"[:200]


def _mine(work: Work) -> list[Failed]:
    """Those that this run has taken, and nobody before it."""
    mine = {one.arguments["entity"] for one in work.results("taken") if one.ok and one.value["mine"]}
    return [one for one in _new(work) if one.entity in mine]


def _failures(work: Work) -> list[Failure]:
    shown = {_execution_of(one): one.value for one in work.results("run")}
    return [automations.failure_of(one, shown.get(one.execution)) for one in _mine(work)]


def _execution_of(result: Result) -> str:
    return str(result.arguments.get("executionId") or result.arguments.get("id"))


def _run(work: Work, failure: Failure, name: str = "run again") -> None:
    if failure.run.system == "n8n":
        work.call(name, "n8n_retry_execution", {"id": failure.run.execution})
    else:
        work.call(name, "make_rerun_scenario", {"id": int(failure.run.automation)})


def _repairs(work: Work) -> list[Result]:
    return work.results("run again")


def _repair_of(work: Work, failure: Failure) -> Result | None:
    """n8n runs an execution again, Make a scenario."""
    run = failure.run
    tool, number = (
        ("n8n_retry_execution", run.execution) if run.system == "n8n" else ("make_rerun_scenario", run.automation)
    )
    return next((one for one in _repairs(work) if one.tool == tool and str(one.arguments["id"]) == number), None)


def _ended(work: Work, repair: Result) -> str:
    """How a run that was started again ended."""
    value = repair.value or {}
    number = str(value.get("id") or value.get("executionId") or "")
    for one in work.results("again"):
        if one.ok and _execution_of(one) == number:
            return str((one.value or {}).get("status") or "not known")
    return "not known"


def _is_repaired(work: Work, failure: Failure) -> bool:
    repair = _repair_of(work, failure)
    return repair is not None and repair.ok and _ended(work, repair) in ("success", "SUCCESS")


def _left(work: Work) -> list[Failure]:
    """What is neither repaired, nor mended meanwhile, nor run again by its own schedule."""
    return [
        one
        for one in _failures(work)
        if not one.is_mended
        and not _is_repaired(work, one)
        and not (one.kind == "transient" and one.run.runs_itself and one.run.can_run)
    ]


def _known(work: Work) -> list[Failure]:
    """The same, with the names of workflows, and whose they are."""
    workflows = {one.arguments["id"]: one.value for one in work.results("workflow") if one.ok}
    return [automations.with_workflow(one, workflows.get(one.run.automation)) for one in _left(work)]


def _for_builder(work: Work) -> list[Failure]:
    return [one for one in _known(work) if one.by_builder]


def _for_people(work: Work) -> list[Failure]:
    return [one for one in _known(work) if not one.by_builder]


def _can_run(failures: list[Failure]) -> list[Failure]:
    """What a person may have run again: one run of each automation."""
    groups = automations.by_automation(one for one in failures if one.run.can_run and not one.run.runs_itself)
    return [group[0] for group in groups.values()][: automations.MOST_REPAIRS]


def _line(work: Work, failures: list[Failure]) -> str:
    first = failures[0]
    often = f" ({len(failures)} runs)" if len(failures) > 1 else ""
    tried = f" Run again: {_tried(work, repair)}." if (repair := _repair_of(work, first)) else ""
    return f"{first.told}{often}. Cause: {first.why}.{tried}"


def _tried(work: Work, repair: Result) -> str:
    return _ended(work, repair) if repair.ok else repair.why


def _question(work: Work) -> str:
    groups = list(automations.by_automation(_for_people(work)).values())
    lines = [f"- {_line(work, group)}" for group in groups[: automations.MOST_LINES]]
    if more := len(groups) - automations.MOST_LINES:
        lines += [f"- and {more} more"] if more > 0 else []
    causes = [cause] if (cause := work.answer(CAUSES)) else []
    return "\n".join(["Automations failed, and running them again does not mend them:", *lines, *causes])


def _told(work: Work) -> list[str]:
    """The summary, sentence by sentence."""
    failures, left = _failures(work), _left(work)
    repaired = [one for one in failures if _is_repaired(work, one)]
    alone = len(failures) - len(left) - len(repaired)
    said = [f"{_counted(len(failures), 'new failed run')} of automations."]
    said += [f"Run again, and succeeded: {one.told}." for one in repaired]
    said += [f"{alone} of them mended meanwhile, or left to their schedule."] if alone else []
    said += [_line(work, group) for group in automations.by_automation(_known(work)).values()]
    for one in work.results("builder"):
        ended = (one.value or {}).get("text") if one.ok else one.why
        said.append(f"Builder, who made it: {str(ended)[:500]}")
    if asked := work.result("asked"):
        said.append(f"A person answered: {asked.value['answer']}." if asked.ok else f"Nobody answered: {asked.why}.")
    if told := work.results("told run"):
        said.append(f"{sum(one.ok for one in told)} of {len(told)} started again as the person said.")
    said += [f"{one.tool} failed: {one.why}." for one in _looks(work) if not one.ok]
    return said


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
