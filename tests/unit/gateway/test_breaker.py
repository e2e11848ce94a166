"""When a vendor is left alone, and when it is tried again."""

from __future__ import annotations

import pytest

from services.tool_gateway.call.breaker import CALLS, FAILURES, FIRST_SECONDS, JITTER, LONGEST_SECONDS, Breakers
from services.tool_gateway.call.in_flight import InFlightLimiter
from shared.ids import CallId

SURELY = 1 + JITTER


class Time:
    """A clock that passes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(breakers: Breakers, times: int = FAILURES, calls: int = CALLS) -> None:
    for number in range(times):
        breakers.failed("shop", CallId(f"call {number % calls}"))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breakers(time: Time) -> Breakers:
    return Breakers(time)


def test_it_opens_when_several_calls_failed_in_a_row_and_nothing_else(breakers: Breakers) -> None:
    fail(breakers, FAILURES - 1)
    assert breakers.places("shop") is None
    fail(breakers, 1)
    assert breakers.places("shop") == 0
    assert breakers.places("another") is None


def test_one_call_that_the_vendor_cannot_digest_is_no_reason(breakers: Breakers) -> None:
    fail(breakers, 100, calls=CALLS - 1)
    assert breakers.places("shop") is None


def test_an_answer_in_between_starts_the_count_anew(breakers: Breakers) -> None:
    fail(breakers, FAILURES - 1)
    breakers.heard("shop", CallId("c"), 404)
    fail(breakers, FAILURES - 1)
    assert breakers.places("shop") is None


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_servers_own_errors_count(breakers: Breakers, status: int) -> None:
    for number in range(FAILURES):
        breakers.heard("shop", CallId(str(number)), status)
    assert breakers.places("shop") == 0


@pytest.mark.parametrize("code", ["credential.missing", "outbound.refused", "lease.lost", "http.not_made"])
def test_what_kept_a_request_from_being_made_does_not(breakers: Breakers, code: str) -> None:
    for number in range(2 * FAILURES):
        breakers.lost("shop", CallId(str(number)), code)
    assert breakers.places("shop") is None


def test_one_call_tries_after_a_while_and_its_answer_closes_it(breakers: Breakers, time: Time) -> None:
    fail(breakers)
    time.now += FIRST_SECONDS * SURELY
    assert breakers.places("shop") == 1
    breakers.heard("shop", CallId("c"), 200)
    assert breakers.places("shop") is None
    assert breakers.left_alone() == []


def test_each_failed_try_doubles_the_time_up_to_a_minute(breakers: Breakers, time: Time) -> None:
    fail(breakers)
    seconds = FIRST_SECONDS
    for _ in range(8):
        time.now += seconds * SURELY
        assert breakers.places("shop") == 1
        breakers.lost("shop", CallId("trying"), "http.timeout")
        assert breakers.places("shop") == 0
        seconds = min(2 * seconds, LONGEST_SECONDS)
        time.now += seconds * (1 - JITTER) - 0.01
        assert breakers.places("shop") == 0, "not earlier"
        time.now -= seconds * (1 - JITTER) - 0.01


def test_how_long_it_has_not_answered_counts_from_the_first_time(breakers: Breakers, time: Time) -> None:
    fail(breakers)
    for _ in range(3):
        assert breakers.left_alone(100.0) == []
        time.now += 40.0
        breakers.lost("shop", CallId("trying"), "http.timeout")
    assert breakers.left_alone(100.0) == ["shop"]


def test_what_began_before_it_opened_and_fails_later_does_not_lengthen_it(breakers: Breakers, time: Time) -> None:
    fail(breakers)
    fail(breakers, 50)
    time.now += FIRST_SECONDS * SURELY
    assert breakers.places("shop") == 1


def test_readiness_is_told(breakers: Breakers) -> None:
    assert breakers.problem() is None
    fail(breakers)
    assert "shop (next try in " in (breakers.problem() or "")


def test_places_follow_it(time: Time) -> None:
    places = InFlightLimiter(4)
    places.breakers = Breakers(time)
    places.take("shop")
    fail(places.breakers)
    assert (places.free("shop"), places.full(), places.limited()) == (0, ["shop"], {"shop": 0})
    time.now += FIRST_SECONDS * SURELY
    assert places.free("shop") == 0, "the one that is still on its way tries"
    places.give_back("shop")
    assert (places.free("shop"), places.full()) == (1, [])
    places.take("shop")
    assert places.free("shop") == 0
    places.breakers.answered("shop")
    assert (places.free("shop"), places.free("another")) == (3, 4)


def test_some_places_are_for_live_calls(time: Time) -> None:
    places = InFlightLimiter(4, for_live=1)
    freed: list[str] = []
    places.on_free(lambda: freed.append("shop"))
    places.breakers = Breakers(time)
    for _ in range(3):
        places.take("shop")
    assert (places.free("shop"), places.free("shop", live=True), places.free("another")) == (0, 1, 3)
    assert (places.full(), places.full(live=True)) == (["shop"], [])
    places.take("shop")
    assert (places.limited(), places.limited(live=True)) == ({"shop": 0}, {"shop": 0})
    places.give_back("shop")
    assert freed == ["shop"], "a live call may go"
    places.give_back("shop")
    assert freed == ["shop", "shop"], "and any other"
    fail(places.breakers)
    time.now += FIRST_SECONDS * SURELY
    places.give_back("shop")
    places.give_back("shop")
    assert (places.free("shop"), places.free("shop", live=True)) == (1, 1), "one call tries, whichever it is"
