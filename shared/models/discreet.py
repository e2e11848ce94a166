"""A model whose errors do not say the key it is called with: providers quote what they refuse."""

from __future__ import annotations

from shared.models.port import ChatModel, ChatReply, ChatRequest
from shared.redaction import Redactions


class DiscreetModel:
    """Another model, with secrets taken out of its errors."""

    def __init__(self, model: ChatModel, redactions: Redactions) -> None:
        self.provider = model.provider
        self.model = model.model
        self._model = model
        self._redactions = redactions

    async def complete(self, request: ChatRequest) -> ChatReply:
        with self._redactions.errors():
            return await self._model.complete(request)

    async def aclose(self) -> None:
        await self._model.aclose()
