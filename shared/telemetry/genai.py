"""OpenTelemetry's conventions for generative AI, all of them that we use, in this one module: names and shapes of spans.

https://github.com/open-telemetry/semantic-conventions-genai. They are not stable yet: a rename is one edit here. Contents
(prompts, answers, arguments, results) are made by functions that are only called where the deployment lets them leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from shared.models.port import (
    AssistantMessage,
    ChatMessage,
    ChatReply,
    ChatRequest,
    StopReason,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from shared.models.prices import cost_microusd
from shared.telemetry.spans import COST_USD, RUN_ID, RUN_REDRIVES, RUN_STATUS, Span, Value, new_id
from shared.telemetry.trace import TraceContext, span_of_call, span_of_run

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
AGENT_VERSION = "gen_ai.agent.version"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

CHAT, INVOKE_AGENT, EXECUTE_TOOL = "chat", "invoke_agent", "execute_tool"
EXTENSION = "extension"  # "a tool executed on the agent-side to directly call external APIs"
MOST_CONTENT = 32_768  # characters of one attribute: a conversation may have megabytes

# Our names of providers → the conventions'. What is not there has no name in them, and keeps ours.
PROVIDERS = {"gemini": "gcp.gemini", "mistral": "mistral_ai"}
FINISHED: Mapping[StopReason, str] = {
    "end": "stop",
    "tool_calls": "tool_call",
    "max_tokens": "length",
    "refusal": "content_filter",
}

Content = Callable[[], Mapping[str, str]]
Attributes = dict[str, Value | None]


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf a model is asked: the span that asks, and the run it belongs to."""

    at: TraceContext
    agent: str
    run: UUID
    conversation: str


def invoke_agent(
    at: TraceContext,
    agent: str,
    run: UUID,
    conversation: str,
    times: tuple[int, int],
    *,
    version: str,
    status: str,
    model: str | None,
    tokens: tuple[int, int],
    cost: int,
    redrives: int = 0,
    error: str | None = None,
) -> Span:
    """A run, from its trigger to its end. `at` is where it was triggered; its own span there when nothing else did.

    A run that was redriven ends more than once: later ends are spans of their own, below the first.
    """
    own = span_of_run(run)
    attributes: Attributes = {
        OPERATION: INVOKE_AGENT,
        AGENT: agent,
        AGENT_VERSION: version,
        CONVERSATION: conversation,
        REQUEST_MODEL: model,
        INPUT_TOKENS: tokens[0],
        OUTPUT_TOKENS: tokens[1],
        COST_USD: cost / 1_000_000,
        RUN_ID: str(run),
        RUN_STATUS: status,
        RUN_REDRIVES: redrives or None,
    }
    if redrives:
        context: TraceContext = at.at(span_of_call(f"{run} redrive {redrives}"))
        parent: str | None = own
    else:
        context, parent = at.at(own), at.span_id if at.span_id != own else None
    return Span(f"{INVOKE_AGENT} {agent}", context, parent, *times, attributes, error=error)


def chat(
    asker: Asker,
    provider: str,
    request: ChatRequest,
    reply: ChatReply | None,
    times: tuple[int, int],
    error: str | None,
) -> Span:
    """One request to a model with all its retries, and what came of it."""
    attributes: Attributes = {
        OPERATION: CHAT,
        PROVIDER: PROVIDERS.get(provider, provider),
        AGENT: asker.agent,
        CONVERSATION: asker.conversation,
        REQUEST_MODEL: request.model,
        REQUEST_MAX_TOKENS: request.max_output_tokens,
        RUN_ID: str(asker.run),
    }
    if reply is not None:
        attributes |= _answered(reply)
    return Span(
        f"{CHAT} {request.model}",
        asker.at.at(new_id()),
        asker.at.span_id,
        *times,
        attributes,
        "client",
        error,
        content=lambda: _said(request, reply),
    )


