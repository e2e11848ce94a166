"""What goes out fits the provider's rules for histories; what comes in is read without relying on it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared.models import anthropic, openai
from shared.models.port import AssistantMessage, ChatMessage, ModelError, ModelToolCall, ToolMessage, UserMessage
from shared.models.wire import NOTHING, a_count, arguments_of, document, own_ids, text_of, without_thoughts

IDS = [
    "functions.look:0",
    "call_abcdefghijklmnopqrstuvwx",
    "chatcmpl-tool-0123456789abcdef0123456789abcdef",
    "äß",
    "a b",
]
RULES = {
    "anthropic": r"[a-zA-Z0-9_-]{1,64}",
    "openai": r"\S{1,40}",
    "gemini": r"\S{1,40}",
    "mistral": r"[a-zA-Z0-9]{9}",
}


def turn(*ids: str, tool: str = "look", provider: str = "elsewhere") -> list[ChatMessage]:
    calls = tuple(ModelToolCall(i, tool, {"n": n}) for n, i in enumerate(ids))
    return [AssistantMessage("", calls, provider), *(ToolMessage(i, tool, f'{{"n":{n}}}') for n, i in enumerate(ids))]


def sent(conversation: list[ChatMessage], provider: str) -> tuple[list[tuple[str, str, Any]], list[tuple[str, str]]]:
    """([(id, name, arguments)] of calls, [(id, content)] of results) as they go to a provider."""
    if provider == "anthropic":
        blocks = [b for m in anthropic.messages(conversation) for b in m["content"]]
        calls = [(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]
        return calls, [(b["tool_use_id"], b["content"]) for b in blocks if b["type"] == "tool_result"]
    made = openai.messages(conversation, provider)
    functions = [(c["id"], c["function"]) for m in made for c in m.get("tool_calls", [])]
    results = [(m["tool_call_id"], m["content"]) for m in made if m["role"] == "tool"]
    return [(i, f["name"], f["arguments"]) for i, f in functions], results


EVERY = pytest.mark.parametrize("provider", list(RULES))


@EVERY
def test_ids_fit_the_provider_and_pair_up_whoever_made_them(provider: str) -> None:
    calls, results = sent([UserMessage("hi"), *turn(*IDS)], provider)
    assert all(re.fullmatch(RULES[provider], i) for i, _, _ in calls)
    assert [i for i, _, _ in calls] == [i for i, _ in results]
    assert len({i for i, _, _ in calls}) == len(IDS)


@EVERY
def test_ids_repeated_within_a_turn_and_over_turns_are_told_apart(provider: str) -> None:
    calls, results = sent([UserMessage("hi"), *turn("same", "same"), *turn("same", "")], provider)
    assert len({i for i, _, _ in calls}) == 4
    assert [i for i, _, _ in calls] == [i for i, _ in results]
    assert [content for _, content in results] == ['{"n":0}', '{"n":1}'] * 2


@EVERY
def test_a_longer_conversation_begins_with_the_same_ids(provider: str) -> None:
    said = [UserMessage("hi"), *turn(*IDS)]
    assert sent([*said, *turn("functions.look:0")], provider)[0][: len(IDS)] == sent(said, provider)[0]


@EVERY
@pytest.mark.parametrize("name", ["multi_tool_use.parallel", "look " * 60, "", "größe", "9lives"])
def test_invented_names_are_sent_in_a_form_that_is_taken(provider: str, name: str) -> None:
    ((_, wire, _),), _ = sent([UserMessage("hi"), *turn("a", tool=name)], provider)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", wire)
    if provider == "gemini":
        assert not wire[0].isdigit()


@EVERY
def test_a_call_without_arguments_goes_back_as_an_object(provider: str) -> None:
    broken = AssistantMessage("", (ModelToolCall("a", "look", None, "{oops"),))
    ((_, _, arguments),), _ = sent([UserMessage("hi"), broken, ToolMessage("a", "look", "{}")], provider)
    assert arguments in ({}, "{}")


@EVERY
def test_every_call_is_followed_by_one_result_and_no_result_stands_alone(provider: str) -> None:
    open_turn = AssistantMessage("", (ModelToolCall("a", "look", {}), ModelToolCall("b", "look", {})))
    said: list[ChatMessage] = [
        UserMessage("hi"),
        open_turn,
        ToolMessage("b", "look", "{}"),
        UserMessage("more"),
        ToolMessage("z", "look", "{}"),
    ]
    calls, results = sent(said, provider)
    assert sorted(i for i, _, _ in calls) == sorted(i for i, _ in results)


@EVERY
@pytest.mark.parametrize("text", ["", "\n\n", " "])
def test_no_turn_goes_back_empty_or_blank(provider: str, text: str) -> None:
    said: list[ChatMessage] = [UserMessage("hi"), AssistantMessage(text), UserMessage(text or "go on")]
    made = anthropic.messages(said) if provider == "anthropic" else openai.messages(said, provider)
    for message in made:
        parts = message["content"] if isinstance(message["content"], list) else [{"text": message["content"]}]
        assert all(part["text"].strip() for part in parts)


def test_blank_texts_beside_thoughts_are_left_out_and_the_thoughts_stay() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    blocks = [thought, {"type": "text", "text": "\n"}]
    made = anthropic.messages(
        [UserMessage("hi"), AssistantMessage("\n", (), "anthropic", blocks), UserMessage("go on")]
    )
    assert made[1]["content"] == [thought, {"type": "text", "text": NOTHING}]


def test_thoughts_without_a_signature_are_left_out() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "a"}]
    said: list[ChatMessage] = [UserMessage("hi"), AssistantMessage("a", (), "anthropic", blocks)]
    assert anthropic.messages(said)[1]["content"] == [{"type": "text", "text": "a"}]


def test_a_turn_kept_whole_has_its_ids_and_names_mended_too() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    use = {"type": "tool_use", "id": "a.b", "name": "look.up", "input": {}, "caller": {"type": "direct"}}
    message = AssistantMessage("", (ModelToolCall("call_0", "look.up", {"n": 1}),), "anthropic", [thought, use])
    said: list[ChatMessage] = [UserMessage("hi"), message, ToolMessage("call_0", "look.up", "{}")]
    block = anthropic.messages(said)[1]["content"][1]
    assert block == use | {"id": "call_0", "name": "look_up", "input": {"n": 1}}


def test_only_what_must_come_back_comes_back() -> None:
    whole = {"role": "assistant", "content": None, "reasoning": "because", "tool_calls": [{"id": "a", "index": 0}]}
    message = AssistantMessage("", (ModelToolCall("a", "look", {}),), "openai", whole)
    made = openai.messages([UserMessage("hi"), message, ToolMessage("a", "look", "{}")], "openai")[1]
    assert set(made) == {"role", "content", "tool_calls"}
    assert set(made["tool_calls"][0]) == {"id", "type", "function"}


def test_gemini_gets_a_signature_for_calls_that_another_model_made() -> None:
    own = AssistantMessage("", (ModelToolCall("b", "look", {}, None, {"extra_content": {"google": 1}}),), "gemini")
    said = [UserMessage("hi"), *turn("a", "a2"), own, ToolMessage("b", "look", "{}")]
    calls = [c for m in openai.messages(said, "gemini") for c in m.get("tool_calls", [])]
    assert calls[0]["extra_content"]["google"]["thought_signature"] == "skip_thought_signature_validator"
    assert "extra_content" not in calls[1]
    assert calls[2]["extra_content"] == {"google": 1}


def test_mistral_never_sees_a_user_right_after_a_result() -> None:
    made = openai.messages([UserMessage("hi"), *turn("a"), UserMessage("[note] x"), UserMessage("y")], "mistral")
    assert [m["role"] for m in made] == ["user", "assistant", "tool", "assistant", "user"]
    assert made[-1]["content"] == "[note] x\n\ny"


# -- answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('{"n": 1}', {"n": 1}),
        ({"n": 1}, {"n": 1}),
        ('"{\\"n\\": 1}"', {"n": 1}),
        ('{"n": [1, 2,], "s": "a,]",}', {"n": [1, 2], "s": "a,]"}),
        ("", {}),
        (None, {}),
        ("\ufeff{}", {}),
        (" \n", {}),
        ("null", {}),
        ('"null"', {}),
        ("[]", {}),
        ([], {}),
        ('{"text": "Dear Ana,\n\tsee you."}', {"text": "Dear Ana,\n\tsee you."}),
        ('```json\n{"n": 1}\n```', {"n": 1}),
        ('\n```\n{"text": "```"}\n```\n', {"text": "```"}),
    ],
)
def test_arguments_are_read_in_the_forms_that_servers_send(given: Any, read: Any) -> None:
    assert arguments_of(given) == (read, None)


@pytest.mark.parametrize(
    "given",
    [
        '{"n": 1',
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"n": 100000000000000000000}',
        '{"s": "\\ud800"}',
        "[1]",
        "7",
        '{"n": 1}{"n": 2}',
        '{"n": 1}</tool_call>',
        "```json\n[1]\n```",
        '"look"',
        '{"a":' * 20_000,
        [1],
    ],
)
def test_arguments_that_are_no_object_or_not_exact_are_kept_as_they_came(given: Any) -> None:
    arguments, raw = arguments_of(given)
    assert arguments is None
    assert raw == (given if isinstance(given, str) else str(given))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        (None, ""),
        (
            [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {}},
                {"type": "output_text", "text": "b"},
            ],
            "ab",
        ),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}], "a"),
        (["a", {"text": "b"}, None, 7, {"type": "text", "text": None}], "ab"),
        ({"type": "text", "text": "a"}, "a"),
        (7, ""),
    ],
)
def test_the_text_of_a_content_in_parts(content: Any, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>\nHm.\n</think>\n\nNoon.", "Noon."),
        ("\n<Thinking>Hm.</Thinking>Noon.", "Noon."),
        ("Hm, the server's template wrote the first mark.\n</think>\n\nNoon.", "Noon."),
        ("<think>still thinking", ""),
        ("<think></think>", ""),
        ("Noon.", "Noon."),
        ("Close it with </think> and go on.", "Close it with </think> and go on."),
        ("Write <think>why</think> first.", "Write <think>why</think> first."),
        ("<thinker>Noon.", "<thinker>Noon."),
    ],
)
def test_thoughts_that_a_text_begins_with_are_not_said(text: str, said: str) -> None:
    assert without_thoughts(text) == said


def test_calls_get_an_id_that_no_other_call_of_the_conversation_has() -> None:
    before = turn("call_1", "x")
    given = [ModelToolCall(i, "look", {}) for i in ("x", "", "", "y", "y")]
    ids = [c.provider_id for c in own_ids(given, before)]
    assert len({*ids, "call_1", "x"}) == 7
    assert ids[3] == "y"


@pytest.mark.parametrize(
    ("given", "count"), [(7, 7), (7.9, 7), (None, 0), ("7", 0), (True, 0), (-1, 0), (float("nan"), 0)]
)
def test_a_count_that_is_none_is_zero(given: Any, count: int) -> None:
    assert a_count(given) == count


@pytest.mark.parametrize("answer", ["<html>Sign in</html>", "", "data: {}\n\n", None, [1], "[1]", "[" * 100_000])
def test_what_is_no_json_object_is_a_bad_answer_to_be_tried_again(answer: Any) -> None:
    with pytest.raises(ModelError) as error:
        document("p", answer)
    assert (error.value.code, error.value.retryable) == ("model.bad_answer", True)


def test_json_under_another_content_type_is_read() -> None:
    assert document("p", '\ufeff{"a": 1}') == {"a": 1}
