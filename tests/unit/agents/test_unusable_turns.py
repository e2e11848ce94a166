"""Turns that cannot be used: told once, then the fallback, then the run fails; replay agrees and no history is poisoned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelToolCall, UserMessage, sha256_json
from shared.models.window import fit
from shared.runtime.asking import MAX_OUTPUT_TOKENS
from shared.runtime.history import Step, conversation
from shared.runtime.replay import Report, replay_run
from tests.plain_agent import PLAIN
from tests.unit.agents.driving import RUN, Graph, trigger

TASK = trigger("viox.task.requested", {"instruction": "x", "context": {}})
BROKEN = ModelToolCall("1", "a", None, "{oops")
EMPTY, DONE = AssistantMessage(""), AssistantMessage("done")


def reply(message: AssistantMessage, stop: Any = "end", **more: Any) -> ChatReply:
    return ChatReply(message, stop, "scripted", "scripted", **more)


class Replies:
    """Answers with whole replies, from a list."""

    provider, model = "scripted", "scripted"

    def __init__(self, *replies: ChatReply) -> None:
        self._replies = list(replies)
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        return self._replies.pop(0)

    async def aclose(self) -> None:
        """Nothing is open."""


async def run(*replies: ChatReply) -> tuple[Replies, Graph]:
    model = Replies(*replies)
    graph = Graph(PLAIN, model)
    await graph.go(TASK)
    return model, graph


async def replayed(steps: list[Step]) -> Report:
    stored = {sha256_json(PLAIN.prompt): orjson.dumps(PLAIN.prompt).decode(), sha256_json([]): "[]"}
    read = [replace(step, body=orjson.loads(orjson.dumps(step.body))) for step in steps]
    return await replay_run(PLAIN, RUN, read, stored)


UNUSABLE = pytest.mark.parametrize(
    ("bad", "code"),
    [
        (reply(EMPTY), "model.empty"),
        (reply(AssistantMessage(" \n"), "other"), "model.empty"),
        (reply(AssistantMessage("Dear"), "max_tokens"), "model.cut_off"),
        (reply(AssistantMessage("No."), "refusal", refusal="No."), "model.refused"),
        (reply(AssistantMessage("", (BROKEN,)), "refusal"), "model.refused"),
        (reply(AssistantMessage("I", (BROKEN,)), "context_exceeded"), "model.context_exceeded"),
        (reply(AssistantMessage("", (BROKEN,)), "tool_calls"), "model.malformed_call"),
    ],
)


@UNUSABLE
async def test_the_model_is_told_once_and_may_do_better(bad: ChatReply, code: str) -> None:
    model, graph = await run(bad, reply(DONE))
    assert [s.kind for s in graph.history] == ["trigger", "model", "note", "model", "outcome"]
    assert graph.history[-1].body == {"status": "finished", "text": "done"}
    assert graph.history[2].body["retry"] == code
    told = model.requests[1].messages
    assert all(isinstance(m, UserMessage) for m in told), "the turn itself is not shown again"
    assert isinstance(told[-1], UserMessage)
    assert told[-1].text.startswith("[retry] ")
    assert (model.requests[1].tries, model.requests[1].after) == (1, code)
    assert (await replayed(graph.history)).same


@UNUSABLE
async def test_a_second_one_fails_the_run_with_its_cause(bad: ChatReply, code: str) -> None:
    model, graph = await run(bad, bad)
    assert len(model.requests) == 2
    outcome = graph.history[-1].body
    assert (outcome["status"], outcome["error"]["code"], outcome["error"]["retryable"]) == ("failed", code, False)
    assert outcome["error"]["remedy"]
    assert (await replayed(graph.history)).same
    assert all(isinstance(m, UserMessage) for m in conversation(graph.history)), "the thread can go on"


async def test_the_fallbacks_are_asked_before_the_run_fails() -> None:
    model, graph = await run(reply(EMPTY, has_fallback=True), reply(EMPTY, has_fallback=True), reply(DONE))
    assert [r.tries for r in model.requests] == [0, 1, 2]
    assert graph.history[-1].body["status"] == "finished"
    assert (await replayed(graph.history)).same
    model, graph = await run(reply(EMPTY, has_fallback=True), reply(EMPTY, has_fallback=True), reply(EMPTY))
    assert graph.history[-1].body["error"]["code"] == "model.empty"
    assert (await replayed(graph.history)).same


async def test_an_answer_that_was_cut_off_gets_more_room() -> None:
    model, graph = await run(reply(EMPTY, "max_tokens"), reply(EMPTY), reply(DONE))
    assert [r.max_output_tokens for r in model.requests] == [MAX_OUTPUT_TOKENS, 4 * MAX_OUTPUT_TOKENS]
    assert graph.history[-1].body["status"] == "failed"


async def test_replay_sees_that_something_else_would_be_left_out_today() -> None:
    said = tuple(UserMessage(f"Task: {n} {'y' * 9_000}") for n in range(9))
    _, record = fit(said, 20_000)
    _, graph = await run(reply(DONE, shortened=record))
    report = await replayed(graph.history)
    assert [d.what for d in report.differences] == ["what was left out of the model request"]


async def test_a_turn_of_impossible_names_is_told_and_nothing_is_sent() -> None:
    names = tuple(ModelToolCall(str(n), name, {}) for n, name in enumerate(["multi_tool_use.parallel", "", "a" * 300]))
    model, graph = await run(reply(AssistantMessage("", names), "tool_calls"), reply(DONE))
    told = model.requests[1].messages[-1]
    assert isinstance(told, UserMessage)
    assert "there is no tool named 'multi_tool_use.parallel'" in told.text
    assert len(told.text) < 1_000
    assert graph.history[1].body["calls"][2]["tool"] == "a" * 300, "on record as it came"