def _answered(reply: ChatReply) -> Attributes:
    usage, cost = reply.usage, cost_microusd(reply.answering_model, reply.usage)
    return {
        RESPONSE_MODEL: reply.answering_model,
        RESPONSE_ID: reply.request_id,
        FINISH_REASONS: [FINISHED.get(reply.stop, "error")],
        INPUT_TOKENS: usage.input,
        OUTPUT_TOKENS: usage.output,
        CACHE_READ_TOKENS: usage.cache_read or None,
        CACHE_CREATION_TOKENS: usage.cache_write + usage.cache_write_1h or None,
        REASONING_TOKENS: usage.reasoning or None,
        COST_USD: None if cost is None else cost / 1_000_000,
    }


def execute_tool(
    at: TraceContext,
    agent: str,
    tool: str,
    call_id: str,
    times: tuple[int, int],
    more: Mapping[str, Value | None],
    *,
    error: str | None,
    content: Content | None = None,
) -> Span:
    """A tool call from its request to its end, whatever it waited for meanwhile. `at` is the span that asked for it."""
    attributes: Attributes = {
        OPERATION: EXECUTE_TOOL,
        AGENT: agent,
        TOOL: tool,
        TOOL_TYPE: EXTENSION,
        TOOL_CALL_ID: call_id,
        RUN_ID: call_id.partition(".")[0],
    }
    context = at.at(span_of_call(call_id))
    return Span(
        f"{EXECUTE_TOOL} {tool}", context, at.span_id, *times, attributes | dict(more), error=error, content=content
    )


# -- contents ----------------------------------------------------------------------------------------------------------


def tool_content(arguments: Any, result: Any) -> dict[str, str]:
    """What a call was given, and what it gave."""
    told = {TOOL_ARGUMENTS: _json(arguments)}
    return told if result is None else told | {TOOL_RESULT: _json(result)}


def _said(request: ChatRequest, reply: ChatReply | None) -> dict[str, str]:
    told = {
        SYSTEM_INSTRUCTIONS: _json([_text(request.system)]),
        INPUT_MESSAGES: _newest([_message(one) for one in request.messages]),
    }
    if request.tools:
        told[TOOL_DEFINITIONS] = _json([_definition(tool) for tool in request.tools])
    if reply is not None:
        told[OUTPUT_MESSAGES] = _json([_message(reply.message) | {"finish_reason": FINISHED.get(reply.stop, "error")}])
    return told


def _message(one: ChatMessage) -> dict[str, Any]:
    match one:
        case UserMessage(text):
            return {"role": "user", "parts": [_text(text)]}
        case ToolMessage():
            response = {"type": "tool_call_response", "id": one.provider_id, "response": one.content}
            return {"role": "tool", "parts": [response]}
        case AssistantMessage():
            calls = [
                {"type": "tool_call", "id": call.provider_id, "name": call.tool, "arguments": call.arguments}
                for call in one.calls
            ]
            return {"role": "assistant", "parts": [*([_text(one.text)] if one.text else []), *calls]}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _definition(tool: ToolSpec) -> dict[str, Any]:
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.input_schema}


def _newest(messages: Sequence[dict[str, Any]]) -> str:
    """As many messages as fit, the newest first to stay, in their order."""
    kept: list[str] = []
    room = MOST_CONTENT - 2
    for written in map(_dumped, reversed(messages)):
        room -= len(written) + 1
        if room < 0:
            break
        kept.append(written)
    return f"[{','.join(reversed(kept))}]"


def _json(value: Any) -> str:
    """A value as JSON; what is too long says how long it was, and is left out."""
    written = _dumped(value)
    if len(written) <= MOST_CONTENT:
        return written
    left_out = {"type": "left_out", "characters": len(written)}
    return _dumped([left_out] if isinstance(value, list) else left_out)


def _dumped(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def names() -> Iterable[str]:
    """Every attribute of the conventions that is used here."""
    return sorted(value for value in globals().values() if isinstance(value, str) and value.startswith("gen_ai."))
