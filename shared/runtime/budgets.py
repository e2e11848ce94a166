"""Budgets of model work: reserved before each turn, settled with what it used.

What a run itself may use is checked against its own account, which only the holder of its thread moves: no statement. What
the agent and the business may use is reserved in Postgres, one statement before a turn that costs something and one after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import orjson

from shared.budgets import MODEL_USD, TOKENS
from shared.errors import VioxError
from shared.ids import RunId, ThreadId
from shared.models.port import ChatModel, ChatReply, ChatRequest, ModelError, Usage
from shared.models.prices import cost_microusd
from shared.models.window import BYTES_PER_TOKEN
from shared.store.pool import Pool
from shared.store.sql import Queries
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_suffix(".sql"))
Amounts = dict[str, int]
"""Tokens and cost, by the name of their measure."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One published limit, before anybody raised it."""

    name: str
    of: str
    measure: str
    most: int


class BudgetExhausted(VioxError):
    """No model is asked: the run waits. `budget` is `<name> <scope>`, `until` when it begins anew at the latest."""

    def __init__(self, budget: str, until: datetime, version: int) -> None:
        super().__init__("budget.exhausted", f"the budget {budget} is at its end.", remedy="See `viox budgets`.")
        self.budget, self.until, self.version = budget, until, version


class ModelBudgets:
    """The budgets of one agent's model work."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._limits: Sequence[Limit] = ()

    async def refresh(self) -> None:
        """Read what the gateway published."""
        self._limits = [Limit(*row) for row in await self._pool.fetch(SQL["limits"])]

    async def complete(self, model: ChatModel, request: ChatRequest, run: RunId, used: Amounts) -> ChatReply:
        """Ask the model within its budgets. `used`: what the run has used. Raises BudgetExhausted before anything is asked."""
        hold = await self._reserve(run, used, _most(model, request)) if self._limits else None
        try:
            reply = await model.complete(request)
        except ModelError as error:
            if not error.may_have_been_made:
                await self._settle(hold, {})
            raise
        await self._settle(hold, amounts(reply.answering_model, reply.usage))
        return reply

    async def wait(self, thread: ThreadId, owner: str, error: BudgetExhausted) -> str | None:
        """Leave the thread until its budget is raised or begins anew. `parked`; `still` when it had waited for it already;
        `changed` when it is to look again at once; None when it is not ours any more."""
        came: str | None = await self._pool.fetchval(
            *SQL.bind("wait", thread=thread, owner=owner, budget=error.budget, until=error.until, version=error.version)
        )
        return came

    async def _reserve(self, run: RunId, used: Amounts, wanted: Amounts) -> UUID | None:
        """The reservation to settle; None where only the run's own account counts."""
        if not any(_has_to_ask(limit, used, wanted) for limit in self._limits):
            return None
        row = await self._pool.fetchrow(*SQL.bind("reserve", run=run, used=used, wanted=wanted))
        assert row is not None  # noqa: S101  # the function answers with one row
        if row["over"]:
            raise BudgetExhausted(row["over"], row["until"], row["version"])
        hold: UUID | None = row["hold"]
        return hold

    async def _settle(self, hold: UUID | None, actual: Amounts) -> None:
        """Best effort: what cannot be settled stays counted as it was reserved."""
        if hold is None:
            return
        try:
            await self._pool.execute(*SQL.bind("settle", hold=hold, actual=actual))
        except Exception as error:  # noqa: BLE001  # the answer is there; its run must not lose it
            log.warning("budget.not_settled", hold=hold, error=error)


def amounts(model: str, usage: Usage) -> Amounts:
    return {TOKENS: usage.input + usage.output, MODEL_USD: cost_microusd(model, usage) or 0}


def _most(model: ChatModel, request: ChatRequest) -> Amounts:
    """What a turn may use: the request's size, and as much output as it allows."""
    size = request.messages_bytes
    if size is None:
        size = sum(len(orjson.dumps(message)) for message in request.messages)
    size += len(request.system) + request.toolbox.size
    return amounts(model.model, Usage(input=size // BYTES_PER_TOKEN, output=request.max_output_tokens))


def _has_to_ask(limit: Limit, used: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    amount = wanted.get(limit.measure, 0)
    if limit.of == "run":
        return amount > 0 and used[limit.measure] + amount > limit.most
    return amount > 0
