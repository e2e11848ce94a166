"""Anthropic's Messages API, as its server: requests read and refused as it does, answers and errors in its form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from sandbox.models.anthropic_cache import Cache, cache_problem
from sandbox.models.anthropic_messages import BLOCK_KEYS, TOOL_NAME, joined, known, read_messages
from sandbox.models.ids import Ids, signature
from sandbox.models.limits import limits_of, tokens
from sandbox.models.schemas import problem_with
from sandbox.models.turns import Call, Question, Refused, Result, Tool, Turn, bad_request, words

PARAMETERS = words(
    "max_tokens messages model cache_control container diagnostics inference_geo metadata output_config service_tier speed "
    "stop_sequences stream system thinking tool_choice tools user_profile_id workspace_id"
)
TOOL_KEYS = words(
    "name description input_schema cache_control type strict input_examples defer_loading allowed_callers "
    "eager_input_streaming"
)
VERSIONS = {"2023-06-01", "2026-10-21"}
SMALLEST_THINKING = 1024
STOPS = {"refusal": "refusal", "max_tokens": "max_tokens", "malformed": "end_turn"}
ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
SENTENCES = {
    429: "This request would exceed your organization's rate limit of 50 requests per minute.",
    529: "Overloaded",
}


class AnthropicWire:
    """One organisation at Anthropic: a key, and a cache of prompts."""

    provider = "anthropic"

    def __init__(self, key: str, ids: Ids) -> None:
        self._key = key
        self._ids = ids
        self._cache = Cache()

    def admit(self, headers: Mapping[str, str]) -> None:
        """Raises Refused for a request without the key, or without a version."""
        given = headers.get("Authorization", "").removeprefix("Bearer ") or headers.get("x-api-key", "")
        if not given:
            told = 'x-api-key header is required, or set "Authorization: Bearer"'
            raise Refused(401, "authentication_error", told)
        if given != self._key:
            raise Refused(401, "authentication_error", "invalid x-api-key")
        if (version := headers.get("anthropic-version")) not in VERSIONS:
            said = "header is required" if version is None else f'"{version}" is not a valid version'
            raise bad_request(f"anthropic-version: {said}")

    def read(self, body: Any) -> Question:
        """What the request asks. Raises Refused with what the API would say of it."""
        if not isinstance(body, dict):
            raise bad_request("Input should be a valid dictionary")
        known(body, PARAMETERS, "")
        for name in ("model", "max_tokens", "messages"):
            if name not in body:
                raise bad_request(f"{name}: Field required")
        if body.get("stream"):
            raise bad_request("stream: this sandbox answers in one piece")
        tools = tuple(_tools(body))
        _max_tokens(body)
        thinks = _thinks(body)
        system = "\n".join(_system(body.get("system", "")))
        messages = tuple(read_messages(body["messages"]))
        _thought_before_acting(body)
        if not tools and any(isinstance(m, Result) or (isinstance(m, Turn) and m.calls) for m in messages):
            raise bad_request("Requests which include `tool_use` or `tool_result` blocks must define tools.")
        if problem := cache_problem(body):
            raise bad_request(problem)
        _room(body)
        must_call = _must_call(body, thinks=thinks)
        return Question(body["model"], system, messages, tools, body["max_tokens"], must_call, thinks)

    def answer(self, body: dict[str, Any], question: Question, turn: Turn) -> dict[str, Any]:
        """The document of a turn."""
        content = _thinking(question, turn) if question.thinks else []
        if turn.text and turn.stop != "refusal":
            content.append({"type": "text", "text": turn.text})
        content += [
            {"type": "tool_use", "id": call.id or self._ids.anthropic_call(), "name": call.tool, "input": _input(call)}
            for call in turn.calls
            if call.raw is None or turn.stop != "max_tokens"  # of a call that was cut off nothing is sent
        ]
        stop = STOPS.get(turn.stop) or ("tool_use" if turn.calls else "end_turn")
        details = {"type": "refusal", "category": None, "explanation": turn.why} if stop == "refusal" else None
        thought = sum(tokens(block["thinking"]) for block in content if block["type"] == "thinking")
        return {
            "id": self._ids.message(),
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "container": None,
            "stop_reason": stop,
            "stop_sequence": None,
            "stop_details": details,
            "usage": self._usage(body, tokens(content) if content else 1, thought),
        }

    def _usage(self, body: dict[str, Any], output: int, thought: int) -> dict[str, Any]:
        read, five, hour, plain = self._cache.take(body)
        return {
            "input_tokens": plain,
            "cache_creation_input_tokens": five + hour,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
            "output_tokens": output,
            "output_tokens_details": {"thinking_tokens": thought},
            "server_tool_use": None,
            "service_tier": "standard",
            "inference_geo": "not_available",
        }

    def headers(self) -> dict[str, str]:
        return {
            "request-id": self._ids.anthropic_request(),
            "anthropic-organization-id": "0f0e1d2c-sand-box0-0000-000000000000",
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
        }

    def error(self, refused: Refused) -> web.Response:
        """A refusal or fault in the API's form."""
        headers = self.headers()
        kind = ERROR_KINDS.get(refused.status, "api_error")
        body = {
            "type": "error",
            "error": {"type": kind, "message": refused.message},
            "request_id": headers["request-id"],
        }
        return web.json_response(body, status=refused.status, headers=headers)

    def fault(self, status: int) -> Refused:
        return Refused(status, "", SENTENCES.get(status, "Internal server error"))


