"""Answers to the questions of Chief of Staff's graph without a model."""

from __future__ import annotations

from services.chief_of_staff.prompts import ANSWER, BRIEFING, PLAN
from services.chief_of_staff.rules import briefing, requests
from shared.models.offline import Asked, answer, answers, cannot, say
from shared.models.port import AssistantMessage

COVERED = "without a model the Chief of Staff briefs on viox.briefing.due, and hands on requests whose trade their words name."


def _plan(asked: Asked) -> AssistantMessage:
    """Everybody who is named, or whose trade is, gets the request as it is."""
    request = str(asked.given("request"))
    agents = (requests.mentioned(request) or requests.trades_in(request))[: requests.MOST_TASKS]
    if not agents:
        return cannot(COVERED)
    return answer(asked.request, tasks=[{"agent": agent, "instruction": request[:2000]} for agent in agents])


def _answer(asked: Asked) -> AssistantMessage:
    found = [requests.Answer(agent=one["from"], done=True, text=one["said"]) for one in asked.given("answers")]
    return say(f"[offline]\n{requests.as_list(found)}")


def _briefing(asked: Asked) -> AssistantMessage:
    facts = briefing.Facts.model_validate(asked.given("facts"))
    own = asked.given("own_tools")
    lists = {tool: answer["data"] for tool, answer in own.items() if isinstance(answer, dict) and "data" in answer}
    more = "".join(f" {tool} lists {len(found)}." for tool, found in lists.items() if isinstance(found, list))
    return say(f"[offline] {briefing.headline(facts)}{more}")


policy = answers({PLAN.name: _plan, ANSWER.name: _answer, BRIEFING.name: _briefing}, otherwise=COVERED)
