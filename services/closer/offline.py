"""Answers to the questions of Closer's graph without a model."""

from __future__ import annotations

import re

from services.closer import domain
from services.closer.prompts import ANSWER, INTEREST
from shared.models.offline import Asked, answer, answers
from shared.models.port import AssistantMessage

# First match wins; whole words.
INTENTS: tuple[tuple[domain.Intent, str], ...] = (
    ("spam", r"seo|backlinks?|guest posts?|crypto|casino|increase your (traffic|ranking|revenue)"),
    ("job", r"job|jobs|hiring|apply|application|internship|resume|cv"),
    ("support", r"broken|not working|refund|complaint|complain|my (order|invoice|account|booking)"),
)
LATER = re.compile(r"\b(later|not now|next (week|month|year)|busy|in \d{1,2} days)\b")
DAYS = re.compile(r"\bin (\d{1,2}) days\b")


def _interest(asked: Asked) -> AssistantMessage:
    wrote = str(asked.given("lead")["wrote"])
    intent = next((name for name, marks in INTENTS if re.search(rf"\b({marks})\b", wrote.lower())), "buy")
    return answer(asked.request, intent=intent, subject=domain.plain(wrote))


def _answer(asked: Asked) -> AssistantMessage:
    text = str(asked.given("answer"))
    later, knows = LATER.search(text.lower()), asked.given("knowledge")
    reply = domain.UNCLEAR
    if later and not text.rstrip().endswith("?"):
        found = DAYS.search(text.lower())
        days = int(found.group(1)) if found else None
        reply = "No problem, we will ask again."
        return answer(asked.request, meaning="later", summary=_short(text), reply=reply, days=days or None)
    if "?" in text:
        reply = knows[0] if knows and domain.sendable(knows[0]) else reply
        return answer(asked.request, meaning="question", summary=_short(text), reply=reply)
    return answer(asked.request, meaning="other", summary=_short(text), reply=reply)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."


policy = answers(
    {INTEREST.name: _interest, ANSWER.name: _answer},
    otherwise='without a model Closer works on leads (a task that begins with "New lead", with an e-mail address), '
    "their answers and payments.",
)
