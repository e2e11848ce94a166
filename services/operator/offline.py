"""Answers to the questions of Operator's graph without a model."""

from __future__ import annotations

from services.operator.prompts import REPAIR, SUMMARY
from shared.models.offline import Asked, answers, say
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


policy = answers(
    {REPAIR.name: _repair, SUMMARY.name: _summary},
    otherwise="without a model Operator sets up a client's base when viox.client.signed is published.",
)
