"""Puts it together: from the settings of a process to backends that take its spans."""

from __future__ import annotations

import asyncio
import os
import time
from importlib import metadata

from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision

from shared.redaction import Redactor
from shared.telemetry import spans
from shared.telemetry.export import langsmith
from shared.telemetry.export.attributes import Plain
from shared.telemetry.export.background import Backend, Background
from shared.telemetry.export.helicone import Helicone
from shared.telemetry.export.otlp import Otlp
from shared.telemetry.export.settings import TraceSettings
from shared.telemetry.spans import Span

CLOSE_SECONDS = 5.0


class Tracer:
    """Takes the spans of a process to every backend that is set. Which traces are recorded says `OTEL_TRACES_SAMPLER`."""

    def __init__(self, destinations: list[Background], provider: TracerProvider) -> None:
        self._destinations = destinations
        self._sampler = provider.sampler

    def take(self, span: Span) -> None:
        for one in self._destinations:
            one.put(span)

    def samples(self, trace_id: str) -> bool:
        decided = self._sampler.should_sample(None, int(trace_id, 16), "")
        return decided.decision is Decision.RECORD_AND_SAMPLE

    async def aclose(self) -> None:
        """Stop tracing, and send what waits: all at once, in a few seconds together."""
        spans.install(None)
        until = time.monotonic() + CLOSE_SECONDS
        await asyncio.gather(
            *(asyncio.to_thread(one.close, max(until - time.monotonic(), 0.1)) for one in self._destinations)
        )


def start(service: str, label: str, settings: TraceSettings, redactor: Redactor, *, content: bool) -> Tracer:
    """Trace this process, which is the replica `label` of a service, from now on.

    OpenTelemetry's global provider is left alone: no library is to trace besides.
    """
    named = {
        SERVICE_NAME: service,
        SERVICE_NAMESPACE: "viox",
        SERVICE_VERSION: metadata.version("viox-os"),
        SERVICE_INSTANCE_ID: f"{label}-{os.getpid()}",
    }
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    plain = Plain(redactor.everywhere if content else None)
    backends: dict[str, Backend] = {}
    if settings.otlp:
        backends["otlp"] = Otlp(provider.resource, plain)
    if smith := settings.langsmith:
        headers = langsmith.headers(smith.key, smith.project)
        writes = langsmith.written_by(plain)
        backends["langsmith"] = Otlp(provider.resource, writes, endpoint=smith.url, headers=headers)
    if settings.helicone:
        backends["helicone"] = Helicone(settings.helicone.url, settings.helicone.key, plain)
    made = [Background(name, backend, settings.bounds) for name, backend in backends.items()]
    for one in made:
        one.start()
    tracer = Tracer(made, provider)
    spans.install(tracer)
    return tracer
