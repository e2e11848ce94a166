"""How long a vendor asks us to wait, as vendors write it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.retry_after import LONGEST_SECONDS, seconds_to_wait, seconds_until_reset
from services.tool_gateway.call.outcome import MAX_ATTEMPTS, of_answer
from services.tool_gateway.catalogue import catalogue

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
TOOLS = catalogue.load().tools
READ = TOOLS["hubspot_get_deal"]


def wait(**headers: str) -> float | None:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return seconds_to_wait(given.get, NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90),
        (" 1.5 ", 1.5),
        ("20s", 20),
        ("20, 20", 20),
        ("0", 0.05),
        ("-3", 0.05),
        ("86400", LONGEST_SECONDS),
        ("Tue, 06 May 2031 07:09:39 GMT", 90),
        ("Tuesday, 06-May-31 07:09:39 GMT", 90),
        ("Tue May  6 07:09:39 2031", 90),
        ("Tue, 06 May 2031 09:09:39 +0200", 90),
        ("2031-05-06T07:09:39Z", 90),
        ("Wed, 07 May 2031 07:08:09 GMT", LONGEST_SECONDS),
        ("Tue, 06 May 2031 07:00:00 GMT", None),
        ("2m", 120),
        ("1m30s", 90),
        ("2 minutes", 120),
        ("250ms", 0.25),
        ("PT45S", 45),
        ("1h", LONGEST_SECONDS),
        ("1935817779", 90),
        ("1935817779000", 90),
        ("1935817200", None),
        ("soon", None),
        ("m", None),
        ("2x", None),
        ("nan", None),
        ("", None),
    ],
)
def test_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert wait(retry_after=value) == seconds


def test_a_date_is_measured_by_the_clock_of_who_wrote_it() -> None:
    assert wait(retry_after="Tue, 06 May 2031 08:00:30 GMT", date="Tue, 06 May 2031 08:00:00 GMT") == 30


def test_milliseconds_have_a_header_of_their_own() -> None:
    assert wait(retry_after_ms="1500", retry_after="2") == 1.5


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"Retry-After": "9", "RateLimit-Reset": "30"}, "", 9),
        ({"RateLimit-Reset": "30"}, "", 30),
        ({"X-RateLimit-Reset": "1935817779"}, "", 90),
        ({"X-Rate-Limit-Reset": "1935817779123"}, "", 90.123),
        ({"X-RateLimit-Reset": "1935817200", "X-RateLimit-Reset-After": "12.5"}, "", 12.5),
        ({"X-RateLimit-Reset-Requests": "1m3s"}, "", 63),
        ({"RateLimit": "limit=10, remaining=0, reset=50"}, "", 50),
        ({"RateLimit": '"default";r=0;t=40'}, "", 40),
        ({}, "Too Many Requests: retry after 35", 35),
        ({}, "Rate limit exceeded. Please try again in 20 seconds.", 20),
        ({}, "You must wait 2 minutes before the next export.", 120),
        ({}, '{"code": 7, "retry_after": 1.5}', 1.5),
        ({}, "Retry in 400ms", 0.4),
        ({}, "Do not retry: 3 sites are blocked", None),
        ({}, "slow down", None),
        ({"RateLimit-Limit": "10"}, "", None),
    ],
)
def test_a_refusal_for_haste_says_in_many_ways_when_its_limit_is_lifted(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    given = {name.lower(): value for name, value in headers.items()}
    found = seconds_until_reset(given.get, message, NOW)
    assert found == (pytest.approx(seconds) if seconds is not None else None)


def test_when_a_limit_is_lifted_says_nothing_about_other_failures() -> None:
    reset = [("X-RateLimit-Reset", str(int((datetime.now(UTC) + timedelta(seconds=200)).timestamp())))]
    assert of_answer(READ, Answer(500, reset, b"{}"), 1).wait_seconds < 10
    assert 150 < of_answer(READ, Answer(429, reset, b"{}"), 1).wait_seconds <= 200


@pytest.mark.parametrize(
    ("headers", "state"),
    [
        ([("Retry-After", "60")], "requested"),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "60")], "requested"),
        ([("X-RateLimit-Remaining", "41"), ("X-RateLimit-Reset", "60")], "failed"),
        ([], "failed"),
    ],
)
def test_a_403_may_be_a_refusal_for_haste(headers: list[tuple[str, str]], state: str) -> None:
    result = of_answer(TOOLS["twilio_send_message"], Answer(403, headers, b"{}"), 1)
    assert (result.state, result.throttled) == (state, state == "requested")
    assert result.wait_seconds == (60 if state == "requested" else 0)


@pytest.mark.parametrize("status", [429, 503, 500])
def test_attempts_are_not_used_up_while_the_vendor_is_closed(status: int) -> None:
    opens = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    result = of_answer(READ, Answer(status, [("Retry-After", opens)], b"{}"), 1)
    assert result.state == "requested"
    assert 100 < result.wait_seconds <= 120


def test_a_refusal_for_haste_without_a_time_makes_us_slower_each_time() -> None:
    assert READ.rate is not None
    tool = replace(READ, rate=replace(READ.rate, pause_seconds=1.0))
    waits = [of_answer(tool, Answer(429, [], b"{}"), attempt).wait_seconds for attempt in range(1, MAX_ATTEMPTS)]
    assert waits == [1, 4, 16, 64]


def test_a_vendors_own_long_pause_is_not_lengthened() -> None:
    assert READ.rate is not None
    tool = replace(READ, rate=replace(READ.rate, pause_seconds=30.0))
    waits = [of_answer(tool, Answer(429, [], b"{}"), attempt).wait_seconds for attempt in range(1, MAX_ATTEMPTS)]
    assert waits == [30, 30, 30, 30]
