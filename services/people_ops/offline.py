"""Answers to the questions of People Ops' graph without a model."""

from __future__ import annotations

import re
from typing import Any

from services.people_ops.prompts import CHOICE, MARKS, OFFER_REPLY
from shared.models.offline import Asked, answer, answers
from shared.models.port import AssistantMessage

COVERED = "without a model People Ops screens applications, arranges interviews and follows onboarding checklists."
_YEARS = re.compile(r"[^.;\n]*?\b(\d{1,2})\+?\s+years?\b[^.;\n]*", re.IGNORECASE)
# Words that speak for a criterion. Experience is counted in years.
_SIGNS = {
    "skill": r"install\w*|repair\w*|maint\w*|service|diagnos\w*|wiring|plumbing|boilers?|heating",
    "customers": r"customers?|clients?|field service|on[- ]site",
    "reliability": r"licen[cs]e\w*|certifi\w*|safety|punctual\w*|on time",
    "results": r"\d+ ?%|quota|revenue|targets?",
    "tools": r"crm|excel|software|quickbooks|hubspot|scheduling",
    "accuracy": r"exact\w*|accura\w*|deadlines?|order(?:ly)?|book-?keeping",
    "communication": r"communicat\w*|customers?|clients?|team|colleagues|writ\w+|telephone",
}


def _marks(asked: Asked) -> AssistantMessage:
    text = str(asked.given("application"))
    return answer(asked.request, marks=[_mark(one["key"], text) for one in asked.given("rubric")])


def _mark(key: str, text: str) -> dict[str, Any]:
    if key == "experience":
        found = max(_YEARS.finditer(text), key=lambda one: int(one[1]), default=None)
        mark = min(2 + int(found[1]) // 2, 5) if found else 1
    else:
        found = re.search(rf"[^.;\n]*\b(?:{_SIGNS.get(key, key)})\b[^.;\n]*", text, re.IGNORECASE)
        mark = 4 if found else 1
    proof = found[0].strip()[:400] if found and mark >= 3 else ""
    return {"criterion": key, "mark": mark if proof or mark < 3 else 2, "evidence": proof}


def _choice(asked: Asked) -> AssistantMessage:
    return answer(asked.request, answer="unclear")


def _offer_reply(asked: Asked) -> AssistantMessage:
    return answer(asked.request, answer="unclear")


policy = answers({MARKS.name: _marks, CHOICE.name: _choice, OFFER_REPLY.name: _offer_reply}, otherwise=COVERED)
