"""Asking a model again: what a provider says about when is taken within bounds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.models.port import AssistantMessage, ChatReply, ModelError
from shared.models.retry import error_in_body, error_of_status, retry_after, wait_of, with_retries


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("Wed, 25 Nov 2020 08:00:00 GMT", None),
        ("Wed, 25 Nov 2099 08:00:00 GMT", 300.0),
        ("tomorrow", None),
        ("", None),
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


@pytest.mark.parametrize(
    ("statuses", "made"), [((429, 429, 429), False), ((503, 429, 429), True), ((429, 429, 503), True)]
)
async def test_an_error_says_whether_any_attempt_may_have_cost_something(statuses: tuple[int, ...], made: bool) -> None:
    left = list(statuses)

    async def sleep(_: float) -> None:
        pass

    async def once() -> ChatReply:
        raise error_of_status("p", left.pop(0), "no", "", None)

    with pytest.raises(ModelError) as raised:
        await with_retries(once, sleep=sleep)
    assert raised.value.may_have_been_made is made


NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Wed, 25 Nov 2026 08:02:00 GMT", 120.0),
        ("Wednesday, 25-Nov-26 08:01:00 GMT", 60.0),
        ("Wed, 25 Nov 2026 09:00:30 +0100", 30.0),
        ("Wed, 25 Nov 2026 07:59:00 GMT", None),
        ("Wed, 99 Nov 2026 07:59:00 GMT", None),
    ],
)
def test_a_date_is_waited_for_and_a_past_one_is_no_reason_to_come_back_at_once(
    header: str, seconds: float | None
) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": "9"}, "", 9.0),
        ({}, "Please try again in 6m0.5s.", 360.5),
        ({}, "Please retry in 34.07s.", 34.07),
        ({}, "try again in 250ms", 0.25),
        ({}, "try again later", None),
    ],
)
def test_the_wait_is_in_a_header_or_in_the_message(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert wait_of(headers, message) == seconds


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", "model.no_credit"),
        (402, "", "Payment Required", "model.no_credit"),
        (400, "invalid_request_error", "Insufficient Balance", "model.no_credit"),
        (429, "insufficient_quota", "You exceeded your current quota, please check your plan", "model.no_credit"),
        (403, "PERMISSION_DENIED", "This project's billing account is disabled", "model.no_credit"),
        (
            429,
            "",
            "You exceeded your current quota, check your plan and billing details. Please retry in 7s.",
            "model.rate_limited",
        ),
        (404, "not_found_error", "model: claude-2", "model.ended"),
        (404, "model_not_found", "The model `gpt-4` does not exist or you do not have access to it.", "model.ended"),
        (403, "model_not_found", "Project has no access to model", "model.ended"),
        (400, "", "The model gemma has been decommissioned and is no longer supported", "model.ended"),
        (404, "", "<html>Not Found</html>", "model.bad_request"),
        (400, "invalid_request_error", "prompt is too long: 210445 tokens > 200000 maximum", "model.context_exceeded"),
        (400, "context_length_exceeded", "", "model.context_exceeded"),
        (413, "request_too_large", "Request exceeds the maximum size", "model.context_exceeded"),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed",
            "model.context_exceeded",
        ),
        (
            400,
            "3051",
            "Prompt contains 140000 tokens, too large for model with 131072 maximum context length",
            "model.context_exceeded",
        ),
        (
            429,
            "rate_limit_exceeded",
            "Request too large for gpt-4o: Limit 30000, Requested 40000",
            "model.context_exceeded",
        ),
        (400, "content_filter", "The response was filtered due to the prompt", "model.refused"),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "model.authentication"),
        (401, "", "no", "model.authentication"),
        (529, "overloaded_error", "Overloaded", "model.unavailable"),
        (429, "rate_limit_error", "slow down", "model.rate_limited"),
        (400, "invalid_request_error", "tools.0.name: string does not match", "model.bad_request"),
    ],
)
def test_what_a_refusal_means_whatever_its_status(status: int, code: str, message: str, kind: str) -> None:
    error = error_of_status("p", status, code, message, None)
    assert error.code == kind
    assert error.retryable == (kind in ("model.no_credit", "model.rate_limited", "model.unavailable"))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": 429, "message": "slow down"}, "model.rate_limited"),
        ({"type": "overloaded_error", "message": "Overloaded"}, "model.unavailable"),
        ({"status": "RESOURCE_EXHAUSTED", "message": "x"}, "model.rate_limited"),
        ({"type": "billing_error", "message": "x"}, "model.no_credit"),
        ({"message": "upstream went away"}, "model.unavailable"),
        ("upstream went away", "model.unavailable"),
    ],
)
def test_an_error_in_a_body_that_says_all_is_well_counts_as_one(body: object, kind: str) -> None:
    assert error_in_body("p", body).code == kind


async def test_an_empty_account_is_not_asked_again_within_the_call() -> None:
    asked: list[int] = []

    async def once() -> ChatReply:
        asked.append(1)
        raise error_of_status("p", 402, "", "", None)

    async def sleep(seconds: float) -> None:
        pytest.fail(f"the thread is held for {seconds} s")

    with pytest.raises(ModelError) as raised:
        await with_retries(once, sleep=sleep)
    assert len(asked) == 1
    assert (raised.value.retryable, raised.value.retry_after) == (True, 60.0)
