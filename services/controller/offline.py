"""Answers to the questions of Controller's graph without a model."""

from __future__ import annotations

from services.controller.prompts import EVIDENCE, HEARD, MONTH, PHRASING
from services.controller.rules import dunning as rules
from shared.models.offline import Asked, answer, answers, say
from shared.models.port import AssistantMessage


def _phrasing(asked: Asked) -> AssistantMessage:
    """The reminder as the rules wrote it."""
    return answer(asked.request, **asked.given("letter"))


def _heard(asked: Asked) -> AssistantMessage:
    return answer(asked.request, meaning=rules.meaning_by_words(str(asked.given("answer"))) or "needs_answer")


def _evidence(asked: Asked) -> AssistantMessage:
    """Every source, quoted."""
    sources = asked.given("sources")
    said = " ".join(f'Our records say: "{one["text"][:300]}" [{one["ref"]}].' for one in sources)
    bought = str(asked.given("payment") or "Goods or services of the business")[:2000]
    refs = [one["ref"] for one in sources]
    return answer(asked.request, product_description=bought, statement=said[:8000], sources=refs)


def _month(asked: Asked) -> AssistantMessage:
    return say(f"[offline] The sums of {asked.given('month')}, without a comment.")


policy = answers(
    {PHRASING.name: _phrasing, HEARD.name: _heard, EVIDENCE.name: _evidence, MONTH.name: _month},
    otherwise="without a model Controller handles the events of Stripe and QuickBooks, and orders such as"
    " 'Refund 12.50 USD of ch_123: returned', 'Reconcile payouts' and 'Month-end of 2026-11'.",
)
