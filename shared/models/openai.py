"""Chat Completions: OpenAI, Gemini through its compatible endpoint, Mistral, any server that speaks it.

Gemini's thought signature sits in a tool call's `extra_content` and must come back unchanged, or the next request is
refused: a message with anything opaque in it is stored and returned whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import openai
import orjson

from shared.models.port import (
    AssistantMessage,
    ChatMessage,
    ChatReply,
    ChatRequest,
    ModelError,
    ModelToolCall,
    StopReason,
    ToolMessage,
    Usage,
    UserMessage,
)
from shared.models.retry import Sleep, error_of_status, retry_after, with_retries

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "tool_calls": "tool_calls",
    "length": "max_tokens",
    "content_filter": "refusal",
}
PLAIN = {"role", "content", "tool_calls", "refusal", "annotations", "audio", "function_call"}
PLAIN_CALL = {"id", "type", "function", "index"}


class OpenAIModel:
    """One model behind a Chat Completions endpoint. `provider` is whose: openai, gemini, mistral."""

    def __init__(
        self,
        model: str,
        *,
        provider: str,
        api_key: str,
        base_url: str,
        timeout_seconds: float = 120.0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self.provider = provider
        self.model = model
        self._client = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, timeout=timeout_seconds, max_retries=0)

    async def complete(self, request: ChatRequest) -> ChatReply:
        return await with_retries(lambda: self._once(request), sleep=self._sleep)

    async def aclose(self) -> None:
        await self._client.close()

    async def _once(self, request: ChatRequest) -> ChatReply:
        started = time.perf_counter()
        given: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "system", "content": request.system}, *messages(request.messages, self.provider)],
            "max_tokens" if self.provider == "mistral" else "max_completion_tokens": request.max_output_tokens,
        }
        if request.tools:
            given["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": t.input_schema},
                }
                for t in request.tools
            ]
        try:
            answer = await self._client.chat.completions.create(**given)
        except openai.APIStatusError as error:
            raise error_of_status(
                self.provider,
                error.status_code,
                str(error.code or error.type or ""),
                error.message,
                retry_after(error.response.headers.get("retry-after")),
            ) from error
        except openai.APIConnectionError as error:
            raise ModelError(
                "model.unavailable", f"{self.provider} cannot be reached: {error}", retryable=True
            ) from error
        except ValueError as error:
            raise ModelError(
                "model.bad_answer", f"{self.provider} answered nonsense: {error}", retryable=True
            ) from error
        if not getattr(answer, "choices", None):
            raise ModelError("model.bad_answer", f"{self.provider} answered without a choice.", retryable=True)
        return self._reply(answer, (time.perf_counter() - started) * 1000)

    def _reply(self, answer: Any, latency_ms: float) -> ChatReply:
        choice = answer.choices[0]
        raw = choice.message.model_dump(exclude_none=True)
        stop = STOPS.get(choice.finish_reason or "", "other")
        calls = [_call(c) for c in raw.get("tool_calls", [])]
        if stop == "max_tokens" and calls:
            calls[-1] = ModelToolCall(calls[-1].provider_id, calls[-1].tool, None, "cut off at the token limit")
        refusal = raw.get("refusal") or ("The answer was filtered." if stop == "refusal" else None)
        text = raw.get("content") or (f"The model refused: {refusal}" if refusal else "")
        message = AssistantMessage(text, tuple(calls), self.provider, raw if _opaque(raw) else None)
        return ChatReply(
            message,
            "refusal" if refusal else stop,
            self.model,
            answer.model,
            self._usage(answer.usage),
            getattr(answer, "_request_id", None),
            latency_ms=latency_ms,
            refusal=refusal,
        )

    def _usage(self, usage: Any) -> Usage:
        """Cached tokens are part of the prompt's here. Gemini may leave thinking out of the completion: total - prompt."""
        if usage is None:
            return Usage()
        details = getattr(usage, "prompt_tokens_details", None)
        thought = getattr(getattr(usage, "completion_tokens_details", None), "reasoning_tokens", None) or 0
        output = usage.completion_tokens
        if self.provider == "gemini" and usage.total_tokens:
            output = usage.total_tokens - usage.prompt_tokens
        cached = getattr(details, "cached_tokens", None) or 0
        written = getattr(details, "cache_write_tokens", None) or 0
        return Usage(usage.prompt_tokens, output, cached, written, reasoning=thought)


def messages(conversation: Iterable[ChatMessage], provider: str) -> list[dict[str, Any]]:
    """Our messages in Chat Completions' form: one `tool` message a result."""
    return [_message(message, provider) for message in conversation]


def _message(message: ChatMessage, provider: str) -> dict[str, Any]:
    match message:
        case UserMessage(text):
            return {"role": "user", "content": text}
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.provider_id, "content": message.content}
        case AssistantMessage():
            if message.provider == provider and message.provider_extra is not None:
                return dict(message.provider_extra)
            made: dict[str, Any] = {"role": "assistant", "content": message.text or None}
            if message.calls:
                made["tool_calls"] = [
                    {"id": c.provider_id, "type": "function", "function": {"name": c.tool, "arguments": _arguments(c)}}
                    for c in message.calls
                ]
            return made


def _arguments(call: ModelToolCall) -> str:
    if call.arguments is None:
        return call.raw_arguments or "{}"
    return orjson.dumps(call.arguments).decode()


def _call(raw: dict[str, Any]) -> ModelToolCall:
    name, text = raw["function"]["name"], raw["function"].get("arguments") or "{}"
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        given = None
    if isinstance(given, dict):
        return ModelToolCall(raw["id"], name, given)
    return ModelToolCall(raw["id"], name, None, text)


def _opaque(raw: dict[str, Any]) -> bool:
    """Is there anything in the message that we would lose by taking it apart?"""
    return bool(raw.keys() - PLAIN) or any(c.keys() - PLAIN_CALL for c in raw.get("tool_calls", []))
