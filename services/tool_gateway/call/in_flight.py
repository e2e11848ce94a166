"""Limits how many calls are on their way to each vendor at once, so that a vendor that hangs does not hold up the others.
One that does not answer has no place at all for a while (`breaker`).

A call that finds no place stays in the table, without a lease, until one is free. A call with a lease is being sent. Some
places are kept for live calls, whose callers wait: other work may fill up the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from services.tool_gateway.call.breaker import Breakers


class InFlightLimiter:
    """`most` calls to each vendor, `for_live` of them live ones. A place is taken when a call is admitted, and given back after
    its exchange."""

    def __init__(self, most: int, for_live: int = 0) -> None:
        self._most, self._for_live = most, for_live
        self.breakers = Breakers()
        self._taken: Counter[str] = Counter()
        self._on_free: Callable[[], None] = lambda: None

    def on_free(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a vendor that had no place has one again."""
        self._on_free = wake

    def take(self, vendor: str) -> None:
        self._taken[vendor] += 1

    def give_back(self, vendor: str) -> None:
        self._taken[vendor] -= 1
        if self._taken[vendor] in (self._most - 1, self._most - self._for_live - 1):
            self._on_free()
        if not self._taken[vendor]:
            del self._taken[vendor]

    def places(self, *, live: bool = False) -> int:
        """At a vendor that nothing is known of."""
        return self._most if live else self._most - self._for_live

    def free(self, vendor: str, *, live: bool = False) -> int:
        allowed = self.breakers.places(vendor)
        return max((self.places(live=live) if allowed is None else allowed) - self._taken.get(vendor, 0), 0)

    def limited(self, *, live: bool = False) -> dict[str, int]:
        """Free places at the vendors that have calls on their way or do not answer; any other vendor has `places`."""
        return {vendor: self.free(vendor, live=live) for vendor in {*self._taken, *self.breakers.left_alone()}}

    def full(self, *, live: bool = False) -> list[str]:
        return [vendor for vendor, free in self.limited(live=live).items() if not free]
