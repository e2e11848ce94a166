"""Anthropic's Messages API. Facts as of SDK 2.12: Bearer key, `anthropic-version` sent by the SDK, no temperature.

All results of a turn go back in one user message, before any text. Thinking blocks and whatever else is opaque return
unchanged, apart from what the API refuses to see again: blank texts, ids and names that break its rules. Provider-run tools
are never enabled: they would escape the gateway. What the next request will begin with is marked for the prompt cache.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import anthropic

from shared.models.anthropic_cache import marked
from shared.models.dialect import THINKING_ROOM, Dialect
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
from shared.models.retry import ATTEMPTS, Sleep, error_in_body, error_of_status, wait_of, with_retries
from shared.models.schemas import WireTools
from shared.models.window import ask_within
from shared.models.wire import (
    NOTHING,
    Arguments,
    a_count,
    a_text,
    an_object,
    arguments_of,
    document,
    not_sent,
    objects,
    own_ids,
    prepared,
    raise_bad_answer,
    starts_with_user,
)

PROVIDER = "anthropic"
STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool_calls",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "context_exceeded",
    "refusal": "refusal",
}
PLAIN = {"text", "tool_use"}
THOUGHTS = {"thinking", "redacted_thinking"}
LEAST_THINKING = 1024


class AnthropicModel:
    """One Claude model. `window` is how many tokens it takes in, when that is not known here."""

    provider = PROVIDER

    def __init__(
        self,
        model: str,
        *,
        api_key: str,
        base_url: str,
        timeout_seconds: float = 120.0,
        sleep: Sleep = asyncio.sleep,
        window: int | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.model = model
        self._sleep = sleep
        self._attempts = attempts
        self._tools = WireTools(PROVIDER)
        self._dialect = Dialect(PROVIDER, model, window=window)
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key, base_url=base_url, timeout=timeout_seconds, max_retries=0
        )

    async def complete(self, request: ChatRequest) -> ChatReply:
        self._tools.take(request)
        return await ask_within(
            request,
            self._dialect.abilities.window - self._dialect.output_tokens(request),
            self._tools.size,
            lambda sent: with_retries(lambda: self._once(sent), sleep=self._sleep, attempts=self._attempts),
        )

    async def aclose(self) -> None:
        await self._client.close()

    async def _once(self, request: ChatRequest) -> ChatReply:
        started = time.perf_counter()
        while True:
            try:
                answer = document(PROVIDER, await self._ask(self._body(request)))
                break
            except ModelError as error:
                asked = self._dialect.output_tokens(request)
                if error.code != "model.bad_request" or not self._dialect.learn(error.message, asked):
                    raise
        if wrong := answer.get("error"):
            raise error_in_body(PROVIDER, wrong)
        return self._reply(request, answer, (time.perf_counter() - started) * 1000)

    async def _ask(self, body: dict[str, Any]) -> Any:
        try:
            return await self._client.messages.create(**body)
        except anthropic.APIStatusError as error:
            code = getattr(error, "error_code", None) or getattr(error, "type", None) or ""
            wait = wait_of(error.response.headers, error.message)
            raise error_of_status(PROVIDER, error.status_code, str(code), error.message, wait) from error
        except anthropic.APIConnectionError as error:
            raise ModelError("model.unavailable", f"{PROVIDER} cannot be reached: {error}", retryable=True) from error
        except (anthropic.APIError, ValueError, RecursionError) as error:
            raise ModelError("model.bad_answer", f"{PROVIDER} answered nonsense: {error}", retryable=True) from error

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        offered = self._tools.take(request)
        said = messages(request.messages, thoughts=self._dialect.sends_thoughts, arguments=self._tools.wire_arguments)
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self._dialect.output_tokens(request),
            "messages": said,
        }
        if request.system.strip():
            body["system"] = request.system
        tools = [{"name": t.name, "description": t.description, "input_schema": t.schema} for t in offered]
        if tools:
            body["tools"] = tools
            if self._dialect.must_call(request):
                body["tool_choice"] = {"type": "any"}
        elif named := _tools_named(said):  # a history with calls needs tools, also when all were taken away
            body |= {"tools": named, "tool_choice": {"type": "none"}}
        body |= self._thinking(request, body)
        return marked(body, goes_on=bool(tools) and not request.must_call) if self._dialect.caches else body

    def _thinking(self, request: ChatRequest, body: dict[str, Any]) -> dict[str, Any]:
        """How much the model is to think, in its own terms. Nothing where nobody said, or where it cannot."""
        style, wanted = self._dialect.abilities.thinking, request.thinking
        if wanted is None or not self._dialect.thinks:
            return {}
        if wanted == "off":
            return {"thinking": {"type": "disabled"}}
        if style == "adaptive":
            return {"thinking": {"type": "adaptive"}, "output_config": {"effort": wanted}}
        budget = min(THINKING_ROOM[wanted], body["max_tokens"] - 1)
        if budget < LEAST_THINKING or _acts_without_a_thought(body["messages"]):
            return {}
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}

    def _reply(self, request: ChatRequest, answer: dict[str, Any], latency_ms: float) -> ChatReply:
        if not isinstance(answer.get("content"), list | str):
            raise_bad_answer(PROVIDER, "a message without content")
        blocks = _blocks_of(answer["content"])
        stop = STOPS.get(a_text(answer.get("stop_reason")), "other")
        calls = own_ids([self._call(block) for block in blocks if block.get("type") == "tool_use"], request.messages)
        if stop == "refusal":
            calls = [not_sent(call, "the model's answer was refused") for call in calls]
        elif stop in ("max_tokens", "context_exceeded") and calls:
            calls[-1] = not_sent(calls[-1], "cut off at the token limit")
        text = "".join(a_text(block.get("text")) for block in blocks if block.get("type") == "text")
        refusal = _refusal(answer) if stop == "refusal" else None
        opaque = any(block.get("type") not in PLAIN for block in blocks) and arguments_of({"blocks": blocks})[0]
        return ChatReply(
            AssistantMessage(text or refusal or "", tuple(calls), PROVIDER, blocks if opaque else None),
            stop,
            self.model,
            a_text(answer.get("model")) or self.model,
            _usage(an_object(answer.get("usage"))),
            a_text(answer.get("_request_id")) or None,
            latency_ms=latency_ms,
            refusal=refusal,
        )

    def _call(self, block: dict[str, Any]) -> ModelToolCall:
        name = a_text(block.get("name"))
        arguments, raw = arguments_of(block.get("input"))
        arguments = self._tools.own_arguments(name, arguments)
        return ModelToolCall(a_text(block.get("id")), self._tools.own_name(name), arguments, raw)


def messages(
    conversation: Iterable[ChatMessage], *, thoughts: bool = True, arguments: Arguments = lambda tool, given: given
) -> list[dict[str, Any]]:
    """Our messages in Anthropic's form: roles alternate, results of a turn come first and together.

    Without `thoughts` the model's own are left out: another server signed them.
    """
    made: list[dict[str, Any]] = []
    for message in starts_with_user(prepared(conversation, PROVIDER, arguments)):
        role, blocks = _blocks(message, thoughts=thoughts)
        if made and made[-1]["role"] == role:
            made[-1]["content"].extend(blocks)
        else:
            made.append({"role": role, "content": blocks})
    return made


def _blocks(message: ChatMessage, *, thoughts: bool) -> tuple[str, list[Any]]:
    match message:
        case UserMessage(text):
            return "user", [_text(text)]
        case ToolMessage():
            block = {"type": "tool_result", "tool_use_id": message.provider_id, "content": message.content}
            return "user", [block | ({"is_error": True} if message.is_error else {})]
        case AssistantMessage():
            return "assistant", _turn(message, thoughts=thoughts)


def _turn(message: AssistantMessage, *, thoughts: bool) -> list[Any]:
    calls = [_tool_use(call) for call in message.calls]
    if thoughts and message.provider == PROVIDER and isinstance(message.provider_extra, list):
        kept = _as_it_came(message.provider_extra, calls)
        if kept is not None:
            return kept
    said = [_text(message.text)] if message.text.strip() else []
    return said + calls or [_text("")]


def _as_it_came(blocks: Sequence[Any], calls: list[dict[str, Any]]) -> list[Any] | None:
    """The turn's own blocks with what the API refuses mended; None when its calls are not those on record."""
    made: list[Any] = []
    left = list(calls)
    for block in objects(list(blocks)):
        kind = block.get("type")
        if kind == "tool_use":
            if not left:
                return None
            made.append(block | left.pop(0))
        elif kind == "thinking" and not block.get("signature"):
            continue  # a gateway of another make wrote it; the API refuses a thought without a signature
        elif kind != "text" or a_text(block.get("text")).strip():
            made.append(block)
    if left:
        return None
    return made if any(block.get("type") in PLAIN for block in made) else [*made, _text("")]


