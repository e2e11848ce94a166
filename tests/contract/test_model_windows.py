"""A model's window is never exceeded: the servers refuse what is too long, and nothing is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.models.limits import limits_of, tokens
from sandbox.models.turns import Question, Turn
from shared.models.abilities import UNKNOWN, abilities_of
from shared.models.models_file import read
from shared.models.port import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    ModelError,
    ModelToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from tests.contract.model_servers import LOOK, MODELS, serving

EACH = pytest.mark.parametrize("provider", list(MODELS))


def conversation(megabytes: int) -> tuple[ChatMessage, ...]:
    """Calls and results, in German, so that bytes and characters differ."""
    made: list[ChatMessage] = [UserMessage("Task: count")]
    for number in range(megabytes * 20):
        call = ModelToolCall(f"c{number}", "look", {"n": number})
        made += [AssistantMessage("", (call,)), ToolMessage(call.provider_id, "look", "größer " * 7_000)]
    return tuple(made)


def answer(question: Question) -> Turn:
    return Turn("Counted.")


@EACH
async def test_a_long_conversation_is_shortened_before_it_is_sent(provider: str) -> None:
    async with serving(answer) as servers:
        request = ChatRequest("m", "Be brief.", conversation(6), (LOOK,))
        reply = await servers.model(provider).complete(request)
        assert (reply.message.text, reply.attempts) == ("Counted.", 1)
        assert reply.shortened is not None
        assert servers.servers.problems == []
        (body,) = servers.bodies
        limits = limits_of(provider, MODELS[provider])
        assert limits is not None
        assert tokens(body) > limits.window / 3, "not shorter than it has to be either"


@EACH
@pytest.mark.parametrize("window", [8_000, 20_000])
async def test_the_window_of_a_model_of_yours_is_kept(provider: str, window: int) -> None:
    """Request and answer together: what a deployment says of its model is all that there is."""
    async with serving(answer) as servers:
        request = ChatRequest("m", "Be brief.", conversation(1), (LOOK,), 16_000)
        await servers.model(provider, window=window).complete(request)
        (body,) = servers.bodies
        output = body.get("max_tokens") or body["max_completion_tokens"]
        assert tokens(body) + output <= window
        assert output == window // 2


@pytest.mark.parametrize(
    ("asked", "tools"),
    [("short", [ToolSpec(f"t{n}", "x" * 1000, {"type": "object"}) for n in range(120)]), ("x" * 10, [])],
)
async def test_tools_that_alone_are_too_long_are_said_to_be_and_not_sent(asked: str, tools: list[ToolSpec]) -> None:
    async with serving(answer) as servers:
        system = "Be brief." if tools else "y" * 200_000
        with pytest.raises(ModelError) as error:
            await servers.model("openai", window=16_000).complete(
                ChatRequest("m", system, (UserMessage(asked),), tuple(tools))
            )
        assert (error.value.code, error.value.field) == ("model.context_exceeded", "VIOX_MODELS")
        assert "windows" in (error.value.remedy or "")
        assert not error.value.may_have_been_made
        assert servers.bodies == []


def test_every_model_of_our_file_is_known() -> None:
    given = read(None)
    chains: list[Any] = [name for role in given.roles for name in given.chain(role)]
    for name in {*chains, *given.defaults}:
        provider, _, model = name.partition("/")
        assert abilities_of(provider, model).known, name


def test_an_unknown_model_is_taken_for_a_small_one_until_its_window_is_said() -> None:
    assert abilities_of("openai", "my-own-model") == UNKNOWN
    assert not UNKNOWN.known
    assert UNKNOWN.window <= 32_000
    said = abilities_of("openai", "my-own-model", 131_072)
    assert (said.window, said.known) == (131_072, True)
    assert abilities_of("openai", "claude-sonnet-4-6") == UNKNOWN, "a name means what it does at its own provider"


@EACH
def test_no_model_is_thought_to_be_larger_than_it_is(provider: str) -> None:
    limits = limits_of(provider, MODELS[provider])
    ours = abilities_of(provider, MODELS[provider])
    assert limits is not None
    assert (ours.window <= limits.window, ours.output <= limits.output) == (True, True)
