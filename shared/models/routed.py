"""Another model for single questions: what a request names as its model is asked first, then the role's own.

A name that the file of models does not have for the role is a person's wish (a fork): that model is asked, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from shared.models.failover import FailoverModel
from shared.models.port import ChatModel, ChatReply, ChatRequest


class RoutedModel:
    """Looks like the role's own model. `others` are by the names that a request may have as its model; `make` makes any other.

    `make` returns None for what is no model of a provider, and raises BadInput when its key is missing.
    """

    def __init__(
        self,
        own: ChatModel,
        others: Mapping[str, ChatModel],
        make: Callable[[str], ChatModel | None] = lambda name: None,
    ) -> None:
        self.provider = own.provider
        self.model = own.model
        self._own = own
        self._others = dict(others)
        self._make = make
        self._routes: dict[str, ChatModel] = {name: FailoverModel([other, own]) for name, other in others.items()}

    async def complete(self, request: ChatRequest) -> ChatReply:
        if request.model == self._own.model:
            return await self._own.complete(request)
        route = self._routes.get(request.model) or self._wished(request.model)
        if route is None:
            return await self._own.complete(replace(request, model=self._own.model))
        return await route.complete(replace(request, model=route.model))

    async def aclose(self) -> None:
        for model in (*self._others.values(), self._own):
            await model.aclose()

    def _wished(self, name: str) -> ChatModel | None:
        made = self._make(name)
        if made is not None:
            self._others[name] = self._routes[name] = made
        return made
