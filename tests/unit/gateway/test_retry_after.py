"""How long a vendor asks us to wait, as vendors write it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.retry_after import LONGEST_SECONDS, seconds_to_wait
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
        ("soon", None),
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
    assert waits == [1, 2, 4, 8]
