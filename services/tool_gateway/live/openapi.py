"""The endpoint as an OpenAPI document: of any tool, or one path for each tool that an agent may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.live.request import (
    CONVERSATION,
    DEFAULT_MS,
    KEY,
    LEAST_MS,
    LONGEST_KEY,
    MOST_MS,
    RUN,
    TIMEOUT,
)

_STATES = [
    "requested",
    "awaiting_approval",
    "approved",
    "executing",
    "unknown",
    "succeeded",
    "failed",
    "denied",
    "rejected",
    "expired",
]
_CALL = {"call_id": {"type": "string"}, "run_id": {"type": "string", "format": "uuid"}}
_SAY = {"type": "string", "description": "A sentence that a voice can speak."}
_SCHEMAS: dict[str, Any] = {
    "Succeeded": {
        "type": "object",
        "required": ["call_id", "run_id", "state", "result"],
        "properties": {**_CALL, "state": {"const": "succeeded"}, "result": {"description": "What the tool answered."}},
    },
    "Open": {
        "type": "object",
        "required": ["call_id", "run_id", "state", "say"],
        "properties": {**_CALL, "state": {"enum": _STATES[:5]}, "say": _SAY},
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457. With `call_id` and `state` where the request became a call.",
        "required": ["title", "status", "code", "message", "say"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": ["string", "null"]},
            "message": {"type": "string"},
            "field": {"type": ["string", "null"], "description": "The argument or header at fault."},
            "remedy": {"type": ["string", "null"]},
            "retryable": {"type": "boolean"},
            "state": {"enum": _STATES[6:]},
            "say": _SAY,
            **_CALL,
        },
    },
}
_PROBLEMS = {
    "400": "A header or the body cannot be read; `field` names it.",
    "401": "No token of an agent.",
    "403": "The agent may not do this, or a person decided against it.",
    "404": "There is no such tool.",
    "409": "The key stands for another call; or the same thing may just have been done; or the run was cancelled.",
    "413": "Too large.",
    "415": "Not JSON.",
    "422": "The arguments do not fit the tool; `field` names the one.",
    "424": "The call was made, and its answer was no: nothing has been done.",
    "429": "Too many requests without a token, or too many calls of this agent under way.",
    "500": "An error of the gateway's own.",
    "503": "It could not be stored now. The same request may be sent again.",
}


def document(tools: Sequence[Tool] | None = None, url: str = "/") -> dict[str, Any]:
    """Of these tools, or of the endpoint as such."""
    if tools is None:
        anything = {"type": "object", "description": "The tool's arguments, as its input schema has them."}
        operation = _operation("invoke", "Call a tool and wait for its outcome.", anything)
        name = {
            "name": "tool",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"},
        }
        paths = {"/v1/tools/{tool}:invoke": {"parameters": [name], "post": operation}}
    else:
        paths = {
            f"/v1/tools/{tool.name}:invoke": {"post": _operation(tool.name, tool.description, tool.model_schema)}
            for tool in tools
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "VioX OS: tools while the caller waits", "version": "1"},
        "servers": [{"url": url}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "parameters": _parameters(),
            "schemas": _SCHEMAS,
        },
    }


def _operation(name: str, about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": about.split("\n", 1)[0][:120],
        "description": about,
        "parameters": [{"$ref": f"#/components/parameters/{one}"} for one in _parameters()],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": _answer("The outcome, once it is committed.", "Succeeded"),
            "202": _answer("Accepted and not ended: the same request, sent again, tells how it went.", "Open"),
            **{status: _answer(why, "Problem") for status, why in _PROBLEMS.items()},
        },
    }


def _answer(about: str, schema: str) -> dict[str, Any]:
    kind = "application/problem+json" if schema == "Problem" else "application/json"
    return {"description": about, "content": {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _parameters() -> dict[str, Any]:
    made = {
        "conversation": (
            CONVERSATION,
            "The conversation. Its calls are one run.",
            {"type": "string", "maxLength": 512},
        ),
        "key": (
            KEY,
            "The call's identity. Without it the conversation, the tool and the arguments are, for 60 s.",
            {"type": "string", "maxLength": LONGEST_KEY},
        ),
        "timeout": (
            TIMEOUT,
            "How long the caller waits, in milliseconds.",
            {"type": "integer", "minimum": LEAST_MS, "maximum": MOST_MS, "default": DEFAULT_MS},
        ),
        "run": (
            RUN,
            "A run of the same agent that this conversation belongs to.",
            {"type": "string", "format": "uuid"},
        ),
    }
    return {
        key: {"name": name, "in": "header", "description": about, "schema": schema}
        for key, (name, about, schema) in made.items()
    }
