"""Spans: what was done, when, and as part of what. Written when a thing has ended, from what is on record about it.

    if at := spans.recorded(run.traceparent):        # None while tracing is off, or the trace is not sampled
        spans.emit(Span("judge", at.at(new_id()), at.span_id, began, now(), {...}))

Nothing is open meanwhile, so there is nothing to lose, to close or to hand on; and what is only replayed from the record
emits nothing. Off until `install` is called. What takes spans (`shared.telemetry.export`) never blocks and never raises.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from shared.telemetry.trace import SAMPLED, TraceContext, derived_trace_id, parse

Kind = Literal["internal", "server", "client", "consumer"]
Value = str | int | float | bool | list[str]
now = time.time_ns

# Attribute names of ours, and those of OpenTelemetry's general conventions. GenAI's are in `genai`.
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
HTTP_RESEND = "http.request.resend_count"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
URL_TEMPLATE = "url.template"
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_PARTITION = "messaging.destination.partition.id"
MESSAGING_OPERATION = "messaging.operation.name"
MESSAGING_TYPE = "messaging.operation.type"
MESSAGING_GROUP = "messaging.consumer.group.name"
MESSAGING_OFFSET = "messaging.kafka.offset"
RUN_ID = "viox.run.id"
RUN_STATUS = "viox.run.status"
RUN_REDRIVES = "viox.run.redrives"
COST_USD = "viox.cost.usd"
STEPS_FROM = "viox.steps.from"
STEPS = "viox.steps.count"
CALL_STATE = "viox.call.state"
CALL_EFFECT = "viox.call.effect"
LOOK_UP = "viox.call.look_up"
CHECKS = "viox.call.checks"
CHECKS_FAILED = "viox.call.checks_failed"
VENDOR = "viox.vendor"
WEBHOOK_SOURCE = "viox.webhook.source"
WEBHOOK_EVENTS = "viox.webhook.events"


@dataclass(slots=True)
class Span:
    """Something that was done, as part of `parent_id`. `error` is the code of what went wrong.

    `content` makes the attributes that hold what people and models wrote. It is asked for only where the deployment lets
    content leave, and not by the thread that emits.
    """

    name: str
    context: TraceContext
    parent_id: str | None
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Value | None]
    kind: Kind = "internal"
    error: str | None = None
    links: tuple[TraceContext, ...] = ()
    content: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False)


class Takes(Protocol):
    """Where spans go."""

    def take(self, span: Span) -> None: ...

    def samples(self, trace_id: str) -> bool: ...


_taker: Takes | None = None


def install(taker: Takes | None) -> None:
    """Trace from now on, or no more. Called by the process at its start and its stop."""
    global _taker
    _taker = taker


def recorded(traceparent: str | None) -> TraceContext | None:
    """The span that a traceparent names, when what happens under it is to be recorded."""
    if _taker is None:
        return None
    found = parse(traceparent)
    return found if found and found.sampled else None


def emit(span: Span) -> None:
    """Hand a span over. It may be dropped, and is counted then."""
    if _taker is not None:
        _taker.take(span)


def root(source: str, event_id: str, span_id: str) -> TraceContext:
    """The trace that begins with an event which brings none. It is recorded when the sampler of this process says so."""
    trace_id = derived_trace_id(source, event_id)
    sampled = _taker is not None and _taker.samples(trace_id)
    return TraceContext(trace_id, span_id, SAMPLED if sampled else 0)


def new_id() -> str:
    """An id for a span that nothing else refers to."""
    return f"{random.getrandbits(64) or 1:016x}"  # no secret; Python seeds it anew in a forked process


def nanoseconds(at: datetime) -> int:
    """A moment as spans have it."""
    return int(at.timestamp() * 1_000_000) * 1000
