"""Fake Anthropic and Chat Completions servers: scripted answers, strict about requests, faults on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from typing import Any

from aiohttp import web

KEY = "test-key"
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ANTHROPIC_ID = re.compile(r"[a-zA-Z0-9_-]+")
MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
CHAT_ID = re.compile(r".{1,40}")


class ModelServer:
    """Answers from `script`, in order: a dict is a body, an int a bare status, a callable decides, "cut" hangs up."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.refusal = "scripted"  # what a bare status says
        self.app = web.Application()
        self.app.add_routes([web.post("/v1/messages", self.anthropic), web.post("/v1/chat/completions", self.chat)])

    async def anthropic(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _anthropic_error(401, "authentication_error", "invalid key")
        problems = anthropic_problems(body)
        if not request.headers.get("anthropic-version"):
            problems.append("anthropic-version is missing")
        if problems:
            self.problems += problems
            return _anthropic_error(400, "invalid_request_error", problems[0])
        return await self._answer(request, body, _anthropic_error, {"request-id": "req_1"})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _chat_error(401, "invalid_api_key", "invalid key")
        problems = chat_problems(body)
        if problems:
            self.problems += problems
            return _chat_error(400, "invalid_request_error", problems[0])
        return await self._answer(request, body, _chat_error, {"x-request-id": "req_2"})

    async def _answer(self, request: web.Request, body: Any, error: Any, headers: dict[str, str]) -> web.StreamResponse:
        self.requests.append(body)
        step = self.script.pop(0)
        if callable(step):
            step = step(body)
        if step == "cut":
            assert request.transport is not None  # noqa: S101
            request.transport.abort()
            return web.Response()
        if step == "hang":
            await asyncio.sleep(2)
            return web.Response(status=500)
        if isinstance(step, int):
            return error(step, {429: "rate_limit_error", 529: "overloaded_error"}.get(step, "api_error"), self.refusal)  # type: ignore[no-any-return]
        if isinstance(step, tuple):
            answer: web.Response = error(step[0], "rate_limit_error", "scripted")
            answer.headers.update(step[1])
            return answer
        if isinstance(step, str):
            return web.Response(text=step, content_type="application/json")
        return web.json_response(step, headers=headers)


def anthropic_problems(body: dict[str, Any]) -> list[str]:
    """What the Messages API would refuse."""
    problems = []
    if "temperature" in body:
        problems.append("temperature is not accepted")
    roles = [m["role"] for m in body["messages"]]
    if not roles or roles[0] != "user" or any(a == b for a, b in itertools.pairwise(roles)):
        problems.append(f"roles must alternate and begin with user: {roles}")
    asked: set[str] = set()
    for message in body["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else []
        answered = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if set(answered) != asked:
            problems.append(f"tool_result blocks {answered} do not answer {sorted(asked)}")
        kinds = [b["type"] for b in blocks]
        if "tool_result" in kinds and kinds != sorted(kinds, key=lambda kind: kind != "tool_result"):
            problems.append("tool_result blocks must come first")
        if message["role"] == "assistant" and any(b["type"] == "thinking" and not b.get("signature") for b in blocks):
            problems.append("thinking without its signature")
        calls = [b for b in blocks if b["type"] == "tool_use"]
        asked = {b["id"] for b in calls}
        problems += _blank(blocks) + _call_problems([(b["id"], b["name"], b["input"]) for b in calls], ANTHROPIC_ID)
    if not body.get("tools") and "tool_use" in str(body["messages"]):
        problems.append("tools must be defined when messages hold tool_use blocks")
    return problems


def _blank(blocks: list[dict[str, Any]]) -> list[str]:
    blank = any(b["type"] == "text" and not b["text"].strip() for b in blocks)
    return ["text content blocks must contain non-whitespace text"] if blank or not blocks else []


def _call_problems(calls: list[tuple[str, str, Any]], ids: re.Pattern[str]) -> list[str]:
    """What is wrong with (id, name, arguments) of the calls of one turn."""
    problems = [f"call id {i!r} should match {ids.pattern}" for i, _, _ in calls if not ids.fullmatch(i)]
    problems += [f"tool name {n!r} is not valid" for _, n, _ in calls if not NAME.fullmatch(n)]
    problems += [f"arguments {a!r} are not an object" for _, _, a in calls if not isinstance(a, dict)]
    if len({i for i, _, _ in calls}) < len(calls):
        problems.append("call ids must be unique")
    return problems


def chat_problems(body: dict[str, Any]) -> list[str]:
    """What Chat Completions (and Gemini behind it) would refuse."""
    problems: list[str] = []
    asked: set[str] = set()
    for message in body["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in asked:
                problems.append(f"tool message answers nothing: {message['tool_call_id']}")
            asked.discard(message["tool_call_id"])
            continue
        if asked:
            problems.append(f"unanswered tool calls: {sorted(asked)}")
        calls = message.get("tool_calls") or []
        asked = {c["id"] for c in calls}
        signed = calls and calls[0].get("extra_content", {}).get("google", {}).get("thought_signature")
        if calls and "gemini" in body["model"] and not signed:
            problems.append("Function call is missing a thought_signature")
        ids = MISTRAL_ID if "mistral" in body["model"] else CHAT_ID
        functions = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]
        problems += _call_problems(functions, ids)
        if not calls and not isinstance(message["content"], str):
            problems.append("Invalid value for 'content': expected a string, got null.")
        if strange := message.keys() - {"role", "content", "tool_calls", "name", "refusal", "extra_content"}:
            problems.append(f"property {sorted(strange)[0]!r} is unsupported")
    return problems


def _anthropic_error(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"type": "error", "error": {"type": kind, "message": message}}, status=status)


def _chat_error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": code, "code": code, "param": None}}, status=status)


# -- answers in the providers' forms ------------------------------------------------------------------------------------


def claude(
    *blocks: dict[str, Any], stop: str = "tool_use", model: str = "claude-sonnet-4-6", **more: Any
) -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 20, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 50}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
        **more,
    }


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def tool_use(number: int, name: str, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}


def gpt(
    content: str | None = None,
    calls: list[dict[str, Any]] | None = None,
    *,
    finish: str | None = None,
    model: str = "gpt-4o-2024-11-20",
    **message: Any,
) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": content, **message}
    if calls:
        said["tool_calls"] = calls
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40},
    }
    choice = {"index": 0, "message": said, "finish_reason": finish or ("tool_calls" if calls else "stop")}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def function(number: int, name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}, **more}
