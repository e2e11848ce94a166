"""Failed automations: what kind of failure it is, whether the run is tried again, and when a person is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from shared.automations import MEANING as WHY
from shared.automations import Kind, claim_of, kind_of

MEANING: Mapping[Kind, str] = {**WHY, "unclear": "it needs a change first"}
TOLD_AGAIN_AFTER = timedelta(hours=24)
MANY_TRANSIENT = 3  # of one scenario within a day: then it is no passing trouble
_NUMBERS = re.compile(r"\d+")


class Failure(BaseModel):
    """A failed run of an automation, as far as its system told of it."""

    system: Literal["n8n", "Make"]
    automation: str = Field(description="its name, or its id")
    execution: str | None = None
    message: str = ""
    step: str | None = None
    is_retry: bool = False

    @property
    def kind(self) -> Kind:
        return kind_of(self.message)

    @property
    def told(self) -> str:
        """What failed, in a sentence without its full stop. Names and messages are other systems' words."""
        at = f" at {self.step}" if self.step else ""
        return f"{self.system}: {self.automation} failed{at}: {self.message.rstrip('. ') or 'no message'}"


def n8n_failure(data: Mapping[str, Any], execution: Any) -> Failure:
    """From what the error trigger told and what n8n shows of the execution, which says more."""
    workflow, told = data["workflow"], data.get("execution") or {}
    found = (execution or {}).get("data") or {}
    error = (found.get("resultData") or {}).get("error") or {}
    return Failure(
        system="n8n",
        automation=str(workflow.get("name") or workflow.get("id")),
        execution=execution_id(data),
        message=str(error.get("message") or (told.get("error") or {}).get("message") or ""),
        step=(error.get("node") or {}).get("name") or told.get("lastNodeExecuted"),
        is_retry=bool(told.get("retryOf") or (execution or {}).get("retryOf")),
    )


def make_failure(data: Mapping[str, Any], scenario: Any, execution: Any) -> Failure:
    name = ((scenario or {}).get("scenario") or {}).get("name")
    error = (execution or {}).get("error") or data.get("error") or {}
    return Failure(
        system="Make",
        automation=str(name or f"scenario {data['scenarioId']}"),
        execution=make_execution(data),
        message=str(error.get("message") or ""),
    )


def execution_id(data: Mapping[str, Any]) -> str | None:
    """The n8n execution that failed. A workflow whose trigger failed has none."""
    known = str((data.get("execution") or {}).get("id") or "")
    return known if known.isdecimal() else None


def scenario_id(data: Mapping[str, Any]) -> int | None:
    known = str(data.get("scenarioId", ""))
    return int(known) if known.isdecimal() else None


def make_execution(data: Mapping[str, Any]) -> str | None:
    known = str(data.get("executionId") or data.get("imtId") or "")
    return known if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", known) else None


def claim_on(failure: Failure, holder: str) -> dict[str, Any] | None:
    """That a failed run is Builder's to look after: Operator, who goes through failed runs, leaves it alone then. None for a
    failure of which no run is known."""
    if failure.execution is None:
        return None
    entity = claim_of(failure.system, failure.execution)
    return {"entity": entity, "holder": holder, "data": {"by": "builder"}}


class Watched(BaseModel):
    """What is known of an automation's failures: which executions were run again, and which causes a person knows of."""

    retried: list[str] = Field(default_factory=list)
    told: dict[str, datetime] = Field(default_factory=dict)
    transient: list[datetime] = Field(default_factory=list)

    def may_retry(self, failure: Failure, execution: Any) -> bool:
        """Once, and only what a repeat may mend: a run that is still shown as failed, and is no repeat itself."""
        shown = execution or {}
        return (
            failure.kind == "transient"
            and failure.execution is not None
            and failure.execution not in self.retried
            and not failure.is_retry
            and shown.get("status") in ("error", "crashed")
            and not shown.get("retrySuccessId")
        )

    def knows(self, failure: Failure, now: datetime) -> bool:
        """Whether a person was told of the same a short while ago."""
        since = self.told.get(cause(failure))
        return since is not None and now - since < TOLD_AGAIN_AFTER

    def with_retry(self, failure: Failure) -> Watched:
        return self.model_copy(update={"retried": [*self.retried, str(failure.execution)][-100:]})

    def with_told(self, failure: Failure, now: datetime) -> Watched:
        recent = {key: at for key, at in self.told.items() if now - at < TOLD_AGAIN_AFTER}
        return self.model_copy(update={"told": recent | {cause(failure): now}})

    def with_transient(self, now: datetime) -> Watched:
        recent = [at for at in self.transient if now - at < TOLD_AGAIN_AFTER]
        return self.model_copy(update={"transient": [*recent, now]})


def cause(failure: Failure) -> str:
    """What makes two failures the same: numbers in their messages do not."""
    return f"{failure.kind} {failure.step or ''} {_NUMBERS.sub('#', failure.message)[:200]}"
