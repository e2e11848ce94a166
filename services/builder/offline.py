"""Answers to the questions of Builder's graph without a model."""

from __future__ import annotations

import re
from typing import Any

from services.builder.prompts import CAUSE, DRAFT, REDRAFT
from services.builder.rules import failures
from shared.models.offline import Asked, answer, answers, say
from shared.models.port import AssistantMessage

COVERED = "without a model Builder looks into failed n8n and Make runs, and builds workflows that post to an address in the wish."
_URL = re.compile(r"https://[^\s\"'<>]+[\w/]")
_DAILY = re.compile(r"\b(?:every|each) (hour|day|week)\b", re.IGNORECASE)
_FIELD = re.compile(r"\{([a-z_]\w*)\}")


def _draft(asked: Asked) -> AssistantMessage:
    """What comes in is posted to the one address that the need names, with the fields that it names in braces."""
    need = asked.given("need")
    words = "\n".join([need["title"], need["description"], *need["said"]])
    found = _URL.search(words)
    if not found:
        return answer(
            asked.request, trigger={"kind": "webhook"}, steps=[], missing=["Which https address is it sent to?"]
        )
    fields = sorted(set(_FIELD.findall(words))) or ["text"]
    body = [{"name": name, "value": f"{{input.{name}}}"} for name in fields]
    step: dict[str, Any] = {"kind": "http", "name": "Send", "method": "POST", "url": found[0], "body": body}
    credential = next((one["name"] for one in asked.given("credentials") if one["name"] in words), None)
    step |= {"credential": credential} if credential else {}
    often = _DAILY.search(words)
    trigger = {"kind": "schedule", "every": often[1].lower()} if often else {"kind": "webhook"}
    sample = [{"name": name, "value": "test"} for name in fields]
    return answer(asked.request, trigger=trigger, steps=[step], sample=sample, missing=[])


def _redraft(asked: Asked) -> AssistantMessage:
    return answer(
        asked.request,
        trigger={"kind": "webhook"},
        steps=[],
        missing=[str(one)[:500] for one in asked.given("wrong")][:5],
    )


def _cause(asked: Asked) -> AssistantMessage:
    failure = failures.Failure.model_validate(asked.given("failure"))
    return say(f"[offline] Cause: {failures.MEANING[failure.kind]}.")


policy = answers({DRAFT.name: _draft, REDRAFT.name: _redraft, CAUSE.name: _cause}, otherwise=COVERED)
