"""Model servers that answer from a script: for tests of one exchange. As strict about requests as the providers."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from sandbox.models.anthropic import AnthropicWire
from sandbox.models.chat import ChatWire
from sandbox.models.compatible import GeminiWire, MistralWire
from sandbox.models.ids import Ids
from sandbox.models.turns import Refused

KEY = "test-key"
ERROR_KINDS = {429: "rate_limit_error", 529: "overloaded_error"}


class ModelServer:
    """Answers from `script`, in order: a dict is a body, an int a bare status, a callable decides, "cut" hangs up."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.refusal = "scripted"  # what a bare status says
        self.url = ""
        self._anthropic = AnthropicWire(KEY, Ids())
        self._chats: dict[str, ChatWire] = {
            "gemini": GeminiWire(KEY, Ids()),
            "mistral": MistralWire(KEY, Ids()),
            "openai": ChatWire(KEY, Ids()),
        }
        self.app = web.Application()
        self.app.add_routes([web.post("/v1/messages", self.anthropic), web.post("/v1/chat/completions", self.chat)])

    async def anthropic(self, request: web.Request) -> web.StreamResponse:
        return await self._served(request, self._anthropic, _anthropic_error, {"request-id": "req_1"})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        model = str((await request.json()).get("model"))
        wire = next((wire for name, wire in self._chats.items() if model.startswith(name)), self._chats["openai"])
        return await self._served(request, wire, _chat_error, {"x-request-id": "req_2"})

    async def _served(
        self, request: web.Request, wire: AnthropicWire | ChatWire, error: Any, headers: dict[str, str]
    ) -> web.StreamResponse:
        body = await request.json()
        try:
            wire.admit(request.headers)
            wire.read(body)
        except Refused as refused:
            if refused.status != 401:
                self.problems.append(refused.message)
            return wire.error(refused)
        return await self._answer(request, body, error, headers)

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
            refused: web.Response = error(step, ERROR_KINDS.get(step, "api_error"), self.refusal)
            return refused
        if isinstance(step, tuple):
            answer: web.Response = error(step[0], "rate_limit_error", "scripted")
            answer.headers.update(step[1])
            return answer
        if isinstance(step, str):
            return web.Response(text=step, content_type="application/json")
        return web.json_response(step, headers=headers)


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
