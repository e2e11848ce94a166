"""The conversation of a request to Anthropic: its blocks, what must stand where, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.models.ids import signature
from sandbox.models.turns import Call, Message, Result, Said, Turn, bad_request

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


def known(given: Mapping[str, Any], names: set[str], where: str) -> None:
    """Raises Refused when something is given that the API does not know."""
    if strange := sorted(given.keys() - names):
        raise bad_request(f"{where}{strange[0]}: Extra inputs are not permitted")


def read_messages(given: Any) -> Iterator[Message]:
    """The conversation, with what must stand where."""
    if not isinstance(given, list) or not given:
        raise bad_request("messages: at least one message is required")
    turns = joined(given)
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


def joined(given: Sequence[Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(role, blocks) of each message; of messages in a row by one side it makes one, as the API does."""
    made: list[tuple[str, list[dict[str, Any]]]] = []
    for place, message in enumerate(given):
        if not isinstance(message, dict) or message.get("role") not in BLOCKS_OF:
            raise bad_request(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        known(message, {"role", "content"}, f"messages.{place}.")
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
    known(block, BLOCK_KEYS[kind], f"{where}.{kind}.")
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
