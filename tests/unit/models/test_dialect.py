"""What is learned from a refused request, and what is not."""

from __future__ import annotations

import pytest

from shared.models.dialect import Dialect


def test_a_server_that_refuses_its_own_field_does_not_see_it_again() -> None:
    dialect = Dialect("gemini")
    assert dialect.learn("messages.2: property 'extra_content' is unsupported")
    assert dialect.echoes == set()
    assert not dialect.learn("messages.2: property 'extra_content' is unsupported"), "once is enough"


def test_a_server_that_misses_a_field_gets_it() -> None:
    dialect = Dialect("openai")
    assert dialect.learn("Missing `reasoning_content` field in the assistant message at index 3")
    assert "reasoning_content" in dialect.echoes


@pytest.mark.parametrize(
    ("provider", "first", "then"),
    [("openai", "max_completion_tokens", "max_tokens"), ("mistral", "max_tokens", "max_completion_tokens")],
)
def test_the_limit_goes_under_the_name_that_is_taken(provider: str, first: str, then: str) -> None:
    dialect = Dialect(provider)
    assert dialect.limit_field == first
    assert dialect.learn(f"Unsupported parameter: '{first}' is not supported with this model.")
    assert dialect.limit_field == then
    assert not dialect.learn(f"Unknown parameter: {then}"), "not back and forth"


def test_null_beside_calls_becomes_an_empty_text() -> None:
    dialect = Dialect("openai")
    assert dialect.learn("messages[2].content: expected a string, got null")
    assert dialect.empty_content == ""


@pytest.mark.parametrize(
    "refusal",
    [
        "max_completion_tokens is too large: 16384",
        "temperature is out of range",
        "reasoning is not unsupported here, tools are",
        "",
    ],
)
def test_what_names_nothing_that_can_be_changed_is_left(refusal: str) -> None:
    dialect = Dialect("openai")
    assert not dialect.learn(refusal)
    assert (dialect.limit_field, dialect.echoes) == ("max_completion_tokens", {"extra_content"})
