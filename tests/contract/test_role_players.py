"""The roles as models: over every wire a policy is asked what it is asked offline, and says what it says there."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from sandbox import role_players
from sandbox.models.turns import Player, Question, Tool, Turn
from shared.bus.topics import AGENTS
from shared.models.offline import Unable, call, say
from shared.models.port import AssistantMessage, ChatMessage, ChatRequest, ToolMessage, ToolSpec, UserMessage
from tests.contract.model_servers import MODELS, serving

EACH = pytest.mark.parametrize("provider", list(MODELS))
TOOLS = (
    ToolSpec("look", "Look.", {"type": "object", "properties": {"n": {"type": "integer"}}}),
    ToolSpec("tell", "Tell.", {"type": "object", "properties": {"to": {"type": "string"}}}),
)
EVENT = (
    'Event viox.lead.created from /web at 2026-11-30T08:00:00+00:00:\n{"email":"a@b.example","note":"two\\n\\nparts"}'
)
DONE = '{"id":"7","state":"active"}'
FAILED = '{"state":"failed","code":"vendor.refused","message":"no such thing"}'


def prompt(agent: str) -> str:
    found: str = import_module(f"services.{agent.replace('-', '_')}.prompts").SYSTEM
    return found


@pytest.mark.parametrize("agent", AGENTS)
def test_each_role_is_known_by_how_its_prompt_begins(agent: str) -> None:
    assert role_players.role_of(prompt(agent)) == agent


@pytest.mark.parametrize(
    "system",
    ["", "Be brief.", "You are Clover, a plant.", "You are Voiceless.", "I am Closer.", "Tell me: You are Closer"],
)
def test_other_prompts_are_nobodys(system: str) -> None:
    assert role_players.role_of(system) == ""
    question = Question("m", system, (), (), 100)
    assert role_players.play(question) == Turn("OK")


class Recording:
    """A policy that notes what it is asked, calls twice, then says how that went."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    def __call__(self, request: ChatRequest) -> AssistantMessage:
        self.asked.append(request)
        if any(isinstance(m, ToolMessage) for m in request.messages):
            return say("[offline] Done.")
        return call(request, ("look", {"n": 1}), ("tell", {"to": "x"}), text="Looking.")


def told(request: ChatRequest) -> list[tuple[Any, ...]]:
    """A request's conversation without the ids, which are each provider's own."""
    made: list[tuple[Any, ...]] = []
    for message in request.messages:
        match message:
            case UserMessage(text):
                made.append(("user", text))
            case AssistantMessage(text, calls):
                made.append(("turn", text, [(c.tool, c.arguments) for c in calls]))
            case ToolMessage():
                made.append(("result", message.tool, message.content, message.is_error))
    return made


@EACH
async def test_a_policy_is_asked_over_the_wire_what_it_is_asked_offline(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events, notes, tasks, results that are well and that are not; the tools; what has to be called."""
    policy = Recording()
    monkeypatch.setattr(role_players, "_policy", lambda agent: policy)
    said: tuple[ChatMessage, ...] = (UserMessage(EVENT), UserMessage('[note] {"lead_plan":{"amount":5}}'))
    ours = ChatRequest("m", prompt("closer"), said, TOOLS, 512, must_call=True)
    async with serving(Player(role_players.play, role_players.role_of)) as servers:
        model = servers.model(provider)
        first = await model.complete(ours)
        arguments = {"n": 1}
        assert [(c.tool, c.arguments) for c in first.message.calls] == [("look", arguments), ("tell", {"to": "x"})]
        contents = [DONE, FAILED]
        results = [
            ToolMessage(c.provider_id, c.tool, content, is_error=content is FAILED)
            for c, content in zip(first.message.calls, contents, strict=True)
        ]
        more = (UserMessage("Task: and now\n\nthis\nContext:\n{}"), UserMessage("[retry] Answer in a sentence."))
        later = replace(ours, messages=(*said, first.message, *results, *more), must_call=False)
        last = await model.complete(later)
        assert servers.servers.problems == []
    assert [told(asked) for asked in policy.asked] == [told(ours), told(later)]
    assert [asked.must_call for asked in policy.asked] == [True, False]
    assert {(asked.system, asked.max_output_tokens) for asked in policy.asked} == {(ours.system, 512)}
    assert [tool.name for tool in policy.asked[0].tools] == ["look", "tell"]
    assert last.message.text == "Done.", "who answers over a wire does not call itself offline"


@EACH
async def test_what_rules_do_not_cover_is_declined(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_players, "_policy", lambda agent: lambda request: Unable("[offline] No rule for fences."))
    async with serving(Player(role_players.play, role_players.role_of)) as servers:
        reply = await servers.model(provider).complete(ChatRequest("m", prompt("steward"), (UserMessage("Task: x"),)))
    if provider == "mistral":
        assert reply.message.text == "No rule for fences."
    else:
        assert reply.stop == "refusal"


def test_a_tool_with_a_renamed_property_is_called_by_the_name_that_was_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        role_players, "_policy", lambda agent: lambda request: call(request, ("look", {"a[b]": 1, "c": 2}))
    )
    tool = Tool("look", "", {"type": "object", "properties": {"a_b": {}, "c": {}}})
    turn = role_players.play(Question("m", prompt("voice"), (), (tool,), 100))
    assert turn.calls[0].arguments == {"a_b": 1, "c": 2}
