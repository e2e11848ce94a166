"""Derived identities."""

from __future__ import annotations

from uuid import UUID

import pytest

from shared.ids import call_id, parse_call_id, run_id, thread_id


def test_run_id_is_derived_from_agent_source_and_event() -> None:
    """Scripts compute it too: the value is part of the contract."""
    assert run_id("closer", "/shop", "1") == run_id("closer", "/shop", "1")
    assert len({run_id("closer", "/shop", "1"), run_id("voice", "/shop", "1"), run_id("closer", "/shop", "2")}) == 3
    assert run_id("closer", "/shop", "1").version == 5


def test_call_id_can_be_taken_apart() -> None:
    run = run_id("closer", "/shop", "1")
    assert parse_call_id(call_id(run, 4, 2)) == (run, 4, 2)


@pytest.mark.parametrize("text", ["", "x.1.2", "6f0f9a52-3d1b-5c64-9a77-2b7c1f6d4e10.1", "a.b.c"])
def test_what_is_no_call_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_call_id(text)


def test_threads_of_different_agents_differ() -> None:
    assert thread_id("closer", "x") != thread_id("voice", "x")
    assert isinstance(thread_id("closer", "x"), UUID)
