"""Answers to the questions of Voice's graph without a model."""

from __future__ import annotations

import re

from services.voice import domain
from services.voice.prompts import ROUTE, TALK
from shared.models.offline import Asked, answer, answers
from shared.models.port import AssistantMessage


def _route(asked: Asked) -> AssistantMessage:
    text = str(asked.given("message"))
    otherwise: domain.Colleague = "steward" if asked.given("channel") == "mail" else "nobody"
    return answer(asked.request, colleague=domain.colleague_for(text, otherwise), subject=domain.plain(text, 100))


def _talk(asked: Asked) -> AssistantMessage:
    lines = [str(line) for line in asked.given("transcript")]
    words = domain.words_of_caller(lines)
    told = str(asked.given("summary_of_the_vendor") or "") or domain.plain(f"They said: {words}", 500)
    return answer(
        asked.request,
        summary=f"[offline] {domain.plain(told, 500)}",
        colleague=domain.colleague_for(words),
        subject=domain.plain(words, 100),
        email=domain.mail_in(words) or "",
        call_back=bool(re.search(r"\bcall (me )?(back|again)\b", words.lower())),
    )


policy = answers(
    {ROUTE.name: _route, TALK.name: _talk},
    otherwise="without a model Voice takes calls and text messages, and calls whom a colleague names in context.call.",
)
