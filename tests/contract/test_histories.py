"""Fail-over in the middle of a run: what one provider's model said, every other one reads.

Judges are the model servers, as strict as the providers, and the types of the vendors' SDKs.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from sandbox.models.turns import Call, Question, Result, Turn
from shared.models.failover import FailoverModel
from shared.models.port import (
    AssistantMessage,
    ChatMessage,
    ChatModel,
    ChatReply,
    ChatRequest,
    ModelToolCall,
    ToolMessage,
    UserMessage,
)
from tests.contract.model_servers import LOOK, MODELS, Servers, serving, strange_in_request

PROVIDERS = tuple(MODELS)
PAIRS = list(itertools.product(PROVIDERS, repeat=2))


def player(question: Question) -> Turn:
    """Three rounds of parallel calls, one of them to a tool that no provider takes a name of, then a text."""
    rounds = sum(isinstance(m, Turn) and bool(m.calls) for m in question.messages)
    results = [m for m in question.messages if isinstance(m, Result)]
    if rounds < 3:
        return Turn("" if rounds else "Looking.", (Call("look", {"n": rounds}), Call("look", {"n": rounds + 10})))
    return Turn(f"Saw {len(results)}.")


def request(messages: tuple[ChatMessage, ...], **more: Any) -> ChatRequest:
    return ChatRequest("m", "Be brief.", messages, (LOOK,), **more)


def after(messages: tuple[ChatMessage, ...], reply: ChatReply) -> tuple[ChatMessage, ...]:
    """The conversation with a turn and the results of its calls: one well, one failed, one with nothing in it."""
    contents = itertools.cycle(['{"ok":true}', '{"state":"failed","code":"x","message":"no"}', ""])
    made = [
        ToolMessage(call.provider_id, call.tool, content, is_error="failed" in content)
        for call, content in zip(reply.message.calls, contents, strict=False)
    ]
    return (*messages, reply.message, *made)


def check(servers: Servers, readers: tuple[str, ...]) -> None:
    """Nothing was refused, and each request is one that its vendor's SDK would send."""
    assert servers.servers.problems == []
    exchanges = [e for e in servers.servers.exchanges if e.model]
    assert {e.provider for e in exchanges} == set(readers)
    for exchange, body in zip(exchanges, servers.bodies, strict=True):
        assert strange_in_request(exchange.provider, body) == []


@pytest.mark.parametrize(("maker", "reader"), PAIRS, ids=[f"{a} to {b}" for a, b in PAIRS])
async def test_what_one_model_began_another_ends(maker: str, reader: str) -> None:
    """Calls, results, thoughts and signatures of two rounds, then the other model, then the first one again."""
    async with serving(player) as servers:
        models = [servers.model(maker), servers.model(reader), servers.model(reader), servers.model(maker)]
        messages: tuple[ChatMessage, ...] = (UserMessage("hello"),)
        for model in models:
            reply = await model.complete(request(messages, thinking="low"))
            messages = after(messages, reply)
        assert reply.message.text == "Saw 6."
        check(servers, (maker, reader))


ODD: list[tuple[str, AssistantMessage]] = [
    ("an id of another form", AssistantMessage("", (ModelToolCall("call.1/ü" * 9, "look", {}),), "openai")),
    ("the same id again", AssistantMessage("", (ModelToolCall("c", "look", {}), ModelToolCall("c", "look", {})), "x")),
    ("a name that nobody takes", AssistantMessage("", (ModelToolCall("c", "1 look.up!" * 9, {}),), "openai")),
    ("no arguments", AssistantMessage("", (ModelToolCall("c", "look", None, "{oops"),), "openai")),
    ("an empty text", AssistantMessage("", (), "gemini")),
    ("a blank text", AssistantMessage(" \n", (), "anthropic")),
    (
        "thoughts without an answer",
        AssistantMessage("", (), "anthropic", [{"type": "thinking", "thinking": "hm", "signature": "another's"}]),
    ),
    (
        "a thought that another server signed",
        AssistantMessage(
            "",
            (ModelToolCall("c", "look", {}),),
            "anthropic",
            [
                {"type": "thinking", "thinking": "hm", "signature": "another's"},
                {"type": "tool_use", "id": "c", "name": "look", "input": {}},
            ],
        ),
    ),
    (
        "reasoning beside the text",
        AssistantMessage("Hm.", (), "openai", {"reasoning_content": "because", "reasoning_details": [{"text": "b"}]}),
    ),
    (
        "a signature",
        AssistantMessage(
            "", (ModelToolCall("c", "look", {}, None, {"extra_content": {"google": {"thought_signature": "s"}}}),), "x"
        ),
    ),
    ("a turn of the rules", AssistantMessage("[offline] Done.", (ModelToolCall("call_0", "look", {}),), "offline")),
]


