"""A run as bars along time: turns of models, calls at vendors, and what they waited for before.

Stretches in which nothing happens but waiting (for a person, a timer, a colleague) are cut short, and say how long they were:
the rest would be too small to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.operations.story import TONES, sentence

MOST_BARS = 400
LONGEST_WAIT = 0.25  # of the time in which something happened
SHORTEST_CUT = timedelta(seconds=2)  # shorter stretches are left as they are


@dataclass(frozen=True, slots=True)
class Bar:
    """`waits_at` to `begins_at` it waited, `begins_at` to `ends_at` it was under way; all in thousandths of the picture."""

    text: str
    kind: str  # model or call
    tone: str
    waits_at: float
    begins_at: float
    ends_at: float
    took: timedelta
    waited: timedelta
    step: int
    call: str | None = None
    child: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of waiting that is drawn shorter than it was."""

    at: float
    lasted: timedelta


@dataclass(frozen=True, slots=True)
class Waterfall:
    bars: tuple[Bar, ...]
    cuts: tuple[Cut, ...]
    lasted: timedelta
    left_out: int


@dataclass(frozen=True, slots=True)
class _Span:
    text: str
    kind: str
    tone: str
    asked: datetime
    begun: datetime
    ended: datetime
    step: int
    call: str | None = None
    child: str | None = None


def waterfall(
    run: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    *,
    content: bool,
    now: datetime | None = None,
) -> Waterfall:
    """The bars of a run, in the order in which they were asked for. What is still open ends now."""
    now = now or datetime.now(UTC)
    spans = [_turn(step) for step in steps if step["kind"] == "model"]
    spans += [_call(run["agent"], call, now, content) for call in calls]
    spans.sort(key=lambda span: (span.asked, span.begun))
    if not spans:
        return Waterfall((), (), timedelta(), 0)
    first, last = min(span.asked for span in spans), max(span.ended for span in spans)
    scale = _Scale(first, last, [(span.begun, span.ended) for span in spans])
    shown = spans[:MOST_BARS]
    return Waterfall(
        tuple(_bar(span, scale) for span in shown), tuple(scale.cuts()), last - first, len(spans) - len(shown)
    )


def _turn(step: Mapping[str, Any]) -> _Span:
    body, ended = step["body"], step["created_at"]
    begun = ended - timedelta(milliseconds=body["latency_ms"] or 0)
    asked = (body.get("question") or "free text").replace("_", " ")
    return _Span(f"{body['model']}: {asked}", "model", "running", begun, begun, ended, step["step"])


def _call(agent: str, call: Mapping[str, Any], now: datetime, content: bool) -> _Span:
    """From its asking to its end; its last attempt is the part that was under way."""
    asked, ended = call["created_at"], max(call["closed_at"] or now, call["created_at"])
    took = timedelta(milliseconds=call["latency_ms"] or 0)
    begun = max(asked, ended - took)
    if call["closed_at"] is None:
        begun = asked if call["state"] == "executing" else ended
    tone = TONES.get(call["state"], "quiet")
    result = call["result"]
    child = result.get("run_id") if call["tool"] == "task_delegate" and isinstance(result, dict) else None
    text = sentence(agent, call, content=content)
    return _Span(text, "call", tone, asked, begun, ended, call["step"], call["call_id"], child)


def _bar(span: _Span, scale: _Scale) -> Bar:
    return Bar(
        span.text,
        span.kind,
        span.tone,
        scale.of(span.asked),
        scale.of(span.begun),
        scale.of(span.ended),
        span.ended - span.begun,
        span.begun - span.asked,
        span.step,
        span.call,
        span.child,
    )


class _Scale:
    """Where a moment lies, from 0 to 1000."""

    def __init__(self, first: datetime, last: datetime, busy: Iterable[tuple[datetime, datetime]]) -> None:
        quiet = _between(first, last, sorted(busy))
        lively = (last - first) - sum((end - begin for begin, end in quiet), timedelta())
        longest = max(lively * LONGEST_WAIT, SHORTEST_CUT)
        self._first = first
        self._cut = [(begin, end, end - begin - longest) for begin, end in quiet if end - begin > longest * 2]
        self._whole = (last - first) - sum((gone for _, _, gone in self._cut), timedelta())

    def of(self, moment: datetime) -> float:
        """Cut stretches are squeezed, so that what waits within one keeps its order."""
        along = moment - self._first
        for begin, end, gone in self._cut:
            if moment >= end:
                along -= gone
            elif moment > begin:
                along -= gone * ((moment - begin) / (end - begin))
        return round(1000 * (along / self._whole), 2) if self._whole else 0.0

    def cuts(self) -> Iterable[Cut]:
        return [Cut(self.of(begin + (end - begin) / 2), end - begin) for begin, end, _ in self._cut]


def _between(
    first: datetime, last: datetime, busy: Sequence[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    """Stretches in which nothing was under way."""
    found, upto = [], first
    for begin, end in busy:
        if begin > upto:
            found.append((upto, begin))
        upto = max(upto, end)
    return [*found, (upto, last)] if last > upto else found
