"""Requests of the owner: whose trade they are, and what came of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from shared.bus.topics import AGENTS

COLLEAGUES = tuple(agent for agent in AGENTS if agent != "chief-of-staff")
MOST_TASKS = 5

# What each colleague's trade is called, in whole words.
TRADES: Mapping[str, str] = {
    "closer": r"leads?|prospects?|quotes?|proposals?|deals?|sales",
    "voice": r"call(?:s|ed)? back|phone calls?|telephone|voicemails?",
    "controller": r"invoices?|refunds?|payments?|payouts?|disputes?|bookkeeping|quickbooks|stripe",
    "steward": r"tickets?|complaints?|support",
    "people-ops": r"candidates?|applicants?|applications?|hiring|interviews?|new hires?",
    "operator": r"back office|airtable|client bases?",
    "builder": r"automations?|workflows?|n8n|scenarios?|integrations?",
}
# What a task says in its context, and whose work that is.
KINDS: Mapping[str, str] = {
    "lead": "closer",
    "refund": "controller",
    "payment_question": "controller",
    "ticket": "steward",
    "onboard_client": "operator",
    "hire": "people-ops",
    "automation": "builder",
}
_SEVERAL = re.compile(r"\b(?:and|then|also|after that)\b|[;\n]|[.!?]\s+\S", re.IGNORECASE)
_WHO = re.compile(r"^\s*(?:who|which|whose)\b.*\?", re.IGNORECASE | re.DOTALL)


class Assignment(BaseModel):
    """What one colleague is to do."""

    agent: Literal["closer", "voice", "controller", "steward", "people-ops", "operator", "builder"]
    instruction: str = Field(
        min_length=1, max_length=2000, description="complete in itself: the colleague has not seen the request"
    )


class Plan(BaseModel):
    """Who does what of a request, all at the same time. Empty when it is nobody's trade."""

    tasks: list[Assignment] = Field(max_length=MOST_TASKS)

    @field_validator("tasks")
    @classmethod
    def _one_each(cls, given: list[Assignment]) -> list[Assignment]:
        twice = [agent for agent, count in Counter(task.agent for task in given).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]} has several tasks; give each colleague one, with everything in it")
        return given


def mentioned(text: str) -> list[str]:
    """Colleagues a request names. An invoice names nobody."""
    words = text.lower().replace("_", "-")
    return [agent for agent in COLLEAGUES if re.search(rf"\b{agent.replace('-', '[- ]')}\b", words)]


def trades_in(text: str) -> list[str]:
    """Colleagues whose trade a request is about."""
    return [agent for agent, words in TRADES.items() if re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)]


def asks_who(text: str) -> bool:
    """A question about who does something, which names somebody: it is answered, and nobody is given work."""
    return bool(_WHO.match(text)) and bool(mentioned(text) or trades_in(text))


def plain_plan(instruction: str, context: Mapping[str, Any]) -> Plan | None:
    """The plan for a request that says itself whose work it is; None when somebody has to think about it.

    That is one whose context has a kind of its own, or one sentence of one wish that names one colleague, or one trade.
    """
    kinds = {KINDS[kind] for kind in context if kind in KINDS}
    if len(kinds) == 1:
        return _to(kinds.pop(), instruction)
    if _SEVERAL.search(instruction.strip()):
        return None
    for found in (mentioned(instruction), trades_in(instruction)):
        if len(found) == 1:
            return _to(found[0], instruction)
    return None


def _to(agent: Any, instruction: str) -> Plan | None:
    return Plan(tasks=[Assignment(agent=agent, instruction=instruction)]) if len(instruction) <= 2000 else None


def context_for(task: Assignment, request: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """What a colleague is given besides: the facts of the request that are not another's, and the request in its own words."""
    theirs = {kind: value for kind, value in context.items() if KINDS.get(kind, task.agent) == task.agent}
    theirs.pop("timer", None)
    return theirs if request == task.instruction else theirs | {"request": request}


class Answer(BaseModel):
    """What came back from a colleague."""

    agent: str
    done: bool
    text: str


def not_done(answers: Iterable[Answer]) -> str:
    """What failed, by name. Empty when nothing did."""
    failed = [f"{title(one.agent)} ({one.text})" for one in answers if not one.done]
    return f"Not done: {'; '.join(failed)}." if failed else ""


def as_list(answers: Iterable[Answer]) -> str:
    """The answers as they came, where nobody phrases them."""
    return "\n".join(f"{title(one.agent)}: {one.text}" for one in answers if one.done)


def title(agent: str) -> str:
    return {"people-ops": "People Ops"}.get(agent, agent.replace("-", " ").title())
