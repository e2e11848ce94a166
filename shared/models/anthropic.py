"""Anthropic's Messages API. Facts as of SDK 2.12: Bearer key, `anthropic-version` sent by the SDK, no temperature.

All results of a turn go back in one user message, before any text. Thinking blocks and whatever else is opaque return
unchanged. Provider-run tools are never enabled: they would escape the gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import anthropic
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

PROVIDER = "anthropic"
STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool_calls",
    "max_tokens": "max_tokens",
    "refusal": "refusal",
}
PLAIN = {"text", "tool_use"}


class AnthropicModel:
    """One Claude model."""

    provider = PROVIDER

    def __init__(
        self, model: str, *, api_key: str, base_url: str, timeout_seconds: float = 120.0, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.model = model
        self._sleep = sleep
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key, base_url=base_url, timeout=timeout_seconds, max_retries=0
        )

    async def complete(self, request: ChatRequest) -> ChatReply:
        return await with_retries(lambda: self._once(request), sleep=self._sleep)

    async def aclose(self) -> None:
        await self._client.close()

    async def _once(self, request: ChatRequest) -> ChatReply:
        started = time.perf_counter()
        given: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_output_tokens,
            "system": request.system,
            "messages": messages(request.messages),
        }
        if request.tools:
            given["tools"] = [
                {"name": t.name, "description": t.description, "input_schema": t.input_schema} for t in request.tools
            ]
        try:
            answer = await self._client.messages.create(**given)
        except anthropic.APIStatusError as error:
            code = getattr(error, "error_code", None) or getattr(error, "type", None) or ""
            raise error_of_status(
                PROVIDER,
                error.status_code,
                str(code),
                error.message,
                retry_after(error.response.headers.get("retry-after")),
            ) from error
        except anthropic.APIConnectionError as error:
            raise ModelError("model.unavailable", f"{PROVIDER} cannot be reached: {error}", retryable=True) from error
        except ValueError as error:
            raise ModelError("model.bad_answer", f"{PROVIDER} answered nonsense: {error}", retryable=True) from error
        return _reply(self.model, answer, (time.perf_counter() - started) * 1000)


def messages(conversation: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """Our messages in Anthropic's form: roles alternate, results of a turn come first and together."""
    made: list[dict[str, Any]] = []
    for message in conversation:
        role, blocks = _blocks(message)
        if made and made[-1]["role"] == role:
            made[-1]["content"].extend(blocks)
        else:
            made.append({"role": role, "content": blocks})
    return made


def _blocks(message: ChatMessage) -> tuple[str, list[Any]]:
    match message:
        case UserMessage(text):
            return "user", [{"type": "text", "text": text}]
        case ToolMessage():
            block = {"type": "tool_result", "tool_use_id": message.provider_id, "content": message.content}
            return "user", [block | ({"is_error": True} if message.is_error else {})]
        case AssistantMessage():
            if message.provider == PROVIDER and message.provider_extra is not None:
                return "assistant", list(message.provider_extra)
            said: list[Any] = [{"type": "text", "text": message.text}] if message.text else []
            calls = [
                {"type": "tool_use", "id": c.provider_id, "name": c.tool, "input": c.arguments or {}}
                for c in message.calls
            ]
            return "assistant", said + calls or [{"type": "text", "text": "(nothing)"}]


def _reply(requested: str, answer: Any, latency_ms: float) -> ChatReply:
    blocks = [block.model_dump(mode="json", exclude_unset=True) for block in answer.content]  # exactly what came
    stop = STOPS.get(answer.stop_reason or "", "other")
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    if stop == "max_tokens" and calls:
        calls[-1] = ModelToolCall(calls[-1].provider_id, calls[-1].tool, None, "cut off at the token limit")
    opaque = [block for block in blocks if block["type"] not in PLAIN]
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    refusal = _refusal(answer) if stop == "refusal" else None
    message = AssistantMessage(
        text or refusal or "", tuple(calls), PROVIDER, blocks if opaque and _writable(blocks) else None
    )
    return ChatReply(
        message,
        stop,
        requested,
        answer.model,
        _usage(answer.usage),
        getattr(answer, "_request_id", None),
        latency_ms=latency_ms,
        refusal=refusal,
    )


def _call(block: Any) -> ModelToolCall:
    given = block["input"]
    if isinstance(given, dict) and _writable(given):
        return ModelToolCall(block["id"], block["name"], given)
    return ModelToolCall(block["id"], block["name"], None, str(given))


def _writable(value: Any) -> bool:
    """Python reads integers of any size, and nothing of ours can write more than 64 bits."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _refusal(answer: Any) -> str:
    details = getattr(answer, "stop_details", None)
    told = getattr(details, "explanation", None) or getattr(details, "category", None)
    return f"The model refused: {told}" if told else "The model refused."


def _usage(usage: Any) -> Usage:
    """All input: plain, written to the cache and read from it."""
    read = getattr(usage, "cache_read_input_tokens", None) or 0
    written = getattr(usage, "cache_creation_input_tokens", None) or 0
    hour = getattr(getattr(usage, "cache_creation", None), "ephemeral_1h_input_tokens", None) or 0
    thinking = getattr(getattr(usage, "output_tokens_details", None), "thinking_tokens", None) or 0
    return Usage(usage.input_tokens + read + written, usage.output_tokens, read, written - hour, hour, thinking)
