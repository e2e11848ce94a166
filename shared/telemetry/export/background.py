"""A bounded queue of spans and a thread that sends them, so that no call waits for a backend of traces.

What does not fit, and what the backend does not take, is dropped and counted: traces are no record, the ledger is.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.telemetry import metrics
from shared.telemetry.logs import get_logger
from shared.telemetry.spans import Span

log = get_logger(__name__)
LOG_EVERY_SECONDS = 60.0


class Backend(Protocol):
    """Sends spans over the network, in the background's thread. False, or an error, means that none of them was taken."""

    def send(self, spans: Sequence[Span]) -> bool: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much waits, how much goes together, and how long spans wait for others, in seconds."""

    queue: int = 2048
    batch: int = 512
    delay: float = 5.0


class Background:
    """One backend with its queue. `name` is the label of its metrics."""

    def __init__(self, name: str, backend: Backend, bounds: Bounds) -> None:
        self._name = name
        self._backend = backend
        self._bounds = bounds
        self._queue: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._logged_at = -LOG_EVERY_SECONDS
        self._thread = threading.Thread(target=self._run, name=f"traces to {name}", daemon=True)
        for reason in ("queue_full", "not_taken", "at_stop"):
            metrics.SPANS_DROPPED.labels(name, reason)

    def start(self) -> None:
        self._thread.start()

    def put(self, span: Span) -> None:
        """Never waits. Called by one thread only."""
        if len(self._queue) >= self._bounds.queue:
            self._dropped(1, "queue_full")
            return
        self._queue.append(span)
        if len(self._queue) >= self._bounds.batch and not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most. The rest is dropped."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        self._backend.close()
        left = len(self._queue)
        self._queue.clear()
        if left:
            self._dropped(left, "at_stop")

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._bounds.delay)
            self._wake.clear()
            while self._queue:
                self._send()

    def _send(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._bounds.batch))]
        try:
            taken = self._backend.send(batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next batch is tried all the same
            taken = False
            self._complain(f"{type(error).__name__}: {error}")
        if taken:
            metrics.SPANS_SENT.labels(self._name).inc(len(batch))
        else:
            self._dropped(len(batch), "not_taken")

    def _dropped(self, count: int, reason: str) -> None:
        metrics.SPANS_DROPPED.labels(self._name, reason).inc(count)
        self._complain(reason)

    def _complain(self, why: str) -> None:
        """One line a minute: what is lost is in the metrics."""
        if (now := time.monotonic()) - self._logged_at >= LOG_EVERY_SECONDS:
            self._logged_at = now
            log.warning("traces.dropped", destination=self._name, reason=why)
