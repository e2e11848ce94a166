"""Spans over OTLP/HTTP with protobuf, by OpenTelemetry's own exporter. Imported only where something is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from shared.telemetry.export.attributes import Writes
from shared.telemetry.spans import ERROR_TYPE, Span
from shared.telemetry.trace import TraceContext

KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
OK, ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
SCOPE = InstrumentationScope("viox-os", schema_url="https://opentelemetry.io/schemas/1.44.0")


class Otlp:
    """A backend. Without an endpoint, the environment's (`OTEL_EXPORTER_OTLP_*`) is used, with its headers."""

    def __init__(
        self,
        resource: Resource,
        writes: Writes,
        *,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._resource = resource
        self._writes = writes
        given: dict[str, Any] = {}
        if endpoint is not None:
            given = {"endpoint": endpoint, "headers": dict(headers or {}), "compression": Compression.Gzip}
        self._exporter = OTLPSpanExporter(**given)

    def send(self, spans: Sequence[Span]) -> bool:
        made = [self._readable(span) for span in spans]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # of the SDK

    def _readable(self, span: Span) -> ReadableSpan:
        attributes: dict[str, Any] = self._writes(span)
        if span.error:
            attributes[ERROR_TYPE] = span.error
        return ReadableSpan(
            span.name,
            _context(span.context),
            _context(span.context.at(span.parent_id)) if span.parent_id else None,
            self._resource,
            attributes,
            links=[Link(_context(one)) for one in span.links],
            kind=KINDS[span.kind],
            status=ERROR if span.error else OK,
            start_time=span.began_ns,
            end_time=span.ended_ns,
            instrumentation_scope=SCOPE,
        )


def _context(one: TraceContext) -> SpanContext:
    return SpanContext(int(one.trace_id, 16), int(one.span_id, 16), True, TraceFlags(one.flags))