def _tool_use(call: ModelToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.provider_id, "name": call.tool, "input": call.arguments or {}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text if text.strip() else NOTHING}


def _tools_named(said: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {block["name"] for m in said for block in m["content"] if block.get("type") == "tool_use"}
    return [
        {"name": name, "description": "Not available any more.", "input_schema": {"type": "object"}}
        for name in sorted(names)
    ]


def _acts_without_a_thought(said: Sequence[dict[str, Any]]) -> bool:
    """Whether the turn whose results come last began without a thought: another model made it, or this one did not think.

    A model that thinks by budget is refused then.
    """
    last_is_results = bool(said) and said[-1]["content"][0].get("type") == "tool_result"
    return last_is_results and said[-2]["content"][0].get("type") not in THOUGHTS


def _blocks_of(content: Any) -> list[dict[str, Any]]:
    """The blocks of an answer; a compatible server may send a plain text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else objects(content)


def _refusal(answer: dict[str, Any]) -> str:
    details = an_object(answer.get("stop_details"))
    told = a_text(details.get("explanation")) or a_text(details.get("category"))
    return f"The model refused: {told}" if told else "The model refused."


def _usage(usage: dict[str, Any]) -> Usage:
    """All input: plain, written to the cache and read from it."""
    read, written = a_count(usage.get("cache_read_input_tokens")), a_count(usage.get("cache_creation_input_tokens"))
    hour = min(a_count(an_object(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")), written)
    thinking = a_count(an_object(usage.get("output_tokens_details")).get("thinking_tokens"))
    total = a_count(usage.get("input_tokens")) + read + written
    return Usage(total, a_count(usage.get("output_tokens")), read, written - hour, hour, thinking)
