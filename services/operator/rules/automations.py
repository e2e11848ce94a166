"""Workflows (n8n) and scenarios (Make) that failed: which runs are new, what is repaired by running it again, who is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from shared.automations import MEANING, Kind, claim_of, kind_of

System = Literal["n8n", "make"]

PAGE = 50
MOST_SCENARIOS = 30  # of Make that one watch looks at: its interface takes 60 requests a minute
MOST_OF_A_SCENARIO = 3
MOST_NEW = 20  # failed runs that one watch deals with, the newest first
MOST_REPAIRS = 10  # runs that one watch starts again
MOST_LINES = 15
BUILDERS_PATH = "viox-"  # of webhooks in workflows that Builder made

_NAMES: Mapping[System, str] = {"n8n": "n8n", "make": "Make"}


class Failed(BaseModel):
    """A run of an automation that failed. `automation` and `execution` are its system's ids."""

    system: System
    automation: str
    execution: str
    name: str = ""
    status: str = ""
    runs_itself: bool = False  # by an interval: its next run is to come anyway
    can_run: bool = True

    @property
    def entity(self) -> str:
        """Under which its failure is claimed: by Operator, or by Builder, who hears of failures from the workflows themselves."""
        return claim_of(self.system, self.execution)


class Failure(BaseModel):
    """A failed run, with why."""

    run: Failed
    message: str = ""
    name: str = ""
    step: str | None = None
    is_mended: bool = False
    by_builder: bool = False

    @property
    def kind(self) -> Kind:
        return kind_of(self.message)

    @property
    def why(self) -> str:
        return MEANING[self.kind]

    @property
    def told(self) -> str:
        """What failed, in a line. Names and messages are other systems' words."""
        at = f" at {self.step}" if self.step else ""
        message = self.message[:300].rstrip(". ") or "no message"
        return f"{_NAMES[self.run.system]}: {self.name or self.run.automation} failed{at}: {message}"


# -- what is new -------------------------------------------------------------------------------------------------------------


def failed_in_n8n(*pages: Any) -> list[Failed]:
    """Failed executions, newest first; without those that succeeded when they were run again, and without repeats, which
    belong to the run that they repeat."""
    rows = [row for page in pages for row in (page or {}).get("data") or []]
    found = {
        str(row["id"]): Failed(
            system="n8n",
            automation=str(row["workflowId"]),
            execution=str(row["id"]),
            status=str(row["status"]),
            can_run=row["status"] == "error",
        )
        for row in rows
        if not row.get("retrySuccessId") and not row.get("retryOf")
    }
    return sorted(found.values(), key=lambda one: int(one.execution), reverse=True)


def failed_in_make(scenario: Mapping[str, Any], logs: Any) -> list[Failed]:
    """Failed executions of a scenario, newest first."""
    by_interval = (scenario.get("scheduling") or {}).get("type") == "indefinitely"
    return [
        Failed(
            system="make",
            automation=str(scenario["id"]),
            execution=str(row["id"]),
            name=str(scenario.get("name") or ""),
            status=str(row["status"]),
            runs_itself=by_interval,
            can_run=scenario.get("isActive") is True and not scenario.get("isinvalid"),
        )
        for row in (logs or {}).get("scenarioLogs") or []
    ]


def watched_scenarios(lists: Iterable[Any]) -> list[dict[str, Any]]:
    """Scenarios that run, or that Make has switched off for their failures."""
    rows = [dict(row) for one in lists for row in (one or {}).get("scenarios") or []]
    running = [row for row in rows if row.get("isActive") or row.get("isinvalid") or row.get("dlqCount")]
    return sorted(running, key=lambda row: str(row.get("lastEdit")), reverse=True)


def new_ones(failed: Iterable[Failed], claimed: Iterable[str]) -> list[Failed]:
    """Those that nobody has taken yet."""
    known = set(claimed)
    return [one for one in failed if one.entity not in known]


# -- what is done ------------------------------------------------------------------------------------------------------------


def failure_of(run: Failed, execution: Any) -> Failure:
    """With what its system shows of the execution."""
    shown = execution or {}
    if run.system == "make":
        return Failure(run=run, message=str((shown.get("error") or {}).get("message") or ""), name=run.name)
    error = ((shown.get("data") or {}).get("resultData") or {}).get("error") or {}
    return Failure(
        run=run,
        message=str(error.get("message") or ""),
        step=(error.get("node") or {}).get("name"),
        is_mended=bool(shown.get("retrySuccessId")),
    )


def repairable(failures: Iterable[Failure]) -> list[Failure]:
    """What is run again: what passes by itself. An n8n execution as it was; a scenario of Make once, however often it failed,
    and not when its interval runs it anyway."""
    found: list[Failure] = []
    scenarios: set[str] = set()
    for one in failures:
        run = one.run
        if (
            one.kind != "transient"
            or one.is_mended
            or not run.can_run
            or run.runs_itself
            or run.automation in scenarios
        ):
            continue
        if run.system == "make":
            scenarios.add(run.automation)
        found.append(one)
    return found[:MOST_REPAIRS]


def with_workflow(failure: Failure, workflow: Any) -> Failure:
    """With the name of its workflow, and whether Builder made it."""
    shown = workflow or {}
    paths = [str((node.get("parameters") or {}).get("path") or "") for node in shown.get("nodes") or []]
    ours = any(path.startswith(BUILDERS_PATH) for path in paths)
    return failure.model_copy(update={"name": str(shown.get("name") or failure.name), "by_builder": ours})


def by_automation(failures: Iterable[Failure]) -> dict[tuple[System, str], list[Failure]]:
    """The failures of each automation, in order."""
    groups: dict[tuple[System, str], list[Failure]] = {}
    for one in failures:
        groups.setdefault((one.run.system, one.run.automation), []).append(one)
    return groups