@pytest.mark.parametrize("reader", PROVIDERS)
@pytest.mark.parametrize("what", [name for name, _ in ODD])
async def test_every_provider_reads_odd_turns_of_others(reader: str, what: str) -> None:
    turn = dict(ODD)[what]
    results = [ToolMessage(call.provider_id, call.tool, "{}") for call in turn.calls]
    messages: tuple[ChatMessage, ...] = (UserMessage("hello"), turn, *results, UserMessage("go on"))
    async with serving(player) as servers:
        model = servers.model(reader)
        first = await model.complete(request(messages))
        await model.complete(request(after(messages, first)))
        learned = [p for p in servers.servers.problems if "signature" in p]
        assert servers.servers.problems == learned, "only a signature may be found out by asking"
        assert len(learned) <= 1, "and once"
        assert [e.status for e in servers.servers.exchanges][-1] == 200


async def test_thoughts_go_back_to_who_had_them_and_to_nobody_else() -> None:
    async with serving(player) as servers:
        claude, gpt = servers.model("anthropic"), servers.model("openai")
        messages: tuple[ChatMessage, ...] = (UserMessage("hello"),)
        first = await claude.complete(request(messages, thinking="medium"))
        messages = after(messages, first)
        await claude.complete(request(messages, thinking="medium"))
        await gpt.complete(request(messages, thinking="medium"))
        thought = first.message.provider_extra[0]
        assert (thought["type"], bool(thought["signature"])) == ("thinking", True)
        assert servers.bodies[1]["messages"][1]["content"][0] == thought
        assert "signature" not in str(servers.bodies[2])
        assert servers.servers.problems == []


async def test_signatures_go_back_to_who_made_them_and_to_nobody_else() -> None:
    async with serving(player) as servers:
        gemini, mistral = servers.model("gemini"), servers.model("mistral")
        first = await gemini.complete(request((UserMessage("hello"),)))
        messages = after((UserMessage("hello"),), first)
        await gemini.complete(request(messages))
        await mistral.complete(request(messages))
        (given, other) = (call.provider_extra for call in first.message.calls)
        assert given is not None
        assert other is None, "only the first of parallel calls has one"
        sent = servers.bodies[1]["messages"][-3]["tool_calls"]
        assert [call.get("extra_content") for call in sent] == [given["extra_content"], None]
        assert "extra_content" not in str(servers.bodies[2])
        assert servers.servers.problems == []


async def test_a_model_that_thinks_by_budget_goes_on_after_one_that_does_not() -> None:
    """It would be refused for want of a thought that nobody had. It thinks again from the next question on."""
    async with serving(player) as servers:
        messages: tuple[ChatMessage, ...] = (UserMessage("hello"),)
        messages = after(messages, await servers.model("openai").complete(request(messages)))
        haiku = servers.model("anthropic", "claude-haiku-4-5")
        for _ in range(3):
            messages = after(messages, await haiku.complete(request(messages, thinking="low")))
        await haiku.complete(request((*messages, UserMessage("and?")), thinking="low"))
        assert ["thinking" in body for body in servers.bodies] == [False, False, False, False, True]
        assert servers.servers.problems == []


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_judges_see_what_is_wrong(provider: str) -> None:
    async with serving(player) as servers:
        await servers.model(provider).complete(request((UserMessage("hello"),)))
        (body,) = servers.bodies
        assert strange_in_request(provider, body) == []
        assert strange_in_request(provider, body | {"colour": "red"}) == [".colour"]
        body["tools"][0]["colour"] = body["messages"][0]["colour"] = "red"
        assert strange_in_request(provider, body) == [".messages[0].colour", ".tools[0].colour"]


@pytest.mark.parametrize("fallback", [p for p in PROVIDERS if p != "anthropic"])
async def test_a_run_goes_on_with_the_fallback_when_its_model_is_down(fallback: str) -> None:
    """In the middle of a run, by itself; and with its own model when that is back."""
    async with serving(player) as servers:
        now = [0.0]
        chain: list[ChatModel] = [servers.model("anthropic"), servers.model(fallback)]
        model = FailoverModel(chain, clock=lambda: now[0])
        servers.servers.faults.add({"kind": "529", "provider": "anthropic", "request": 2, "count": 3})
        messages: tuple[ChatMessage, ...] = (UserMessage("hello"),)
        answered: list[str] = []
        for _ in range(4):
            reply = await model.complete(request(messages))
            answered.append(reply.message.provider)
            messages = after(messages, reply)
            now[0] += 10
        assert answered == ["anthropic", fallback, fallback, "anthropic"]
        assert reply.message.text == "Saw 6."
        check(servers, ("anthropic", fallback))
