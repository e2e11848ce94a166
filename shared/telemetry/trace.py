"""Which trace a piece of work belongs to: W3C trace context, carried by messages and kept with the rows of the work.

Ids are derived from what the work is, so that they are the same in every process and after any restart: an event that
brings no trace gets one from its source and id, the span of a run is part of the run's id, that of a call is a digest of
the call's id. Nothing here knows OpenTelemetry, and nothing is sent from here.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
SAMPLED = 1


class TraceContext(NamedTuple):
    """A span: the trace it is in, its id there, and whether the trace is recorded (`flags`, W3C's trace-flags)."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """As a header carries it."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def at(self, span_id: str) -> TraceContext:
        """Another span of the same trace."""
        return TraceContext(self.trace_id, span_id, self.flags)


def parse(traceparent: str | None) -> TraceContext | None:
    """None for what is no traceparent, ids of zeros included."""
    found = _FORM.fullmatch(traceparent) if traceparent else None
    return TraceContext(found[1], found[2], int(found[3], 16)) if found else None


def trace_id_of(traceparent: str | None) -> str | None:
    """What a person looks a trace up by."""
    found = parse(traceparent)
    return found.trace_id if found else None


def span_of_run(run: UUID | str) -> str:
    """The span of a run. Run ids are digests already, so their second half is as good as any."""
    return str(run).replace("-", "")[16:]


def span_of_call(call_id: str) -> str:
    """The span of a tool call, whichever process closes it."""
    return blake2b(call_id.encode(), digest_size=8).hexdigest()


def derived_trace_id(source: str, event_id: str) -> str:
    """The trace of an event that brings none: the same for every agent that hears it, and for every redelivery."""
    return blake2b(f"{source}\n{event_id}".encode(), digest_size=16).hexdigest()


def under(traceparent: str | None, span_id: str) -> str | None:
    """The traceparent of what this span causes; None when there is no trace."""
    found = parse(traceparent)
    return found.at(span_id).traceparent if found else None
