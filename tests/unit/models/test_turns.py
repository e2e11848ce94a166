"""Which turns a run can go on with."""

from __future__ import annotations

from typing import Any

import pytest

from shared.models.port import AssistantMessage, ChatReply, ModelToolCall, Usage
from shared.models.turns import may_try_again, problem_of, unsendable

GOOD = ModelToolCall("1", "look", {"n": 1})
CUT = ModelToolCall("2", "look", None, "cut off at the token limit")
INVENTED = ModelToolCall("3", "multi_tool_use.parallel", {"tool_uses": []})
LONG = ModelToolCall("4", "look_" * 60, {})
NAMELESS = ModelToolCall("5", "", {})


def reply(text: str = "", *calls: ModelToolCall, stop: Any = "end", **more: Any) -> ChatReply:
    return ChatReply(AssistantMessage(text, calls), stop, "m", "m", Usage(1, 4096, reasoning=4096), **more)


@pytest.mark.parametrize(
    "turn",
    [
        reply("Done."),
        reply("Done.", stop="other"),
        reply("It wrote <tool_call>{}</tool_call> in place of a call."),
        reply("Calls begin with [TOOL_CALLS]."),
        reply("", GOOD, stop="tool_calls"),
        reply("", GOOD, CUT, stop="max_tokens"),
        reply("", INVENTED, GOOD, stop="other"),
    ],
)
def test_a_whole_text_or_one_call_that_can_be_made_is_enough(turn: ChatReply) -> None:
    assert problem_of(turn) is None


@pytest.mark.parametrize(
    ("turn", "code"),
    [
        (reply(stop="refusal"), "model.refused"),
        (reply("I will not.", stop="refusal", refusal="not that"), "model.refused"),
        (reply(stop="max_tokens"), "model.cut_off"),
        (reply("Dear Ana, we", stop="max_tokens"), "model.cut_off"),
        (reply("", CUT, stop="max_tokens"), "model.cut_off"),
        (reply("Looking", CUT, stop="context_exceeded"), "model.context_exceeded"),
        (reply("", CUT, stop="tool_calls"), "model.malformed_call"),
        (reply("", INVENTED), "model.malformed_call"),
        (reply("", LONG), "model.malformed_call"),
        (reply("", NAMELESS), "model.malformed_call"),
        (reply(stop="malformed"), "model.malformed_call"),
        (reply('<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'), "model.malformed_call"),
        (reply("Let me see.\n<function=look>\n<parameter=n>1</parameter>\n</function>"), "model.malformed_call"),
        (reply('<function_calls><invoke name="look"></invoke></function_calls>\n'), "model.malformed_call"),
        (reply('<|python_tag|>{"name": "look", "parameters": {}}'), "model.malformed_call"),
        (reply('[TOOL_CALLS][{"name": "look", "arguments": {}}]'), "model.malformed_call"),
        (reply("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"), "model.malformed_call"),
        (reply("<|start|>assistant<|channel|>commentary to=functions.look json"), "model.malformed_call"),
        (reply(), "model.empty"),
        (reply(" \n\t"), "model.empty"),
        (reply(stop="other"), "model.empty"),
    ],
)
def test_every_other_turn_has_a_problem_with_a_code_and_a_word_for_the_model(turn: ChatReply, code: str) -> None:
    problem = problem_of(turn)
    assert problem is not None
    assert problem.code == code
    assert problem.told
    assert problem.remedy


def test_a_refused_turn_is_never_used_whatever_it_asks_for() -> None:
    problem = problem_of(reply("", GOOD, stop="refusal"))
    assert problem is not None
    assert problem.code == "model.refused"


def test_the_model_is_told_which_names_and_arguments_were_wrong() -> None:
    problem = problem_of(reply("", INVENTED, ModelToolCall("6", "look", None, '{"n": ')))
    assert problem is not None
    assert "multi_tool_use.parallel" in problem.told
    assert '{"n": ' in problem.told


def test_a_second_chance_is_for_everybody_and_more_only_with_a_fallback() -> None:
    alone, chained = reply(), reply(has_fallback=True)
    assert [may_try_again(tries, alone) for tries in range(3)] == [True, False, False]
    assert [may_try_again(tries, chained) for tries in range(3)] == [True, True, True]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (CUT, "tool.malformed_arguments"),
        (INVENTED, "tool.unknown"),
        (LONG, "tool.unknown"),
        (NAMELESS, "tool.unknown"),
        (ModelToolCall("7", "look up", {}), "tool.unknown"),
    ],
)
def test_a_call_that_no_message_can_carry_has_an_error(call: ModelToolCall, code: str) -> None:
    error = unsendable(call)
    assert error is not None
    assert error["code"] == code
    assert len(error["message"]) < 300
