"""Vendors that do not answer are left alone for a while: a circuit breaker for each.

It opens when the last exchanges with a vendor all failed, of several calls: one call that a vendor cannot digest is no
reason. While it is open calls wait without using up an attempt. When its time is over one call tries (half-open): an
answer closes it, another failure opens it for twice as long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.ids import CallId
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
UNREACHABLE = frozenset({"http.not_sent", "http.timeout", "http.no_answer", "smtp.not_connected", "smtp.not_sent"})
FAILURES = 5  # in a row
CALLS = 3  # that they must be of
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0
JITTER = 0.2  # replicas do not all try in the same moment


@dataclass(slots=True)
class _Vendor:
    """`failures` in a row, of `calls`. Left alone since `since`, for `seconds` now (0: not so far), until `tries_at`.

    Moments are of the monotonic clock.
    """

    failures: int = 0
    calls: set[CallId] = field(default_factory=set)
    since: float = 0.0
    seconds: float = 0.0
    tries_at: float = 0.0


class Breakers:
    """What is known of each vendor whose last exchange failed. Every replica finds out for itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._vendors: dict[str, _Vendor] = {}

    def places(self, vendor: str) -> int | None:
        """How many exchanges may be under way: none, one to try, or as many as there are places (None)."""
        known = self._vendors.get(vendor)
        if known is None or not known.seconds:
            return None
        return 0 if self._clock() < known.tries_at else 1

    def left_alone(self, seconds: float = 0.0) -> list[str]:
        """Vendors that no call, or only one, goes to now, and has not for so long."""
        until = self._clock() - seconds
        return [name for name, one in self._vendors.items() if one.seconds and one.since <= until]

    def tries_in(self, vendor: str) -> float | None:
        """Seconds until a call goes to a vendor that is left alone; None for the others."""
        known = self._vendors.get(vendor)
        return max(known.tries_at - self._clock(), 0.0) if known is not None and known.seconds else None

    def heard(self, vendor: str, call: CallId, status: int) -> None:
        """A complete answer came. Yes or no, the vendor is there; an error of its server's own counts as none."""
        if status >= 500:
            self.failed(vendor, call)
        else:
            self.answered(vendor)

    def lost(self, vendor: str, call: CallId, code: str) -> None:
        """No complete answer came. What kept the request from being made says nothing of the vendor."""
        if code in UNREACHABLE:
            self.failed(vendor, call)

    def answered(self, vendor: str) -> None:
        """The vendor said something, yes or no."""
        known = self._vendors.pop(vendor, None)
        if known and known.seconds:
            log.info("vendor.answers_again", vendor=vendor)
            metrics.VENDOR_LEFT_ALONE.labels(vendor).set(0)

    def failed(self, vendor: str, call: CallId) -> None:
        """No connection, no answer in time, or an error of the server's own."""
        known = self._vendors.setdefault(vendor, _Vendor())
        known.failures += 1
        known.calls.add(call)
        now = self._clock()
        if now < known.tries_at:
            return  # it began before the vendor was left alone
        if not known.seconds and (known.failures < FAILURES or len(known.calls) < CALLS):
            return
        known.since = known.since if known.seconds else now
        known.seconds = min(known.seconds * 2, LONGEST_SECONDS) if known.seconds else FIRST_SECONDS
        known.tries_at = now + known.seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
        known.calls.clear()
        log.warning("vendor.left_alone", vendor=vendor, failures=known.failures, seconds=known.seconds)
        metrics.VENDOR_LEFT_ALONE.labels(vendor).set(1)

    def problem(self) -> str | None:
        """What readiness warns of."""
        now = self._clock()
        told = [
            f"{name} (next try in {max(one.tries_at - now, 0.0):.0f} s)"
            for name, one in sorted(self._vendors.items())
            if one.seconds
        ]
        return f"not answering, calls wait: {', '.join(told)}" if told else None
