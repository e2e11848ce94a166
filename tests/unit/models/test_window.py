"""Long conversations: what is sent fits, keeps what matters, and is the same for the same conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.models.port import (
    AssistantMessage,
    ChatMessage,
    ChatReply,
    ChatRequest,
    ModelError,
    ModelToolCall,
    ToolMessage,
    UserMessage,
)
from shared.models.window import RESULT_BYTES, ask_within, fit


def turn(number: int, size: int, text: str = "x") -> list[ChatMessage]:
    """A call and its result of about `size` bytes."""
    call = ModelToolCall(f"c{number}", "look", {"n": number})
    return [AssistantMessage("", (call,)), ToolMessage(call.provider_id, "look", (text * size)[:size])]


def finished_run(number: int, size: int) -> list[ChatMessage]:
    return [UserMessage(f"Task: number {number} {'y' * size}"), AssistantMessage("Done.")]


def weight(messages: Any) -> int:
    return sum(len(orjson.dumps(m)) for m in messages)


def pairs(messages: tuple[ChatMessage, ...]) -> tuple[list[str], list[str]]:
    asked = [c.provider_id for m in messages if isinstance(m, AssistantMessage) for c in m.calls]
    return asked, [m.provider_id for m in messages if isinstance(m, ToolMessage)]


def test_what_fits_is_sent_untouched() -> None:
    said = (UserMessage("Task: a"), *turn(1, 1000))
    assert fit(said, 10_000) == (said, None)


def test_one_large_result_is_shortened_to_its_beginning_and_end() -> None:
    content = "BEGIN" + "x" * 250_000 + "END"
    said = (
        UserMessage("Task: a"),
        AssistantMessage("", (ModelToolCall("c", "look", {}),)),
        ToolMessage("c", "look", content),
    )
    sent, shortened = fit(said, 10_000_000)
    result = sent[2]
    assert isinstance(result, ToolMessage)
    assert result.content.startswith("BEGIN")
    assert result.content.endswith("END")
    assert len(result.content) < RESULT_BYTES + 200
    assert shortened is not None
    assert (shortened["messages_shortened"], shortened["messages_left_out"]) == (1, 0)


def test_old_results_go_first_and_the_newest_stays_whole() -> None:
    said = (UserMessage("Task: a"), *[m for n in range(10) for m in turn(n, 20_000)])
    sent, shortened = fit(said, 150_000)
    assert weight(sent) <= 150_000
    assert sent[-1] == said[-1]
    assert shortened is not None
    assert shortened["messages_left_out"] == 0
    assert len(sent) == len(said)


@pytest.mark.parametrize("budget", [30_000, 60_000, 120_000])
def test_turns_are_left_out_whole_and_the_current_instruction_never(budget: int) -> None:
    old = [m for n in range(30) for m in finished_run(n, 5_000)]
    said = (*old, UserMessage("Task: the newest"), *[m for n in range(300) for m in turn(n, 400)])
    sent, shortened = fit(said, budget)
    assert weight(sent) <= budget + 300
    assert UserMessage("Task: the newest") in sent
    assert sent[-2:] == said[-2:]
    asked, answered = pairs(sent)
    assert asked == answered
    assert isinstance(sent[0], UserMessage)
    assert shortened is not None
    assert f"The {shortened['messages_left_out']} oldest messages" in sent[0].text


def test_what_must_stay_is_cut_in_its_middle_when_it_alone_is_too_long() -> None:
    said = (UserMessage("Task: begin " + "z" * 500_000 + " the end"), *turn(1, 60_000), *turn(2, 60_000))
    sent, _ = fit(said, 40_000)
    assert weight(sent) < 45_000
    instruction = sent[1]
    assert isinstance(instruction, UserMessage)
    assert instruction.text.startswith("Task: begin")
    assert instruction.text.endswith(" the end")


def test_other_scripts_count_by_their_bytes() -> None:
    said = (UserMessage("Task: a"), *turn(1, 9_000, "漢"), *turn(2, 9_000, "漢"), *turn(3, 9_000, "漢"))
    sent, _ = fit(said, 40_000)
    assert weight(sent) <= 41_000
    assert all("\ufffd" not in m.content for m in sent if isinstance(m, ToolMessage))


def test_the_same_conversation_is_shortened_the_same_and_its_beginning_stays_while_it_grows() -> None:
    said = [UserMessage("Task: a"), *[m for n in range(40) for m in turn(n, 5_000)]]
    first, record = fit(tuple(said), 100_000)
    assert fit(tuple(said), 100_000) == (first, record)
    grown, _ = fit((*said, *turn(41, 100)), 100_000)
    assert grown[: len(first) - 4] == first[: len(first) - 4]


# -- asking -------------------------------------------------------------------------------------------------------------


class Server:
    """Refuses requests over its window, which we do not know."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.seen: list[ChatRequest] = []

    async def ask(self, request: ChatRequest) -> ChatReply:
        self.seen.append(request)
        if weight(request.messages) > self.window:
            raise ModelError("model.context_exceeded", "too long", retryable=False)
        return ChatReply(AssistantMessage("ok"), "end", "m", "m")


def asked(*messages: ChatMessage, **more: Any) -> ChatRequest:
    return ChatRequest("m", "", messages, **more)


LONG = (UserMessage("Task: a"), *[m for n in range(40) for m in turn(n, 5_000)])


async def test_a_provider_that_counts_more_tokens_gets_half_and_it_is_on_record() -> None:
    server = Server(80_000)
    reply = await ask_within(asked(*LONG), 60_000, 0, server.ask)
    assert reply.message.text == "ok"
    assert reply.shortened is not None
    assert fit(LONG, reply.shortened["budget_bytes"])[1] == reply.shortened
    assert reply.attempts == len(server.seen) > 1


async def test_what_cannot_be_made_to_fit_has_a_code_and_is_not_tried_for_ever() -> None:
    server = Server(10)
    with pytest.raises(ModelError) as error:
        await ask_within(asked(UserMessage("short")), 60_000, 0, server.ask)
    assert error.value.code == "model.context_exceeded"
    assert len(server.seen) == 1
    with pytest.raises(ModelError):
        await ask_within(asked(*LONG), 60_000, 0, server.ask)
    assert len(server.seen) <= 6


async def test_after_a_turn_that_filled_the_window_less_is_sent() -> None:
    server = Server(10_000_000)
    await ask_within(asked(*LONG), 100_000, 0, server.ask)
    await ask_within(replace(asked(*LONG), tries=1, after="model.context_exceeded"), 100_000, 0, server.ask)
    first, second = (weight(r.messages) for r in server.seen)
    assert second < first


async def test_tools_count_too() -> None:
    server = Server(10_000_000)
    await ask_within(asked(*LONG), 100_000, 250_000, server.ask)
    assert weight(server.seen[0].messages) < 60_000