# -- reading ------------------------------------------------------------------------------------------------------------


def _max_tokens(body: Mapping[str, Any]) -> None:
    model, wanted = body["model"], body["max_tokens"]
    if not isinstance(model, str) or (limits := limits_of("anthropic", model)) is None:
        raise Refused(404, "not_found_error", f"model: {model}")
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise bad_request("max_tokens: Input should be a valid integer")
    if wanted < 1:
        raise bad_request("max_tokens: Input should be greater than or equal to 1")
    if wanted > limits.output:
        raise bad_request(
            f"max_tokens: {wanted} > {limits.output}, which is the maximum allowed number of output tokens for {model}"
        )


def _thinks(body: Mapping[str, Any]) -> bool:
    given = body.get("thinking")
    if given is None:
        return False
    if not isinstance(given, dict) or given.get("type") not in ("enabled", "disabled", "adaptive", "between_tools"):
        raise bad_request("thinking: Input tag does not match any of the expected tags")
    if given["type"] == "enabled":
        known(given, {"type", "budget_tokens", "display"}, "thinking.enabled.")
        budget = given.get("budget_tokens")
        if not isinstance(budget, int) or budget < SMALLEST_THINKING:
            raise bad_request("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= body["max_tokens"]:
            raise bad_request("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return given["type"] in ("enabled", "adaptive")


def _thought_before_acting(body: Mapping[str, Any]) -> None:
    """With a budget to think, the turn whose results come last begins with a thought."""
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    turns = joined(body["messages"])
    found = turns[-2][1][0]["type"] if turns[-1][1][0]["type"] == "tool_result" else "thinking"
    if found not in ("thinking", "redacted_thinking"):
        raise bad_request(
            f"messages.{len(turns) - 2}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of "
            "`tool_use` and `tool_result` blocks)."
        )


def _must_call(body: Mapping[str, Any], *, thinks: bool) -> bool:
    choice = body.get("tool_choice")
    if choice is None:
        return False
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise bad_request("tool_choice: Input tag does not match any of the expected tags")
    if not body.get("tools"):
        raise bad_request("tool_choice: may only be specified while providing tools")
    if kind in ("any", "tool") and thinks:
        raise bad_request("Thinking may not be enabled when tool_choice forces tool use.")
    return kind in ("any", "tool")


def _system(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
        return
    for place, block in enumerate(given if isinstance(given, list) else [None]):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise bad_request(f"system.{place}: Input should be a valid text block")
        known(block, BLOCK_KEYS["text"], f"system.{place}.")
        if not isinstance(block.get("text"), str) or not block["text"].strip():
            raise bad_request("system: text content blocks must contain non-whitespace text")
        yield block["text"]


def _tools(body: Mapping[str, Any]) -> Iterator[Tool]:
    given = body.get("tools", [])
    if not isinstance(given, list):
        raise bad_request("tools: Input should be a valid array")
    names: set[str] = set()
    for place, tool in enumerate(given):
        where = f"tools.{place}.custom."
        if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
            raise bad_request(f"tools.{place}: this sandbox runs no tools of the provider's own")
        known(tool, TOOL_KEYS, where)
        name = tool.get("name")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise bad_request(f"{where}name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if name in names:
            raise bad_request("tools: Tool names must be unique.")
        names.add(name)
        if problem := problem_with(tool.get("input_schema"), "anthropic"):
            raise bad_request(f"{where}input_schema: {problem}")
        yield Tool(name, str(tool.get("description", "")), tool["input_schema"])


def _room(body: Mapping[str, Any]) -> None:
    limits = limits_of("anthropic", body["model"])
    size = tokens({name: body[name] for name in ("system", "messages", "tools") if name in body})
    if limits and size > limits.window:
        raise bad_request(f"prompt is too long: {size} tokens > {limits.window} maximum")


# -- writing ------------------------------------------------------------------------------------------------------------


def _thinking(question: Question, turn: Turn) -> list[dict[str, Any]]:
    """What the model thought: a sentence on what it is about to do, signed."""
    about = ", ".join(call.tool for call in turn.calls) or "an answer in words"
    thought = f"Asked by {len(question.messages)} messages, I go for {about}."
    return [{"type": "thinking", "thinking": thought, "signature": signature(thought)}]


def _input(call: Call) -> Any:
    return dict(call.arguments) if call.raw is None else {"_": call.raw}
