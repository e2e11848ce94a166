"""A model whose requests are spans, where the run that asks is traced."""

from __future__ import annotations

from shared.models.port import ChatModel, ChatReply, ChatRequest, ModelError
from shared.telemetry import genai, spans


class TracedModel:
    """Another model. Each request to it is one span, whether it answers or not."""

    def __init__(self, model: ChatModel) -> None:
        self.provider = model.provider
        self.model = model.model
        self._model = model

    async def complete(self, request: ChatRequest) -> ChatReply:
        if request.asker is None:
            return await self._model.complete(request)
        began = spans.now()
        try:
            reply = await self._model.complete(request)
        except BaseException as error:
            code = error.code if isinstance(error, ModelError) else type(error).__name__
            spans.emit(genai.chat(request.asker, self.provider, request, None, (began, spans.now()), code))
            raise
        spans.emit(genai.chat(request.asker, self.provider, request, reply, (began, spans.now()), None))
        return reply

    async def aclose(self) -> None:
        await self._model.aclose()
