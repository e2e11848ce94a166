"""Chat Completions: OpenAI, Gemini through its compatible endpoint, Mistral, any server that speaks it.

Gemini's thought signature sits in a tool call's `extra_content` and must come back unchanged, or the next request is
refused. Everything else of a turn is built from its parts: other servers refuse fields that only answers have.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any

import openai
import orjson

from shared.models.dialect import ECHOED, Dialect
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
    text_of,
    without_thoughts,
)

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "eos": "end",
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "context_exceeded",
    "content_filter": "refusal",
    "safety": "refusal",
    "recitation": "refusal",
    "prohibited_content": "refusal",
    "refusal": "refusal",
    "malformed_function_call": "malformed",
    "function_call_filter": "malformed",
}
BROKEN_STOPS = {"error", "insufficient_system_resource"}  # the server gave up in the middle: ask again
# Gemini demands a signature on calls of the history; this one stands for calls that another model made.
FOREIGN_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}


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
        window: int | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._sleep = sleep
        self._attempts = attempts
        self._tools = WireTools(provider)
        self._dialect = Dialect(provider, model, window=window)
        self.provider = provider
        self.model = model
        self._client = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, timeout=timeout_seconds, max_retries=0)

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
                answer = document(self.provider, await self._ask(self._body(request)))
                break
            except ModelError as error:
                asked = self._dialect.output_tokens(request)
                if error.code != "model.bad_request" or not self._dialect.learn(error.message, asked):
                    raise
        if wrong := answer.get("error"):
            raise error_in_body(self.provider, wrong)
        return self._reply(request, answer, (time.perf_counter() - started) * 1000)

    async def _ask(self, body: dict[str, Any]) -> Any:
        try:
            return await self._client.chat.completions.create(**body)
        except openai.APIStatusError as error:
            code, said = _told(error)
            wait = wait_of(error.response.headers, said)
            raise error_of_status(self.provider, error.status_code, code, said, wait) from error
        except openai.APIConnectionError as error:
            raise ModelError(
                "model.unavailable", f"{self.provider} cannot be reached: {error}", retryable=True
            ) from error
        except (openai.APIError, ValueError, RecursionError) as error:
            raise ModelError(
                "model.bad_answer", f"{self.provider} answered nonsense: {error}", retryable=True
            ) from error

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        system = [{"role": "system", "content": request.system}] if request.system.strip() else []
        tools = self._tools.take(request)
        said = messages(request.messages, self.provider, self._dialect, self._tools.wire_arguments)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": system + said,
            self._dialect.limit_field: self._dialect.output_tokens(request),
        }
        if tools:
            body["tools"] = [
                {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
                for t in tools
            ]
        if self._dialect.must_call(request):
            body["tool_choice"] = "required"
        if effort := self._dialect.effort(request):
            body["reasoning_effort"] = effort
        return body

    def _reply(self, request: ChatRequest, answer: dict[str, Any], latency_ms: float) -> ChatReply:
        choice = self._choice(answer)
        raw = an_object(choice.get("message"))
        stop = _stop(choice)
        refusal = text_of(raw.get("refusal")) or ("The answer was filtered." if stop == "refusal" else None)
        calls = own_ids(self._calls(raw), request.messages)
        if refusal:
            stop, calls = "refusal", [not_sent(call, "the model's answer was refused") for call in calls]
        elif stop in ("max_tokens", "context_exceeded") and calls:
            calls[-1] = not_sent(calls[-1], "cut off at the token limit")
        said = without_thoughts(text_of(raw.get("content"))) or a_text(an_object(raw.get("audio")).get("transcript"))
        text = said or (f"The model refused: {refusal}" if refusal else "")
        extra = {name: raw[name] for name in ECHOED if raw.get(name) is not None}
        return ChatReply(
            AssistantMessage(text, tuple(calls), self.provider, extra or None),
            stop,
            self.model,
            a_text(answer.get("model")) or self.model,
            self._usage(an_object(answer.get("usage"))),
            a_text(answer.get("_request_id")) or None,
            latency_ms=latency_ms,
            refusal=refusal,
        )

    def _choice(self, answer: dict[str, Any]) -> dict[str, Any]:
        choice = next(iter(objects(answer.get("choices"))), None)
        if choice is None:
            raise_bad_answer(self.provider, "no choice")
        if wrong := choice.get("error"):
            raise error_in_body(self.provider, wrong)
        if a_text(choice.get("finish_reason")).lower() in BROKEN_STOPS:
            raise_bad_answer(self.provider, f"finish_reason {choice['finish_reason']!r}")
        if not isinstance(choice.get("message"), dict) and _stop(choice) != "max_tokens":
            raise_bad_answer(self.provider, "a choice without a message")
        return choice

    def _calls(self, raw: dict[str, Any]) -> list[ModelToolCall]:
        found = objects(raw.get("tool_calls"))
        if not found and isinstance(raw.get("function_call"), dict):  # how servers of before 2024 say it
            found = [{"function": raw["function_call"]}]
        return [self._call(one) for one in found]

    def _call(self, raw: dict[str, Any]) -> ModelToolCall:
        function = an_object(raw.get("function"))
        name = a_text(function.get("name"))
        arguments, as_it_came = arguments_of(function.get("arguments"))
        arguments = self._tools.own_arguments(name, arguments)
        extra = {"extra_content": raw["extra_content"]} if raw.get("extra_content") is not None else None
        return ModelToolCall(_id(raw.get("id")), self._tools.own_name(name), arguments, as_it_came, extra)

    def _usage(self, usage: dict[str, Any]) -> Usage:
        """Cached tokens are part of the prompt's here. Gemini may leave thinking out of the completion: total - prompt."""
        details = an_object(usage.get("prompt_tokens_details"))
        thought = a_count(an_object(usage.get("completion_tokens_details")).get("reasoning_tokens"))
        prompt, output = a_count(usage.get("prompt_tokens")), a_count(usage.get("completion_tokens"))
        if self.provider == "gemini" and (total := a_count(usage.get("total_tokens"))):
            output = max(total - prompt, output)
        cached = min(a_count(details.get("cached_tokens")), prompt)
        written = min(a_count(details.get("cache_write_tokens")), prompt - cached)
        return Usage(prompt, output, cached, written, reasoning=thought)


