"""How often threads failed in a row, and how long they are left alone for it. Kept in memory: a restart begins anew.

Not the attempts of their messages: those are given back when a message is not to blame, and a provider that is down for
an hour is to be asked less and less often all the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from shared.ids import ThreadId

LONGEST_SECONDS = 60.0
THREADS = 4096


@dataclass(slots=True)
class _Row:
    version: int
    failures: int = 0
    owed: int = 0


class ThreadBackoff:
    """Per thread, since it last moved on: failures, and attempts that were nobody's fault and could not be given back."""

    def __init__(self) -> None:
        self._threads: OrderedDict[ThreadId, _Row] = OrderedDict()

    def failed(self, thread: ThreadId, version: int) -> int:
        """Count a failure at this version of the thread. Returns how many that makes in a row."""
        row = self._row(thread, version)
        row.failures += 1
        return row.failures

    def owe(self, thread: ThreadId, version: int) -> None:
        """An attempt was to be given back and was not."""
        self._row(thread, version).owed += 1

    def owed(self, thread: ThreadId, version: int) -> int:
        row = self._threads.get(thread)
        return row.owed if row and row.version == version else 0

    def over(self, thread: ThreadId) -> None:
        """It moved on."""
        self._threads.pop(thread, None)

    def _row(self, thread: ThreadId, version: int) -> _Row:
        row = self._threads.get(thread)
        if row is None or row.version != version:
            row = self._threads[thread] = _Row(version)
        self._threads.move_to_end(thread)
        while len(self._threads) > THREADS:
            self._threads.popitem(last=False)
        return row


class CallResends:
    """When to send a call again that the gateway does not have: at once, then after 2, 4, 8 … 60 seconds."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def is_due(self, call_id: str) -> bool:
        """Whether to send it now; counts it as sent."""
        sent, until = self._calls.get(call_id, (0, 0.0))
        now = time.monotonic()
        if now < until:
            return False
        self._calls[call_id] = (sent + 1, now + backoff(sent + 1, 2.0))
        self._calls.move_to_end(call_id)
        while len(self._calls) > THREADS:
            self._calls.popitem(last=False)
        return True


def backoff(failures: int, first: float) -> float:
    """Seconds to wait after `failures` >= 1 in a row: `first`, then twice as long each time, a minute at most."""
    return min(first * 2.0 ** min(failures - 1, 32), LONGEST_SECONDS)
