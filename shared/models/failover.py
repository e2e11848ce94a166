"""A model and what stands in for it: asked in order until one answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from shared.models.port import ChatModel, ChatReply, ChatRequest, ModelError

log = logging.getLogger(__name__)


class FailoverModel:
    """Looks like its first model. A request that no model answers raises the first error that trying again can help.

    When there is none it is the first model's.
    """

    def __init__(self, models: Sequence[ChatModel]) -> None:
        self._models = list(models)
        self.provider = models[0].provider
        self.model = models[0].model

    async def complete(self, request: ChatRequest) -> ChatReply:
        errors: list[ModelError] = []
        for model in self._models:
            try:
                return await model.complete(replace(request, model=model.model))
            except ModelError as error:
                log.warning("model %s/%s: %s", model.provider, model.model, error.message)
                errors.append(error)
        raise next((e for e in errors if e.retryable), errors[0])

    async def aclose(self) -> None:
        for model in self._models:
            await model.aclose()
