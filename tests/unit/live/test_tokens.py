"""Tokens of agents: who is let in, and what a setting may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.tool_gateway.live.tokens import FRESH_SECONDS, Tokens, digest_of, setting
from services.tool_gateway.wire.credentials import Secrets

GOOD = {setting("people-ops"): f"sha256:{digest_of('new')} , sha256:{digest_of('old')},"}


def test_settings_are_called_after_agents() -> None:
    assert setting("people-ops") == "VIOX_INVOKE_TOKEN_PEOPLE_OPS"


@pytest.mark.parametrize(
    ("header", "agent"),
    [
        ("Bearer new", "people-ops"),
        ("bearer  old ", "people-ops"),
        ("Bearer other", None),
        (f"Bearer {digest_of('new')}", None),
        (f"Bearer sha256:{digest_of('new')}", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer new old", None),
        ("Basic new", None),
        ("new", None),
        ("Bearer néw", None),
        ("Bearer " + "n" * 10_000, None),
        ("", None),
        (None, None),
    ],
)
def test_a_bearer_token_stands_for_its_agent(header: str | None, agent: str | None) -> None:
    assert Tokens(Secrets(GOOD)).agent_of(header) == agent


@pytest.mark.parametrize("value", ["the-token-itself", "sha256:short", f"sha1:{'0' * 40}", f"sha256:{'0' * 64} x"])
def test_what_is_no_digest_lets_nobody_in_and_is_not_shown(value: str) -> None:
    tokens = Tokens(Secrets({setting("voice"): value} | GOOD))
    assert tokens.agent_of(f"Bearer {value}") is None
    assert tokens.agent_of("Bearer new") == "people-ops"
    (row,) = [row for row in tokens.rows() if row["agent"] == "voice"]
    assert "VIOX_INVOKE_TOKEN_VOICE" in row["problem"]
    assert value not in str(tokens.rows())


def test_no_setting_lets_nobody_in() -> None:
    assert Tokens(Secrets({})).agent_of("Bearer ") is None
    assert Tokens(Secrets({setting("voice"): ""})).agent_of("Bearer x") is None


def test_a_file_that_was_changed_counts_a_moment_later(tmp_path: Path) -> None:
    now = 100.0
    file = tmp_path / "token"
    file.write_text(f"sha256:{digest_of('one')}\n")
    tokens = Tokens(Secrets({setting("voice") + "_FILE": str(file)}), lambda: now)
    assert tokens.agent_of("Bearer one") == "voice"
    file.write_text(f"sha256:{digest_of('two')}\n")
    now += FRESH_SECONDS
    assert tokens.agent_of("Bearer one") is None
    assert tokens.agent_of("Bearer two") == "voice"
    file.unlink()
    now += FRESH_SECONDS
    assert tokens.agent_of("Bearer two") is None
