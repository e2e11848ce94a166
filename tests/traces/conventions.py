"""What OpenTelemetry publishes about spans of generative AI, written down from its documents and not from our code:
https://github.com/open-telemetry/semantic-conventions-genai (docs/gen-ai/gen-ai-spans.md, gen-ai-agent-spans.md and the JSON
Schemas of messages), as of schema 1.44.0."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import jsonschema_rs

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5

# Per operation: kinds a span may have, attributes that are required, and all that the documents list for it.
COMMON = {"gen_ai.operation.name": str, "error.type": str, "gen_ai.agent.name": str, "gen_ai.conversation.id": str}
OPERATIONS: dict[str, tuple[set[int], set[str], dict[str, type]]] = {
    "chat": (
        {CLIENT, INTERNAL},
        {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"},
        {
            "gen_ai.provider.name": str,
            "gen_ai.request.model": str,
            "gen_ai.request.max_tokens": int,
            "gen_ai.response.id": str,
            "gen_ai.response.model": str,
            "gen_ai.response.finish_reasons": list,
            "gen_ai.usage.input_tokens": int,
            "gen_ai.usage.output_tokens": int,
            "gen_ai.usage.cache_read.input_tokens": int,
            "gen_ai.usage.cache_creation.input_tokens": int,
            "gen_ai.usage.reasoning.output_tokens": int,
            "gen_ai.input.messages": str,
            "gen_ai.output.messages": str,
            "gen_ai.system_instructions": str,
            "gen_ai.tool.definitions": str,
        },
    ),
    "invoke_agent": (
        {INTERNAL, CLIENT},
        {"gen_ai.operation.name"},
        {
            "gen_ai.agent.version": str,
            "gen_ai.request.model": str,
            "gen_ai.usage.input_tokens": int,
            "gen_ai.usage.output_tokens": int,
        },
    ),
    "execute_tool": (
        {INTERNAL},
        {"gen_ai.operation.name", "gen_ai.tool.name"},
        {
            "gen_ai.tool.name": str,
            "gen_ai.tool.type": str,
            "gen_ai.tool.call.id": str,
            "gen_ai.tool.call.arguments": str,
            "gen_ai.tool.call.result": str,
        },
    ),
}
CONTENT = {
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
}
NAMED_AFTER = {"chat": "gen_ai.request.model", "invoke_agent": "gen_ai.agent.name", "execute_tool": "gen_ai.tool.name"}
TOOL_TYPES = {"function", "extension", "datastore"}
FINISH_REASONS = {"stop", "length", "content_filter", "tool_call", "compaction", "error"}

_TEXT = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "content": {"type": "string"}},
    "required": ["type", "content"],
}
_CALL = {
    "type": "object",
    "properties": {
        "type": {"const": "tool_call"},
        "id": {"type": ["string", "null"]},
        "name": {"type": "string"},
        "arguments": {},
    },
    "required": ["type", "name"],
}
_RESPONSE = {
    "type": "object",
    "properties": {"type": {"const": "tool_call_response"}, "id": {"type": ["string", "null"]}, "response": {}},
    "required": ["type", "response"],
}
_MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"enum": ["system", "user", "assistant", "tool"]},
        "parts": {"type": "array", "items": {"anyOf": [_TEXT, _CALL, _RESPONSE]}},
        "finish_reason": {"enum": sorted(FINISH_REASONS)},
    },
    "required": ["role", "parts"],
}
_DEFINITION = {
    "type": "object",
    "properties": {"type": {"const": "function"}, "name": {"type": "string"}, "parameters": {"type": "object"}},
    "required": ["type", "name"],
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "gen_ai.input.messages": {"type": "array", "items": _MESSAGE},
    "gen_ai.output.messages": {"type": "array", "items": _MESSAGE},
    "gen_ai.system_instructions": {"type": "array", "items": _TEXT},
    "gen_ai.tool.definitions": {"type": "array", "items": _DEFINITION},
    "gen_ai.tool.call.arguments": {},
    "gen_ai.tool.call.result": {},
}


def check(spans: Iterable[Any]) -> dict[str, int]:
    """Every span of an operation that the conventions know is as they say. Returns how many of each were looked at."""
    seen: dict[str, int] = {}
    for span in spans:
        used = {name for name in span.attributes if name.startswith("gen_ai.")}
        operation = span.attributes.get("gen_ai.operation.name")
        if operation is not None:
            seen[operation] = seen.get(operation, 0) + 1
            _check_operation(span, operation, used)
        assert span.failed == ("error.type" in span.attributes), span
    return seen


def _check_operation(span: Any, operation: str, used: set[str]) -> None:
    kinds, required, listed = OPERATIONS[operation]
    allowed = COMMON | listed
    assert span.kind in kinds, span
    assert span.name == f"{operation} {span.attributes[NAMED_AFTER[operation]]}"
    assert required <= used, (span.name, required - used)
    assert used <= set(allowed), (span.name, used - set(allowed))
    for name in used:
        assert type(span.attributes[name]) is allowed[name], (span.name, name, span.attributes[name])
    assert span.attributes.get("gen_ai.tool.type", "function") in TOOL_TYPES
    assert set(span.attributes.get("gen_ai.response.finish_reasons", [])) <= FINISH_REASONS
    for name in used & CONTENT:
        jsonschema_rs.validate(SCHEMAS[name], json.loads(span.attributes[name]))