def messages(
    conversation: Iterable[ChatMessage],
    provider: str,
    dialect: Dialect | None = None,
    arguments: Arguments = lambda tool, given: given,
) -> list[dict[str, Any]]:
    """Our messages in Chat Completions' form: one `tool` message a result, texts of a user in a row as one."""
    dialect = dialect or Dialect(provider)
    made: list[dict[str, Any]] = []
    for message in starts_with_user(prepared(conversation, provider, arguments)):
        before = made[-1]["role"] if made else ""
        one = _message(message, provider, dialect)
        if one["role"] == before == "user":
            made[-1] = {"role": "user", "content": f"{made[-1]['content']}\n\n{one['content']}"}
            continue
        if one["role"] == "user" and before == "tool" and provider == "mistral":
            made.append({"role": "assistant", "content": "(results received)"})  # Mistral refuses a user after a tool
        made.append(one)
    return made


def _message(message: ChatMessage, provider: str, dialect: Dialect) -> dict[str, Any]:
    match message:
        case UserMessage(text):
            return {"role": "user", "content": text if text.strip() else NOTHING}
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.provider_id, "content": message.content}
        case AssistantMessage():
            return _turn(message, provider, dialect)


def _turn(message: AssistantMessage, provider: str, dialect: Dialect) -> dict[str, Any]:
    text = message.text if message.text.strip() else None
    extra = an_object(message.provider_extra) if message.provider == provider else {}
    made: dict[str, Any] = {
        "role": "assistant",
        "content": text or (dialect.empty_content if message.calls else NOTHING),
    }
    made |= {name: extra[name] for name in ECHOED if name in dialect.echoes and name in extra}
    if message.calls:
        signatures = list(_signatures(message, extra, provider)) if "extra_content" in dialect.echoes else []
        made["tool_calls"] = [
            {"id": c.provider_id, "type": "function", "function": {"name": c.tool, "arguments": _arguments(c)}}
            | (signatures[n] if n < len(signatures) else {})
            for n, c in enumerate(message.calls)
        ]
    return made


def _signatures(message: AssistantMessage, extra: dict[str, Any], provider: str) -> Iterator[dict[str, Any]]:
    """What each call of a turn must bring back, from the call or from a turn that was stored whole."""
    stored = objects(extra.get("tool_calls") or [])
    for n, call in enumerate(message.calls):
        own = call.provider_extra if message.provider == provider else None
        found = an_object(own).get("extra_content") or (stored[n].get("extra_content") if n < len(stored) else None)
        if found is None and n == 0 and provider == "gemini":
            found = FOREIGN_SIGNATURE
        yield {"extra_content": found} if found else {}


def _arguments(call: ModelToolCall) -> str:
    return orjson.dumps(call.arguments or {}).decode()


def _stop(choice: dict[str, Any]) -> StopReason:
    """Servers write the reason in capitals, or with a cause behind a colon."""
    return STOPS.get(a_text(choice.get("finish_reason")).partition(":")[0].strip().lower(), "other")


def _id(given: Any) -> str:
    return str(given) if isinstance(given, str | int) else ""


def _told(error: openai.APIStatusError) -> tuple[str, str]:
    """(code, what the server said). The SDK leaves out bodies of another form than OpenAI's."""
    body = next(iter(objects(error.body)), {})
    inner = an_object(body.get("error")) or body
    code = error.code or inner.get("code") or error.type or inner.get("type") or inner.get("status") or ""
    said = a_text(inner.get("message")) or (orjson.dumps(body, default=str).decode() if body else a_text(error.body))
    field = f" ({error.param})" if error.param else ""
    return str(code), f"{said or error.message}{field}"
