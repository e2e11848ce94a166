"""Anthropic's Messages API, as its server: requests read and refused as it does, answers and errors in its form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from sandbox.models.anthropic_cache import Cache, cache_problem
from sandbox.models.ids import Ids, signature
from sandbox.models.limits import limits_of, tokens
from sandbox.models.schemas import problem_with
from sandbox.models.turns import Call, Message, Question, Refused, Result, Said, Tool, Turn, bad_request, words

PARAMETERS = words(
    "max_tokens messages model cache_control container diagnostics inference_geo metadata output_config service_tier speed "
    "stop_sequences stream system thinking tool_choice tools user_profile_id workspace_id"
)
TOOL_KEYS = words(
    "name description input_schema cache_control type strict input_examples defer_loading allowed_callers "
    "eager_input_streaming"
)
BLOCK_KEYS = {
    "text": {"type", "text", "cache_control", "citations"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller", "toolset_name"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
BLOCKS_OF = {"user": ("text", "tool_result"), "assistant": ("text", "tool_use", "thinking", "redacted_thinking")}
CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
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
        _known(body, PARAMETERS, "")
        for name in ("model", "max_tokens", "messages"):
            if name not in body:
                raise bad_request(f"{name}: Field required")
        if body.get("stream"):
            raise bad_request("stream: this sandbox answers in one piece")
        tools = tuple(_tools(body))
        _max_tokens(body)
        thinks = _thinks(body)
        system = "\n".join(_system(body.get("system", "")))
        messages = tuple(_messages(body["messages"]))
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


def _known(given: Mapping[str, Any], known: set[str], where: str) -> None:
    if strange := sorted(given.keys() - known):
        raise bad_request(f"{where}{strange[0]}: Extra inputs are not permitted")


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
        _known(given, {"type", "budget_tokens", "display"}, "thinking.enabled.")
        budget = given.get("budget_tokens")
        if not isinstance(budget, int) or budget < SMALLEST_THINKING:
            raise bad_request("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= body["max_tokens"]:
            raise bad_request("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return given["type"] in ("enabled", "adaptive")


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
        _known(block, BLOCK_KEYS["text"], f"system.{place}.")
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
        _known(tool, TOOL_KEYS, where)
        name = tool.get("name")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise bad_request(f"{where}name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if name in names:
            raise bad_request("tools: Tool names must be unique.")
        names.add(name)
        if problem := problem_with(tool.get("input_schema"), "anthropic"):
            raise bad_request(f"{where}input_schema: {problem}")
        yield Tool(name, str(tool.get("description", "")), tool["input_schema"])


def _messages(given: Any) -> Iterator[Message]:
    """The conversation, with what must stand where."""
    if not isinstance(given, list) or not given:
        raise bad_request("messages: at least one message is required")
    turns = _joined(given)
    if turns[0][0] != "user":
        raise bad_request('messages: first message must use the "user" role')
    if turns[-1][0] == "assistant":
        told = "This model does not support assistant message prefill. The conversation must end with a user message."
        raise bad_request(told)
    used: set[str] = set()
    asked: dict[str, str] = {}
    for place, (role, blocks) in enumerate(turns):
        _answered(place, role, blocks, asked)
        if role == "user":
            yield from _user(blocks, asked)
            asked = {}
        else:
            turn = _assistant(place, blocks, used)
            asked = {call.id: call.tool for call in turn.calls}
            yield turn


def _joined(given: Sequence[Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(role, blocks) of each message; of messages in a row by one side it makes one, as the API does."""
    made: list[tuple[str, list[dict[str, Any]]]] = []
    for place, message in enumerate(given):
        if not isinstance(message, dict) or message.get("role") not in BLOCKS_OF:
            raise bad_request(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        _known(message, {"role", "content"}, f"messages.{place}.")
        role, blocks = message["role"], _content(place, message)
        if made and made[-1][0] == role:
            made[-1][1].extend(blocks)
        else:
            made.append((role, blocks))
    return made


def _content(place: int, message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise bad_request(f"messages.{place}.content: Field required")
    if not content:
        raise bad_request(
            f"messages.{place}: all messages must have non-empty content except for the optional final assistant message"
        )
    for number, block in enumerate(content):
        _block(f"messages.{place}.content.{number}", message["role"], block)
    return list(content)


def _block(where: str, role: str, block: Any) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in BLOCKS_OF[role]:
        expected = ", ".join(f"'{name}'" for name in BLOCKS_OF[role])
        told = f"Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}"
        raise bad_request(f"{where}: {told}")
    _known(block, BLOCK_KEYS[kind], f"{where}.{kind}.")
    match kind:
        case "text":
            if not isinstance(block.get("text"), str) or not block["text"].strip():
                raise bad_request("messages: text content blocks must contain non-whitespace text")
        case "thinking":
            if block.get("signature") != signature(str(block.get("thinking"))):
                raise bad_request(f"{where}: Invalid `signature` in `thinking` block")
        case "tool_use":
            if not CALL_ID.fullmatch(str(block.get("id", ""))):
                raise bad_request(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not TOOL_NAME.fullmatch(str(block.get("name", ""))):
                raise bad_request(f"{where}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
            if not isinstance(block.get("input"), dict):
                raise bad_request(f"{where}.tool_use.input: Input should be a valid dictionary")
        case "tool_result":
            content = block.get("content", "")
            if not isinstance(content, str) and not _texts_only(content):
                raise bad_request(f"{where}.tool_result.content: Input should be a valid string")


def _texts_only(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(b, dict) and b.get("type") == "text" for b in content)


def _answered(place: int, role: str, blocks: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> None:
    """Calls and their results: all of a turn, once each, first in the message right after it."""
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    leading = [block["tool_use_id"] for block in blocks[: len(results)] if block["type"] == "tool_result"]
    if left := [call for call in asked if call not in leading]:
        raise bad_request(
            f"messages.{place - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(left)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )
    for one in results:
        if one not in asked:
            raise bad_request(
                f"messages.{place}.content: unexpected `tool_use_id` found in `tool_result` blocks: {one}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if results.count(one) > 1:
            raise bad_request(
                f"messages.{place}.content: each tool_use must have a single result. Found multiple `tool_result` blocks "
                f"with id: {one}"
            )


def _user(blocks: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> Iterator[Message]:
    for block in blocks:
        if block["type"] == "text":
            yield Said(block["text"])
        else:
            content = block.get("content", "")
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            yield Result(block["tool_use_id"], asked[block["tool_use_id"]], text, bool(block.get("is_error")))


def _assistant(place: int, blocks: Sequence[Mapping[str, Any]], used: set[str]) -> Turn:
    calls = [Call(b["name"], b["input"], b["id"]) for b in blocks if b["type"] == "tool_use"]
    for call in calls:
        if call.id in used:
            raise bad_request(f"messages.{place}.content: `tool_use` ids must be unique")
        used.add(call.id)
    return Turn("".join(b["text"] for b in blocks if b["type"] == "text"), tuple(calls))


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
