"""Each adapter against a server that speaks its provider's wire format and refuses what the provider would."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from sandbox.models.ids import signature
from sandbox.models.scripted import KEY, ModelServer, claude, function, gpt, text, tool_use
from shared.models.anthropic import AnthropicModel
from shared.models.failover import FailoverModel
from shared.models.openai import OpenAIModel
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
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
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


THOUGHT = {"type": "thinking", "thinking": "x", "signature": signature("x")}
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
    thinking = {"type": "thinking", "thinking": "hm", "signature": signature("hm")}
    server.script = [claude(thinking, tool_use(1, "look", {})), claude(text("ok"), stop="end_turn")]
    model = anthropic(server)
    reply = await model.complete(request())
    await model.complete(request(UserMessage("hello"), reply.message, *results(reply.message)))
    assert server.requests[1]["messages"][1]["content"][0] == thinking
    assert server.problems == []


async def test_geminis_thought_signature_comes_back_unchanged(server: Any) -> None:
    signed = {"google": {"thought_signature": signature("gemini", "look", "{}")}}
    calls = [function(1, "look", "{}", extra_content=signed), function(2, "look", "{}")]
    server.script = [gpt(None, calls, model="gemini-3.8-flash"), gpt("ok", model="gemini-3.8-flash")]
    model = chat(server, "gemini", "gemini-3.8-flash")
    reply = await model.complete(request())
    await model.complete(request(UserMessage("hello"), reply.message, *results(reply.message)))
    assert server.requests[1]["messages"][2]["tool_calls"][0]["extra_content"] == signed
    assert server.problems == []
    assert reply.usage.output == 50, "thinking is in the total only"


async def test_another_providers_turn_is_rebuilt_from_its_parts(server: Any) -> None:
    server.script = [claude(THOUGHT, tool_use(1, "look", {})), gpt("ok")]
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


# -- answers of every quality, and what goes back after them ----------------------------------------------------------------


async def talk(server: Any, model: Any, answer: Any) -> tuple[Any, Any]:
    """(reply, next request's body): the answer, then its results or another message, to a server that is strict."""
    server.script = [answer, claude(text("ok"), stop="end_turn") if "claude" in model.model else gpt("ok")]
    reply = await model.complete(request())
    more: list[ChatMessage] = [*results(reply.message)] or [UserMessage("go on")]
    await model.complete(request(UserMessage("hello"), reply.message, *more))
    assert server.problems == []
    return reply, server.requests[-1]


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (anthropic, claude(stop="end_turn")),
        (anthropic, claude(text("\n\n"), stop="end_turn")),
        (anthropic, claude(THOUGHT, text(" "), stop="end_turn")),
        (anthropic, claude(THOUGHT, stop="max_tokens")),
        (anthropic, claude({"type": "tool_use", "id": "a.b", "name": "look.up", "input": {}})),
        (anthropic, claude({"type": "tool_use", "name": "look", "input": '{"n": 1}'}, tool_use(1, "look", None))),
        (chat, gpt(None)),
        (chat, gpt("", finish="length")),
        (chat, gpt(" \n")),
        (chat, gpt(None, [function(1, "multi_tool_use.parallel", "{}"), function(2, "look" * 75, "{}")])),
        (chat, gpt(None, [{"type": "function", "function": {"name": "look"}} for _ in range(3)])),
        (chat, gpt(None, [{"id": "", "function": {"name": "look", "arguments": ""}} for _ in range(2)])),
        (chat, gpt(None, [function(1, "look", '{"n": 1}'), function(1, "look", '{"n": 2}')])),
        (chat, gpt(None, [function(1, "look", "{oops")])),
        (chat, gpt(None, [{"id": "x", "type": "custom", "custom": {"name": "look", "input": "a"}}])),
        (chat, gpt("Hm.", reasoning="because", reasoning_content="because", reasoning_details=[{"text": "b"}])),
        (chat, gpt(None, function_call={"name": "look", "arguments": "{}"})),
    ],
)
async def test_no_answer_makes_the_next_request_one_that_is_refused(server: Any, make: Any, answer: Any) -> None:
    reply, _ = await talk(server, make(server), answer)
    ids = [call.provider_id for call in reply.message.calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)


async def test_mistral_gets_ids_of_its_own_form(server: Any) -> None:
    mistral = chat(server, "mistral", "mistral-large-4")
    _, sent = await talk(server, mistral, gpt(None, [function(1, "look", "{}")]))
    (result,) = (one for one in sent["messages"] if one["role"] == "tool")
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", result["tool_call_id"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"type": "text", "text": "Do"}, {"type": "text", "text": "ne."}], "Done."),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Done."}],
            "Done.",
        ),
        ([{"type": "image_url", "image_url": {"url": "data:"}}], ""),
    ],
)
async def test_contents_in_parts_are_read(server: Any, content: Any, said: str) -> None:
    reply, _ = await talk(server, chat(server), gpt(content))
    assert reply.message.text == said


async def test_the_transcript_of_a_spoken_answer_is_its_text(server: Any) -> None:
    reply, _ = await talk(server, chat(server), gpt(None, audio={"id": "a", "data": "", "transcript": "Done."}))
    assert reply.message.text == "Done."


@pytest.mark.parametrize("arguments", [{"n": 1}, '"{\\"n\\": 1}"', '{"n": 1,}'])
async def test_arguments_in_odd_clothes_are_arguments(server: Any, arguments: Any) -> None:
    reply, _ = await talk(server, chat(server), gpt(None, [function(1, "look", arguments)]))
    assert reply.message.calls[0].arguments == {"n": 1}


