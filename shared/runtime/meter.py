"""What an activation's model work costs: on the run's account whether the activation commits, fails or is discarded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.budgets import MODEL_USD, TOKENS
from shared.models.port import ChatModel, ChatReply, ChatRequest
from shared.models.prices import cost_microusd
from shared.runtime.budgets import Amounts, ModelBudgets
from shared.telemetry import metrics

if TYPE_CHECKING:
    from shared.runtime.store import RunRow
    from shared.telemetry.genai import Asker


@dataclass(frozen=True, slots=True)
class Spent:
    """What model work cost, in tokens and in millionths of a dollar."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0


NOTHING_SPENT = Spent()


class Meter:
    """A model as one activation uses it: asked within its budgets, every answer counted, in the metrics and for the run."""

    def __init__(
        self, agent: str, model: ChatModel, budgets: ModelBudgets, run: RunRow, asker: Asker | None = None
    ) -> None:
        self._agent = agent
        self._model = model
        self._budgets = budgets
        self._run = run
        self._asker = asker
        self.provider, self.model = model.provider, model.model
        self._replies: list[ChatReply] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        if self._asker is not None:
            request = replace(request, asker=self._asker)
        reply = await self._budgets.complete(self._model, request, self._run.run_id, self._used)
        self._replies.append(reply)
        self._count(reply)
        return reply

    async def aclose(self) -> None:
        """The model belongs to the service, not to the activation."""

    @property
    def answered_by(self) -> str | None:
        """The model that gave the newest answer; None when none was asked."""
        return self._replies[-1].answering_model if self._replies else None

    @property
    def spent(self) -> Spent:
        if not self._replies:
            return NOTHING_SPENT
        return Spent(
            sum(r.usage.input for r in self._replies),
            sum(r.usage.output for r in self._replies),
            sum(cost_microusd(r.answering_model, r.usage) or 0 for r in self._replies),
        )

    @property
    def _used(self) -> Amounts:
        run, spent = self._run, self.spent
        tokens = run.input_tokens + run.output_tokens + spent.input_tokens + spent.output_tokens
        return {TOKENS: tokens, MODEL_USD: run.cost_microusd + spent.cost_microusd}

    def _count(self, reply: ChatReply) -> None:
        agent, model, usage = self._agent, reply.answering_model, reply.usage
        metrics.MODEL_CALLS.labels(agent, model, "answered").inc()
        metrics.MODEL_TOKENS.labels(agent, model, "input").inc(usage.input)
        metrics.MODEL_TOKENS.labels(agent, model, "output").inc(usage.output)
        metrics.MODEL_COST.labels(agent, model).inc((cost_microusd(model, usage) or 0) / 1_000_000)
