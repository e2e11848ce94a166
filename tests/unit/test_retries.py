"""Asking a model again: what a provider says about when is taken within bounds."""

from __future__ import annotations

import pytest

from shared.models.port import AssistantMessage, ChatReply, ModelError
from shared.models.retry import error_of_status, retry_after, with_retries


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("Wed, 25 Nov 2026 08:00:00 GMT", None),
        ("2.5", 2.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("1e9", 300.0),
    ],
)
def test_a_retry_after_header_is_taken_within_bounds(header: str | None, seconds: float | None) -> None:
    assert error_of_status("p", 429, "slow_down", "", retry_after(header)).retry_after == seconds


@pytest.mark.parametrize("header", ["nan", "inf", "0"])
async def test_a_wait_that_is_no_number_is_ours_to_choose(header: str) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def once() -> ChatReply:
        if len(slept) < 2:
            raise error_of_status("p", 503, "overloaded", "", retry_after(header))
        return ChatReply(AssistantMessage("done"), "end", "m", "m")

    reply = await with_retries(once, sleep=sleep)
    assert reply.attempts == 3
    assert all(0 <= seconds < 9 for seconds in slept)


async def test_a_long_wait_is_left_to_the_runtime() -> None:
    async def sleep(seconds: float) -> None:
        pytest.fail(f"the thread is held for {seconds} s")

    async def once() -> ChatReply:
        raise error_of_status("p", 503, "overloaded", "", retry_after("1e9"))

    with pytest.raises(ModelError) as raised:
        await with_retries(once, sleep=sleep)
    assert (raised.value.retry_after, raised.value.attempts) == (300.0, 1)
