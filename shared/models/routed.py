"""Another model for single questions: what a request names as its model is asked first, then the role's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.models.failover import FailoverModel
from shared.models.port import ChatModel, ChatReply, ChatRequest


class RoutedModel:
    """Looks like the role's own model. `others` are by the names that a request may have as its model."""

    def __init__(self, own: ChatModel, others: Mapping[str, ChatModel]) -> None:
        self.provider = own.provider
        self.model = own.model
        self._own = own
        self._others = dict(others)
        self._routes = {name: FailoverModel([other, own]) for name, other in others.items()}

    async def complete(self, request: ChatRequest) -> ChatReply:
        route = self._routes.get(request.model)
        if route is None:
            return await self._own.complete(replace(request, model=self._own.model))
        return await route.complete(request)

    async def aclose(self) -> None:
        for model in (*self._others.values(), self._own):
            await model.aclose()
