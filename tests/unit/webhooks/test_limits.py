"""How often an address may be wrong, and which address that is."""

from __future__ import annotations

import pytest

from services.tool_gateway.http import limits
from services.tool_gateway.http.limits import Limits, client, networks


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_refusals_use_up_what_time_gives_back() -> None:
    clock = Clock()
    made = Limits(clock)
    assert [made.refused("stripe", "a") for _ in range(int(limits.BURST))] == [False] * int(limits.BURST)
    assert made.wait("stripe", "a") > 0
    assert made.refused("stripe", "a")
    assert made.wait("stripe", "b") == made.wait("twilio", "a") == 0.0
    clock.now += (waiting := made.wait("stripe", "a"))
    assert waiting <= 2 / limits.PER_SECOND, (
        "what is refused meanwhile does not lock an address out for longer and longer"
    )
    assert made.wait("stripe", "a") == 0.0


def test_who_proved_itself_is_heard_for_an_hour() -> None:
    clock = Clock()
    made = Limits(clock)
    made.proved("stripe", "a")
    for _ in range(100):
        made.refused("stripe", "a")
    assert made.wait("stripe", "a") == 0.0
    clock.now += limits.PROVED_SECONDS
    for _ in range(int(limits.BURST) + 1):
        made.refused("stripe", "a")
    assert made.wait("stripe", "a") > 0


def test_addresses_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_ADDRESSES", 3)
    made = Limits(Clock())
    for address in "abcd":
        for _ in range(40):
            made.refused("stripe", address)
    assert [made.wait("stripe", address) > 0 for address in "abcd"] == [False, True, True, True]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["nonsense"], "nonsense"),
        ("::1", ["203.0.113.9"], "::1"),
        (None, [], "-"),
    ],
)
def test_the_address_is_what_trusted_proxies_say(peer: str | None, forwarded: list[str], found: str) -> None:
    assert client(peer, forwarded, networks("10.0.0.0/8, 192.168.1.7")) == found
