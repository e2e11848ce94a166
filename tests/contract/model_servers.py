"""What tests of models share: servers with a player of their own, adapters that ask them, and the vendors' types as judges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anthropic.types
import openai.types.chat
import pydantic
from aiohttp import web
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from sandbox.models import addresses
from sandbox.models.server import ModelServers
from sandbox.models.turns import Player, Question, Turn
from shared.models.anthropic import AnthropicModel
from shared.models.openai import OpenAIModel
from shared.models.port import ChatModel, ToolSpec

MODELS = {
    "anthropic": "claude-sonnet-4-6",
    "openai": "gpt-4o",
    "gemini": "gemini-3.8-flash",
    "mistral": "mistral-large-4",
}
LOOK = ToolSpec("look", "Look.", {"type": "object", "properties": {"n": {"type": "integer"}}})


class Servers:
    """Running model servers and the adapters that ask them."""

    def __init__(self, servers: ModelServers, url: str) -> None:
        self.servers = servers
        self.url = url
        self._opened: list[ChatModel] = []

    def model(self, provider: str, model: str | None = None, **more: Any) -> ChatModel:
        """An adapter. It does not wait between tries."""
        name = model or MODELS[provider]
        base = self.url + addresses.ROOTS[provider]
        given: dict[str, Any] = {"sleep": no_sleep, "api_key": addresses.KEYS[provider], "base_url": base} | more
        made: ChatModel
        if provider == "anthropic":
            made = AnthropicModel(name, **given)
        else:
            made = OpenAIModel(name, provider=provider, **given)
        self._opened.append(made)
        return made

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What came, oldest first."""
        return list(self.servers.bodies)

    async def close(self) -> None:
        for model in self._opened:
            await model.aclose()


async def no_sleep(seconds: float) -> None:
    """Wait for nothing."""


@asynccontextmanager
async def serving(play: Callable[[Question], Turn] | Player) -> AsyncIterator[Servers]:
    player = play if isinstance(play, Player) else Player(play)
    servers = ModelServers(player)
    runner = web.AppRunner(servers.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made = Servers(servers, f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield made
    finally:
        await made.close()
        await runner.cleanup()


# -- the vendors' own types as judges ------------------------------------------------------------------------------------

_REQUESTS: dict[str, pydantic.TypeAdapter[Any]] = {}


def strange_in_request(provider: str, body: dict[str, Any]) -> list[str]:
    """What the SDK's type of a request does not know or take, as paths. Gemini's own field is known to be beside it."""
    kind = MessageCreateParamsNonStreaming if provider == "anthropic" else CompletionCreateParamsNonStreaming
    name = "anthropic" if provider == "anthropic" else "chat"
    if name not in _REQUESTS:
        _REQUESTS[name] = pydantic.TypeAdapter(kind)
    read = _consumed(_REQUESTS[name].validate_python(body))
    allowed = ("extra_content",) if provider == "gemini" else ()
    return [path for path in _lost(body, read, "") if not path.endswith(allowed or "\0")]


def strange_in_answer(provider: str, document: dict[str, Any]) -> list[str]:
    """What the SDK's type of an answer does not know, as paths; raises when something of it is missing or wrong."""
    kind: Any = anthropic.types.Message if provider == "anthropic" else openai.types.chat.ChatCompletion
    read = kind.model_validate(document)
    allowed = ("extra_content",) if provider == "gemini" else ()
    return [path for path in _unknown(read, "") if not path.endswith(allowed or "\0")]


def _consumed(value: Any) -> Any:
    """Pydantic reads an `Iterable` when it is iterated over: read everything."""
    if isinstance(value, dict):
        return {key: _consumed(one) for key, one in value.items()}
    if isinstance(value, str | bytes | int | float | bool | None):
        return value
    return [_consumed(one) for one in value] if isinstance(value, Iterable) else value


def _lost(given: Any, read: Any, path: str) -> list[str]:
    """Members of `given` that are not in what was read of it."""
    if isinstance(given, dict) and isinstance(read, dict):
        found = [f"{path}.{key}" for key in given if key not in read]
        return found + [one for key in given if key in read for one in _lost(given[key], read[key], f"{path}.{key}")]
    if isinstance(given, list) and isinstance(read, list):
        return [one for n, (a, b) in enumerate(zip(given, read, strict=True)) for one in _lost(a, b, f"{path}[{n}]")]
    return [] if given == read else [f"{path} is read as {read!r}"]


def _unknown(value: Any, path: str) -> list[str]:
    """Fields that the models of an SDK took without knowing them."""
    if isinstance(value, pydantic.BaseModel):
        known = {name: getattr(value, name) for name in type(value).model_fields}
        own = [f"{path}.{name}" for name in value.model_extra or {}]
        return own + [one for name, inner in known.items() for one in _unknown(inner, f"{path}.{name}")]
    if isinstance(value, list):
        return [one for n, inner in enumerate(value) for one in _unknown(inner, f"{path}[{n}]")]
    return []
