"""Answers to the questions of Operator's graph without a model."""

from __future__ import annotations

from typing import Any

from services.operator.prompts import CAUSES, REPAIR, SAME, SUMMARY
from shared.models.offline import Asked, answer, answers, say
from shared.models.port import AssistantMessage


def _repair(asked: Asked) -> AssistantMessage:
    missing = asked.given("missing")
    return say(f"[offline] Nothing was repaired without a model. Missing: {', '.join(missing) or 'records'}.")


def _summary(asked: Asked) -> AssistantMessage:
    stands, failed = asked.given("stands"), asked.given("failed")
    trouble = f" {len(failed)} calls failed: {'; '.join(failed[:5])}." if failed else ""
    return say(
        f"[offline] {asked.given('base')}: {stands['tables']} tables, {stands['records']} records, "
        f"{stands['calls']} calls.{trouble}"
    )


def _same(asked: Asked) -> AssistantMessage:
    """One last name with first names of which one begins as the other does."""

    def alike(pair: dict[str, Any]) -> bool:
        (one, last), (other, surname) = (
            (str(pair[who]["first"]).casefold(), str(pair[who]["last"]).casefold()) for who in ("one", "other")
        )
        return bool(one and other and last) and last == surname and (one.startswith(other) or other.startswith(one))

    return answer(asked.request, same=[pair["pair"] for pair in asked.given("pairs") if alike(pair)])


def _causes(asked: Asked) -> AssistantMessage:
    return say(f"[offline] No cause is known of {len(asked.given('failures'))} without a model.")


policy = answers(
    {REPAIR.name: _repair, SUMMARY.name: _summary, SAME.name: _same, CAUSES.name: _causes},
    otherwise="without a model Operator sets up a client's base when viox.client.signed is published, "
    "and looks after contacts and automations when viox.upkeep.due is.",
)
