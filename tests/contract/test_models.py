"""Each adapter against a server that speaks its provider's wire format and refuses what the provider would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from sandbox.models.servers import KEY, ModelServer, claude, function, gpt, text, tool_use
from shared.models.anthropic import AnthropicModel
from shared.models.failover import FailoverModel
from shared.models.openai import OpenAIModel
from shared.models.port import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    ModelError,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from shared.models.prices import cost_microusd

OPENED: list[Any] = []
TOOLS = (ToolSpec("look", "Look.", {"type": "object", "properties": {"n": {"type": "integer"}}}),)


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    made = ModelServer()
    runner = web.AppRunner(made.app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"  # type: ignore[attr-defined]
    yield made
    while OPENED:
        await OPENED.pop().aclose()
    await runner.cleanup()


WAITED: list[float] = []


async def note(seconds: float) -> None:
    """Given to the adapters in the place of sleep."""
    WAITED.append(seconds)


@pytest.fixture(autouse=True)
def no_waiting() -> list[float]:
    WAITED.clear()
    return WAITED


def anthropic(server: Any, key: str = KEY, timeout: float = 60) -> Any:
    OPENED.append(
        AnthropicModel("claude-sonnet-4-6", api_key=key, base_url=server.url, timeout_seconds=timeout, sleep=note)
    )
    return OPENED[-1]


def chat(server: Any, provider: str = "openai", model: str = "gpt-4o", timeout: float = 60) -> Any:
    OPENED.append(
        OpenAIModel(
            model, provider=provider, api_key=KEY, base_url=f"{server.url}/v1", timeout_seconds=timeout, sleep=note
        )
    )
    return OPENED[-1]


def request(*messages: ChatMessage, model: str = "m") -> ChatRequest:
    return ChatRequest(model, "Be brief.", messages or (UserMessage("hello"),), TOOLS)


def results(message: AssistantMessage) -> list[ToolMessage]:
    return [ToolMessage(c.provider_id, c.tool, '{"ok":true}', is_error=n == 1) for n, c in enumerate(message.calls)]


BOTH = pytest.mark.parametrize("make", [anthropic, chat])


@pytest.mark.parametrize(
    ("make", "first"),
    [
        (anthropic, claude(text("Looking."), tool_use(1, "look", {"n": 1}), tool_use(2, "look", {"n": 2}))),
        (chat, gpt("Looking.", [function(1, "look", '{"n": 1}'), function(2, "look", '{"n": 2}')])),
    ],
)
async def test_parallel_calls_and_their_results_go_there_and_back(server: Any, make: Any, first: Any) -> None:
    last = claude(text("Done."), stop="end_turn") if make is anthropic else gpt("Done.")
    server.script = [first, last]
    model = make(server)
    reply = await model.complete(request())
    assert (reply.message.text, reply.stop) == ("Looking.", "tool_calls")
    assert [c.arguments for c in reply.message.calls] == [{"n": 1}, {"n": 2}]
    more = UserMessage("and another thing")
    final = await model.complete(request(UserMessage("hello"), reply.message, *results(reply.message), more))
    assert (final.message.text, final.stop) == ("Done.", "end")
    assert server.problems == []


async def test_thinking_comes_back_unchanged(server: Any) -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig=="}
    server.script = [claude(thinking, tool_use(1, "look", {})), claude(text("ok"), stop="end_turn")]
    model = anthropic(server)
    reply = await model.complete(request())
    await model.complete(request(UserMessage("hello"), reply.message, *results(reply.message)))
    assert server.requests[1]["messages"][1]["content"][0] == thinking
    assert server.problems == []


async def test_geminis_thought_signature_comes_back_unchanged(server: Any) -> None:
    signature = {"google": {"thought_signature": "CiQBjz=="}}
    calls = [function(1, "look", "{}", extra_content=signature), function(2, "look", "{}")]
    server.script = [gpt(None, calls, model="gemini-3.8-flash"), gpt("ok", model="gemini-3.8-flash")]
    model = chat(server, "gemini", "gemini-3.8-flash")
    reply = await model.complete(request())
    await model.complete(request(UserMessage("hello"), reply.message, *results(reply.message)))
    assert server.requests[1]["messages"][2]["tool_calls"][0]["extra_content"] == signature
    assert server.problems == []
    assert reply.usage.output == 50, "thinking is in the total only"


async def test_another_providers_turn_is_rebuilt_from_its_parts(server: Any) -> None:
    server.script = [
        claude({"type": "thinking", "thinking": "x", "signature": "s"}, tool_use(1, "look", {})),
        gpt("ok"),
    ]
    reply = await anthropic(server).complete(request())
    await chat(server).complete(request(UserMessage("hello"), reply.message, *results(reply.message)))
    assert server.problems == []


@pytest.mark.parametrize("arguments", ["{oops", "[1]", '"text"', "5"])
async def test_malformed_arguments_are_kept_as_they_came(server: Any, arguments: str) -> None:
    server.script = [gpt(None, [function(1, "look", arguments)])]
    reply = await chat(server).complete(request())
    (call,) = reply.message.calls
    assert (call.arguments, call.raw_arguments) == (None, arguments)


async def test_a_number_that_nothing_could_write_is_malformed(server: Any) -> None:
    server.script = [claude(tool_use(1, "look", {"n": 10**40}))]
    reply = await anthropic(server).complete(request())
    (call,) = reply.message.calls
    assert call.arguments is None
    assert "1000000" in (call.raw_arguments or "")


@BOTH
async def test_a_turn_cut_off_at_the_token_limit_is_not_carried_out(server: Any, make: Any) -> None:
    cut = claude(tool_use(1, "look", {}), stop="max_tokens")
    server.script = [cut if make is anthropic else gpt(None, [function(1, "look", "{}")], finish="length")]
    reply = await make(server).complete(request())
    assert reply.stop == "max_tokens"
    assert reply.message.calls[0].arguments is None


async def test_refusals_are_said(server: Any) -> None:
    server.script = [
        claude(stop="refusal", stop_details={"type": "refusal", "category": "x", "explanation": "not that"}),
        gpt(None, refusal="I cannot help with that."),
    ]
    first = await anthropic(server).complete(request())
    second = await chat(server).complete(request())
    assert first.stop == second.stop == "refusal"
    assert "not that" in first.message.text
    assert "cannot help" in second.message.text


@BOTH
@pytest.mark.parametrize("fault", [429, 500, 503, 529, "cut", "not json"])
async def test_passing_troubles_are_tried_again_and_counted(server: Any, make: Any, fault: Any) -> None:
    server.script = [fault, fault, claude(text("ok"), stop="end_turn") if make is anthropic else gpt("ok")]
    reply = await make(server).complete(request())
    assert (reply.message.text, reply.attempts) == ("ok", 3)


@BOTH
async def test_retry_after_is_obeyed_and_a_long_one_is_left_to_the_runtime(
    server: Any, make: Any, no_waiting: list[float]
) -> None:
    fine = claude(text("ok"), stop="end_turn") if make is anthropic else gpt("ok")
    server.script = [(429, {"Retry-After": "2"}), fine]
    await make(server).complete(request())
    assert 2 <= no_waiting[0] < 2.3
    server.script = [(429, {"Retry-After": "60"})]
    with pytest.raises(ModelError) as error:
        await make(server).complete(request())
    assert (error.value.retryable, error.value.retry_after, error.value.attempts) == (True, 60.0, 1)


@BOTH
async def test_timeouts_end_in_an_error_that_can_be_retried(server: Any, make: Any) -> None:
    server.script = ["hang"] * 3
    with pytest.raises(ModelError) as error:
        await make(server, timeout=0.2).complete(request())
    assert (error.value.retryable, error.value.attempts) == (True, 3)


async def test_a_wrong_key_is_final_and_names_the_setting(server: Any) -> None:
    with pytest.raises(ModelError) as error:
        await anthropic(server, key="wrong").complete(request())
    assert (error.value.retryable, error.value.field) == (False, "ANTHROPIC_API_KEY")


async def test_all_tokens_and_both_models_are_reported_and_priced(server: Any) -> None:
    server.script = [claude(text("ok"), stop="end_turn", model="claude-sonnet-4-6"), gpt("ok")]
    first = await anthropic(server).complete(request())
    assert (first.usage.input, first.usage.cache_read, first.usage.cache_write, first.usage.output) == (160, 50, 10, 20)
    assert first.request_id == "req_1"
    assert cost_microusd(first.answering_model, first.usage) == round(100 * 3 + 50 * 0.3 + 10 * 3.75 + 20 * 15 + 0.49)
    second = await chat(server).complete(request())
    assert (second.usage.input, second.usage.cache_read) == (100, 40)
    assert second.answering_model == "gpt-4o-2024-11-20"
    assert cost_microusd(second.answering_model, second.usage) == 60 * 2.5 + 40 * 1.25 + 20 * 10
    assert cost_microusd("a-model-nobody-priced", second.usage) is None


async def test_the_next_model_stands_in(server: Any) -> None:
    server.script = [529, 529, 529, gpt("stand-in")]
    both = FailoverModel([anthropic(server), chat(server)])
    reply = await both.complete(request())
    assert (reply.message.text, reply.answering_model) == ("stand-in", "gpt-4o-2024-11-20")
    assert server.requests[-1]["model"] == "gpt-4o"


async def test_no_provider_run_tool_is_ever_enabled(server: Any) -> None:
    """Rule 17: they would escape the gateway."""
    server.script = [claude(text("ok"), stop="end_turn"), gpt("ok")]
    await anthropic(server).complete(request())
    await chat(server).complete(request())
    assert [set(t) for t in server.requests[0]["tools"]] == [{"name", "description", "input_schema"}]
    assert [t["type"] for t in server.requests[1]["tools"]] == ["function"]
