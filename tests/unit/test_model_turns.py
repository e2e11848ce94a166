"""Whether the models of a demo's day were those that are configured."""

from __future__ import annotations

from typing import Any

from viox import model_turns

CHOICES = [
    {"agent": "closer", "configured": "anthropic/claude-sonnet-4-6"},
    {"agent": "voice", "configured": "openai/gpt-4o"},
]


def row(agent: str, provider: str, model: str, turns: int) -> dict[str, Any]:
    return {"agent": agent, "provider": provider, "model": model, "turns": turns}


RIGHT = [row("closer", "anthropic", "claude-sonnet-4-6", 5), row("voice", "openai", "gpt-4o-2024-08-06", 2)]


def test_turns_are_counted_by_the_model_that_answered() -> None:
    assert model_turns.sentence(RIGHT) == "7 model turns: 5 of claude-sonnet-4-6, 2 of gpt-4o-2024-08-06"
    assert model_turns.total(RIGHT, "agent") == {"closer": 5, "voice": 2}
    assert model_turns.sentence([]) == "0 model turns"


def test_who_was_answered_by_another_model_is_named() -> None:
    assert model_turns._strangers(CHOICES, RIGHT) == []
    wrong = [row("closer", "anthropic", "claude-sonnet-4-6", 4), row("closer", "openai", "gpt-5.5-2026-04-23", 1)]
    assert model_turns._strangers(CHOICES, wrong) == [
        "closer was answered by openai/gpt-5.5-2026-04-23, not anthropic/claude-sonnet-4-6"
    ]


def test_other_stacks_have_nothing_to_check() -> None:
    assert model_turns.problems({"models_mode": "offline", "models": CHOICES}, []) == []
