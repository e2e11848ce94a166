"""Answers to the questions of Chief of Staff's graph without a model."""

from __future__ import annotations

from services.chief_of_staff.domain import briefing, requests
from services.chief_of_staff.prompts import ANSWER, BRIEFING, LOOKS_AT, PLAN
from shared.models.offline import Asked, answer, answers, call, cannot, say
from shared.models.port import AssistantMessage, ToolMessage

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
    tool = next((tool.name for tool in asked.request.tools if tool.name in LOOKS_AT), None)
    if tool and not _has_looked(asked, tool):
        return call(asked.request, (tool, {}))
    jobs = asked.results(tool)[-1] if tool and asked.results(tool) else None
    known = isinstance(jobs, dict) and isinstance(jobs.get("data"), list)
    more = f" {len(jobs['data'])} jobs are on the books." if known and jobs else ""
    return say(f"[offline] {briefing.headline(facts)}{more}")


def _has_looked(asked: Asked, tool: str) -> bool:
    return any(isinstance(m, ToolMessage) and m.tool == tool for m in asked.request.messages)


policy = answers({PLAN.name: _plan, ANSWER.name: _answer, BRIEFING.name: _briefing}, otherwise=COVERED)
