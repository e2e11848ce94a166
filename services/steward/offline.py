"""Answers to the questions of Steward's graph without a model."""

from __future__ import annotations

import re
from typing import Any

from services.steward import domain
from services.steward.prompts import ANSWER, SATISFACTION, TRIAGE
from shared.models.offline import Asked, answer, answers
from shared.models.port import AssistantMessage

COMMON = frozenset(
    re.findall(
        r"\w+", "the and for you your are with that this have from what when how can does not our was will about"
    )
)
ENOUGH = 2  # words that a source shares with what is asked


def _triage(asked: Asked) -> AssistantMessage:
    ticket = asked.given("ticket")
    text = f"{ticket['subject']}\n{ticket['body']}"
    summary = f"[offline] {' '.join(text.split())}"[:400]
    return answer(
        asked.request, urgency=domain.urgency_by_words(text), wish=domain.wish_by_words(text), summary=summary
    )


def _answer(asked: Asked) -> AssistantMessage:
    """The source that shares most words with what is asked, word for word."""
    wanted = _words(asked.given("ticket"))
    found = [one for name in ("documents", "known", "claims") for one in asked.given(name) or []]
    best = max(found, key=lambda one: len(wanted & _words(one["text"])), default=None)
    if best is None or len(wanted & _words(best["text"])) < ENOUGH:
        return answer(asked.request, answer="", sources=[], confident=False)
    return answer(asked.request, answer=best["text"][:3000], sources=[best["ref"]], confident=True)


def _satisfaction(asked: Asked) -> AssistantMessage:
    return answer(asked.request, verdict=domain.verdict_by_words(asked.given("reply")) or "new_request")


def _words(given: Any) -> set[str]:
    text = " ".join(map(str, given.values())) if isinstance(given, dict) else str(given)
    return {word.removesuffix("s") for word in re.findall(r"[a-z]{3,}", text.lower())} - COMMON


policy = answers(
    {TRIAGE.name: _triage, ANSWER.name: _answer, SATISFACTION.name: _satisfaction},
    otherwise="without a model Steward answers tickets from the business's documents and from memory, and takes"
    " no tasks in words.",
)
