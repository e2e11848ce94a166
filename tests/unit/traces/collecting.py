"""Spans kept in memory, in the place of backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.telemetry import spans
from shared.telemetry.spans import Span


class Collected(list[Span]):
    sampling = True

    def take(self, span: Span) -> None:
        self.append(span)

    def samples(self, trace_id: str) -> bool:
        return self.sampling


@contextmanager
def collecting() -> Iterator[Collected]:
    """Tracing is on, and what is emitted is in the list."""
    found = Collected()
    spans.install(found)
    try:
        yield found
    finally:
        spans.install(None)
