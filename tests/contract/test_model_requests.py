"""The exact requests that adapters make: forced calls, limits of answers, thinking, and marks for the prompt cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sandbox.models.scripted import KEY, ModelServer, claude, gpt, text
from sandbox.models.turns import Call, Question, Result, Turn
from shared.models.anthropic import AnthropicModel
from shared.models.dialect import Dialect
from shared.models.openai import OpenAIModel
from shared.models.port import ChatMessage, ChatRequest, Thinking, ToolMessage, ToolSpec, UserMessage
from shared.models.prices import cost_microusd
from tests.contract.model_servers import LOOK, MODELS, Servers, serving, strange_in_request

LONG = "You are Closer. " + "Prices are in the list, and the list is long. " * 150
EACH = pytest.mark.parametrize("provider", list(MODELS))


def looks(question: Question) -> Turn:
    rounds = sum(isinstance(m, Result) for m in question.messages)
    return Turn("Seen.") if rounds >= 2 else Turn(calls=(Call("look", {"n": rounds}),))


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with serving(looks) as made:
        yield made
        assert made.servers.problems == []
        for exchange, body in zip(made.servers.exchanges, made.bodies, strict=True):
            assert strange_in_request(exchange.provider, body) == []


def request(*messages: ChatMessage, system: str = "Be brief.", **more: Any) -> ChatRequest:
    return ChatRequest("m", system, messages or (UserMessage("hello"),), **({"tools": (LOOK,)} | more))


@asynccontextmanager
async def served(server: ModelServer) -> AsyncIterator[str]:
    """The address of a server that answers from a script."""
    runner = web.AppRunner(server.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


# -- forced calls -------------------------------------------------------------------------------------------------------

CHOICES = {"anthropic": {"type": "any"}, "openai": "required", "gemini": "required", "mistral": "required"}


@EACH
async def test_a_call_is_forced_where_it_has_to_be_made(servers: Servers, provider: str) -> None:
    model = servers.model(provider)
    await model.complete(request())
    await model.complete(request(must_call=True))
    await model.complete(request(must_call=True, tools=()))
    assert [body.get("tool_choice") for body in servers.bodies] == [None, CHOICES[provider], None]


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-haiku-4-5"])
async def test_a_claude_that_thinks_is_not_forced(servers: Servers, model: str) -> None:
    await servers.model("anthropic", model).complete(request(must_call=True, thinking="low"))
    await servers.model("anthropic", model).complete(request(must_call=True, thinking="off"))
    assert [body.get("tool_choice") for body in servers.bodies] == [None, {"type": "any"}]


async def test_a_model_that_cannot_be_forced_is_asked_without_from_then_on() -> None:
    """A server of another make, whose model thinks all the time."""

    def strict(body: dict[str, Any]) -> Any:
        return 400 if "tool_choice" in body else gpt("ok")

    scripted = ModelServer()
    scripted.refusal = "Thinking mode does not support this tool_choice"
    scripted.script = [strict] * 3
    async with served(scripted) as url:
        model = OpenAIModel("gpt-4o", provider="openai", api_key=KEY, base_url=f"{url}/v1")
        await model.complete(request(must_call=True))
        await model.complete(request(must_call=True))
        await model.aclose()
    assert ["tool_choice" in body for body in scripted.requests] == [True, False, False]


def test_old_requests_have_the_digests_they_had() -> None:
    """A record of before these fields is replayed as it was."""
    plain = ChatRequest("claude-sonnet-4-6", "Be brief.", (UserMessage("hello"),), (LOOK,))
    assert plain.digest() == "8457a926070e66083861b2c71abcaa25ca37e1e4dcec164fb5616423cb9c1014"
    assert len({plain.digest(), request(must_call=True).digest(), request(thinking="low").digest()}) == 3


# -- limits of answers --------------------------------------------------------------------------------------------------

LIMITS = [
    ("anthropic", "claude-sonnet-4-6", "max_tokens", 64_000),
    ("openai", "gpt-4o", "max_completion_tokens", 16_384),
    ("openai", "gpt-5.5", "max_completion_tokens", 128_000),
    ("gemini", "gemini-3.8-flash", "max_completion_tokens", 65_536),
    ("mistral", "mistral-large-4", "max_tokens", 32_768),
]


@pytest.mark.parametrize(("provider", "model", "name", "most"), LIMITS)
async def test_an_answer_has_the_limit_of_its_question_and_never_more_than_the_model_gives(
    servers: Servers, provider: str, model: str, name: str, most: int
) -> None:
    asked = servers.model(provider, model)
    await asked.complete(request(max_output_tokens=700))
    await asked.complete(request(max_output_tokens=1_000_000))
    assert [body[name] for body in servers.bodies] == [700, most]
    other = {"max_tokens", "max_completion_tokens"} - {name}
    assert not any(other & body.keys() for body in servers.bodies)


@pytest.mark.parametrize(
    ("told", "then"),
    [
        ("max_completion_tokens is too large: 9000. This model supports at most 4096 completion tokens", 4096),
        ("Invalid max_tokens value 9,000, the valid range of max_tokens is [1, 8192]", 8192),
        ("max_tokens: 9000 > 5000, which is the maximum allowed number of output tokens", 5000),
    ],
)
async def test_a_limit_that_a_server_names_is_kept(told: str, then: int) -> None:
    dialect, long = Dialect("openai", "my-own-model"), request(max_output_tokens=9000)
    assert dialect.output_tokens(long) == 9000
    assert dialect.learn(told, 9000)
    assert dialect.output_tokens(long) == then
    assert not dialect.learn(told.replace("9000", "x").replace("9,000", "x"), then)


# -- thinking -----------------------------------------------------------------------------------------------------------

ADAPTIVE = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}
THINKING: list[tuple[str, str, Thinking | None, bool, dict[str, Any]]] = [
    ("anthropic", "claude-sonnet-4-6", None, True, {}),
    ("anthropic", "claude-sonnet-4-6", "medium", True, ADAPTIVE | {"max_tokens": 9192}),
    ("anthropic", "claude-sonnet-4-6", "off", True, {"thinking": {"type": "disabled"}}),
    (
        "anthropic",
        "claude-haiku-4-5",
        "low",
        True,
        {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 3048},
    ),
    ("openai", "gpt-4o", "high", True, {"max_completion_tokens": 1000}),
    ("openai", "gpt-5.5", None, True, {"reasoning_effort": "none"}),
    ("openai", "gpt-5.5", "high", True, {"reasoning_effort": "none"}),
    ("openai", "gpt-5.5", "high", False, {"reasoning_effort": "high", "max_completion_tokens": 17_384}),
    ("openai", "gpt-5", "off", True, {"reasoning_effort": "minimal"}),
    ("openai", "gpt-5", "low", True, {"reasoning_effort": "low"}),
    ("gemini", "gemini-3.8-flash", "low", True, {"reasoning_effort": "low"}),
    ("mistral", "mistral-large-4", "low", True, {"max_tokens": 1000}),
]
SAID = ("thinking", "output_config", "reasoning_effort")


@pytest.mark.parametrize(("provider", "model", "thinking", "tools", "expected"), THINKING)
async def test_a_model_is_told_how_much_to_think_in_its_own_terms(
    servers: Servers, provider: str, model: str, thinking: Thinking | None, tools: bool, expected: dict[str, Any]
) -> None:
    given = (LOOK,) if tools else ()
    await servers.model(provider, model).complete(request(tools=given, thinking=thinking, max_output_tokens=1000))
    (body,) = servers.bodies
    assert {name: body[name] for name in body if name in SAID or name in expected} == expected


# -- marks for the prompt cache -----------------------------------------------------------------------------------------

MARK = {"cache_control": {"type": "ephemeral"}}
TOOL = {"name": "look", "description": "Look.", "input_schema": LOOK.input_schema}
OTHER = ToolSpec("other", "Other.", LOOK.input_schema)


async def test_the_body_of_a_loops_request_to_anthropic(servers: Servers) -> None:
    """Tools, system, the end of the request before, the end of this one: four marks, as many as are taken."""
    model = servers.model("anthropic")
    tools = (OTHER, LOOK)
    first = await model.complete(request(system=LONG, tools=tools))
    (call,) = first.message.calls
    result = ToolMessage(call.provider_id, "look", '{"ok":true}')
    await model.complete(request(UserMessage("hello"), first.message, result, system=LONG, tools=tools))
    head = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 4096,
        "system": [{"type": "text", "text": LONG} | MARK],
        "tools": [TOOL | {"name": "other", "description": "Other."}, TOOL | MARK],
    }
    hello = {"role": "user", "content": [{"type": "text", "text": "hello"} | MARK]}
    turn = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": call.provider_id, "name": "look", "input": {"n": 0}}],
    }
    results = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.provider_id, "content": '{"ok":true}'} | MARK],
    }
    assert servers.bodies == [head | {"messages": [hello]}, head | {"messages": [hello, turn, results]}]


async def test_a_question_that_no_turn_follows_is_not_written_to_the_cache(servers: Servers) -> None:
    model = servers.model("anthropic")
    await model.complete(request(system=LONG, must_call=True))
    await model.complete(request(system=LONG, tools=()))
    for body in servers.bodies:
        assert "cache_control" in body["system"][0]
        assert "cache_control" not in str(body["messages"])


async def test_what_is_too_short_to_be_cached_is_not_marked(servers: Servers) -> None:
    await servers.model("anthropic").complete(request())
    assert servers.bodies[0]["system"] == "Be brief."
    assert "cache_control" not in str(servers.bodies[0])


async def test_what_was_written_is_read_and_costs_a_tenth(servers: Servers) -> None:
    model = servers.model("anthropic")
    messages: tuple[ChatMessage, ...] = (UserMessage("hello"),)
    usages = []
    for _ in range(3):
        reply = await model.complete(request(*messages, system=LONG))
        usages.append(reply.usage)
        results = [ToolMessage(c.provider_id, c.tool, "x" * 4000) for c in reply.message.calls]
        messages = (*messages, reply.message, *results)
    assert usages[0].cache_read == 0 < usages[0].cache_write
    assert usages[1].cache_read == usages[0].cache_write
    assert usages[2].cache_read == usages[1].cache_read + usages[1].cache_write
    for usage in usages:
        plain = usage.input - usage.cache_read - usage.cache_write
        exact = plain * 3 + usage.cache_read * 0.3 + usage.cache_write * 3.75 + usage.output * 15
        assert 0 <= (cost_microusd("claude-sonnet-4-6", usage) or 0) - exact < 1


async def test_a_turn_of_many_calls_loses_no_cache(servers: Servers) -> None:
    """More blocks than a server looks back from a mark: the mark of the request before is still there."""
    servers.servers._player.play = lambda question: (
        Turn("Seen.")
        if any(isinstance(m, Result) for m in question.messages)
        else Turn(calls=tuple(Call("look", {"n": n}) for n in range(30)))
    )
    model = servers.model("anthropic")
    first = await model.complete(request(system=LONG))
    results = [ToolMessage(c.provider_id, c.tool, "{}") for c in first.message.calls]
    second = await model.complete(request(UserMessage("hello"), first.message, *results, system=LONG))
    assert second.usage.cache_read == first.usage.cache_write


async def test_a_gateway_that_knows_no_marks_is_asked_without_them_from_then_on() -> None:
    def strict(body: dict[str, Any]) -> Any:
        return 400 if "cache_control" in str(body) else claude(text("ok"), stop="end_turn")

    scripted = ModelServer()
    scripted.refusal = "system.0.cache_control: Extra inputs are not permitted"
    scripted.script = [strict] * 3
    async with served(scripted) as url:
        model = AnthropicModel("claude-sonnet-4-6", api_key=KEY, base_url=url)
        await model.complete(request(system=LONG))
        await model.complete(request(system=LONG))
        await model.aclose()
    assert ["cache_control" in str(body) for body in scripted.requests] == [True, False, False]


# -- names that a provider does not take --------------------------------------------------------------------------------


@EACH
async def test_a_history_has_the_names_that_the_tools_are_offered_under(servers: Servers, provider: str) -> None:
    """Else a model would see that it called a tool with a property that the tool does not have."""
    listing = ToolSpec("look", "Look.", {"type": "object", "properties": {"$filter": {"type": "string"}}})
    servers.servers._player.play = lambda question: Turn(calls=(Call("look", {"filter": "a"}),))
    model = servers.model(provider)
    first = await model.complete(request(tools=(listing,)))
    (call,) = first.message.calls
    assert call.arguments == {"$filter": "a"}
    result = ToolMessage(call.provider_id, "look", "{}")
    await model.complete(request(UserMessage("hello"), first.message, result, tools=(listing,)))
    assert "$filter" not in str(servers.bodies[1]["messages"])
    assert "filter" in str(servers.bodies[1]["messages"])
