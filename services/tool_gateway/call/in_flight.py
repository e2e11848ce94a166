"""Limits how many calls are on their way to each vendor at once, so that a vendor that hangs does not hold up the others.
One that does not answer has no place at all for a while (`breaker`).

A call that finds no place stays in the table, without a lease, until one is free. A call with a lease is being sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from services.tool_gateway.call.breaker import Breakers


class InFlightLimiter:
    """`most` calls to each vendor. A place is taken when a call is admitted, and given back after its exchange."""

    def __init__(self, most: int) -> None:
        self.most = most
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
        if self._taken[vendor] == self.most - 1:
            self._on_free()
        if not self._taken[vendor]:
            del self._taken[vendor]

    def free(self, vendor: str) -> int:
        allowed = self.breakers.places(vendor)
        return max((self.most if allowed is None else allowed) - self._taken.get(vendor, 0), 0)

    def limited(self) -> dict[str, int]:
        """Free places at the vendors that have calls on their way or do not answer; any other vendor has `most`."""
        return {vendor: self.free(vendor) for vendor in {*self._taken, *self.breakers.left_alone()}}

    def full(self) -> list[str]:
        return [vendor for vendor, free in self.limited().items() if not free]