@pytest.mark.parametrize(
    ("make", "answer", "stop"),
    [
        (
            anthropic,
            claude(text("I will"), tool_use(1, "look", {}), stop="model_context_window_exceeded"),
            "context_exceeded",
        ),
        (anthropic, claude(text("I will"), tool_use(1, "look", {"n": 1}), stop="refusal"), "refusal"),
        (chat, gpt(None, [function(1, "look", "{}"), function(2, "look", "{}")], finish="content_filter"), "refusal"),
        (chat, gpt(None, [function(1, "look", "{}")], refusal="No."), "refusal"),
        (chat, gpt(None, [function(1, "look", "{}")], finish="model_length"), "context_exceeded"),
        (chat, gpt(None, [function(1, "look", "{}")], finish="SAFETY"), "refusal"),
        (chat, gpt(None, finish="function_call_filter: MALFORMED_FUNCTION_CALL"), "malformed"),
    ],
)
async def test_calls_of_a_turn_that_was_stopped_are_not_made(server: Any, make: Any, answer: Any, stop: str) -> None:
    reply, _ = await talk(server, make(server), answer)
    assert reply.stop == stop
    assert all(call.arguments is None for call in reply.message.calls)
    assert (stop == "refusal") == bool(reply.refusal)


async def test_of_a_turn_that_was_cut_off_only_the_last_call_is_lost(server: Any) -> None:
    cut = gpt(None, [function(1, "look", '{"n": 1}'), function(2, "look", '{"n": 2}')], finish="length")
    reply, _ = await talk(server, chat(server), cut)
    assert [call.arguments for call in reply.message.calls] == [{"n": 1}, None]


async def test_a_reason_nobody_has_heard_of_does_not_hurt(server: Any) -> None:
    first, _ = await talk(server, chat(server), gpt("Done.", finish="galaxy_brain"))
    second, _ = await talk(server, anthropic(server), claude(text("Done."), stop="galaxy_brain"))
    assert (first.stop, second.stop) == ("other", "other")


PAGE = "<html><body>Sign in to the hotel's network</body></html>"
LACKS = [
    {"object": "chat.completion"},
    {"choices": []},
    {"choices": [{"index": 0, "finish_reason": "stop"}]},
    {"choices": [{"index": 0, "finish_reason": "error", "message": {"content": ""}}]},
    {"choices": None},
    [],
]


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (anthropic, PAGE),
        (anthropic, {"type": "message"}),
        (anthropic, []),
        (chat, PAGE),
        *((chat, each) for each in LACKS),
    ],
)
async def test_what_is_no_answer_is_tried_again_then_the_next_model_is_asked(
    server: Any, make: Any, answer: Any
) -> None:
    server.script = [answer] * 3
    with pytest.raises(ModelError) as error:
        await make(server).complete(request())
    assert (error.value.code, error.value.retryable, error.value.attempts) == ("model.bad_answer", True, 3)
    server.script = [answer] * 3 + [gpt("stand-in")]
    reply = await FailoverModel([make(server), chat(server)]).complete(request())
    assert reply.message.text == "stand-in"


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": 12}, {"prompt_tokens": None, "completion_tokens": "x"}, []]
)
async def test_missing_figures_and_names_are_filled_in(server: Any, usage: Any) -> None:
    answer = gpt("Done.") | {"usage": usage, "model": None}
    reply, _ = await talk(server, chat(server), answer)
    assert (reply.answering_model, reply.usage.output) == ("gpt-4o", 0)
    assert cost_microusd(reply.answering_model, reply.usage) is not None


async def test_an_error_in_a_body_with_status_200_is_an_error(server: Any) -> None:
    server.script = [{"error": {"code": 402, "message": "Insufficient credits"}}]
    with pytest.raises(ModelError) as error:
        await chat(server).complete(request())
    assert error.value.code == "model.no_credit"
    server.script = [{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, claude(text("ok"))]
    assert (await anthropic(server).complete(request())).attempts == 2


async def test_a_server_that_refuses_a_field_is_asked_without_it_from_then_on(server: Any) -> None:
    def strict(body: dict[str, Any]) -> Any:
        return 400 if "max_completion_tokens" in body else gpt("ok")

    server.refusal = "Unsupported parameter: 'max_completion_tokens'"
    server.script = [strict] * 3
    model = chat(server)
    await model.complete(request())
    await model.complete(request())
    assert ["max_tokens" in body for body in server.requests] == [False, True, True]


async def test_a_conversation_the_server_finds_too_long_is_sent_shorter(server: Any) -> None:
    def small(body: dict[str, Any]) -> Any:
        return 400 if len(str(body["messages"])) > 150_000 else gpt("ok")

    server.refusal = "This model's maximum context length is 40000 tokens."
    server.script = [small] * 4
    said: list[ChatMessage] = [UserMessage("hello")]
    for number in range(20):
        call = ModelToolCall(f"c{number}", "look", {"n": number})
        said += [AssistantMessage("", (call,)), ToolMessage(call.provider_id, "look", "x" * 20_000)]
    reply = await chat(server).complete(request(*said))
    assert reply.shortened is not None
    assert reply.attempts == len(server.requests) > 1
    assert server.problems == []


async def test_a_history_with_calls_is_taken_when_all_tools_are_gone(server: Any) -> None:
    server.script = [claude(tool_use(1, "look", {})), claude(text("ok"), stop="end_turn")]
    model = anthropic(server)
    reply = await model.complete(request())
    bare = ChatRequest("m", "Be brief.", (UserMessage("hello"), reply.message, *results(reply.message)))
    await model.complete(bare)
    assert server.problems == []
    assert server.requests[-1]["tool_choice"] == {"type": "none"}
