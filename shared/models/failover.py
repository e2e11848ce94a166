"""A model and what stands in for it: asked in order until one answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from shared.models.port import ChatModel, ChatReply, ChatRequest, ModelError
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

# How long a model that failed so is passed over while another one can be asked. Not the errors of one request.
REST_SECONDS = {
    "model.unavailable": 15.0,
    "model.rate_limited": 15.0,
    "model.bad_answer": 15.0,
    "model.no_credit": 60.0,
    "model.authentication": 60.0,
    "model.ended": 600.0,
}


class FailoverModel:
    """Looks like its first model. A request that no model answers raises the first error that trying again can help.

    When there is none it is the first model's. Once a second try was not usable either, the models after it are asked.
    """

    def __init__(self, models: Sequence[ChatModel], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._models = list(models)
        self._clock = clock
        self._rests_until = [0.0] * len(self._models)
        self.provider = models[0].provider
        self.model = models[0].model

    async def complete(self, request: ChatRequest) -> ChatReply:
        errors: list[ModelError] = []
        for place in self._order(request.tries):
            model = self._models[place]
            try:
                reply = await model.complete(replace(request, model=model.model))
            except ModelError as error:
                log.warning(
                    "model.failed", provider=model.provider, model=model.model, code=error.code, error=error.message
                )
                self._rest(place, error)
                errors.append(error)
                continue
            return replace(reply, has_fallback=place < len(self._models) - 1)
        raised = next((e for e in errors if e.retryable), errors[0])
        raised.may_have_been_made = any(e.may_have_been_made for e in errors)
        raise raised

    async def aclose(self) -> None:
        for model in self._models:
            await model.aclose()

    def _order(self, tries: int) -> list[int]:
        """Places of the models to ask: those that rest come last, since they may answer all the same."""
        first = min(max(tries - 1, 0), len(self._models) - 1)
        now = self._clock()
        return sorted(range(first, len(self._models)), key=lambda place: self._rests_until[place] > now)

    def _rest(self, place: int, error: ModelError) -> None:
        if seconds := REST_SECONDS.get(error.code):
            self._rests_until[place] = self._clock() + max(seconds, error.retry_after or 0.0)


class LazyModel:
    """A model that is built when it is first asked: a stand-in's SDK takes seconds and tens of megabytes to import."""

    def __init__(self, provider: str, model: str, build: Callable[[], ChatModel]) -> None:
        self.provider = provider
        self.model = model
        self._build = build
        self._built: ChatModel | None = None
        self._building = asyncio.Lock()

    async def complete(self, request: ChatRequest) -> ChatReply:
        async with self._building:
            if self._built is None:
                self._built = await asyncio.to_thread(self._build)  # the import must not hold up heartbeats and leases
        return await self._built.complete(request)

    async def aclose(self) -> None:
        if self._built:
            await self._built.aclose()
